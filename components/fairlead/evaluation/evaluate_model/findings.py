"""What an evaluation found, on its way to verdict and report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fairlead.evaluation.intervals import Interval
from fairlead.evaluation.slices import SliceFigures
from fairlead.pages import number


@dataclass(frozen=True)
class BaselineFinding:
    """A baseline beside the model, on the same rows.

    Attributes:
        name: The baseline's.
        figures: Of binary_metrics.
        roc_auc: With its interval.
        log_loss: With its interval.
        difference: The model's log loss minus the baseline's, row by row: below zero, the model is better.
    """

    name: str
    figures: Mapping[str, float]
    roc_auc: Interval
    log_loss: Interval
    difference: Interval

    @property
    def model_wins(self) -> bool:
        """Whether the model's log loss is lower, and not by chance."""
        return self.difference.high < 0

    @property
    def model_loses(self) -> bool:
        """Whether the model's log loss is higher, and not by chance."""
        return self.difference.low > 0


@dataclass(frozen=True)
class Findings:
    """All that an evaluation found.

    Attributes:
        name: The model's name.
        digest: Its identity.
        label: The label's column.
        threshold: The probability from which the answer is yes.
        labels: (N,) int8.
        probabilities: (N,) float64, of the model.
        figures: By name: those of the model, then those of baselines.
        roc_auc: Of the model, with its interval.
        log_loss: Of the model, with its interval.
        baselines: In the order asked for.
        slices: Groups by column.
        notes: What a reader must know about how baselines were made.
        baseline_rows: Rows that they were fitted on.
        remarks: What belongs into the verdict whatever its outcome.
    """

    name: str
    digest: str
    label: str
    threshold: float
    labels: np.ndarray
    probabilities: np.ndarray
    figures: Mapping[str, float]
    roc_auc: Interval
    log_loss: Interval
    baselines: Sequence[BaselineFinding]
    slices: Mapping[str, Sequence[SliceFigures]]
    notes: Sequence[str]
    baseline_rows: int
    remarks: Sequence[str]


def spoken(baseline: str) -> str:
    """A baseline's name in a sentence: `gradient boosting`."""
    return {"majority": "the majority class", "logistic-regression": "a logistic regression"}.get(
        baseline, baseline.replace("-", " ")
    )


def remark(finding: BaselineFinding) -> str:
    """Says in one sentence whether the model beats a baseline, and by what evidence."""
    gap = finding.difference
    evidence = f"log loss differs by {number(gap.estimate)}, interval {number(gap.low)} to {number(gap.high)}"
    if finding.model_wins:
        return f"The model beats {spoken(finding.name)} ({evidence})."
    if finding.model_loses:
        return f"The model does not beat {spoken(finding.name)}, which is better ({evidence})."
    return f"The model does not beat {spoken(finding.name)}: the two cannot be told apart ({evidence})."
