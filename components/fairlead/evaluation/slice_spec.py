"""What a problem's YAML says about parts of the rows and about fairness between groups: the section `slices`."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from fairlead.errors import nearest
from fairlead.sections import Section

SLICE_METRICS = {
    "binary": (
        "log_loss", "excess_log_loss", "brier", "error_rate", "accuracy", "recall", "precision", "specificity", "bias",
        "roc_auc",
    ),
    "multiclass": ("log_loss", "excess_log_loss", "brier", "error_rate", "accuracy"),
    "regression": ("squared_error", "absolute_error", "bias"),
}  # fmt: skip
"""What a slice can be judged by, the default first; `fairlead.evaluation.slice_metrics` says how each is computed."""

FAIRNESS_METRICS = (
    "demographic_parity_difference",
    "demographic_parity_ratio",
    "equalized_odds_difference",
    "equal_opportunity_difference",
)
"""fairlearn's names. Differences are between the groups that differ most; the ratio is that of the lowest selection
rate to the highest."""

Correction = Literal["holm", "benjamini-hochberg"]
_ALL = tuple(dict.fromkeys(metric for metrics in SLICE_METRICS.values() for metric in metrics))


class BoundSpec(Section):
    """A demand whose violation must be shown by a test.

    Attributes:
        at_least: The smallest value allowed.
        at_most: The largest value allowed.
        strict: False: it fails where the rows show it to be violated. True: it also withholds approval (inconclusive)
            where the rows do not show it to be kept, as when there are few of them.
    """

    at_least: float | None = None
    at_most: float | None = None
    strict: bool = False

    def _bounds(self) -> list[float | None]:
        return [self.at_least, self.at_most]

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if all(bound is None for bound in self._bounds()):
            raise ValueError(f"a gate needs a bound; add {' or '.join(self._bound_names())}")
        return self

    def _bound_names(self) -> list[str]:
        return ["at_least", "at_most"]


class SliceGateSpec(BoundSpec):
    """One demand on every slice that has enough rows.

    Attributes:
        metric: One of SLICE_METRICS of the model's task.
        largest_gap: How much worse than on the rest of the rows it may be in a slice.
    """

    metric: str
    largest_gap: float | None = Field(default=None, ge=0)

    def _bounds(self) -> list[float | None]:
        return [*super()._bounds(), self.largest_gap]

    def _bound_names(self) -> list[str]:
        return ["largest_gap", *super()._bound_names()]

    @field_validator("metric")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in _ALL:
            raise ValueError(f"there is no slice metric {value!r}; {nearest(value, _ALL)}")
        return value

    @model_validator(mode="after")
    def _has_a_worse_side(self) -> Self:
        if self.metric == "bias" and self.largest_gap is not None:
            raise ValueError("bias has no better side, so that no gap can be demanded; set at_least and at_most")
        return self


class FairnessGateSpec(BoundSpec):
    """One demand on the difference between groups.

    Attributes:
        metric: One of FAIRNESS_METRICS.
        column: The sensitive column; empty for every one that is declared.
    """

    metric: Literal[
        "demographic_parity_difference", "demographic_parity_ratio", "equalized_odds_difference",
        "equal_opportunity_difference",
    ]  # fmt: skip
    column: str = ""

    @model_validator(mode="after")
    def _on_the_worse_side(self) -> Self:
        wrong = self.at_most if self.metric.endswith("ratio") else self.at_least
        if wrong is not None:
            right = "at_least" if self.metric.endswith("ratio") else "at_most"
            raise ValueError(f"{self.metric} may be demanded to be {right} a bound; the other side demands unfairness")
        return self


class FairnessSpec(Section):
    """How groups of people, or of whatever deserves equal treatment, are compared.

    Attributes:
        sensitive: Columns whose values are the groups.
        positive: Of a model of several classes: the class whose answer counts as yes.
        gates: What the differences must be.
        resamples: Bootstrap resamples of the intervals.
    """

    sensitive: tuple[str, ...] = Field(min_length=1)
    positive: str = ""
    gates: tuple[FairnessGateSpec, ...] = ()
    resamples: int = Field(default=1000, ge=100, le=20_000)

    @model_validator(mode="after")
    def _gates_have_their_columns(self) -> Self:
        for gate in self.gates:
            if gate.column and gate.column not in self.sensitive:
                raise ValueError(
                    f"gate on {gate.column!r}, which is not sensitive; {nearest(gate.column, self.sensitive)}"
                )
        return self


class DiscoverySpec(Section):
    """How slices are looked for that no one thought of.

    Attributes:
        columns: Where to look; empty: the model's inputs (of an image: its brightness, contrast and sharpness).
        conditions: A slice is described by at most so many, such as `origin is EWR and hour from 17 on`.
        beam: Candidates that are refined further at each length.
        keep: Candidates that are confirmed on the other half; each costs power, since all are corrected for.
        bins: A numeric column is cut at so many quantiles.
        maximum_rows: Of more, so many are drawn at random.
    """

    columns: tuple[str, ...] = ()
    conditions: int = Field(default=2, ge=1, le=4)
    beam: int = Field(default=30, ge=1, le=500)
    keep: int = Field(default=10, ge=1, le=100)
    bins: int = Field(default=5, ge=2, le=20)
    maximum_rows: int = Field(default=200_000, ge=200)


class SliceSpec(Section):
    """How a model is judged on parts of the rows.

    Attributes:
        metric: What the gap to the rest of the rows is taken of; empty: the first of SLICE_METRICS of the task.
        columns: Columns whose values are slices. Numbers of many values are cut at their quintiles.
        crosses: Pairs of columns; each pair of values is a slice.
        quantiles: Numeric columns, each with the number of parts of equal size that it is cut into.
        discovery: How to look for further slices; absent: no search.
        minimum_rows: Slices with fewer rows are listed, not judged.
        cluster: The column of which rows with one value depend on one another, as those of one customer do; they stay
            together in the halves of the search, and errors are taken between clusters. Empty where rows are
            independent.
        cluster_seconds: Cuts a `cluster` of times into spans of this length, such as 86400 for days.
        alpha: The error of all tests of a family together.
        correction: `holm` keeps the chance of any false alarm below alpha; `benjamini-hochberg` keeps the expected
            share of false alarms among the alarms below alpha.
        confidence: Of the intervals, each by itself.
        gates: What must hold in every slice.
        fairness: Comparison of groups.
        seed: Of the halves of the search and of the bootstrap.
    """

    metric: str = ""
    columns: tuple[str, ...] = ()
    crosses: tuple[tuple[str, str], ...] = ()
    quantiles: dict[str, int] = Field(default_factory=dict)
    discovery: DiscoverySpec | None = None
    minimum_rows: int = Field(default=200, ge=10)
    cluster: str = ""
    cluster_seconds: int | None = Field(default=None, ge=1)
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    correction: Correction = "holm"
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    gates: tuple[SliceGateSpec, ...] = ()
    fairness: FairnessSpec | None = None
    seed: int = Field(default=7, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _empty_discovery_is_the_default_one(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "discovery" in values and values["discovery"] is None:
            return {**values, "discovery": {}}  # `discovery:` without anything below it
        return values

    @field_validator("metric")
    @classmethod
    def _known(cls, value: str) -> str:
        allowed = [metric for metric in _ALL if metric != "bias"]
        if value and value not in allowed:
            raise ValueError(f"gaps cannot be taken of {value!r}; {nearest(value, allowed)}")
        return value

    @field_validator("quantiles")
    @classmethod
    def _cut(cls, value: dict[str, int]) -> dict[str, int]:
        few = [column for column, parts in value.items() if parts < 2]  # noqa: PLR2004 - one part is no slice
        if few:
            raise ValueError(f"{few[0]!r} must be cut into 2 parts or more")
        return value

    @model_validator(mode="after")
    def _judges_something(self) -> Self:
        if not (self.columns or self.crosses or self.quantiles or self.discovery or self.fairness):
            raise ValueError("nothing to judge; declare columns, crosses, quantiles, discovery or fairness")
        if self.cluster_seconds and not self.cluster:
            raise ValueError("cluster_seconds cuts a column of times; name it as `cluster`")
        return self

    @property
    def sensitive(self) -> tuple[str, ...]:
        """The sensitive columns."""
        return self.fairness.sensitive if self.fairness else ()

    def of_task(self, task: str) -> str:
        """The metric of the gaps for a task.

        Args:
            task: The model's.

        Returns:
            The metric.

        Raises:
            ValueError: The task has no slices, or no such metric.
        """
        if task not in SLICE_METRICS:
            raise ValueError(f"slices are judged for {', '.join(SLICE_METRICS)}; this model's task is {task!r}")
        for metric in (self.metric, *(gate.metric for gate in self.gates)):
            if metric and metric not in SLICE_METRICS[task]:
                raise ValueError(f"{metric!r} is no figure of a {task} model; {nearest(metric, SLICE_METRICS[task])}")
        if self.fairness and task == "regression":
            raise ValueError("fairness compares yes/no answers; for a regression, declare the columns and gate `bias`")
        return self.metric or SLICE_METRICS[task][0]
