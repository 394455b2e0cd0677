"""Always-valid tests: one may look at the evidence at any moment, as often as one likes, and stop at any moment.

Each test keeps an e-process for every hypothesis "the canary is worse by at most d": a non-negative process that starts
at 1 and whose expectation stays at or below 1 while the hypothesis is true. By Ville's inequality the chance that it
ever reaches 1/alpha is then at most alpha. The d that are rejected bound the difference: a confidence sequence.

No library is used: those at hand test at fixed sample sizes, or keep every observation.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import lgamma, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_PRIOR = 0.18  # pseudo-counts that Turner, Ly & Grünwald recommend
_NEWTON_STEPS = 30
_TINY, _CLOSE = 1e-9, 1e-12
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


def closest_null(canary: Array, stable: Array, canary_trials: Array, stable_trials: Array, d: Array) -> Array:
    """Finds the point "canary = stable + d" that is closest to what is believed.

    It minimises n_c KL(canary ‖ b + d) + n_s KL(stable ‖ b) over b by Newton steps on the derivative, which grows in b,
    kept inside a bracket that is halved where a step would leave it.

    Args:
        canary: The canary's believed rate, in (0, 1), shape (D,) as all others.
        stable: The stable version's believed rate, in (0, 1).
        canary_trials: n_c.
        stable_trials: n_s.
        d: The differences.

    Returns:
        b, the stable version's rate at that point, shape (D,).
    """
    least, most = np.maximum(_TINY, _TINY - d), np.minimum(1 - _TINY, 1 - _TINY - d)
    low, high = np.clip(np.sort([stable, canary - d], axis=0), least, most)
    b = (low + high) / 2
    for _ in range(_NEWTON_STEPS):
        a = b + d
        a_spread, b_spread = a * (1 - a), b * (1 - b)
        slope = canary_trials * (a - canary) / a_spread + stable_trials * (b - stable) / b_spread
        curve = (
            canary_trials * ((a - canary) ** 2 + canary * (1 - canary)) / a_spread**2
            + stable_trials * ((b - stable) ** 2 + stable * (1 - stable)) / b_spread**2
        )
        low, high = np.where(slope > 0, low, b), np.where(slope > 0, b, high)
        step = b - slope / curve
        moved = np.where((step >= low) & (step <= high), step, (low + high) / 2)
        settled = np.abs(moved - b).max() < _CLOSE
        b = moved
        if settled:
            break
    return np.asarray(b)


def block_log_e(counts: Sequence[Any] | Array, canary: Any, stable: Any, d: Array) -> Array:
    """Gives the log e-value of one block of Bernoulli trials against the hypotheses that each d bounds.

    Where more than d is believed, it is evidence against "the canary's rate exceeds stable's by at most d"; where less
    is believed, against "by at least d".

    The block E-variable of Turner, Ly & Grünwald (2021, arXiv:2106.02693; margins: Turner & Grünwald 2023): the
    likelihood of the block under rates believed before it, over its likelihood under the hypothesis's point that is
    closest in Kullback-Leibler divergence. For a convex hypothesis its expectation is at most 1 at every point of it:
    its logarithm is concave in the true rates, and its gradient at the closest point is minus that of the divergence.
    Rates may so drift from block to block, as long as the canary stays within d of the concurrent stable version.

    Args:
        counts: Canary's failures and successes, stable's failures and successes: numbers, or arrays of shape (D,).
        canary: The believed rate of failures of the canary, in (0, 1); a number, or shape (D,).
        stable: That of the stable version.
        d: The differences, shape (D,).

    Returns:
        Log e-values, shape (D,).
    """
    canary_bad, canary_good, stable_bad, stable_good, p, q = (
        np.broadcast_to(np.asarray(value, dtype=np.float64), d.shape) for value in (*counts, canary, stable)
    )
    b = closest_null(p, q, canary_bad + canary_good, stable_bad + stable_good, d)
    a = b + d
    return np.asarray(
        canary_bad * np.log(p / a) + canary_good * np.log((1 - p) / (1 - a))
        + stable_bad * np.log(q / b) + stable_good * np.log((1 - q) / (1 - b))
    )  # fmt: skip


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


class RateComparison(EProcesses):
    """Compares two rates of failure from counts that come in blocks.

    Args:
        margin: By how much the canary's rate may exceed the stable version's.
        alpha: The chance of rejecting wrongly, whenever and however often one looks.
    """

    def __init__(self, margin: float, alpha: float) -> None:
        super().__init__(margin, alpha)
        self.seen = np.zeros(4)  # canary's failures and successes, stable's failures and successes
        self._waiting = np.zeros(4)

    def update(self, canary_bad: int, canary_good: int, stable_bad: int, stable_good: int) -> None:
        """Takes one block; counts of one side only wait for the other's."""
        self._waiting += (canary_bad, canary_good, stable_bad, stable_good)
        if self._waiting[:2].sum() == 0 or self._waiting[2:].sum() == 0:
            return
        block, self._waiting = self._waiting, np.zeros(4)
        canary, stable = self._belief(self.seen[:2]), self._belief(self.seen[2:])
        gain, above = block_log_e(block, canary, stable, self.d), canary - stable > self.d
        self.log_e_above += np.where(above, gain, 0.0)
        self.log_e_below += np.where(above, 0.0, gain)
        self.seen += block
        self.peak = max(self.peak, self.log_e)

    @property
    def trials(self) -> tuple[int, int]:
        """How many trials of the canary and of the stable version were compared."""
        return int(self.seen[:2].sum()), int(self.seen[2:].sum())

    @property
    def interval(self) -> Interval:
        """The difference of the rates."""
        if not self.seen.any():
            return Interval(0.0, -1.0, 1.0)
        rates = self.seen[[0, 2]] / np.array([self.seen[:2].sum(), self.seen[2:].sum()])
        return bounds(float(rates[0] - rates[1]), self.d, self.log_e_above, self.log_e_below, self.alpha, 1.0)

    def state(self) -> dict[str, Any]:
        """All that it has learnt, as JSON."""
        return {
            "above": self.log_e_above.tolist(), "below": self.log_e_below.tolist(), "peak": self.peak,
            "seen": self.seen.tolist(), "waiting": self._waiting.tolist(),
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from `state()`."""
        self.log_e_above, self.log_e_below = np.array(state["above"]), np.array(state["below"])
        self.peak, self.seen, self._waiting = state["peak"], np.array(state["seen"]), np.array(state["waiting"])

    @staticmethod
    def _belief(seen: Array) -> float:
        return float((seen[0] + _PRIOR) / (seen.sum() + 2 * _PRIOR))


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
