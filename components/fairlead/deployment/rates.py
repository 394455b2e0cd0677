"""An always-valid comparison of two rates, by spreading capital over beliefs about the canary."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fairlead.deployment.sequential import Array, EProcesses, Interval, bounds

_PRIOR = 0.18  # pseudo-counts that Turner, Ly & Grünwald recommend
_SHIFTS = np.array([0.7, 1.4, 2.1, 3.5])  # log odds; from 1 % to 2, 4, 8 and 25 %
_LEARNER = 0.1  # weight of the belief that learns from the canary alone; the shifts share the rest
_MOST_REMEMBERED = 1_000  # trials of the stable version from before that count as belief: rates drift
_EXTREME = 1e-4  # rates closer to 0 or 1 are not bet on
_NEWTON_STEPS = 30
_TINY, _CLOSE = 1e-9, 1e-12


class RateComparison(EProcesses):
    """Compares two rates of failure from counts that come in blocks.

    A gambler who knew the canary's rate would stop soonest; ours spreads his capital over several beliefs, each an
    e-process, and their mean is one as well: one belief learns the canary's rate from the canary, the others hold that
    its odds are some fixed multiple of the ones that the margin allows. The stable version's rate is believed from all
    that is known of it, also from before the canary came. Beliefs decide how soon a difference is found, and never
    whether the test is valid. benchmarks/rollout_curves.py measures both.

    Args:
        margin: By how much the canary's rate may exceed the stable version's.
        alpha: The chance of rejecting wrongly, whenever and however often one looks.
    """

    def __init__(self, margin: float, alpha: float) -> None:
        super().__init__(margin, alpha)
        self.seen = np.zeros(4)  # canary's failures and successes, stable's failures and successes
        self._waiting = np.zeros(4)
        self._remembered = np.zeros(2)  # stable's failures and successes from before
        self._parts = np.zeros((2, 1 + len(_SHIFTS), len(self.d)))  # log e-values above and below, of each belief

    def learn(self, stable_bad: float, stable_good: float) -> None:
        """Takes what the stable version did before the canary got traffic: no evidence, but a belief."""
        self._remembered += (stable_bad, stable_good)
        self._remembered *= min(1.0, _MOST_REMEMBERED / max(self._remembered.sum(), 1.0))

    def update(self, canary_bad: int, canary_good: int, stable_bad: int, stable_good: int) -> None:
        """Takes one block; counts of one side only wait for the other's."""
        self._waiting += (canary_bad, canary_good, stable_bad, stable_good)
        if self._waiting[:2].sum() == 0 or self._waiting[2:].sum() == 0:
            return
        block, self._waiting = self._waiting, np.zeros(4)
        self._parts += rate_gains(block, self._belief(self.seen[:2]), self._stable(), self.d)
        self.log_e_above, self.log_e_below = mixture(self._parts)
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
            "parts": self._parts.tolist(), "peak": self.peak, "seen": self.seen.tolist(),
            "waiting": self._waiting.tolist(), "remembered": self._remembered.tolist(),
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from `state()`."""
        self._parts, self._remembered = np.array(state["parts"]), np.array(state["remembered"])
        self.log_e_above, self.log_e_below = mixture(self._parts)
        self.peak, self.seen, self._waiting = state["peak"], np.array(state["seen"]), np.array(state["waiting"])

    def _stable(self) -> float:
        return self._belief(self.seen[2:] + self._remembered)

    @staticmethod
    def _belief(seen: Array) -> float:
        return float((seen[0] + _PRIOR) / (seen.sum() + 2 * _PRIOR))


class RateBound(EProcesses):
    """Holds one rate against the largest that is allowed, from counts that come in blocks.

    The same beliefs as in `RateComparison`, as likelihood ratios against each rate: martingales while it is the true
    one, so that one may look at any moment.

    Args:
        margin: The largest rate that is allowed, in (0, 1).
        alpha: The chance of rejecting wrongly, whenever and however often one looks.
    """

    def __init__(self, margin: float, alpha: float) -> None:
        super().__init__(margin, alpha)
        self.d = self.d[self.d > 0]
        self.seen = np.zeros(2)
        self._parts = np.zeros((2, 1 + len(_SHIFTS), len(self.d)))
        self.log_e_above, self.log_e_below = mixture(self._parts)

    def update(self, bad: int, good: int) -> None:
        """Takes one block."""
        learnt = float((self.seen[0] + _PRIOR) / (self.seen.sum() + 2 * _PRIOR))
        rates = _believed(self.d, np.full_like(self.d, learnt))  # (2, 1 + S, D)
        gains = bad * np.log(rates / self.d) + good * np.log((1 - rates) / (1 - self.d))
        higher = rates > self.d
        self._parts += np.where(np.stack([higher[0], ~higher[1]]), gains, 0.0)
        self.log_e_above, self.log_e_below = mixture(self._parts)
        self.seen += (bad, good)
        self.peak = max(self.peak, self.log_e)

    @property
    def trials(self) -> tuple[int, int]:
        """How many trials there were; the second number is the same, as both versions answered each."""
        return int(self.seen.sum()), int(self.seen.sum())

    @property
    def interval(self) -> Interval:
        """The rate."""
        if not self.seen.any():
            return Interval(0.0, 0.0, 1.0)
        found = bounds(
            float(self.seen[0] / self.seen.sum()), self.d, self.log_e_above, self.log_e_below, self.alpha, 1.0
        )
        return Interval(found.estimate, max(0.0, found.lower), found.upper)

    def state(self) -> dict[str, Any]:
        """All that it has learnt, as JSON."""
        return {"parts": self._parts.tolist(), "peak": self.peak, "seen": self.seen.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from `state()`."""
        self._parts, self.peak, self.seen = np.array(state["parts"]), state["peak"], np.array(state["seen"])
        self.log_e_above, self.log_e_below = mixture(self._parts)


def _believed(edge: Array, learnt: Array) -> Array:
    """Rates that are believed: the learnt one, and shifts of the odds of an edge, up and down.

    Args:
        edge: Shape (D,), in (0, 1).
        learnt: Shape (D,).

    Returns:
        Shape (2, 1 + S, D).
    """
    inside = np.clip(edge, _EXTREME, 1 - _EXTREME)
    odds = np.log(inside / (1 - inside)) + np.stack([_SHIFTS, -_SHIFTS])[..., None]  # (2, S, D)
    shifted = 1 / (1 + np.exp(-odds))
    rates = np.concatenate([np.broadcast_to(learnt, (2, 1, *learnt.shape)), shifted], axis=1)
    return np.asarray(np.clip(rates, _TINY, 1 - _TINY))


def rate_gains(block: Any, canary: Any, stable: Any, d: Array) -> Array:
    """Gives the log e-values of one block of trials, for each belief about the canary.

    Args:
        block: Canary's failures and successes, stable's failures and successes; numbers, or arrays of shape (D,).
        canary: The canary's rate as learnt from it, in (0, 1); a number, or shape (D,).
        stable: The stable version's believed rate, in (0, 1); a number, or shape (D,).
        d: The differences, shape (D,).

    Returns:
        Shape (2, 1 + S, D): against "at most d" and "at least d", by the learnt rate and by S shifts of the odds.
    """
    p, q = (np.broadcast_to(np.asarray(rate, dtype=np.float64), d.shape) for rate in (canary, stable))
    rates = _believed(q + d, p)
    counts = [np.broadcast_to(np.asarray(count, dtype=np.float64), rates.shape) for count in block]
    gains = block_log_e(counts, rates, np.broadcast_to(q, rates.shape), np.broadcast_to(d, rates.shape))
    higher = rates - q > d
    return np.where(np.stack([higher[0], ~higher[1]]), gains, 0.0)


def mixture(parts: Array) -> Array:
    """The log of the weighted mean of e-values.

    Args:
        parts: Log e-values, shape (2, 1 + S, D).

    Returns:
        Shape (2, D).
    """
    weights = np.log([_LEARNER, *[(1 - _LEARNER) / len(_SHIFTS)] * len(_SHIFTS)])
    return np.asarray(np.logaddexp.reduce(parts + weights[:, None], axis=1))


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
