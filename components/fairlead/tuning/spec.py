"""What a problem's `tuning` section says: a Katib Experiment's own names, so that the same search runs there.

Refused here is also what Katib accepts and then fails on, or hangs on for ever.
"""

import json
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from fairlead.errors import nearest
from fairlead.sections import Section

ALGORITHMS: dict[str, frozenset[str]] = {
    "random": frozenset({"random_state"}),
    "grid": frozenset({"random_state"}),
    "tpe": frozenset({"random_state", "n_startup_trials", "n_ei_candidates"}),
    "multivariate-tpe": frozenset({"random_state", "n_startup_trials", "n_ei_candidates"}),
    "cmaes": frozenset({"random_state", "sigma"}),
    "sobol": frozenset({"random_state"}),
    "bayesianoptimization": frozenset({"random_state", "n_initial_points"}),
}
FIGURES = {"validation_log_loss": "minimize", "validation_roc_auc": "maximize"}
SMALLEST_CMAES_SPACE = 2
MOST_STEPS = 10**9


def _only_text(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        raise ValueError(f"Katib takes only texts here; write it in quotes: {json.dumps(str(value))}")  # noqa: TRY004
    return value


Text = Annotated[str, BeforeValidator(_only_text)]


def as_number(text: str) -> Decimal:
    """Reads a number exactly, as it is spelt.

    Raises:
        ValueError: It is no finite number.
    """
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is no number") from None
    if not number.is_finite():
        raise ValueError(f"{text!r} is not finite")
    return number


def is_whole(number: Decimal) -> bool:
    """Whether a number has no fraction."""
    return number == number.to_integral_value()


class Objective(Section):
    """What is to become best.

    Attributes:
        type: `minimize` or `maximize`.
        metric: A figure of the kept epoch: validation_log_loss or validation_roc_auc.
        goal: The search ends when it is reached.
    """

    type: Literal["minimize", "maximize"]
    metric: str = Field(alias="objectiveMetricName")
    goal: float | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.metric not in FIGURES:
            raise ValueError(f"no trial tells {self.metric!r}; {nearest(self.metric, FIGURES)}")
        if self.type != FIGURES[self.metric]:
            raise ValueError(f"{self.metric} is better the other way; write type: {FIGURES[self.metric]}")
        return self


class Algorithm(Section):
    """How the next trial is chosen.

    Attributes:
        name: A key of `ALGORITHMS`.
        settings: Its settings; Katib's list of names and values is taken too.
    """

    name: str = Field(alias="algorithmName")
    settings: dict[str, Text] = Field(default={}, alias="algorithmSettings")

    @field_validator("settings", mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        if isinstance(value, list):
            return {entry["name"]: entry["value"] for entry in value if isinstance(entry, dict) and len(entry) == 2}  # noqa: PLR2004
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.name not in ALGORITHMS:
            raise ValueError(f"there is no algorithm {self.name!r}; {nearest(self.name, ALGORITHMS)}")
        for key, value in self.settings.items():
            if key not in ALGORITHMS[self.name]:
                raise ValueError(f"{self.name} has no setting {key!r}; {nearest(key, ALGORITHMS[self.name])}")
            if as_number(value) < 0 or (key != "sigma" and not is_whole(as_number(value))):
                raise ValueError(f"setting {key} must be a whole number from 0, got {value!r}")
        return self

    @property
    def seed(self) -> int:
        """The setting random_state, or 0."""
        return int(as_number(self.settings.get("random_state", "0")))


class FeasibleSpace(Section):
    """The values that a parameter may take; all are texts, as Katib wants them.

    Attributes:
        min: The least value of an int or double.
        max: The greatest.
        step: The distance between neighbouring values.
        list: The values of a discrete or categorical parameter.
        distribution: `uniform`, or `logUniform`: every order of magnitude alike.
    """

    min: Text | None = None
    max: Text | None = None
    step: Text | None = None
    list: tuple[Text, ...] | None = None
    distribution: Literal["uniform", "logUniform"] = "uniform"


class Parameter(Section):
    """One dimension of the search.

    Attributes:
        name: A key of the `train` section.
        kind: int, double, discrete (numbers in a list) or categorical (texts in a list).
        space: The values.
    """

    name: str
    kind: Literal["int", "double", "discrete", "categorical"] = Field(alias="parameterType")
    space: FeasibleSpace = Field(alias="feasibleSpace")

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            if self.ranged:
                _check_range(self.kind, self.space)
            else:
                _check_list(self.kind, self.space)
        except ValueError as error:
            raise ValueError(f"parameter {self.name}: {error}") from None
        return self

    @property
    def ranged(self) -> bool:
        """Whether it has a least and a greatest value rather than a list."""
        return self.kind in ("int", "double")

    @property
    def count(self) -> int | None:
        """The number of its values; None for a double without step."""
        if self.space.list is not None:
            return len(self.space.list)
        if self.space.step is None and self.kind == "double":
            return None
        span = as_number(self.space.max or "0") - as_number(self.space.min or "0")
        return int(span // as_number(self.space.step or "1")) + 1


def _check_range(kind: str, space: FeasibleSpace) -> None:
    if space.list is not None:
        raise ValueError(f"an {kind} has min and max, no list; make it discrete or take the list out")
    if space.min is None or space.max is None:
        raise ValueError("min and max are required")
    low, high = as_number(space.min), as_number(space.max)
    step = None if space.step is None else as_number(space.step)
    if low > high:
        raise ValueError(f"min {space.min} is above max {space.max}; swap them")
    if kind == "int" and not all(is_whole(value) for value in (low, high, step or low)):
        raise ValueError("an int has whole min, max and step; make it a double")
    if step is not None and step <= 0:
        raise ValueError(f"step must be above 0, got {space.step}")
    if step is not None and (high - low) / step > MOST_STEPS:
        raise ValueError(f"step {space.step} is too small for the range: leave it out")
    if space.distribution == "logUniform" and low <= 0:
        raise ValueError(f"logUniform needs min above 0, got {space.min}; there is no logarithm of it")
    if space.distribution == "logUniform" and step is not None:
        raise ValueError("logUniform takes no step; leave one of the two out")


def _check_list(kind: str, space: FeasibleSpace) -> None:
    if space.min is not None or space.max is not None or space.step is not None:
        raise ValueError(f"a {kind} parameter has a list, no min, max or step")
    if space.distribution != "uniform":
        raise ValueError(f"a {kind} parameter is uniform; take distribution out")
    values = space.list or ()
    if not values:
        raise ValueError("list needs at least one value")
    if len(set(values)) < len(values):
        raise ValueError(f"a value is listed twice in {list(values)}")
    if kind == "discrete":
        for value in values:
            as_number(value)
    if any('"' in value for value in values):
        raise ValueError('a value holds a double quote ("), on which Katib loops for ever; write it without')


class TuneSpec(Section):
    """A search for hyperparameters.

    Attributes:
        objective: What is to become best.
        algorithm: How the next trial is chosen.
        max_trials: The search ends after so many trials.
        parallel_trials: Trials that may run at once.
        max_failed_trials: The search is given up at so many failed trials; never where None.
        maximum_rows: A trial sees so many of the latest rows; the final training sees all.
        maximum_epochs: A trial trains so long at most.
        parameters: The dimensions of the search.
    """

    objective: Objective
    algorithm: Algorithm
    max_trials: int = Field(alias="maxTrialCount", ge=1)
    parallel_trials: int = Field(default=1, alias="parallelTrialCount", ge=1)
    max_failed_trials: int | None = Field(default=None, alias="maxFailedTrialCount", ge=1)
    maximum_rows: int = Field(default=20_000, ge=1)
    maximum_epochs: int = Field(default=2, ge=1)
    parameters: list[Parameter] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [parameter.name for parameter in self.parameters]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"parameters named twice: {', '.join(twice)}")
        for name, count in (
            ("parallelTrialCount", self.parallel_trials),
            ("maxFailedTrialCount", self.max_failed_trials),
        ):
            if count is not None and count > self.max_trials:
                raise ValueError(f"{name} {count} is above maxTrialCount {self.max_trials}; lower it")
        self._check_algorithm()
        return self

    def _check_algorithm(self) -> None:
        numbers = sum(parameter.ranged for parameter in self.parameters)
        if self.algorithm.name == "cmaes" and numbers < SMALLEST_CMAES_SPACE:
            raise ValueError(f"cmaes needs two int or double parameters, got {numbers}; take tpe, or add one")
        if self.algorithm.name == "grid":
            self._check_grid()

    def _check_grid(self) -> None:
        combinations = 1
        for parameter in self.parameters:
            if parameter.ranged and (parameter.space.step is None or parameter.count is None):
                raise ValueError(f"grid needs a step for {parameter.name}: without one it has no end of values")
            combinations *= parameter.count or 1
        if self.max_trials > combinations:
            text = f"the grid has {combinations} combinations, maxTrialCount is {self.max_trials}"
            raise ValueError(f"{text}; lower it to {combinations}: Katib fails where a grid runs out")
