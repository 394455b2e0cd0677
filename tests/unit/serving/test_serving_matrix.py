"""Numbers as one tensor or as arrays, and what a package declares of values."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fairlead_serving import requests
from fairlead_serving.checks import read_checks
from fairlead_serving.errors import RequestInvalidError, StartupError, TooLargeError
from fairlead_serving.fields import Schema
from fairlead_serving.package import Manifest, ModelInput
from fairlead_serving.query import Matrix, Query

INPUTS = (ModelInput("a", "numeric"), ModelInput("b", "numeric"))
CHECKS = {"a": {"minimum": 0, "maximum": 10}, "b": {"missing": "refuse"}}


def schema(checks: dict[str, Any] | None = None) -> Schema:
    """The schema of two numbers."""
    return Schema.of_inputs(Manifest("m", "binary", "y", INPUTS, checks=checks or {}))


def read(tensor: dict[str, Any], raw: bytes = b"", checks: dict[str, Any] | None = None) -> Query:
    """Read a V2 request of the tensor `numeric`."""
    head = json.dumps({"inputs": [{"name": "numeric", "datatype": "FP32", **tensor}]}).encode()
    return requests.read_v2(head + raw, len(head) if raw else None, schema(checks), None, 100)


@pytest.mark.parametrize("data", [[1, 2.5, None, 4], [[1, 2.5], [None, 4]]])
def test_json_values(data: Any) -> None:
    """Flat or nested, with null as the missing value; nothing is taken apart."""
    query = read({"shape": [2, 2], "data": data})
    assert isinstance(query.columns, Matrix)
    assert query.rows == 2
    np.testing.assert_array_equal(query.columns.array, np.array([[1, 2.5], [np.nan, 4]], np.float32))
    assert query.columns["b"].tolist() == [2.5, 4]


@pytest.mark.parametrize("dtype", ["<f4", "<f8", "<i8", "<f2"])
def test_raw_values(dtype: str) -> None:
    """Raw bytes of any number type, wherever in the body they begin."""
    names = {"<f4": "FP32", "<f8": "FP64", "<i8": "INT64", "<f2": "FP16"}
    raw = np.array([[1, 2], [3, 4]], dtype).tobytes()
    tensor = {"shape": [2, 2], "datatype": names[dtype], "parameters": {"binary_data_size": len(raw)}}
    assert read(tensor, raw).columns["a"].tolist() == [1, 3]


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        ({"shape": [1, 3], "data": [1, 2, 3]}, r"takes \[N, 2\]"),
        ({"shape": [2], "data": [1, 2]}, r"takes \[N, 2\]"),
        ({"shape": [1, 2], "data": [1]}, "but 1 values"),
        ({"shape": [1, 2], "data": [[1]]}, "ragged"),
        ({"shape": [1, 2], "data": 7}, "no array"),
        ({"shape": [1, 2], "data": [1, "2"]}, "'b' of row 0 is '2'"),
        ({"shape": [1, 2], "data": [1, True]}, "'b' of row 0 is True"),
        ({"shape": [1, 2], "data": [1, 1e39]}, "'b' of row 0 is 1e\\+39"),
        ({"shape": [0, 2], "data": []}, "no rows"),
        ({"shape": [1, 2], "datatype": "BYTES", "data": ["a", "b"]}, "has the datatype BYTES"),
    ],
)
def test_what_does_not_fit_is_named(tensor: dict[str, Any], text: str) -> None:
    """Each fault says what came and what is taken."""
    with pytest.raises(RequestInvalidError, match=text):
        read(tensor)


def test_infinity_is_refused_in_raw_bytes() -> None:
    """NaN is a missing value; infinity is none, and neither is what overflows float32."""
    for values, datatype in (([1, np.inf], "FP32"), ([1, 1e300], "FP64")):
        raw = np.array(values, "<f4" if datatype == "FP32" else "<f8").tobytes()
        with pytest.raises(RequestInvalidError, match="'b' of row 0 is infinite"):
            read({"shape": [1, 2], "datatype": datatype, "parameters": {"binary_data_size": len(raw)}}, raw)


def test_v1_arrays() -> None:
    """Instances may be arrays; mixed ones, and ones of another length, are refused; too many rows are too many."""
    query = requests.read_v1(b'{"instances": [[1, 2], [3, null]]}', schema(), "r", 10)
    assert query.columns["a"].tolist() == [1, 3]
    for body in (b'{"instances": [[1, 2], [3]]}', b'{"instances": [[1, 2], {"a": 1, "b": 2}]}'):
        with pytest.raises(RequestInvalidError, match=r"instances\[1\]"):
            requests.read_v1(body, schema(), "r", 10)
    with pytest.raises(TooLargeError):
        requests.read_v1(b'{"instances": [[1, 2], [3, 4]]}', schema(), "r", 1)


@pytest.mark.parametrize("values", [[11, 1], [-1, 1], [1, None]])
def test_declared_checks_hold_in_every_form(values: list[Any]) -> None:
    """Ranges and missing values are checked in JSON, in raw bytes, and in single columns."""
    raw = np.array([float("nan") if value is None else value for value in values], "<f4").tobytes()
    with pytest.raises(RequestInvalidError, match="row 0"):
        read({"shape": [1, 2], "data": values}, checks=CHECKS)
    with pytest.raises(RequestInvalidError, match="row 0"):
        read({"shape": [1, 2], "parameters": {"binary_data_size": 8}}, raw, CHECKS)
    row = dict(zip("ab", values, strict=True))
    with pytest.raises(RequestInvalidError, match="row 0"):
        requests.read_v1(json.dumps({"instances": [row]}).encode(), schema(CHECKS), "r", 10)


def test_checks_travel_in_the_manifest() -> None:
    """They are written and read again; a manifest without any is written as before."""
    manifest = Manifest("m", "binary", "y", INPUTS, checks=CHECKS)
    assert Manifest.from_json(manifest.to_json()).checks == CHECKS
    assert "checks" not in Manifest("m", "binary", "y", INPUTS).to_json()


def test_checks_of_a_request_are_made_where_its_fields_come() -> None:
    """Of a request all of them; where the inputs come instead, those of inputs; a name that is neither is an error."""
    request = {"fields": {"a": "float64", "flight": "int64"}}
    checks = {"a": {"minimum": 0}, "flight": {"minimum": 1}}
    manifest = Manifest("m", "binary", "y", INPUTS, request=request, checks=checks)
    assert set(Schema.of_request(request, checks).checks) == {"a", "flight"}
    assert set(Schema.of_inputs(manifest).checks) == {"a"}
    with pytest.raises(StartupError, match="'fligth', which requests do not hold"):
        Schema.of_inputs(replace(manifest, checks={"fligth": {}}))


@pytest.mark.parametrize(
    "checks",
    [{"c": {}}, {"a": {"least": 0}}, {"a": {"missing": "maybe"}}, {"a": {"minimum": 2, "maximum": 1}}],
)
def test_checks_that_cannot_be_meant_stop_the_start(checks: dict[str, Any]) -> None:
    """Unknown fields and keys, and ranges of nothing."""
    with pytest.raises(StartupError):
        read_checks(checks, schema().fields)
