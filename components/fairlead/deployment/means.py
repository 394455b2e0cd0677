"""An always-valid comparison of two means of bounded values, by betting on paired differences."""

from typing import Any

import numpy as np

from fairlead.deployment.sequential import Array, EProcesses, Interval, bounds

_MOST_STAKED = 0.75  # of the capital that a bet may lose: one observation never ruins it
_BATCH = 8  # observations between two adjustments of the bets


class MeanComparison(EProcesses):
    """Compares two means of bounded values by bets on paired differences.

    Values of the two sides are paired as they come in, several of the more frequent side being averaged, so that each
    pair's expectation is the difference of the concurrent means, however those drift. Against "the difference is at
    most d" a gambler stakes a predictable share of his capital on each pair being larger (Waudby-Smith & Ramdas 2024,
    "Estimating means of bounded random variables by betting", JRSS B 86(1); stakes by their aGRAPA rule).

    Args:
        margin: By how much the canary's mean may exceed the stable version's.
        alpha: The chance of rejecting wrongly, whenever and however often one looks.
        scale: The width of the interval that holds all values.
    """

    def __init__(self, margin: float, alpha: float, scale: float) -> None:
        super().__init__(margin, alpha, scale)
        self.seen = np.zeros(2)  # values of the canary, values of the stable version
        self.moments = np.array([1.0, 0.5, 0.5])  # weight, sum, sum of squares of pairs in [0, 1]; one pair imagined
        self._waiting: tuple[list[float], list[float]] = ([], [])

    def update(self, canary: Array, stable: Array) -> None:
        """Takes values of both sides; those of one side only wait for the other's."""
        waiting = [*self._waiting[0], *canary.tolist()], [*self._waiting[1], *stable.tolist()]
        pairs = min(len(waiting[0]), len(waiting[1]))
        if pairs == 0:
            self._waiting = waiting
            return
        self._waiting = ([], [])
        means = [np.array([part.mean() for part in np.array_split(np.array(side), pairs)]) for side in waiting]
        values = ((means[0] - means[1]) / self.scale + 1) / 2
        self.seen += (len(waiting[0]), len(waiting[1]))
        for start in range(0, pairs, _BATCH):
            self._bet(values[start : start + _BATCH])

    def _bet(self, values: Array) -> None:
        weight, total, squares = self.moments
        mean, m = total / weight, (self.d / self.scale + 1) / 2
        spread = max(squares / weight - mean**2, 1e-4)
        edge = mean - m
        stake = edge / (spread + edge**2)
        up = np.clip(stake, 0, _MOST_STAKED / m)
        down = np.clip(-stake, 0, _MOST_STAKED / (1 - m))
        distance = values[:, None] - m  # (B, D)
        self.log_e_above += np.log1p(up * distance).sum(axis=0)
        self.log_e_below += np.log1p(-down * distance).sum(axis=0)
        self.moments += (len(values), values.sum(), (values**2).sum())
        self.peak = max(self.peak, self.log_e)

    @property
    def trials(self) -> tuple[int, int]:
        """How many values of the canary and of the stable version were compared."""
        return int(self.seen[0]), int(self.seen[1])

    @property
    def interval(self) -> Interval:
        """The difference of the means."""
        if self.moments[0] <= 1:
            return Interval(0.0, -self.scale, self.scale)
        real = self.moments - (1.0, 0.5, 0.5)
        estimate = float(2 * real[1] / real[0] - 1) * self.scale
        return bounds(estimate, self.d, self.log_e_above, self.log_e_below, self.alpha, self.scale)

    def state(self) -> dict[str, Any]:
        """All that it has learnt, as JSON."""
        return {
            "above": self.log_e_above.tolist(), "below": self.log_e_below.tolist(), "peak": self.peak,
            "seen": self.seen.tolist(), "moments": self.moments.tolist(), "waiting": [list(w) for w in self._waiting],
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from `state()`."""
        self.log_e_above, self.log_e_below = np.array(state["above"]), np.array(state["below"])
        self.peak, self.seen, self.moments = state["peak"], np.array(state["seen"]), np.array(state["moments"])
        self._waiting = (list(state["waiting"][0]), list(state["waiting"][1]))
