"""The fields that a request holds, and the reading of their values.

A reader takes one JSON value and gives the Python value; it raises ValueError, with the words of what is expected,
where the value does not fit. `read_column` adds where it stood.
"""

import datetime as dt
import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from fairlead_serving.checks import ValueCheck, read_checks, required_of
from fairlead_serving.errors import RequestInvalidError, StartupError
from fairlead_serving.package import Manifest, ModelInput
from fairlead_serving.pictures import DATATYPES as IMAGE_DATATYPES
from fairlead_serving.pictures import read_image

LONGEST_TEXT = 1024
MATRIX = "numeric"
INT64 = 2**63
LARGEST = float(np.finfo(np.float32).max)
FIRST_YEAR, LAST_YEAR = 1900, 2200
INTEGERS = frozenset(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64))
FLOATS = frozenset({"FP16", "FP32", "FP64"})


def _text(value: Any) -> str | None:
    if type(value) is str and len(value) <= LONGEST_TEXT:
        return value
    if value is None:
        return None
    raise ValueError(f"a string of at most {LONGEST_TEXT} characters, or null")


def _integer(value: Any) -> int | None:
    if type(value) is int and -INT64 <= value < INT64:
        return value
    if value is None:
        return None
    if type(value) is float and value.is_integer() and abs(value) < INT64:  # many JSON writers turn 3 into 3.0
        return int(value)
    raise ValueError("a 64-bit integer, or null")


def _number(value: Any) -> float | int | None:
    if type(value) is float and -LARGEST <= value <= LARGEST:
        return value
    if type(value) is int and abs(value) <= INT64:
        return value
    if value is None:
        return None
    raise ValueError("a number that fits 32-bit floating point, or null where it is unknown")


def _boolean(value: Any) -> bool | None:
    if value is None or type(value) is bool:
        return value
    raise ValueError("true, false or null")


def _timestamp(value: Any) -> dt.datetime | None:
    if value is None:
        return None
    expected = f"a time with a zone in {FIRST_YEAR} to {LAST_YEAR}, such as 2013-07-01T12:30:00Z, or null"
    if type(value) is not str:
        raise ValueError(expected)
    try:
        moment = dt.datetime.fromisoformat(value)
    except ValueError:
        raise ValueError(expected) from None
    if moment.tzinfo is None or not FIRST_YEAR <= moment.year < LAST_YEAR:
        raise ValueError(expected)
    return moment


@dataclass(frozen=True)
class Kind:
    """What a field may hold.

    Attributes:
        name: In words.
        read: Reads one JSON value.
        datatypes: The V2 tensor datatypes that may carry it.
        datatype: The one that the model's metadata names.
        image: Height, width and channels, where it is an image.
    """

    name: str
    read: Callable[[Any], Any]
    datatypes: frozenset[str]
    datatype: str
    image: tuple[int, ...] = ()


def _kind_of(item: ModelInput) -> "Kind":
    if item.kind == "image":
        return Kind("image", read_image, IMAGE_DATATYPES, "BYTES", item.shape)
    return NUMBER if item.kind == "numeric" else TEXT


TEXT = Kind("string", _text, frozenset({"BYTES"}), "BYTES")
INTEGER = Kind("integer", _integer, INTEGERS, "INT64")
NUMBER = Kind("number", _number, FLOATS | INTEGERS, "FP32")
BOOLEAN = Kind("boolean", _boolean, frozenset({"BOOL"}), "BOOL")
TIMESTAMP = Kind("timestamp", _timestamp, frozenset({"BYTES"}), "BYTES")

KINDS = {
    "string": TEXT, "bool": BOOLEAN, "boolean": BOOLEAN, "timestamp": TIMESTAMP,
    **{f"{sign}int{bits}": INTEGER for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **dict.fromkeys(("float", "double", "float16", "float32", "float64"), NUMBER),
}  # fmt: skip


@dataclass(frozen=True)
class Schema:
    """The fields of one row of a request.

    Attributes:
        fields: The kind of each field, by name, in order.
        required: Fields that may not be null.
        checks: What was declared of the values of some fields.
        matrix: All fields, where they are the numeric inputs of the model: they may come as one tensor.
    """

    fields: Mapping[str, Kind]
    required: frozenset[str] = frozenset()
    checks: Mapping[str, ValueCheck] = field(default_factory=dict)
    matrix: tuple[str, ...] = ()

    @classmethod
    def of_inputs(cls, manifest: Manifest) -> "Schema":
        """The schema of a package whose requests hold the model's inputs themselves.

        A package with a request specification declares checks of its fields. Asked with inputs instead, it makes those
        of the fields that are inputs as well; the others do not come.
        """
        fields = {i.name: _kind_of(i) for i in manifest.inputs}
        numeric = all(kind is NUMBER for kind in fields.values()) and MATRIX not in fields
        elsewhere = set((manifest.request or {}).get("fields", ())) - fields.keys()
        declared = {name: check for name, check in manifest.checks.items() if name not in elsewhere}
        checks = read_checks(declared, fields)
        return cls(fields, required_of(checks), checks, tuple(fields) if numeric else ())

    @cached_property
    def only_image(self) -> str:
        """The name of the only field, where that is an image: then a V1 instance may be the image alone."""
        return next(iter(self.fields)) if len(self.fields) == 1 and next(iter(self.fields.values())).image else ""

    @classmethod
    def of_request(cls, request: Mapping[str, Any], checks: Mapping[str, Any] | None = None) -> "Schema":
        """The schema of a package whose requests hold the fields of its request specification.

        Args:
            request: The request specification.
            checks: What the package's manifest declares of the values of fields.

        Raises:
            StartupError: A field has a type that is unknown here.
        """
        for name, kind in request["fields"].items():
            if kind not in KINDS:
                raise StartupError(
                    f"request field {name!r} has the type {kind!r}; known are {', '.join(sorted(KINDS))}"
                )
        asked = request.get("prediction_time")
        fields = {name: KINDS[kind] for name, kind in request["fields"].items()}
        found = read_checks(checks or {}, fields)
        return cls(fields, required_of(found) | ({asked["field"]} if asked else set()), found)

    def check_names(self, names: Iterable[str], where: str) -> None:
        """Checks that exactly the schema's fields are given.

        Raises:
            RequestInvalidError: One is unknown or lacking.
        """
        given = set(names)
        if given == self.fields.keys():
            return
        for name in sorted(given - self.fields.keys()):
            near = difflib.get_close_matches(name, list(self.fields), 1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise RequestInvalidError(f"{where} has the unknown field {name[:80]!r}{hint}; {self._allowed()}")
        absent = ", ".join(repr(name) for name in self.fields if name not in given)
        raise RequestInvalidError(f"{where} lacks {absent}; send null where a value is unknown; {self._allowed()}")

    def read(self, name: str, values: Sequence[Any]) -> list[Any]:
        """Reads one column of JSON values.

        Args:
            name: The field.
            values: One JSON value per row.

        Returns:
            One Python value per row; None where it was null.

        Raises:
            RequestInvalidError: A value does not fit; the text names the row.
        """
        reader = self.fields[name].read
        try:
            column = [reader(value) for value in values]
        except ValueError:
            raise _misfit(name, reader, values) from None
        if name in self.required and None in column:
            raise RequestInvalidError(
                f"{name!r} of row {column.index(None)} is null; it must be known: "
                "the prediction's time needs it, or the package says so"
            )
        if name in self.checks:
            self.checks[name].check(name, column)
        return column

    def read_numbers(self, name: str, values: np.ndarray) -> np.ndarray:
        """Reads a numeric column that came as a binary tensor; NaN is a missing value.

        Raises:
            RequestInvalidError: A value is infinite or too large for the model.
        """
        large = np.abs(values.astype(np.float64)) > LARGEST
        if large.any():
            raise RequestInvalidError(
                f"{name!r} of row {int(large.argmax())} is infinite or does not fit 32-bit floating point; send a "
                "finite number, or NaN where it is unknown"
            )
        if name in self.required and np.isnan(values).any():
            raise RequestInvalidError(f"{name!r} of row {int(np.isnan(values).argmax())} is NaN; it must be known")
        if name in self.checks:
            self.checks[name].check(name, values.tolist())
        return values

    def _allowed(self) -> str:
        return "the fields are " + ", ".join(f"{name} ({kind.name})" for name, kind in self.fields.items())


def _misfit(name: str, reader: Callable[[Any], Any], values: Sequence[Any]) -> RequestInvalidError:
    for row, value in enumerate(values):
        try:
            reader(value)
        except ValueError as error:
            return RequestInvalidError(f"{name!r} of row {row} is {shorten(value)}; send {error}")
    return RequestInvalidError(f"{name!r} does not fit")


def shorten(value: Any) -> str:
    """Shows a value that a client sent, in at most 60 characters."""
    text = (
        repr(value) if not isinstance(value, list | dict) else f"a JSON {'array' if type(value) is list else 'object'}"
    )
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004
