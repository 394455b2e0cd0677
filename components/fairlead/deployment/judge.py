"""The canary's judge: what the evidence so far allows.

Each check has an equal part of alpha, so the chance that any of them ever rejects a canary that is as good is at most
alpha, however often one looks (union bound). Evidence adds up over the steps of a rollout.
"""

from collections.abc import Mapping
from typing import Any, Literal

from fairlead.deployment.checks import make_test
from fairlead.deployment.findings import Finding
from fairlead.deployment.spec import RolloutSpec
from fairlead.platform.target import VersionMetrics, Window

Decision = Literal["wait", "go_on", "roll_back"]

_MORE_REQUESTS = 3  # times the minimum, after which suspicion alone no longer holds it


class Judge:
    """Takes windows of evidence, and says after each whether the canary may go on.

    Args:
        spec: What is compared, and how much error is allowed.
    """

    def __init__(self, spec: RolloutSpec) -> None:
        self.spec = spec
        alpha = spec.alpha / len(spec.checks)
        self._tests = [make_test(check, alpha) for check in spec.checks]
        self.step_requests = 0
        self.canary_requests, self.stable_requests = 0, 0

    def prepare(self, earlier: VersionMetrics) -> None:
        """Takes what the stable version did before the canary got traffic: measures and beliefs, no evidence."""
        for test in self._tests:
            test.learn(earlier)

    def begin_step(self) -> None:
        """Starts to count the requests of a new step."""
        self.step_requests = 0

    def count(self, window: Window, *, shadow: bool) -> None:
        """Counts a window's requests: in a shadow step those that both versions answered, else the canary's."""
        asked = window.canary.succeeded + window.canary.failed
        self.step_requests += len(window.pairs) if shadow else asked
        self.canary_requests += asked
        self.stable_requests += window.stable.succeeded + window.stable.failed

    def look(self, window: Window, *, shadow: bool = False) -> Decision:
        """Takes a window.

        Args:
            window: What came in since the one before.
            shadow: Whether the canary gets copies only.

        Returns:
            `roll_back` once a check has rejected the canary, `go_on` when this step has enough requests and nothing is
            suspicious, else `wait`.
        """
        for test in self._tests:
            test.take(window)
        self.count(window, shadow=shadow)
        if any(finding.rejected for finding in self.findings()):
            return "roll_back"
        return "go_on" if self.enough and not self.held else "wait"

    @property
    def held(self) -> list[Finding]:
        """What holds the canary at its step: suspicions, for a while."""
        patient = self.step_requests < _MORE_REQUESTS * self.spec.minimum_requests
        return [finding for finding in self.findings() if finding.suspicious] if patient else []

    @property
    def enough(self) -> bool:
        """Whether this step has seen as many requests as it must."""
        return self.step_requests >= self.spec.minimum_requests

    def findings(self) -> list[Finding]:
        """What each check has found so far."""
        return [test.finding() for test in self._tests]

    def figures(self) -> dict[str, float]:
        """The evidence as flat figures, for a verdict."""
        made: dict[str, float] = {"canary_requests": self.canary_requests, "stable_requests": self.stable_requests}
        for finding in self.findings():
            made |= {
                f"{finding.metric}_e_value": finding.e_value,
                f"{finding.metric}_difference": finding.interval.estimate,
                f"{finding.metric}_difference_lower": finding.interval.lower,
                f"{finding.metric}_difference_upper": finding.interval.upper,
                f"{finding.metric}_canary_observations": finding.canary,
            }
        return made

    def state(self) -> dict[str, Any]:
        """All that it has learnt, as JSON."""
        return {
            "tests": [test.state() for test in self._tests], "step_requests": self.step_requests,
            "canary_requests": self.canary_requests, "stable_requests": self.stable_requests,
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state()`."""
        for test, learnt in zip(self._tests, state["tests"], strict=True):
            test.restore(learnt)
        self.step_requests = state["step_requests"]
        self.canary_requests, self.stable_requests = state["canary_requests"], state["stable_requests"]
