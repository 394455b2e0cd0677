"""What a problem's YAML says about judging a challenger against the champion: the section `comparison`."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from fairlead.errors import ConfigurationError, nearest
from fairlead.evaluation.figure_names import Method
from fairlead.evaluation.loss_names import LOSSES, default_loss
from fairlead.sections import Section

AREA = "roc_auc"
"""The one figure that is compared and is no mean over rows; of a binary model."""

COMPARABLE = (AREA, *dict.fromkeys(name for names in LOSSES.values() for name in names))


def _check(metric: str) -> str:
    if metric not in ("", *COMPARABLE):
        raise ValueError(f"there is no such figure to compare, {metric!r}; {nearest(metric, COMPARABLE)}")
    return metric


class MarginSpec(Section):
    """A further figure by which the challenger must not be worse.

    Attributes:
        metric: One of the task's losses, or `roc_auc` of a binary model.
        margin: How much worse the challenger may be.
    """

    metric: str
    margin: float = Field(default=0.0, ge=0)

    @field_validator("metric")
    @classmethod
    def _known(cls, value: str) -> str:
        return _check(value)


class ComparisonSpec(Section):
    """How a challenger is judged against the champion, on the same rows.

    Attributes:
        metric: The figure of which the difference is taken: one of the task's losses (the task's first where empty), or
            `roc_auc` of a binary model.
        margin: How much worse the challenger may be: the interval's upper end must not exceed it. Differences are
            taken so that more is worse (challenger minus champion for losses, the other way round for roc_auc).
        also: Further figures, each with its own margin; all must hold.
        decide_by: `rows`: this very challenger is judged, on other rows like these. `training`: its recipe is, trained
            again with another seed; takes `seeds`.
        confidence: Of the intervals.
        resamples: Bootstrap resamples over rows.
        interval: `percentile`, or `bca` (bias-corrected and accelerated).
        cluster: The column of which rows with one value are drawn together, since they are not independent.
        group: Of a ranking: the column whose values are ordered one by one.
        cutoff: Of a ranking: the ranks that count; all where absent.
        seed: Of the bootstrap.
    """

    metric: str = ""
    margin: float = Field(default=0.0, ge=0)
    also: tuple[MarginSpec, ...] = ()
    decide_by: Literal["rows", "training"] = "rows"
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    resamples: int = Field(default=1000, ge=100, le=20_000)
    interval: Method = "percentile"
    cluster: str = ""
    group: str = ""
    cutoff: int | None = Field(default=None, ge=1)
    seed: int = Field(default=7, ge=0)

    @field_validator("metric")
    @classmethod
    def _known(cls, value: str) -> str:
        return _check(value)

    @model_validator(mode="after")
    def _once_each(self) -> Self:
        names = [self.metric, *(further.metric for further in self.also)]
        if len(set(names)) < len(names):
            raise ValueError(f"a figure is compared twice ({', '.join(names)}); give each one margin")
        return self

    def margins(self, task: str) -> dict[str, float]:
        """The figures that are compared, and how much worse each may be.

        Args:
            task: What the models answer.

        Raises:
            ConfigurationError: The task has no such figure.
        """
        found = {self.metric or default_loss(task): self.margin}
        found |= {further.metric: further.margin for further in self.also}
        allowed = (*LOSSES[task], *([AREA] if task == "binary" else []))
        for name in found:
            if name not in allowed:
                raise ConfigurationError(
                    f"task {task!r} has no figure {name!r} to compare; it has {', '.join(allowed)}"
                )
        return found

    def columns(self) -> tuple[str, ...]:
        """Further columns that the rows must have."""
        return tuple(dict.fromkeys(column for column in (self.cluster, self.group) if column))
