"""What a problem's YAML says about judging a model: the sections `evaluation` and `comparison`."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from fairlead.errors import nearest
from fairlead.sections import Section

METRICS = (
    "roc_auc",
    "average_precision",
    "log_loss",
    "log_loss_ratio_to_majority",
    "brier",
    "expected_calibration_error",
    "accuracy",
    "precision",
    "recall",
    "f1",
    "base_rate",
)
"""The figures of a model for a yes/no question; `fairlead.evaluation.metrics` says how each is computed."""

BASELINES = ("majority", "logistic-regression", "gradient-boosting")

Baseline = Literal["majority", "logistic-regression", "gradient-boosting"]


def figure_name(baseline: str, metric: str) -> str:
    """The name of a baseline's figure, as gates and metrics know it: `gradient_boosting_log_loss`."""
    return f"{baseline.replace('-', '_')}_{metric}"


def difference_name(baseline: str) -> str:
    """The name of the model's log loss minus a baseline's: `log_loss_minus_gradient_boosting`."""
    return f"log_loss_minus_{baseline.replace('-', '_')}"


def gate_metrics() -> list[str]:
    """Every figure that a gate may name."""
    of_baselines = [figure_name(baseline, metric) for baseline in BASELINES for metric in METRICS]
    return [*METRICS, *of_baselines, *(difference_name(baseline) for baseline in BASELINES)]


class GateSpec(Section):
    """One demand on one figure; a model that does not meet it is rejected.

    Attributes:
        metric: The figure's name, one of `gate_metrics()`.
        at_least: The smallest value that passes.
        at_most: The largest value that passes.
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None

    @field_validator("metric")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in gate_metrics():
            choices = gate_metrics() if value.startswith(tuple(b.split("-")[0] for b in BASELINES)) else METRICS
            raise ValueError(f"there is no metric {value!r}; {nearest(value, choices)}")
        return value

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("a gate needs a bound; add at_least or at_most")
        return self


class EvaluationSpec(Section):
    """How a model is judged by itself, on rows that its training never saw.

    Attributes:
        slices: Columns whose values cut the rows into groups that are looked at one by one.
        minimum_slice_rows: A group with fewer rows is shown, and marked as too small to conclude from.
        baselines: Simple models fitted on the training rows and shown beside the model.
        gates: What the figures must be.
        confidence: Of all intervals.
        resamples: Bootstrap resamples of each interval.
        maximum_baseline_rows: Baselines are fitted on at most so many training rows, drawn at random.
        seed: Of the bootstrap, of that draw, and of the baselines.
    """

    slices: tuple[str, ...] = ()
    minimum_slice_rows: int = Field(default=200, ge=1)
    baselines: tuple[Baseline, ...] = ()
    gates: tuple[GateSpec, ...] = ()
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    resamples: int = Field(default=1000, ge=100, le=20_000)
    maximum_baseline_rows: int = Field(default=60_000, ge=1000)
    seed: int = Field(default=7, ge=0)

    @model_validator(mode="after")
    def _gates_have_their_baselines(self) -> Self:
        for baseline in set(BASELINES) - set(self.baselines):
            names = {figure_name(baseline, metric) for metric in METRICS} | {difference_name(baseline)}
            wanting = [gate.metric for gate in self.gates if gate.metric in names]
            if wanting:
                raise ValueError(f"gate {wanting[0]!r} needs the baseline {baseline!r}; add it to baselines")
        return self


class ComparisonSpec(Section):
    """How a challenger is judged against the champion, on the same rows.

    Attributes:
        metric: The figure of which the difference is taken.
        margin: How much worse the challenger may be: the interval's upper end must not exceed it. Differences are
            taken so that more is worse (challenger minus champion for losses, the other way round for roc_auc).
        confidence: Of the interval.
        resamples: Bootstrap resamples over rows.
        seed: Of the bootstrap.
    """

    metric: Literal["log_loss", "brier", "roc_auc"] = "log_loss"
    margin: float = Field(default=0.0, ge=0)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    resamples: int = Field(default=1000, ge=100, le=20_000)
    seed: int = Field(default=7, ge=0)
