"""Checks of what the canary answers, without waiting for outcomes."""

from math import log
from typing import Any

import numpy as np

from fairlead.deployment.findings import Finding, finding_of
from fairlead.deployment.rates import RateBound, RateComparison
from fairlead.deployment.spec import DisagreementCheck, ScoreDistributionCheck
from fairlead.platform.target import Answer, VersionMetrics, Window

_BASELINE_SCORES = 200  # of the stable version, before thresholds are taken from their quantiles
_QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)


class Disagreement:
    """Holds the share of shadowed requests on which both versions disagree against the largest that is allowed."""

    def __init__(self, check: DisagreementCheck, alpha: float) -> None:
        self._check, self._rate = check, RateBound(check.margin, alpha)

    def learn(self, stable: VersionMetrics) -> None:
        """Nothing: the stable version cannot disagree with itself."""

    def take(self, window: Window) -> None:
        """See `checks.Test`."""
        if window.pairs:
            bad = sum(_distance(canary, stable) > self._check.tolerance for canary, stable in window.pairs)
            self._rate.update(bad, len(window.pairs) - bad)

    def finding(self) -> Finding:
        """See `checks.Test`."""
        return finding_of("disagreement", self._rate, f"share of answers further than {self._check.tolerance:g} away")

    def state(self) -> dict[str, Any]:
        """See `checks.Test`."""
        return self._rate.state()

    def restore(self, state: dict[str, Any]) -> None:
        """See `checks.Test`."""
        self._rate.restore(state)


class ScoreDistribution:
    """Compares the distributions of predictions of the same traffic, at quantiles of the stable version's first ones.

    At each quantile the shares below it are compared, and the shares above it: an e-process each, whose mean is one as
    well. A canary is rejected when the distributions are further apart (Kolmogorov-Smirnov distance) than allowed.
    """

    def __init__(self, check: ScoreDistributionCheck, alpha: float) -> None:
        self._margin, self._alpha = check.margin, alpha
        self._baseline: list[float] = []
        self._thresholds: list[float] = []
        self._rates = [RateComparison(check.margin, alpha / (2 * len(_QUANTILES))) for _ in range(2 * len(_QUANTILES))]
        self._peak = 0.0

    def learn(self, stable: VersionMetrics) -> None:
        """Takes predictions of the stable version until they are enough to set the thresholds."""
        if self._thresholds:
            return
        self._baseline.extend(stable.scores)
        if len(self._baseline) >= _BASELINE_SCORES:
            self._thresholds = [float(q) for q in np.quantile(self._baseline, _QUANTILES)]
            self._baseline = []

    def take(self, window: Window) -> None:
        """See `checks.Test`."""
        if not self._thresholds:
            self.learn(window.stable)
            return
        sides = [np.asarray(side.scores, dtype=np.float64) for side in (window.canary, window.stable)]
        for index, threshold in enumerate(self._thresholds):
            above = [int((side > threshold).sum()) for side in sides]
            below = [len(side) - count for side, count in zip(sides, above, strict=True)]
            self._rates[2 * index].update(above[0], below[0], above[1], below[1])
            self._rates[2 * index + 1].update(below[0], above[0], below[1], above[1])
        self._peak = max(self._peak, self._log_e())

    def _log_e(self) -> float:
        return float(np.logaddexp.reduce([rate.log_e for rate in self._rates]) - log(len(self._rates)))

    def finding(self) -> Finding:
        """See `checks.Test`."""
        widest = max(self._rates, key=lambda rate: rate.interval.estimate)
        canary, stable = widest.trials
        rejected, enough = self._peak >= -log(self._alpha), -log(self._alpha)
        return Finding(
            "score_distribution", self._log_e(), widest.interval, self._margin, canary, stable, rejected,
            "share of predictions on one side of a threshold", enough,
        )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """See `checks.Test`."""
        rates = [rate.state() for rate in self._rates]
        return {"rates": rates, "thresholds": self._thresholds, "baseline": self._baseline, "peak": self._peak}

    def restore(self, state: dict[str, Any]) -> None:
        """See `checks.Test`."""
        self._thresholds, self._baseline, self._peak = state["thresholds"], state["baseline"], state["peak"]
        for rate, learnt in zip(self._rates, state["rates"], strict=True):
            rate.restore(learnt)


def _distance(canary: Answer, stable: Answer) -> float:
    """How far two answers are apart, at most in any class; answers of another shape are as far as can be."""
    first, second = np.atleast_1d(np.asarray(canary)), np.atleast_1d(np.asarray(stable))
    return float(np.abs(first - second).max()) if first.shape == second.shape else float("inf")
