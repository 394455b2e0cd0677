"""What is compared between a canary and the stable version, each by an always-valid test."""

from collections.abc import Mapping
from math import log
from typing import Any, Protocol

import numpy as np

from fairlead.deployment import spec
from fairlead.deployment.answers import Disagreement, ScoreDistribution
from fairlead.deployment.findings import Finding, finding_of
from fairlead.deployment.means import MeanComparison
from fairlead.deployment.rates import RateComparison
from fairlead.deployment.sequential import Array
from fairlead.platform.target import VersionMetrics, Window

_BASELINE_REQUESTS = 100  # of the stable version, before the threshold is taken from its latency quantile
_CLIP = 0.01  # probabilities closer to 0 or 1 count as this close, which bounds the log loss
_WIDEST_LOSS = log((1 - _CLIP) / _CLIP)  # nats, between the smallest and the largest clipped loss


class Test(Protocol):
    """One check under way."""

    def learn(self, stable: VersionMetrics) -> None:
        """Takes what the stable version did before the canary got traffic: measures and beliefs, no evidence."""

    def take(self, window: Window) -> None:
        """Takes a window of evidence."""

    def finding(self) -> Finding:
        """What was found so far."""

    def state(self) -> dict[str, Any]:
        """All that it has learnt, as JSON."""

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from `state()`."""


class _SuccessRate:
    """Compares the shares of failed requests."""

    def __init__(self, check: spec.SuccessRateCheck, alpha: float) -> None:
        self._rates = RateComparison(check.margin, alpha)

    def learn(self, stable: VersionMetrics) -> None:
        """Takes how often the stable version failed before."""
        self._rates.learn(stable.failed, stable.succeeded)

    def take(self, window: Window) -> None:
        canary, stable = window.canary, window.stable
        self._rates.update(canary.failed, canary.succeeded, stable.failed, stable.succeeded)

    def finding(self) -> Finding:
        return finding_of("success_rate", self._rates, "share of failed requests")

    def state(self) -> dict[str, Any]:
        return self._rates.state()

    def restore(self, state: dict[str, Any]) -> None:
        self._rates.restore(state)


class _Latency:
    """Compares the shares of requests above a threshold, which is taken once from the stable version's first requests.

    The margin is the share that lies above the quantile: a canary is rejected when its own quantile is above the
    threshold while the concurrent stable version's is not.
    """

    def __init__(self, check: spec.LatencyCheck, alpha: float) -> None:
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
        return finding_of("latency", self._rates, f"share of requests over {over}")

    def state(self) -> dict[str, Any]:
        baseline = [[bound, count] for bound, count in self._baseline.items() if count or self._threshold is None]
        return {"rates": self._rates.state(), "baseline": baseline, "threshold": self._threshold}

    def restore(self, state: dict[str, Any]) -> None:
        self._rates.restore(state["rates"])
        self._baseline, self._threshold = dict(state["baseline"]), state["threshold"]


class _LogLoss:
    """Compares mean log losses of predictions whose outcome is known."""

    def __init__(self, check: spec.LogLossCheck, alpha: float) -> None:
        self._means = MeanComparison(check.margin, alpha, _WIDEST_LOSS)

    def learn(self, stable: VersionMetrics) -> None:
        """Nothing: outcomes of before are of other requests."""

    def take(self, window: Window) -> None:
        self._means.update(_losses(window.canary), _losses(window.stable))

    def finding(self) -> Finding:
        return finding_of("log_loss", self._means, "mean log loss")

    def state(self) -> dict[str, Any]:
        return self._means.state()

    def restore(self, state: dict[str, Any]) -> None:
        self._means.restore(state)


def make_test(check: spec.Check, alpha: float) -> Test:
    """Makes the test of a check.

    Args:
        check: What is compared, and what is allowed.
        alpha: The chance of rejecting a canary that is within what is allowed.
    """
    if isinstance(check, spec.SuccessRateCheck):
        return _SuccessRate(check, alpha)
    if isinstance(check, spec.LatencyCheck):
        return _Latency(check, alpha)
    if isinstance(check, spec.DisagreementCheck):
        return Disagreement(check, alpha)
    return _LogLoss(check, alpha) if isinstance(check, spec.LogLossCheck) else ScoreDistribution(check, alpha)


def _split(seconds: Mapping[float, int], threshold: float) -> tuple[int, int]:
    """Requests above the threshold, and the others."""
    above = sum(count for bound, count in seconds.items() if bound > threshold)
    return above, sum(seconds.values()) - above


def _losses(version: VersionMetrics) -> Array:
    """Log losses in nats, shape (N,), each between those of the clipped probabilities."""
    pairs = np.array(version.outcomes, dtype=np.float64).reshape(-1, 2)
    probability = np.clip(np.nan_to_num(pairs[:, 0], nan=0.5), _CLIP, 1 - _CLIP)
    return np.asarray(-np.log(np.where(pairs[:, 1] > 0, probability, 1 - probability)))
