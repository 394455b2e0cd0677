"""What a check has found so far."""

from dataclasses import dataclass
from math import exp, log

from fairlead.deployment.means import MeanComparison
from fairlead.deployment.rates import RateBound, RateComparison
from fairlead.deployment.sequential import Interval

_SUSPICIOUS = log(4.0)  # from this log e-value on, a canary waits for more evidence before it goes on
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
        enough: The log e-value that rejects.
    """

    metric: str
    log_e: float
    interval: Interval
    margin: float
    canary: int
    stable: int
    rejected: bool
    unit: str
    enough: float

    @property
    def e_value(self) -> float:
        """The e-value, up to a largest one that JSON can carry."""
        return exp(min(self.log_e, _LARGEST_LOG_E))

    @property
    def suspicious(self) -> bool:
        """Whether the evidence points against the canary without proving anything."""
        return self.log_e >= _SUSPICIOUS and self.interval.estimate > self.margin

    @property
    def missing(self) -> int | None:
        """About how many more observations of the canary would reject it, at the rate of those so far; None if none."""
        if self.log_e <= 0 or not self.canary:
            return None
        return max(1, round((self.enough - self.log_e) / (self.log_e / self.canary)))

    def describe(self) -> str:
        """The finding in a sentence part."""
        i = self.interval
        return (
            f"{self.metric}: the canary's {self.unit} is {i.estimate:+.4g} against stable's (at least {i.lower:+.4g}, "
            f"allowed {self.margin:+.4g}; {self.canary} canary and {self.stable} stable observations)"
        )


def finding_of(metric: str, test: RateComparison | RateBound | MeanComparison, unit: str) -> Finding:
    """Describes what a test has found so far.

    Args:
        metric: The check.
        test: Its test.
        unit: What the difference is counted in.
    """
    canary, stable = test.trials
    enough = -log(test.alpha)
    return Finding(metric, test.log_e, test.interval, test.margin, canary, stable, test.rejected, unit, enough)
