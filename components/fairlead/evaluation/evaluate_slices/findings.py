"""What the judging of slices found, on its way to verdict and report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fairlead.evaluation.discovery import Candidate
from fairlead.evaluation.estimates import Estimate
from fairlead.evaluation.fairness import GroupFairness

Held = Literal["kept", "violated", "unclear"]


@dataclass(frozen=True)
class Slice:
    """A part of the rows.

    Attributes:
        by: What the rows were cut by: `carrier`, `carrier and origin`; empty for one that a search has found.
        name: The slice in words: `EV`, `carrier is EV and hour from 17 on`.
        rows: (n,) int64, positions: of all rows, or, for one that was found, among the rows that decide.
        found: What the search saw on the rows that it searched; None for a declared slice.
    """

    by: str
    name: str
    rows: np.ndarray
    found: Candidate | None = None

    @property
    def title(self) -> str:
        """The slice in words, wherever it stands."""
        return f"{self.by}: {self.name}" if self.by else self.name


@dataclass(frozen=True)
class SliceFinding:
    """What holds on a slice.

    Attributes:
        of: The slice.
        figures: Estimates by metric.
        gap: How much worse the main metric is than on the rest of the rows.
        low_support: There are too few rows to judge.
        p_value: That the gap is chance, by a one-sided test; 1 where it is not judged.
        corrected: The same, corrected for all slices that were judged.
    """

    of: Slice
    figures: Mapping[str, Estimate]
    gap: Estimate
    low_support: bool
    p_value: float = 1.0
    corrected: float = 1.0

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return int(self.of.rows.size)

    @property
    def judged(self) -> bool:
        """Whether it takes part in tests."""
        return not self.low_support and self.gap.usable


@dataclass(frozen=True)
class GateFinding:
    """What became of one bound.

    Attributes:
        demand: In words: `log_loss at most 0.1 worse than on the rest`.
        held: `violated` where tests show it, `unclear` where it is strict and they do not show that it is kept.
        where: The slice or the column that is furthest beyond (or nearest to) the bound.
        value: The figure there; NaN where there was nothing to judge.
        bound: The bound.
        offenders: Slices or pairs of groups that are shown to violate it, the worst first.
        beyond: How many are beyond the bound as measured, shown or not.
        p_value: The smallest, corrected for all that were tested.
    """

    demand: str
    held: Held
    where: str
    value: float
    bound: float
    offenders: Sequence[str]
    beyond: int
    p_value: float


@dataclass(frozen=True)
class Findings:
    """All that was found.

    Attributes:
        name: The model's name.
        digest: Its identity.
        label: The label's column.
        task: The model's task.
        metric: What gaps are taken of.
        rows: How many there are.
        blocks: How many blocks of rows that depend on one another; None where rows are independent.
        overall: Estimates by metric, of all rows.
        slices: Every slice, the most troubled first.
        searched: Conditions that the search tried; None where there was none.
        deciding: Rows that confirmed what the search found.
        fairness: Of each sensitive column.
        gates: What became of each.
        alpha: The error of a family of tests.
    """

    name: str
    digest: str
    label: str
    task: str
    metric: str
    rows: int
    blocks: int | None
    overall: Mapping[str, Estimate]
    slices: Sequence[SliceFinding]
    searched: int | None
    deciding: int
    fairness: Sequence[GroupFairness]
    gates: Sequence[GateFinding]
    alpha: float

    @property
    def judged(self) -> list[SliceFinding]:
        """The slices with enough rows."""
        return [finding for finding in self.slices if finding.judged]

    @property
    def troubled(self) -> list[SliceFinding]:
        """The slices that are shown to be worse than the rest."""
        return [finding for finding in self.judged if finding.corrected < self.alpha]
