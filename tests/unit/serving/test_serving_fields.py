"""Reading the values of request fields."""

import datetime as dt
from typing import Any

import numpy as np
import pytest

from fairlead_serving.errors import RequestInvalidError, StartupError
from fairlead_serving.fields import Schema
from fairlead_serving.package import Manifest, ModelInput

REQUEST = {
    "fields": {"carrier": "string", "flight": "int64", "leaves": "timestamp", "wind": "float32", "cargo": "bool"},
    "prediction_time": {"field": "leaves", "minus_seconds": 7200},
}
SCHEMA = Schema.of_request(REQUEST)


@pytest.mark.parametrize(
    ("name", "given", "read"),
    [
        ("carrier", "AA", "AA"),
        ("carrier", None, None),
        ("flight", 11, 11),
        ("flight", 11.0, 11),
        ("flight", -(2**63), -(2**63)),
        ("wind", 3, 3),
        ("wind", None, None),
        ("cargo", True, True),
        ("leaves", "2013-07-01T12:30:00Z", dt.datetime(2013, 7, 1, 12, 30, tzinfo=dt.UTC)),
        ("leaves", "2013-07-01T08:30:00-04:00", dt.datetime(2013, 7, 1, 12, 30, tzinfo=dt.UTC)),
    ],
)
def test_values_that_fit_are_read(name: str, given: Any, read: Any) -> None:
    """A value of the field's kind comes out as the Python value."""
    assert SCHEMA.read(name, [given]) == [read]


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("carrier", 7), ("carrier", ["AA"]), ("carrier", True), ("carrier", "x" * 1025),
        ("flight", "11"), ("flight", 11.5), ("flight", True), ("flight", 2**63), ("flight", 1e300),
        ("wind", "3"), ("wind", float("inf")), ("wind", False), ("wind", {}), ("wind", 10**30),
        ("wind", 1e39), ("wind", float("nan")),
        ("cargo", 1), ("cargo", "true"),
        ("leaves", "2013-07-01T12:30:00"), ("leaves", "2013-07-01"), ("leaves", "soon"), ("leaves", 1372681800),
        ("leaves", "0001-01-01T00:00:00+14:00"), ("leaves", "9999-12-31T23:59:59-14:00"), ("leaves", ""),
    ],
)  # fmt: skip
def test_values_that_do_not_fit_are_named(name: str, given: Any) -> None:
    """A value of another kind is refused with the field, the row and what is expected."""
    valid = SCHEMA.read(name, ["2013-07-01T12:30:00Z" if name == "leaves" else None])[0]
    first = "2013-07-01T12:30:00Z" if name == "leaves" else valid
    with pytest.raises(RequestInvalidError, match=f"'{name}' of row 1 is .*; send "):
        SCHEMA.read(name, [first, given])


def test_the_field_of_the_prediction_time_may_not_be_null() -> None:
    """Without a time there is nothing to look features up at."""
    with pytest.raises(RequestInvalidError, match="'leaves' of row 0 is null"):
        SCHEMA.read("leaves", [None])


def test_names_are_checked_with_a_hint() -> None:
    """An unknown field gets the nearest right name, a lacking one is named, and all fields are listed."""
    with pytest.raises(
        RequestInvalidError, match=r"unknown field 'carier' \(did you mean 'carrier'\?\); the fields are"
    ):
        SCHEMA.check_names(["carier", "flight", "leaves", "wind", "cargo"], "instances[0]")
    with pytest.raises(RequestInvalidError, match="lacks 'wind', 'cargo'; send null where a value is unknown"):
        SCHEMA.check_names(["carrier", "flight", "leaves"], "instances[0]")


def test_the_schema_of_a_package_without_request_is_its_inputs() -> None:
    """Categorical inputs are strings, numeric ones numbers."""
    manifest = Manifest("m", "binary", "late", (ModelInput("hour", "numeric"), ModelInput("dest", "categorical")))
    assert {name: kind.name for name, kind in Schema.of_inputs(manifest).fields.items()} == {
        "hour": "number",
        "dest": "string",
    }


def test_an_unknown_field_type_stops_the_start() -> None:
    """A manifest with a type that the server cannot read is refused at the start, not at the first request."""
    with pytest.raises(StartupError, match="'x' has the type 'complex'; known are"):
        Schema.of_request({"fields": {"x": "complex"}})


def test_binary_numbers_may_be_missing_but_not_infinite() -> None:
    """NaN is the missing value of a binary tensor."""
    values = np.array([1.0, np.nan], np.float32)
    assert SCHEMA.read_numbers("wind", values) is values
    with pytest.raises(RequestInvalidError, match="'wind' of row 1 is infinite"):
        SCHEMA.read_numbers("wind", np.array([1.0, np.inf]))
