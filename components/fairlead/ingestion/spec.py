"""What a problem's YAML says about its data: sources, expectations and the split."""

import codecs
import re
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field, field_validator, model_validator

from fairlead.sections import Section

ColumnType = Literal[
    "string", "int8", "int16", "int32", "int64", "float32", "float64", "bool", "timestamp", "date", "binary",
]  # fmt: skip
Scalar = bool | int | float | str

_SUM_TOLERANCE = 1e-9


def _as_moment(value: Any) -> Any:
    """YAML reads an unquoted 2013-05-01 as a date; a moment without zone is taken as UTC."""
    if value in (None, ""):
        return ""
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError("give an ISO 8601 date or time such as 2013-05-01 or 2013-05-01T06:00:00Z") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


Moment = Annotated[str, BeforeValidator(_as_moment)]


def _whole_numbers(value: Any) -> Any:
    """KFP turns every number of a dict into a float."""
    if not isinstance(value, list | tuple):
        return value
    return tuple(int(n) if isinstance(n, float) and n.is_integer() else n for n in value)


Side = Annotated[int, Field(gt=0)]
Shape = Annotated[tuple[Side, Side, Literal[1, 3]], BeforeValidator(_whole_numbers)]
"""Height, width and channels of a picture, in pixels."""


class PixelsSpec(Section):
    """Columns that each hold one pixel, to be packed into one column of PNG images.

    Attributes:
        column: The name of the column to make.
        prefix: The pixel columns are called so, with a number from 0 on: pixel0, pixel1, ….
        shape: Height, width and channels (1 or 3); pixels come row by row, the channels of a pixel together.
    """

    column: str = Field("image", min_length=1)
    prefix: str = "pixel"
    shape: Shape

    @property
    def names(self) -> list[str]:
        """The pixel columns' names."""
        height, width, channels = self.shape
        return [f"{self.prefix}{number}" for number in range(height * width * channels)]


_RANGE = re.compile(r"^(.*?)(\d+)\.\.(.*?)(\d+)$")


def expand_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Writes ranges of names out: `pixel0..pixel3` becomes pixel0, pixel1, pixel2, pixel3."""
    return tuple(name for text in names for name in _expand(text))


def _expand(text: str) -> list[str]:
    found = _RANGE.match(text)
    if not found or found[1] != found[3]:
        return [text]
    return [f"{found[1]}{number}" for number in range(int(found[2]), int(found[4]) + 1)]


class TableSpec(Section):
    """One table of the data and how to read it.

    Attributes:
        source: A path, directory, glob, http(s) or s3:// address, or `pkg:NAME/path/in/package`.
        licence: The data's terms.
        format: csv, jsonl, parquet or image (PNG and JPEG files, their folder's name as `label`); empty: by the
            file's name.
        member: The file inside a zip that holds several.
        columns: Column name to type; they stand in the order of the first file, and other columns are left out.
            Empty: all, types inferred.
        na_values: Texts in csv files that mean "missing", in columns of every type.
        time_column: The timestamp column that orders the table in time.
        time_zone: The zone of times that name none, such as America/New_York; empty: such times are an error.
            All times are kept in UTC, to the microsecond.
        time_format: How times and dates are written, where not in ISO 8601: `%d/%m/%Y %H:%M`.
        delimiter: What separates values in csv files.
        header: Whether csv files begin with the columns' names.
        names: The columns' names in the files' order, where csv files have no header; `columns` has no order.
            `pixel0..pixel783` stands for all from the first to the last.
        pixels: Columns to be packed into images.
        encoding: The csv files' character encoding.
    """

    source: str = ""
    licence: str = "not stated"
    format: Literal["", "csv", "jsonl", "parquet", "image"] = ""
    member: str = ""
    columns: dict[str, ColumnType] = Field(default_factory=dict)
    na_values: tuple[str, ...] = ("", "NA", "N/A", "NaN", "nan", "null", "NULL")
    time_column: str | None = None
    time_zone: str = ""
    time_format: str = ""
    delimiter: str = Field(",", min_length=1, max_length=1)
    header: bool = True
    names: tuple[str, ...] = ()
    pixels: PixelsSpec | None = None
    encoding: str = "utf8"

    @field_validator("names")
    @classmethod
    def _names_written_out(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return expand_names(value)

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        try:
            return ZoneInfo(value).key if value else ""
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("no such time zone; use an IANA name such as UTC or America/New_York") from None

    @field_validator("encoding")
    @classmethod
    def _encoding_exists(cls, value: str) -> str:
        try:
            codecs.lookup(value)
        except LookupError:
            raise ValueError("no such encoding; use for example utf8 or latin1") from None
        return value

    @model_validator(mode="after")
    def _names_replace_the_header(self) -> Self:
        if self.names and self.header:
            raise ValueError("names are for csv files without a header; set `header: false`, or remove `names`")
        if self.columns and not self.names and not self.header:
            raise ValueError(
                f"without a header, give `names`: all columns of the files in their order (here {len(self.columns)}"
                " or more); the order of `columns` is not kept on its way through a pipeline"
            )
        return self

    @model_validator(mode="after")
    def _time_column_is_a_timestamp(self) -> Self:
        kind = self.columns.get(self.time_column or "")
        if self.time_column and self.columns and kind != "timestamp":
            raise ValueError(
                f"time_column {self.time_column!r} is {kind or 'not one of the columns'}; "
                "name a column and declare it as timestamp"
            )
        return self


class RowsExpectation(Section):
    """How many rows there may be.

    Attributes:
        minimum: The fewest.
        maximum: The most.
    """

    minimum: int | None = None
    maximum: int | None = None


class ColumnExpectation(Section):
    """What one column may hold. Missing values pass every check but the two about missing values.

    Attributes:
        type: Its type.
        nullable: Whether values may be missing.
        minimum: The smallest value (a number, or an ISO time).
        maximum: The largest value.
        allowed: The only values.
        pattern: A regular expression found in every value; `^` and `$` tie it to the ends.
        maximum_null_fraction: The largest share of missing values, 0 to 1.
        unique: Whether no value may come twice.
        shape: Height, width and channels (1 or 3) of every picture of a column of PNG or JPEG files.
    """

    type: ColumnType | None = None
    nullable: bool = True
    minimum: int | float | str | None = None
    maximum: int | float | str | None = None
    allowed: tuple[Scalar, ...] | None = None
    pattern: str | None = None
    maximum_null_fraction: float | None = Field(None, ge=0, le=1)
    unique: bool = False
    shape: Shape | None = None

    @field_validator("pattern")
    @classmethod
    def _pattern_compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        return value


class Expectations(Section):
    """What must hold of a dataset.

    Attributes:
        rows: How many rows.
        unique: Columns whose values together name a row only once; missing values count as equal.
        columns: What single columns may hold.
    """

    rows: RowsExpectation = RowsExpectation()
    unique: tuple[str, ...] = ()
    columns: dict[str, ColumnExpectation] = Field(default_factory=dict)


class Fractions(Section):
    """The shares of the three sets; they add up to 1.

    Attributes:
        train: Share of the training set.
        validation: Share of the validation set.
        test: Share of the test set.
    """

    train: float = Field(0.8, gt=0, lt=1)
    validation: float = Field(0.1, gt=0, lt=1)
    test: float = Field(0.1, gt=0, lt=1)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.train + self.validation + self.test
        if abs(total - 1) > _SUM_TOLERANCE:
            raise ValueError(f"the fractions add up to {total:g}; make them add up to 1")
        return self


class SplitSpec(Section):
    """How rows are divided into train, validation and test.

    Attributes:
        by: time (earlier trains, later tests), entity (each entity in one set only) or stratified (equal label shares).
        column: The time column or the entity's column; for stratified the label unless given.
        embargo_seconds: The gap before train_until and before validation_until whose rows are left out.
        start: The first moment of the training set; empty: from the first row.
        train_until: The end of the training set (exclusive) and the start of the validation set.
        validation_until: The end of the validation set and the start of the test set.
        test_until: The end of the test set; empty: to the last row.
        fractions: The sets' shares, for entity and stratified.
        seed: Chooses among equally good splits, for entity and stratified.
    """

    by: Literal["time", "entity", "stratified"] = "time"
    column: str = ""
    embargo_seconds: float = Field(0, ge=0)
    start: Moment = ""
    train_until: Moment = ""
    validation_until: Moment = ""
    test_until: Moment = ""
    fractions: Fractions = Fractions()
    seed: int = 7

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.by != "stratified" and not self.column:
            raise ValueError(f"a split by {self.by} needs `column`, the column that holds the {self.by}")
        if self.by == "time":
            self._check_times()
        elif self.start or self.train_until or self.validation_until or self.test_until or self.embargo_seconds:
            raise ValueError(f"a split by {self.by} takes fractions, not times; use `by: time` or remove the times")
        return self

    def _check_times(self) -> None:
        if not (self.train_until and self.validation_until):
            raise ValueError("a split by time needs `train_until` and `validation_until`")
        named = [(name, getattr(self, name)) for name in ("start", "train_until", "validation_until", "test_until")]
        given = [(name, datetime.fromisoformat(value)) for name, value in named if value]
        for (before, first), (after, second) in pairwise(given):
            gap = self.embargo_seconds if after != "test_until" else 0
            if (second - first).total_seconds() <= gap:
                raise ValueError(
                    f"{before} ({first.isoformat()}) and {after} ({second.isoformat()}) overlap or leave no room"
                    f" beside the embargo of {gap:g} s; move them apart"
                )
