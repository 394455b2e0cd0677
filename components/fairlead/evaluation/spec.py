"""What a problem's YAML says about judging a model: the sections `evaluation` and `comparison`."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from fairlead.errors import nearest
from fairlead.evaluation.comparison_spec import ComparisonSpec
from fairlead.evaluation.figure_names import BASELINES, FIGURES, Method, baseline_of, every_name, is_figure
from fairlead.sections import Section

__all__ = ["BASELINES", "ComparisonSpec", "EvaluationSpec", "GateSpec"]

_DIFFERENCE = "_minus_"


class GateSpec(Section):
    """One demand on one figure; a model that does not meet it is rejected.

    Attributes:
        metric: The figure's name: one of the task's (`roc_auc`, `ndcg_at_10`, `recall_of_cat`), a baseline's
            (`gradient_boosting_log_loss`), or the model's loss minus a baseline's (`log_loss_minus_majority`).
        at_least: The smallest value that passes.
        at_most: The largest value that passes.
        at: What is held against the bounds: the estimate, or the lower or upper end of its interval.
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    at: Literal["estimate", "low", "high"] = "estimate"

    @field_validator("metric")
    @classmethod
    def _known(cls, value: str) -> str:
        if not (is_figure(value) or baseline_of(value)) or (_DIFFERENCE in value and value not in every_name()):
            starts = tuple(name.replace("-", "_").split("_")[0] for name in BASELINES)
            own = dict.fromkeys(name for names in FIGURES.values() for name in names)
            choices = every_name() if value.startswith(starts) or _DIFFERENCE in value else list(own)
            raise ValueError(f"there is no metric {value!r}; {nearest(value, choices)}")
        return value

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("a gate needs a bound; add at_least or at_most")
        return self

    @property
    def figure(self) -> str:
        """The figure as a verdict names it: `roc_auc`, or `roc_auc_low` for an interval's end."""
        return self.metric if self.at == "estimate" else f"{self.metric}_{self.at}"


class EvaluationSpec(Section):
    """How a model is judged by itself, on rows that its training never saw.

    Attributes:
        task: What the model answers; needed only where the package does not tell, as for text generation.
        baselines: Simple models fitted on the training rows and shown beside the model.
        gates: What the figures must be.
        confidence: Of all intervals.
        resamples: Bootstrap resamples of each interval.
        interval: `percentile`, or `bca` (bias-corrected and accelerated).
        cluster: The column of which rows with one value are drawn together, since they are not independent: the day
            of a flight, the patient of an image. Empty where rows are independent.
        cluster_seconds: Cuts a `cluster` of times into spans of this length, such as 86400 for days.
        stratified: Each class keeps its number of rows in every resample; not together with a cluster.
        group: Of a ranking: the column whose values are ordered one by one.
        item: Of a ranking: the column of what is ranked, for the baseline `popularity`.
        cutoffs: Of a ranking: the ranks of the figures "at k".
        source: Of text generation: the column that was given, for the baseline `copy`.
        key: Of predictions made elsewhere: the column, in both datasets, that names a row. Empty where rows stand in
            the same order.
        prediction: Of predictions made elsewhere: the column that holds them; empty for `probability`, `prediction`,
            `score` or `text`, as the task has it.
        mistakes: How many of the wrongest examples the report shows, where inputs are images or texts.
        maximum_baseline_rows: Baselines are fitted on at most so many training rows, drawn at random.
        seed: Of the bootstrap, of that draw, and of the baselines.
    """

    task: Literal["", "binary", "multiclass", "regression", "ranking", "text-generation"] = ""
    baselines: tuple[str, ...] = ()
    gates: tuple[GateSpec, ...] = ()
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    resamples: int = Field(default=1000, ge=100, le=20_000)
    interval: Method = "percentile"
    cluster: str = ""
    cluster_seconds: int | None = Field(default=None, ge=1)
    stratified: bool = False
    group: str = ""
    item: str = ""
    cutoffs: tuple[int, ...] = (5, 10)
    source: str = ""
    key: str = ""
    prediction: str = ""
    mistakes: int = Field(default=24, ge=0, le=200)
    maximum_baseline_rows: int = Field(default=60_000, ge=1000)
    seed: int = Field(default=7, ge=0)

    @field_validator("baselines")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name not in BASELINES:
                raise ValueError(f"there is no baseline {name!r}; {nearest(name, list(BASELINES))}")
        return value

    @field_validator("cutoffs")
    @classmethod
    def _ranks(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if any(k < 1 for k in value):
            raise ValueError("ranks count from 1; give cutoffs of 1 or more")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.cluster and self.stratified:
            raise ValueError("clusters are drawn whole, so that classes cannot keep their numbers; drop one of the two")
        if self.cluster_seconds and not self.cluster:
            raise ValueError("cluster_seconds cuts a column of times; name it as `cluster`")
        wanting = [gate.metric for gate in self.gates if baseline_of(gate.metric) not in ("", *self.baselines)]
        if wanting:
            raise ValueError(f"gate {wanting[0]!r} needs the baseline {baseline_of(wanting[0])!r}; add it to baselines")
        for name, column in (("popularity", "item"), ("copy", "source")):
            if name in self.baselines and not getattr(self, column):
                raise ValueError(f"the baseline {name!r} needs to know a column; name it as `{column}`")
        return self

    def columns(self) -> tuple[str, ...]:
        """Further columns that the test rows must have."""
        named = (self.cluster, self.group, self.item if "popularity" in self.baselines else "", self.source, self.key)
        return tuple(dict.fromkeys(column for column in named if column))
