"""What an evaluation found, on its way to verdict and report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fairlead.evaluation.resampling import FEW_UNITS, Interval, Resampling
from fairlead.evaluation.scoring import Scores
from fairlead.values import number, title

MODEL = "model"


@dataclass(frozen=True)
class BaselineFinding:
    """A baseline beside the model, on the same rows.

    Attributes:
        name: The baseline's.
        figures: Each with its interval.
        difference: The model's loss minus the baseline's, row by row: below zero, the model is better.
        loss: Which loss, one of the task's.
    """

    name: str
    figures: Mapping[str, Interval]
    difference: Interval
    loss: str = "log_loss"

    @property
    def model_wins(self) -> bool:
        """Whether the model's loss is lower, and not by chance."""
        return self.difference.high < 0

    @property
    def model_loses(self) -> bool:
        """Whether the model's loss is higher, and not by chance."""
        return self.difference.low > 0


@dataclass(frozen=True)
class Findings:
    """All that an evaluation found.

    Attributes:
        name: The model's name.
        digest: Its identity.
        label: The label's column.
        threshold: Of a yes/no question: the probability from which the answer is yes.
        scores: Labels and predictions of the model and of baselines.
        figures: Of the model, each with its interval.
        baselines: In the order asked for.
        drawn: How rows were resampled.
        unit: What was drawn: `row`, `group`, or the clusters' column.
        notes: What a reader must know about how all this was made.
        baseline_rows: Rows that baselines were fitted on.
        remarks: What belongs into the verdict whatever its outcome.
    """

    name: str
    digest: str
    label: str
    threshold: float
    scores: Scores
    figures: Mapping[str, Interval]
    baselines: Sequence[BaselineFinding]
    drawn: Resampling
    unit: str
    notes: Sequence[str]
    baseline_rows: int
    remarks: Sequence[str]

    @property
    def task(self) -> str:
        """A key of `fairlead.evaluation.losses.LOSSES`."""
        return self.scores.task

    @property
    def rows(self) -> int:
        """Rows that the model was judged on."""
        return int(self.scores.labels.size)


_SPOKEN = {
    "majority": "the majority class",
    "mean": "the mean",
    "logistic-regression": "a logistic regression",
    "linear-regression": "a linear regression",
    "copy": "copying the source",
}


def spoken(baseline: str) -> str:
    """A baseline's name in a sentence: `gradient boosting`."""
    return _SPOKEN.get(baseline, baseline.replace("-", " "))


def remark(finding: BaselineFinding) -> str:
    """Says in one sentence whether the model beats a baseline, and by what evidence."""
    gap = finding.difference
    evidence = (
        f"{title(finding.loss)} differs by {number(gap.estimate)}, interval {number(gap.low)} to {number(gap.high)}"
    )
    if finding.model_wins:
        return f"The model beats {spoken(finding.name)} ({evidence})."
    if finding.model_loses:
        return f"The model does not beat {spoken(finding.name)}, which is better ({evidence})."
    return f"The model does not beat {spoken(finding.name)}: the two cannot be told apart ({evidence})."


def few_units(drawn: Resampling, unit: str) -> list[str]:
    """Warns where there are too few independent units for an interval to be exact."""
    if drawn.independent >= FEW_UNITS:
        return []
    return [f"Only {drawn.independent} independent units ({unit}): intervals are rough, and rather too narrow."]
