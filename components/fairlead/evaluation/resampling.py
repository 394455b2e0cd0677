"""The bootstrap over units, at a cost that does not grow with the rows.

A unit is what was drawn independently: a row, or a cluster of rows that are alike (the flights of one day, the rows of
one query). SciPy's `stats.bootstrap` gathers every row of every resample: 100,000 rows and 1,000 resamples take seconds
and 800 MB, and it knows no clusters. Here rows are summed by unit first; where there are more units than `BLOCKS`, they
are dealt at random into so many blocks of equal size, which are then resampled. The variance of block sums is that of
their units, known from `BLOCKS` - 1 degrees of freedom: interval widths are right to 1.6 % (one standard deviation).
Up to `BLOCKS` units, this is the classical bootstrap exactly. A figure is any function of sums over rows, or is made
one by its influence function (Davison & Hinkley 1997, "Bootstrap Methods and their Application", sections 2.7, 3.8).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fairlead.evaluation.figure_names import Method

BLOCKS = 2048
FEW_UNITS = 30
"""With fewer independent units than this an interval is rough, and reports say so."""

_RESAMPLES_AT_ONCE = 1000  # their weights become float64 to be multiplied
_MOST_DOUBLES = 2**22

Of = Callable[..., np.ndarray]
"""Sums over rows, arrays of any one shape, to a figure of that shape."""


@dataclass(frozen=True)
class Interval:
    """An estimate and the two-sided interval around it."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class Resampling:
    """Which rows belong together, and how often each of them is drawn; all figures of the same rows share it.

    Attributes:
        unit: (N,) int64, the unit of each row, from 0.
        weights: (resamples, units), how often each unit is drawn: float64, or float32 where they are many.
        independent: How many independent units there are, before they were dealt into blocks.
        confidence: Of the intervals.
        method: `percentile`, or `bca` (bias-corrected and accelerated, Efron 1987, "Better bootstrap confidence
            intervals").
    """

    unit: np.ndarray
    weights: np.ndarray
    independent: int
    confidence: float = 0.95
    method: Method = "percentile"

    @property
    def units(self) -> int:
        """Units, at most about `BLOCKS`."""
        return int(self.weights.shape[1])

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sums values, (N,), by unit: (units,) float64."""
        return np.bincount(self.unit, np.asarray(values, dtype=np.float64), self.units)

    def counts(self) -> np.ndarray:
        """Counts rows by unit: (units,) float64."""
        return np.bincount(self.unit, minlength=self.units).astype(np.float64)

    def cell_sums(self, cell: np.ndarray, cells: int, values: np.ndarray | None = None) -> np.ndarray:
        """Sums values, or counts rows, by unit and cell: (cells, units) float64; a cell below 0 is left out."""
        kept = cell >= 0
        index = cell[kept].astype(np.int64) * self.units + self.unit[kept]
        found = np.bincount(index, None if values is None else values[kept], cells * self.units)
        return found.reshape(cells, self.units).astype(np.float64)

    def draw(self, sums: np.ndarray) -> np.ndarray:
        """Totals of each resample from sums by unit, (..., units): (..., resamples)."""
        pieces = range(0, self.weights.shape[0], _RESAMPLES_AT_ONCE)
        drawn = [sums @ self.weights[at : at + _RESAMPLES_AT_ONCE].astype(np.float64, copy=False).T for at in pieces]
        return np.concatenate(drawn, axis=-1)

    def interval(self, of: Of, *sums: np.ndarray, within: tuple[float, float] = (-np.inf, np.inf)) -> Interval:
        """The interval of a function of sums.

        Args:
            of: The function; it takes totals of shape (...) (or (cells, ...)), and gives a figure of shape (...).
            sums: By unit, (units,) or (cells, units), as `sums` and `cell_sums` give them.
            within: What the figure cannot leave; the ends are clipped to it.

        Returns:
            The figure of all rows and its interval; NaN ends where most resamples leave it undefined.
        """
        estimate = float(_quietly(of, *(total.sum(axis=-1) for total in sums)))
        drawn = _quietly(of, *(self.draw(total) for total in sums))
        drawn = np.broadcast_to(drawn, (self.weights.shape[0],))
        kept = drawn[np.isfinite(drawn)]
        if not np.isfinite(estimate) or kept.size < drawn.size / 2:
            return Interval(estimate, np.nan, np.nan)
        tails = self._tails(of, sums, estimate, kept)
        low, high = np.clip(np.quantile(kept, tails), *within)
        return Interval(estimate, float(low), float(high))

    def mean(self, values: np.ndarray, within: tuple[float, float] = (-np.inf, np.inf)) -> Interval:
        """The interval of the mean of values, (N,) finite."""
        return self.interval(ratio, self.sums(values), self.counts(), within=within)

    def _tails(self, of: Of, sums: tuple[np.ndarray, ...], estimate: float, drawn: np.ndarray) -> tuple[float, float]:
        """Which quantiles of the draws are the interval's ends."""
        low, high = (1 - self.confidence) / 2, (1 + self.confidence) / 2
        below = (np.sum(drawn < estimate) + np.sum(drawn == estimate) / 2) / drawn.size
        if self.method == "percentile" or not 0 < below < 1:
            return low, high
        from statistics import NormalDist

        normal = NormalDist()
        bias, speed = normal.inv_cdf(float(below)), self._acceleration(of, sums)

        def adjusted(tail: float) -> float:
            z = bias + normal.inv_cdf(tail)
            return normal.cdf(bias + z / max(1 - speed * z, 1e-6))

        return adjusted(low), adjusted(high)

    def _acceleration(self, of: Of, sums: tuple[np.ndarray, ...]) -> float:
        """A sixth of the skewness of the figure's jackknife over units."""
        left_out = _quietly(of, *(total.sum(axis=-1, keepdims=True) - total for total in sums))
        gaps = np.nanmean(left_out) - left_out
        spread = np.nansum(gaps**2) ** 1.5
        return float(np.nansum(gaps**3) / (6 * spread)) if spread > 0 else 0.0


def resampling(
    rows: int,
    *,
    resamples: int,
    seed: int,
    confidence: float = 0.95,
    method: Method = "percentile",
    clusters: np.ndarray | None = None,
    strata: np.ndarray | None = None,
) -> Resampling:
    """Prepares the bootstrap of figures of the same rows.

    Args:
        rows: N, at least 1.
        resamples: How many.
        seed: The same seed gives the same draws.
        confidence: Of the intervals, between 0 and 1.
        method: `percentile` or `bca`.
        clusters: (N,) numbers; rows of one number are drawn together, or not at all. None where rows are independent.
        strata: (N,) numbers, such as classes, each of which keeps its number of rows. Not together with clusters.

    Raises:
        ValueError: Clusters and strata are both given.
    """
    if clusters is not None and strata is not None:
        raise ValueError("clusters and strata cannot both be kept; give one of them")
    rng = np.random.default_rng(seed)
    if strata is None:
        unit, independent = _deal(rows, clusters, rng)
        weights = _draws(int(unit.max()) + 1, resamples, rng)
        return Resampling(unit, weights, independent, confidence, method)
    unit, drawn, units = np.zeros(rows, dtype=np.int64), [], 0
    for value in np.unique(strata):
        members = np.flatnonzero(strata == value)
        unit[members] = _deal(members.size, None, rng)[0] + units
        drawn.append(_draws(int(unit[members].max()) + 1 - units, resamples, rng))
        units += drawn[-1].shape[1]
    return Resampling(unit, np.concatenate(drawn, axis=1), rows, confidence, method)


def _deal(rows: int, clusters: np.ndarray | None, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Each row's unit, (N,) int64, and how many independent units there are."""
    if clusters is None:
        return (np.arange(rows) if rows <= BLOCKS else rng.permutation(np.arange(rows) % BLOCKS)), rows
    _, codes = np.unique(clusters, return_inverse=True)
    found = int(codes.max()) + 1
    block = np.arange(found) if found <= BLOCKS else rng.permutation(np.arange(found) % BLOCKS)
    return block[codes], found


def _draws(units: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each unit is drawn in each resample of as many units: (resamples, units)."""
    chosen = rng.integers(units, size=(resamples, units), dtype=np.int32).astype(np.int64)
    chosen += np.arange(resamples)[:, None] * units
    kind = np.float64 if resamples * units <= _MOST_DOUBLES else np.float32
    return np.bincount(chosen.ravel(), minlength=resamples * units).reshape(resamples, units).astype(kind)


def ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """One sum by another; a mean where the other counts rows."""
    return np.asarray(top / bottom)


def _quietly(of: Of, *totals: np.ndarray) -> np.ndarray:
    """A figure of totals; NaN where a resample leaves it undefined, such as the recall of a class that it lacks."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(of(*totals), dtype=np.float64)
