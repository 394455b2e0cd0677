"""What a problem's YAML says about how a model must behave: the section `behaviour`.

Three kinds of tests (Ribeiro et al. 2020, "Beyond accuracy: behavioral testing of NLP models with CheckList"):
minimum-functionality (these rows must get this answer), invariance (this change must not move the answer), directional
(this change must move the answer this way).
"""

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from fairlead.sections import Section

ROW_CHANGES = ("set", "add", "multiply", "swap", "shuffle", "missing")
IMAGE_CHANGES = ("shift", "rotate", "brightness", "noise", "blur", "crop", "invert")
CHANGES = (*ROW_CHANGES, *IMAGE_CHANGES)
_MARKS = ("shuffle", "missing", "invert")  # changes without an amount

Kind = Literal["minimum-functionality", "invariance", "directional"]
Number = float | int


class FilterSpec(Section):
    """Which values of a column are meant; all that is said must hold.

    Attributes:
        one_of: The values; empty for any.
        none_of: Values that are not meant.
        at_least: The smallest number.
        at_most: The largest number.
        missing: Whether the value is to be missing; unset: a bound or a list takes no missing value.
    """

    one_of: tuple[Any, ...] = ()
    none_of: tuple[Any, ...] = ()
    at_least: float | None = None
    at_most: float | None = None
    missing: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _values_are_one_of(cls, values: Any) -> Any:
        if isinstance(values, dict):
            return values
        return {"one_of": tuple(values) if isinstance(values, list | tuple) else (values,)}

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        bounds = (self.missing, self.at_least, self.at_most)
        if not (self.one_of or self.none_of) and all(bound is None for bound in bounds):
            raise ValueError("give a value, a list of values, or one_of, none_of, at_least, at_most or missing")
        return self


class ChangeSpec(Section):
    """One change of one column; exactly one of the changes is given. A list of amounts is a sequence of changes.

    Attributes:
        column: One of the model's own inputs.
        set: The value that takes the place of whatever stood there.
        add: What is added to a number.
        multiply: What a number is multiplied by.
        swap: The column whose value changes places with this one's.
        shuffle: The values are dealt out anew among the sampled rows.
        missing: The value is taken away.
        shift: Pixels to the right and down, [dx, dy]; what comes in is `fill`.
        rotate: Degrees, anticlockwise.
        brightness: What all pixels are multiplied by.
        noise: The standard deviation of normal noise, in steps of 0 to 255.
        blur: The standard deviation of a Gaussian blur, in pixels.
        crop: Pixels at each edge that are replaced by `fill`.
        invert: Dark becomes bright.
        fill: What comes into a picture from outside, from 0 to 255.
    """

    column: str
    set: Any = None
    add: Number | tuple[Number, ...] | None = None
    multiply: Number | tuple[Number, ...] | None = None
    swap: str = ""
    shuffle: bool = False
    missing: bool = False
    shift: tuple[Number, Number] | tuple[tuple[Number, Number], ...] | None = None
    rotate: Number | tuple[Number, ...] | None = None
    brightness: Number | tuple[Number, ...] | None = None
    noise: Number | tuple[Number, ...] | None = None
    blur: Number | tuple[Number, ...] | None = None
    crop: int | tuple[int, ...] | None = None
    invert: bool = False
    fill: int = Field(default=0, ge=0, le=255)

    @model_validator(mode="after")
    def _one_change(self) -> Self:
        given = [name for name in CHANGES if _is_given(getattr(self, name))]
        if len(given) != 1:
            said = f"got {', '.join(given)}" if given else "got none"
            raise ValueError(f"a change of a column does one thing, of {', '.join(CHANGES)}; {said}")
        return self

    @property
    def name(self) -> str:
        """Which change it is."""
        return next(name for name in CHANGES if _is_given(getattr(self, name)))

    @property
    def amounts(self) -> tuple[Any, ...]:
        """The sequence of amounts; one without an amount has one, True."""
        amount = getattr(self, self.name)
        if self.name in _MARKS or self.name == "swap":
            return (amount,)
        if self.name == "shift":
            return tuple(amount) if isinstance(amount[0], tuple) else (amount,)
        return tuple(amount) if isinstance(amount, list | tuple) else (amount,)

    @property
    def is_sequence(self) -> bool:
        """Whether several amounts were given."""
        return len(self.amounts) > 1


def _is_given(value: Any) -> bool:
    return not (value is None or value is False or value == "")  # 0 is an amount


class ExpectSpec(Section):
    """What the answer must be; all that is said must hold.

    Attributes:
        answer: The answer: a class, yes or no (0 or 1) of a binary model; `label` for the truth of the row.
        not_answer: The answer that it must not be.
        at_least: The smallest output allowed; see `of` in TestSpec.
        at_most: The largest output allowed.
    """

    answer: Any = None
    not_answer: Any = None
    at_least: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if all(value is None for value in (self.answer, self.not_answer, self.at_least, self.at_most)):
            raise ValueError("say what is expected: answer, not_answer, at_least or at_most")
        return self


class BehaviourTestSpec(Section):
    """One test of a model's behaviour.

    Attributes:
        name: What is demanded, in words.
        kind: minimum-functionality, invariance or directional.
        rows: Given rows, as a mapping of inputs each; inputs that are left out are missing. Without them, real rows of
            the sample are taken.
        where: Which real rows are meant: filters by column.
        change: Changes that are made together.
        expect: Of minimum-functionality: what the answer must be.
        direction: Of directional: what the output must do. `up` and `down` demand a move, `not_up` and `not_down` allow
            it to stay. Along a sequence of amounts it must hold from each to the next.
        by: How far it must move from the first to the last, at least.
        tolerance: Of invariance: how far the output may move. Of directional: how far one step may go the wrong way.
        same_answer: Of invariance: the answer itself must not change. It is what counts for a model of several classes
            where no tolerance is given.
        of: Of a model of several classes, whose probability is looked at: `answer` (the likeliest), `label` (the
            truth), or a class.
        allowed_failures: The share of rows that may fail.
        sample: Real rows drawn at most.
        required: False: the test informs, and no verdict depends on it.
    """

    name: str
    kind: Kind
    rows: tuple[dict[str, Any], ...] = ()
    where: dict[str, FilterSpec] = Field(default_factory=dict)
    change: tuple[ChangeSpec, ...] = ()
    expect: ExpectSpec | None = None
    direction: Literal["up", "down", "not_up", "not_down"] | None = None
    by: float = Field(default=0.0, ge=0)
    tolerance: float | None = Field(default=None, ge=0)
    same_answer: bool = False
    of: str = "label"
    allowed_failures: float = Field(default=0.0, ge=0, lt=1)
    sample: int = Field(default=500, ge=1, le=100_000)
    required: bool = True

    @field_validator("change", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, dict) else value

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        needs = {"minimum-functionality": "expect", "invariance": "change", "directional": "direction"}[self.kind]
        if not getattr(self, needs):
            raise ValueError(f"a test of kind {self.kind} needs `{needs}`")
        if self.kind == "directional" and not self.change:
            raise ValueError("a test of kind directional needs `change`")
        foreign = {
            "expect": self.expect is not None and self.kind != "minimum-functionality",
            "direction": self.direction is not None and self.kind != "directional",
            "by": self.by > 0 and self.kind != "directional",
            "same_answer": self.same_answer and self.kind != "invariance",
            "tolerance": self.tolerance is not None and self.kind == "minimum-functionality",
        }
        wrong = [key for key, is_foreign in foreign.items() if is_foreign]
        if wrong:
            raise ValueError(f"`{wrong[0]}` means nothing in a test of kind {self.kind}; leave it out")
        if self.by and (self.direction or "").startswith("not_"):
            raise ValueError("`by` demands a move, and `not_up` and `not_down` none; take `up` or `down`")
        if self.rows and self.where:
            raise ValueError("rows are given, so that there is nothing to filter; leave out `where`, or `rows`")
        return self

    @model_validator(mode="after")
    def _one_sequence(self) -> Self:
        lengths = {len(change.amounts) for change in self.change if change.is_sequence}
        if len(lengths) > 1:
            raise ValueError(f"sequences that go together have one length; got {sorted(lengths)}")
        columns = [change.column for change in self.change]
        if len(set(columns)) != len(columns):
            raise ValueError("a column is changed twice; make one change of it")
        return self


class BehaviourSpec(Section):
    """How a model must behave.

    Attributes:
        tests: What is tested.
        confidence: Of the Wilson intervals of shares of failures.
        examples: Failures of each test that the report shows.
        seed: Of the draws of rows, of shuffles and of noise.
    """

    tests: tuple[BehaviourTestSpec, ...] = Field(min_length=1)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    examples: int = Field(default=6, ge=0, le=50)
    seed: int = Field(default=7, ge=0)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [test.name for test in self.tests]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two tests are named {twice[0]!r}; a name tells a test from the others")
        return self
