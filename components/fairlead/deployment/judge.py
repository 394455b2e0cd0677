"""The canary's judge: what the evidence so far allows.

Each check has an equal part of alpha, so the chance that any of them ever rejects a canary that is as good is at most
alpha, however often one looks (union bound). Evidence adds up over the steps of a rollout.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log
from typing import Any, Literal, Protocol

import numpy as np

from fairlead.deployment.means import MeanComparison
from fairlead.deployment.rates import RateComparison
from fairlead.deployment.sequential import Array, Interval
from fairlead.deployment.spec import LatencyCheck, LogLossCheck, RolloutSpec, SuccessRateCheck
from fairlead.platform.target import VersionMetrics, Window

Decision = Literal["wait", "go_on", "roll_back"]

_BASELINE_REQUESTS = 100  # of the stable version, before the threshold is taken from its latency quantile
_SUSPICIOUS = log(4.0)  # from this log e-value on, a canary waits for more evidence before it goes on
_MORE_REQUESTS = 3  # times the minimum, after which suspicion alone no longer holds it
_CLIP = 0.01  # probabilities closer to 0 or 1 count as this close, which bounds the log loss
_WIDEST_LOSS = log((1 - _CLIP) / _CLIP)  # nats, between the smallest and the largest clipped loss
_LARGEST_LOG_E = 27.0  # e-values are reported up to 5e11


@dataclass(frozen=True)
class Finding:
    """What one check has found so far.

    Attributes:
        metric: The check.
        log_e: The log e-value against "no worse than the margin allows".
        interval: The difference, canary less stable, with bounds that hold at all times together.
        margin: The difference that is allowed.
        canary: How much of the canary was compared.
        stable: How much of the stable version was compared.
        rejected: Whether the canary is shown to be worse.
        unit: What the difference is counted in.
    """

    metric: str
    log_e: float
    interval: Interval
    margin: float
    canary: int
    stable: int
    rejected: bool
    unit: str

    @property
    def e_value(self) -> float:
        """The e-value, up to a largest one that JSON can carry."""
        return exp(min(self.log_e, _LARGEST_LOG_E))

    @property
    def suspicious(self) -> bool:
        """Whether the evidence points against the canary without proving anything."""
        return self.log_e >= _SUSPICIOUS and self.interval.estimate > self.margin

    def describe(self) -> str:
        """The finding in a sentence part."""
        i = self.interval
        return (
            f"{self.metric}: the canary's {self.unit} is {i.estimate:+.4g} against stable's (at least {i.lower:+.4g}, "
            f"allowed {self.margin:+.4g}; {self.canary} canary and {self.stable} stable observations)"
        )


class _Test(Protocol):
    def take(self, window: Window) -> None: ...
    def finding(self) -> Finding: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: dict[str, Any]) -> None: ...


class Judge:
    """Takes windows of evidence, and says after each whether the canary may go on.

    Args:
        spec: What is compared, and how much error is allowed.
    """

    def __init__(self, spec: RolloutSpec) -> None:
        self.spec = spec
        alpha = spec.alpha / len(spec.checks)
        self._tests = [_test(check, alpha) for check in spec.checks]
        self.step_requests = 0
        self.canary_requests, self.stable_requests = 0, 0

    def prepare(self, earlier: VersionMetrics) -> None:
        """Takes what the stable version did before the canary got traffic: measures and beliefs, no evidence."""
        for test in self._tests:
            if isinstance(test, _Latency | _SuccessRate):
                test.learn(earlier)

    def begin_step(self) -> None:
        """Starts to count the requests of a new step."""
        self.step_requests = 0

    def look(self, window: Window) -> Decision:
        """Takes a window.

        Args:
            window: What came in since the one before.

        Returns:
            `roll_back` once a check has rejected the canary, `go_on` when this step has enough requests and nothing is
            suspicious, else `wait`.
        """
        for test in self._tests:
            test.take(window)
        asked = window.canary.succeeded + window.canary.failed
        self.step_requests += asked
        self.canary_requests += asked
        self.stable_requests += window.stable.succeeded + window.stable.failed
        findings = self.findings()
        if any(finding.rejected for finding in findings):
            return "roll_back"
        patient = self.step_requests < _MORE_REQUESTS * self.spec.minimum_requests
        held = patient and any(finding.suspicious for finding in findings)
        return "go_on" if self.enough and not held else "wait"

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


class _SuccessRate:
    """Compares the shares of failed requests."""

    def __init__(self, check: SuccessRateCheck, alpha: float) -> None:
        self._rates = RateComparison(check.margin, alpha)

    def learn(self, stable: VersionMetrics) -> None:
        """Takes how often the stable version failed before."""
        self._rates.learn(stable.failed, stable.succeeded)

    def take(self, window: Window) -> None:
        canary, stable = window.canary, window.stable
        self._rates.update(canary.failed, canary.succeeded, stable.failed, stable.succeeded)

    def finding(self) -> Finding:
        return _finding("success_rate", self._rates, "share of failed requests")

    def state(self) -> dict[str, Any]:
        return self._rates.state()

    def restore(self, state: dict[str, Any]) -> None:
        self._rates.restore(state)


class _Latency:
    """Compares the shares of requests above a threshold, which is taken once from the stable version's first requests.

    The margin is the share that lies above the quantile: a canary is rejected when its own quantile is above the
    threshold while the concurrent stable version's is not.
    """

    def __init__(self, check: LatencyCheck, alpha: float) -> None:
        self._check = check
        self._rates = RateComparison(1 - check.quantile, alpha)
        self._baseline: dict[float, int] = {}
        self._threshold: float | None = None

    def take(self, window: Window) -> None:
        if self._threshold is None:
            self.learn(window.stable)
            return
        canary, stable = (_split(side.seconds, self._threshold) for side in (window.canary, window.stable))
        self._rates.update(*canary, *stable)

    def learn(self, stable: VersionMetrics) -> None:
        """Takes latencies of the stable version until they are enough to set the threshold."""
        for bound, count in stable.seconds.items():
            self._baseline[bound] = self._baseline.get(bound, 0) + count
        total, below = sum(self._baseline.values()), 0
        if total < _BASELINE_REQUESTS:
            return
        bounds = sorted(self._baseline)
        for bound in bounds:
            below += self._baseline[bound]
            if below >= self._check.quantile * total:
                wanted = max(bound * self._check.factor, self._check.floor_seconds)
                self._threshold = min((b for b in bounds if b >= wanted), default=wanted)
                self._rates.learn(*_split(self._baseline, self._threshold))
                return

    def finding(self) -> Finding:
        over = "its threshold" if self._threshold is None else f"{self._threshold:.3g} s"
        return _finding("latency", self._rates, f"share of requests over {over}")

    def state(self) -> dict[str, Any]:
        baseline = [[bound, count] for bound, count in self._baseline.items() if count or self._threshold is None]
        return {"rates": self._rates.state(), "baseline": baseline, "threshold": self._threshold}

    def restore(self, state: dict[str, Any]) -> None:
        self._rates.restore(state["rates"])
        self._baseline, self._threshold = dict(state["baseline"]), state["threshold"]


class _LogLoss:
    """Compares mean log losses of predictions whose outcome is known."""

    def __init__(self, check: LogLossCheck, alpha: float) -> None:
        self._means = MeanComparison(check.margin, alpha, _WIDEST_LOSS)

    def take(self, window: Window) -> None:
        self._means.update(_losses(window.canary), _losses(window.stable))

    def finding(self) -> Finding:
        return _finding("log_loss", self._means, "mean log loss")

    def state(self) -> dict[str, Any]:
        return self._means.state()

    def restore(self, state: dict[str, Any]) -> None:
        self._means.restore(state)


def _test(check: SuccessRateCheck | LatencyCheck | LogLossCheck, alpha: float) -> _Test:
    if isinstance(check, SuccessRateCheck):
        return _SuccessRate(check, alpha)
    return _Latency(check, alpha) if isinstance(check, LatencyCheck) else _LogLoss(check, alpha)


def _finding(metric: str, test: RateComparison | MeanComparison, unit: str) -> Finding:
    canary, stable = test.trials
    return Finding(metric, test.log_e, test.interval, test.margin, canary, stable, test.rejected, unit)


def _split(seconds: Mapping[float, int], threshold: float) -> tuple[int, int]:
    """Requests above the threshold, and the others."""
    above = sum(count for bound, count in seconds.items() if bound > threshold)
    return above, sum(seconds.values()) - above


def _losses(version: VersionMetrics) -> Array:
    """Log losses in nats, shape (N,), each between those of the clipped probabilities."""
    pairs = np.array(version.outcomes, dtype=np.float64).reshape(-1, 2)
    probability = np.clip(np.nan_to_num(pairs[:, 0], nan=0.5), _CLIP, 1 - _CLIP)
    return np.asarray(-np.log(np.where(pairs[:, 1] > 0, probability, 1 - probability)))
