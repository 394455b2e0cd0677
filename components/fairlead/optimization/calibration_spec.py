"""What a problem's YAML says about calibrating a model and choosing its threshold: the section `calibration`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from fairlead.sections import Section

MethodName = Literal["auto", "none", "temperature", "isotonic"]
Rule = Literal["fixed", "f1", "balanced_accuracy", "cost", "precision_at_recall"]


class ThresholdSpec(Section):
    """How the probability from which a binary model answers yes is chosen, on validation rows.

    Attributes:
        rule: `f1` and `balanced_accuracy` make these greatest; `cost` makes the cost of wrong answers least;
            `precision_at_recall` makes precision greatest where recall is at least `minimum_recall`; `fixed` takes
            `value`.
        value: Of `fixed`.
        false_positive: What a wrong yes costs, in any unit.
        false_negative: What a wrong no costs, in the same unit.
        minimum_recall: Of `precision_at_recall`.
    """

    rule: Rule
    value: float | None = Field(default=None, ge=0, le=1)
    false_positive: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    false_negative: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    minimum_recall: float | None = Field(default=None, gt=0, le=1)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for rule, name in (("fixed", "value"), ("precision_at_recall", "minimum_recall")):
            given = getattr(self, name) is not None
            if given != (self.rule == rule):
                raise ValueError(f"{name} belongs to the rule {rule!r}; {'drop' if given else 'add'} it")
        if self.rule == "cost" and self.false_positive + self.false_negative == 0:
            raise ValueError("both kinds of wrong answers cost nothing; give false_positive or false_negative a cost")
        return self


class CalibrationSpec(Section):
    """How probabilities are calibrated and the threshold is chosen, on validation rows.

    Attributes:
        method: `temperature` sharpens or softens all probabilities by one number (Guo et al. 2017, "On Calibration of
            Modern Neural Networks"); `isotonic` fits any rising curve (Zadrozny & Elkan 2002), for yes/no models;
            `auto` takes the better of those that help, `none` leaves probabilities as they are.
        folds: Parts of the validation rows; each is judged by a calibration that was fitted on the others.
        minimum_gain: In nats of log loss: a calibration is kept where the lower end of its gain's interval on held-out
            folds is above it.
        confidence: Of that interval.
        minimum_rows: With fewer validation rows nothing is fitted.
        cluster: The column of which rows with one value are kept in one fold, and drawn together.
        cluster_seconds: Cuts a `cluster` of times into spans of this length, such as 86400 for days.
        threshold: How the threshold is chosen; without it, the package's own is kept.
        seed: Of the folds and the bootstrap.
    """

    method: MethodName = "auto"
    folds: int = Field(default=5, ge=2, le=20)
    minimum_gain: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    minimum_rows: int = Field(default=200, ge=20)
    cluster: str = ""
    cluster_seconds: int | None = Field(default=None, ge=1)
    threshold: ThresholdSpec | None = None
    seed: int = Field(default=7, ge=0)

    @model_validator(mode="after")
    def _spans_of_something(self) -> Self:
        if self.cluster_seconds and not self.cluster:
            raise ValueError("cluster_seconds cuts a column of times; name it as `cluster`")
        return self
