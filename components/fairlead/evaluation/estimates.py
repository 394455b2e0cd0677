"""Figures of parts of the rows, their standard errors, and how they differ from the rest of the rows.

Intervals and tests are Student's and Welch's rather than a bootstrap's: there can be hundreds of slices, and each needs
its tail far out, where corrected p-values lie and where a bootstrap has no resamples. Where rows come in blocks that
depend on one another, errors are taken between blocks (Liang & Zeger 1986, "Longitudinal data analysis using
generalized linear models"), with as many degrees of freedom as there are blocks less one.
"""

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from fairlead.evaluation.intervals import Interval, placements

FEWEST_CASES = 20  # rows that a figure is really made of, such as those with label 1 for recall


@dataclass(frozen=True)
class Estimate:
    """A figure and how exact it is.

    Attributes:
        value: NaN where there are no rows to tell.
        error: Its standard error; NaN where it cannot be told.
        degrees: Of freedom of Student's distribution.
        cases: Rows that it is made of.
        least: The smallest value that there can be; no interval goes below it.
        most: The largest.
    """

    value: float
    error: float
    degrees: float
    cases: int
    least: float = -math.inf
    most: float = math.inf

    @property
    def usable(self) -> bool:
        """Whether there is enough to test."""
        return bool(np.isfinite(self.value) and np.isfinite(self.error) and self.degrees >= 1)

    def interval(self, confidence: float) -> Interval:
        """The two-sided interval."""
        from scipy import special  # scipy.stats takes a second to import, and 5 ms for each number

        if not self.usable:
            return Interval(self.value, float("nan"), float("nan"))
        half = float(special.stdtrit(self.degrees, (1 + confidence) / 2)) * self.error
        return Interval(self.value, max(self.value - half, self.least), min(self.value + half, self.most))

    def p_above(self, bound: float) -> float:
        """The one-sided p-value of the hypothesis that the truth is at most `bound`; 1 where nothing can be told."""
        from scipy import special

        if not self.usable:
            return 1.0
        if self.error == 0:
            return float(self.value <= bound)
        return float(special.stdtr(self.degrees, (bound - self.value) / self.error))

    def p_below(self, bound: float) -> float:
        """The one-sided p-value of the hypothesis that the truth is at least `bound`."""
        return Estimate(-self.value, self.error, self.degrees, self.cases).p_above(-bound)


_NOTHING = Estimate(float("nan"), float("nan"), 0, 0)


@dataclass(frozen=True)
class Blocks:
    """Which rows depend on one another.

    Attributes:
        codes: (N,) int64, each row's block, from 0.
        count: How many blocks there are.
    """

    codes: np.ndarray
    count: int

    def sums(self, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Sums by block: (count,) float64."""
        return np.bincount(self.codes[rows], values, self.count)

    def clustered(self, influence: np.ndarray, touched: np.ndarray, cases: int, value: float) -> Estimate:
        """The estimate whose rows' influences sum to `influence` in each block; `touched` are those of the slice."""
        blocks = int(np.count_nonzero(touched))
        if blocks < 2:  # noqa: PLR2004 - one block shows no spread between blocks
            return Estimate(value, float("nan"), 0, cases)
        error = np.sqrt(blocks / (blocks - 1) * np.sum(influence**2))
        return Estimate(value, float(error), blocks - 1, cases)


class Figure(Protocol):
    """A figure that can be taken of any part of the rows.

    Attributes:
        worse: 1 where more is worse, -1 where less is, 0 where neither side is better.
    """

    worse: int

    def of(self, rows: np.ndarray) -> Estimate:
        """The figure of some rows: (n,) int64, their positions, each once."""

    def gap(self, rows: np.ndarray) -> Estimate:
        """How much worse it is on these rows than on all others."""


class MeanFigure:
    """The mean of a value of each row, over those of the rows that it is defined for.

    Args:
        values: (N,) finite.
        defined: (N,) bool; None for all.
        worse: As of Figure.
        blocks: Which rows depend on one another; None where none do.
    """

    def __init__(
        self, values: np.ndarray, defined: np.ndarray | None = None, worse: int = 1, blocks: Blocks | None = None
    ) -> None:
        self.worse = worse
        self._defined = np.ones(values.size, dtype=bool) if defined is None else defined
        inside = np.asarray(values, dtype=np.float64)[self._defined]
        self._centre = float(inside.mean()) if inside.size else 0.0
        self._values = np.where(self._defined, values - self._centre, 0.0)  # centred, so that squares lose no digits
        self._is_rate = bool(np.isin(inside, (0, 1)).all())
        self._none_negative = bool((inside >= 0).all())
        self._all = _Moments.of(self._values[self._defined])
        self._blocks = blocks
        if blocks is not None:
            everything = np.flatnonzero(self._defined)
            self._sums = blocks.sums(everything, self._values[everything])
            self._counts = blocks.sums(everything, np.ones(everything.size))

    def of(self, rows: np.ndarray) -> Estimate:
        """The mean of some rows; see Figure."""
        kept = rows[self._defined[rows]]
        here = _Moments.of(self._values[kept])
        if here.count == 0:
            return _NOTHING
        if self._blocks is None:
            error = float(np.sqrt(self._variance(here)))
            return self._bounded(Estimate(here.mean + self._centre, error, here.count - 1, here.count))
        sums, counts = self._blocks.sums(kept, self._values[kept]), self._blocks.sums(kept, np.ones(kept.size))
        influence = (sums - here.mean * counts) / here.count
        return self._bounded(self._blocks.clustered(influence, counts, here.count, here.mean + self._centre))

    def gap(self, rows: np.ndarray) -> Estimate:
        """How much worse the mean is than on all other rows; see Figure."""
        kept = rows[self._defined[rows]]
        here = _Moments.of(self._values[kept])
        rest = self._all.without(here)
        if here.count == 0 or rest.count == 0:
            return _NOTHING
        sign = self.worse or 1
        value = sign * (here.mean - rest.mean)
        if self._blocks is None:
            ours, theirs = self._variance(here), self._variance(rest)
            return Estimate(value, np.sqrt(ours + theirs), _welch(ours, here, theirs, rest), here.count)
        sums, counts = self._blocks.sums(kept, self._values[kept]), self._blocks.sums(kept, np.ones(kept.size))
        others = (self._sums - sums) - rest.mean * (self._counts - counts)
        influence = (sums - here.mean * counts) / here.count - others / rest.count
        return self._blocks.clustered(influence, counts, here.count, value)

    def _bounded(self, found: Estimate) -> Estimate:
        return replace(found, least=0.0 if self._none_negative else -math.inf, most=1.0 if self._is_rate else math.inf)

    def _variance(self, moments: "_Moments") -> float:
        """The squared standard error of a mean; that of a share is never 0 (Agresti & Coull 1998)."""
        if not self._is_rate:
            return moments.variance / moments.count if moments.count > 1 else float("nan")
        share = (moments.count * (moments.mean + self._centre) + 2) / (moments.count + 4)
        return share * (1 - share) / (moments.count + 4)


class AreaFigure:
    """The area under the ROC curve, with DeLong's standard error (see `intervals.placements`).

    Args:
        labels: (N,) 0 or 1.
        scores: (N,) the higher, the surer of 1.
        blocks: Which rows depend on one another; None where none do.
    """

    worse = -1

    def __init__(self, labels: np.ndarray, scores: np.ndarray, blocks: Blocks | None = None) -> None:
        self._labels, self._scores, self._blocks = labels, scores, blocks

    def of(self, rows: np.ndarray) -> Estimate:
        """The area of some rows; see Figure."""
        area, influence, cases = self._influence(rows)
        if cases < 2:  # noqa: PLR2004 - a variance takes two
            return _NOTHING
        return replace(self._estimate(area, rows, influence, rows, cases), least=0.0, most=1.0)

    def gap(self, rows: np.ndarray) -> Estimate:
        """How much smaller the area is than that of all other rows; see Figure."""
        outside = np.ones(self._labels.size, dtype=bool)
        outside[rows] = False
        others = np.flatnonzero(outside)
        (area, ours, cases), (other, theirs, others_cases) = self._influence(rows), self._influence(others)
        if min(cases, others_cases) < 2:  # noqa: PLR2004 - a variance takes two
            return _NOTHING
        both = np.concatenate([rows, others])
        return self._estimate(other - area, both, np.concatenate([-ours, theirs]), rows, cases)

    def _influence(self, rows: np.ndarray) -> tuple[float, np.ndarray, int]:
        """The area, what each row adds to its error, and the rows of the rarer class."""
        labels = self._labels[rows]
        cases = int(min(labels.sum(), labels.size - labels.sum()))
        influence = np.zeros(rows.size)
        if cases < 2:  # noqa: PLR2004 - a variance takes two
            return float("nan"), influence, cases
        ones, zeros = placements(labels, self._scores[rows])
        for value, placed in ((1, ones), (0, zeros)):
            influence[labels == value] = (placed - placed.mean()) / np.sqrt(placed.size * (placed.size - 1))
        return float(ones.mean()), influence, cases

    def _estimate(self, value: float, rows: np.ndarray, influence: np.ndarray, of: np.ndarray, cases: int) -> Estimate:
        if self._blocks is None:
            return Estimate(value, float(np.sqrt(np.sum(influence**2))), cases - 1, cases)
        touched = self._blocks.sums(of, np.ones(of.size))
        return self._blocks.clustered(self._blocks.sums(rows, influence), touched, cases, value)


@dataclass(frozen=True)
class _Moments:
    count: int
    total: float
    squares: float

    @classmethod
    def of(cls, values: np.ndarray) -> "_Moments":
        return cls(values.size, float(values.sum()), float(values @ values))

    def without(self, part: "_Moments") -> "_Moments":
        return _Moments(self.count - part.count, self.total - part.total, self.squares - part.squares)

    @property
    def mean(self) -> float:
        return self.total / self.count

    @property
    def variance(self) -> float:
        return max((self.squares - self.count * self.mean**2) / (self.count - 1), 0.0)


def _welch(ours: float, here: _Moments, theirs: float, rest: _Moments) -> float:
    """Degrees of freedom of a difference (Welch 1947)."""
    if min(here.count, rest.count) < 2 or ours + theirs == 0:  # noqa: PLR2004 - a variance takes two
        return 0.0 if min(here.count, rest.count) < 2 else float(min(here.count, rest.count) - 1)  # noqa: PLR2004
    return float((ours + theirs) ** 2 / (ours**2 / (here.count - 1) + theirs**2 / (rest.count - 1)))
