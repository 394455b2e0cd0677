"""The dimensions of a search: Katib's parameters and feasible spaces, and a reason for everything that is refused."""

import json
import re
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from fairlead.errors import nearest
from fairlead.sections import Section

DISTRIBUTIONS = ("uniform", "logUniform")
LOG10 = "log10_"
MOST_STEPS = 10**9

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_WHOLE = re.compile(r"[+-]?\d+")
_UNBOUNDED = {"normal", "logNormal"}


def only_text(value: Any) -> Any:
    """Refuses a bare number where Katib takes only texts."""
    if isinstance(value, bool | int | float):
        raise ValueError(f"Katib takes only texts here; write it in quotes: {json.dumps(str(value))}")  # noqa: TRY004
    return value


def _distribution(value: Any) -> Any:
    if value in _UNBOUNDED:
        raise ValueError(
            f"{value} draws values beyond min and max on one of Katib's services, makes another wait for ever, and is "
            "ignored by the rest; take uniform or logUniform"
        )
    if value not in DISTRIBUTIONS:
        raise ValueError(f"there is no distribution {value!r}; {nearest(str(value), DISTRIBUTIONS)}")
    return value


Text = Annotated[str, BeforeValidator(only_text)]


def as_number(text: str) -> Decimal:
    """Reads a number exactly, as it is spelt.

    Raises:
        ValueError: It is no finite number, or spelt in a way that Go or Python would not read.
    """
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is no number; write digits, such as 0.001 or 1e-3")
    return Decimal(text)


def as_whole(text: str) -> int:
    """Reads a whole number as Katib does, which takes neither 1e3 nor 3.0 for one.

    Raises:
        ValueError: It is spelt otherwise.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is no whole number; write digits only, such as 1000")
    return int(text)


def is_whole(number: Decimal) -> bool:
    """Whether a number has no fraction."""
    return number == number.to_integral_value()


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
    distribution: Annotated[str, BeforeValidator(_distribution)] = "uniform"


class Parameter(Section):
    """One dimension of the search.

    Attributes:
        name: A key of the `train` section or of the recipe's options; or `log10_` and such a key: then its values are
            exponents of ten, which makes a log scale of a plain double.
        kind: int, double, discrete (numbers in a list) or categorical (texts in a list).
        space: The values.
    """

    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    kind: Literal["int", "double", "discrete", "categorical"] = Field(alias="parameterType")
    space: FeasibleSpace = Field(alias="feasibleSpace")

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            if self.ranged:
                _check_range(self.kind, self.space)
            else:
                _check_list(self.kind, self.space)
            _check_exponents(self)
        except ValueError as error:
            raise ValueError(f"parameter {self.name}: {error}") from None
        return self

    @property
    def target(self) -> str:
        """The hyperparameter that it sets."""
        return self.name.removeprefix(LOG10)

    @property
    def ranged(self) -> bool:
        """Whether it has a least and a greatest value rather than a list."""
        return self.kind in ("int", "double")

    @property
    def log(self) -> bool:
        """Whether every order of magnitude is alike."""
        return self.space.distribution == "logUniform"

    @property
    def low(self) -> Decimal:
        """The least value of a range."""
        return as_number(self.space.min or "0")

    @property
    def high(self) -> Decimal:
        """The greatest value of a range; with a step, the last that steps from the least reach."""
        top = as_number(self.space.max or "0")
        return top if self.step is None else self.low + (top - self.low) // self.step * self.step

    @property
    def step(self) -> Decimal | None:
        """The distance of neighbouring values: 1 for an int without one, None for a double without one."""
        if self.space.step is not None:
            return as_number(self.space.step)
        return Decimal(1) if self.kind == "int" else None

    @property
    def count(self) -> int | None:
        """The number of its values; None for a double without step."""
        if self.space.list is not None:
            return len(self.space.list)
        return None if self.step is None else int((self.high - self.low) // self.step) + 1

    @property
    def choices(self) -> list[Any]:
        """The values of a list: texts of a categorical parameter, numbers of a discrete one."""
        texts = self.space.list or ()
        if self.kind == "categorical":
            return list(texts)
        numbers = [as_number(text) for text in texts]
        return [int(number) if is_whole(number) else float(number) for number in numbers]

    def nth(self, index: int) -> Any:
        """The value at a place of a list or of a range with steps, without the noise of binary fractions."""
        if not self.ranged:
            return self.choices[index]
        value = self.low + index * (self.step or Decimal(1))
        return int(value) if self.kind == "int" else float(value)

    def snap(self, value: Any) -> Any:
        """The value of the space that a suggestion means: on the step, in the range, of the right type."""
        if not self.ranged:
            return value
        if self.step is None:
            return min(max(float(value), float(self.low)), float(self.high))
        index = round((Decimal(repr(value)) - self.low) / self.step)
        return self.nth(min(max(index, 0), (self.count or 1) - 1))


def _check_exponents(parameter: Parameter) -> None:
    if parameter.name.startswith(LOG10) and (parameter.kind != "double" or parameter.log):
        raise ValueError(f"{LOG10}… holds exponents of ten: make it a uniform double")


def _check_range(kind: str, space: FeasibleSpace) -> None:
    if space.list is not None:
        raise ValueError(f"an {kind} has min and max, no list; make it discrete or take the list out")
    if space.min is None or space.max is None:
        raise ValueError("min and max are required")
    spelt = [space.min, space.max, *([space.step] if space.step is not None else [])]
    low, high, *steps = [as_number(text) for text in spelt]
    if kind == "int" and not all(_WHOLE.fullmatch(text) for text in spelt):
        raise ValueError(f"an int has whole min, max and step in plain digits, got {spelt}; or make it a double")
    if low > high:
        raise ValueError(f"min {space.min} is above max {space.max}, on which Katib waits for ever; swap them")
    for step in steps:
        _check_step(space, step, high - low)
    if space.distribution == "logUniform" and low <= 0:
        raise ValueError(f"logUniform needs min above 0, got {space.min}; there is no logarithm of it")


def _check_step(space: FeasibleSpace, step: Decimal, span: Decimal) -> None:
    if step <= 0:
        raise ValueError(f"step must be above 0, got {space.step}")
    if span / step > MOST_STEPS:
        raise ValueError(f"step {space.step} is too small for the range: leave it out")
    if space.distribution == "logUniform":
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
        numbers = [as_number(value) for value in values]
        if len(set(numbers)) < len(numbers):
            raise ValueError(f"a number is listed twice in {list(values)}")
    if any('"' in value for value in values):
        raise ValueError('a value holds a double quote ("), on which Katib loops for ever; write it without')
    if any("${" in value or not value.isprintable() for value in values):
        raise ValueError("a value holds ${ or a control character, which Katib's template would not survive")
    if "" in values:
        raise ValueError('a value is empty, which Katib takes for none; give it a name, such as "none"')
