"""Always-valid tests: one may look at the evidence at any moment, as often as one likes, and stop at any moment.

Each test keeps an e-process for every hypothesis "the canary is worse by at most d": a non-negative process that starts
at 1 and whose expectation stays at or below 1 while the hypothesis is true. By Ville's inequality the chance that it
ever reaches 1/alpha is then at most alpha. The d that are rejected bound the difference: a confidence sequence.

No library is used: those at hand test at fixed sample sizes, or keep every observation.
"""

from dataclasses import dataclass
from math import lgamma, log

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_GRID = np.array([0.0, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 0.99])


def differences(margin: float, scale: float = 1.0) -> Array:
    """Gives the differences that are tested: a symmetric grid up to `scale`, and the margin itself.

    Args:
        margin: The difference that decides.
        scale: The largest difference possible.

    Returns:
        Growing differences, shape (D,).
    """
    grid = _GRID * scale
    return np.unique(np.concatenate([-grid, grid, [margin]]))


@dataclass(frozen=True)
class Interval:
    """A difference, canary less stable, with its always-valid bounds.

    Attributes:
        estimate: The observed difference.
        lower: Its lower bound.
        upper: Its upper bound.
    """

    estimate: float
    lower: float
    upper: float


class EProcesses:
    """An e-process for each difference, and what follows from them whatever is compared.

    Args:
        margin: By how much the canary may exceed the stable version.
        alpha: The chance of rejecting wrongly, whenever and however often one looks.
        scale: The largest difference possible.
    """

    def __init__(self, margin: float, alpha: float, scale: float = 1.0) -> None:
        self.margin, self.alpha, self.scale = margin, alpha, scale
        self.d = differences(margin, scale)
        self.log_e_above = np.zeros_like(self.d)  # against "at most d"
        self.log_e_below = np.zeros_like(self.d)  # against "at least d"
        self.peak = 0.0

    @property
    def log_e(self) -> float:
        """The log e-value against "worse by at most the margin", now."""
        return float(self.log_e_above[np.searchsorted(self.d, self.margin)])

    @property
    def rejected(self) -> bool:
        """Whether the canary has been shown to be worse than the margin allows."""
        return self.peak >= -log(self.alpha)


def split_log_e(canary: int, stable: int, share: float) -> float:
    """Gives the log e-value against "each request goes to the canary with this chance".

    The likelihood of the counts under a chance that was drawn from a Beta distribution around the share, over that
    under the share: a martingale while the split is the one that was asked for, so that one may look at any moment.

    Args:
        canary: Requests that the canary got.
        stable: Requests that the stable version got.
        share: The chance that was asked for, in (0, 1).
    """
    a, b = 2 * share, 2 * (1 - share)
    mixture = _log_beta(canary + a, stable + b) - _log_beta(a, b)
    return mixture - canary * log(share) - stable * log(1 - share)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def bounds(estimate: float, d: Array, above: Array, below: Array, alpha: float, largest: float) -> Interval:
    """Bounds a difference by the hypotheses that are rejected now.

    Args:
        estimate: The observed difference.
        d: The differences that are tested, shape (D,).
        above: Log e-values against "at most d", shape (D,).
        below: Log e-values against "at least d", shape (D,).
        alpha: The chance that a bound is ever wrong.
        largest: The largest difference possible, which bounds it where nothing is rejected.
    """
    enough = -log(alpha)
    lower, upper = d[above >= enough], d[below >= enough]
    return Interval(
        estimate, float(lower.max()) if lower.size else -largest, float(upper.min()) if upper.size else largest
    )
