"""Requests and answers as bytes."""

import json
import struct
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead_serving import requests
from fairlead_serving.errors import RequestInvalidError, ServingError, TooLargeError
from fairlead_serving.fields import INTEGER, NUMBER, TEXT, Schema
from fairlead_serving.query import Answer, Query

SCHEMA = Schema({"carrier": TEXT, "hour": NUMBER, "flight": INTEGER})
ROW = {"carrier": "AA", "hour": 1.5, "flight": 11}


def v1(body: Any) -> Query:
    """Read a V1 body."""
    return requests.read_v1(body if isinstance(body, bytes) else orjson.dumps(body), SCHEMA, "id", 100)


def v2(body: Any, raw: bytes = b"", length: int | None = None) -> Query:
    """Read a V2 body and the raw bytes behind it."""
    head = body if isinstance(body, bytes) else orjson.dumps(body)
    return requests.read_v2(
        head + raw, length if length is not None else (len(head) if raw else None), SCHEMA, "id", 100
    )


def tensor(name: str, datatype: str, data: Any, **changes: Any) -> dict[str, Any]:
    """Make a V2 tensor."""
    return {"name": name, "datatype": datatype, "shape": [len(data)], "data": data, **changes}


def inputs(*replaced: dict[str, Any]) -> list[dict[str, Any]]:
    """Make valid V2 inputs with some replaced."""
    found = {
        "carrier": tensor("carrier", "BYTES", ["AA", "UA"]),
        "hour": tensor("hour", "FP32", [1.5, None]),
        "flight": tensor("flight", "INT64", [11, 12]),
    }
    return list({**found, **{entry["name"]: entry for entry in replaced}}.values())


def test_v1_instances_become_columns() -> None:
    """One column per field, one value per instance."""
    query = v1({"instances": [ROW, {"carrier": None, "hour": None, "flight": 12}]})
    assert query.columns == {"carrier": ["AA", None], "hour": [1.5, None], "flight": [11, 12]}
    assert (query.rows, query.request_id) == (2, "id")


V1_FAULTS: list[tuple[Any, str]] = [
    (b"", "no valid JSON"),
    (b"{", "no valid JSON"),
    (b'{"instances": [{"carrier": "AA", "hour": NaN, "flight": 1}]}', "NaN and Infinity are no JSON"),
    (b"\xff\xfe", "no valid JSON"),
    ([], "send an object with 'instances'"),
    (7, "send an object"),
    ({}, "lacks 'instances'"),
    ({"inputs": []}, "unknown key 'inputs'"),
    ({"instances": [ROW], "x": 1}, "unknown key 'x'"),
    ({"instances": {}}, "send an array of objects"),
    ({"instances": None}, "send an array of objects"),
    ({"instances": []}, "no rows"),
    ({"instances": [[1, 2]]}, r"instances\[0\] is a JSON array"),
    ({"instances": [ROW, None]}, r"instances\[1\] is None"),
    ({"instances": [{**ROW, "wing": 1}]}, "unknown field 'wing'"),
    ({"instances": [{"carrier": "AA"}]}, "lacks 'hour', 'flight'"),
    ({"instances": [{**ROW, "hour": "1"}]}, "'hour' of row 0 is '1'"),
    ({"instances": [{**ROW, "hour": [1.0]}]}, "'hour' of row 0 is a JSON array"),
    ({"instances": [ROW, {**ROW, "flight": 1.5}]}, "'flight' of row 1 is 1.5"),
]


@pytest.mark.parametrize(("body", "text"), V1_FAULTS)
def test_v1_faults_are_explained(body: Any, text: str) -> None:
    """Each fault gets 400 and a text that says what came and what is allowed."""
    with pytest.raises(RequestInvalidError, match=text):
        v1(body)


def test_too_many_rows_are_refused() -> None:
    """The limit on rows is 413, because the request is right but too large."""
    with pytest.raises(TooLargeError, match="101 rows; at most 100"):
        v1({"instances": [ROW] * 101})


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["instances", "inputs", "carrier", "hour", "flight", "name", "shape", "datatype", "data",
                         "parameters", "outputs", "id", "binary_data_size"]), inner, max_size=4),
    max_leaves=12,
))  # fmt: skip
def test_no_json_escapes_the_checks(content: Any) -> None:
    """Whatever JSON comes, reading it ends in a query or in an error that is the client's."""
    body, refusals = json.dumps(content).encode(), []
    for read in (lambda: v1(body), lambda: v2(body), lambda: requests.read_feedback(body)):
        try:
            read()
        except ServingError as error:
            refusals.append(error)
    assert all(400 <= error.status < 500 and str(error) for error in refusals)


def test_v2_tensors_become_columns() -> None:
    """Tensors of shape [N] and [N, 1] are one value per row; the body's id counts where no header gave one."""
    column = tensor("carrier", "BYTES", [["AA"], [None]], shape=[2, 1])
    body = orjson.dumps({"id": "abc", "inputs": inputs(column)})
    query = requests.read_v2(body, None, SCHEMA, None, 100)
    assert query.columns == {"carrier": ["AA", None], "hour": [1.5, None], "flight": [11, 12]}
    assert query.request_id == "abc"


def test_v2_raw_tensors_are_read_without_a_list() -> None:
    """Raw numbers stay an array; raw strings are length-prefixed."""
    hours = np.array([1.5, np.nan], "<f4").tobytes()
    texts = b"".join(struct.pack("<I", len(t)) + t for t in (b"AA", "é".encode()))
    raw = [
        {"name": "carrier", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(texts)}},
        {"name": "hour", "datatype": "FP32", "shape": [2, 1], "parameters": {"binary_data_size": len(hours)}},
    ]
    query = v2({"inputs": [*raw, tensor("flight", "INT64", [1, 2])]}, texts + hours)
    assert query.columns["carrier"] == ["AA", "é"]
    assert isinstance(query.columns["hour"], np.ndarray)
    assert query.columns["hour"][0] == 1.5


BINARY = {"name": "hour", "datatype": "FP32", "shape": [2]}
V2_FAULTS: list[tuple[Any, str]] = [
    ({"inputs": []}, "'inputs' is a JSON array"),
    ({"inputs": {}}, "'inputs' is a JSON object"),
    ({"inputs": [1]}, "an input is 1"),
    ({"inputs": [{}]}, "an input has the name None"),
    ({}, "lacks 'inputs'"),
    ({"instances": []}, "unknown key 'instances'"),
    ({"inputs": inputs(tensor("hour", "FLOAT", [1, 2]))}, "datatype 'FLOAT'; allowed are"),
    ({"inputs": inputs(tensor("hour", "FP32", [1, 2], shape="x"))}, "has the shape 'x'"),
    ({"inputs": inputs(tensor("hour", "FP32", [1, 2], shape=[]))}, "has the shape"),
    ({"inputs": inputs(tensor("hour", "FP32", [1, 2], shape=[-2]))}, "has the shape"),
    ({"inputs": inputs(tensor("hour", "FP32", [1, 2], shape=[1, 2]))}, "one value per row"),
    ({"inputs": inputs(tensor("hour", "FP32", [1, 2], shape=[3]))}, "has the shape .3. but 2 values"),
    ({"inputs": inputs(tensor("hour", "FP32", [1]))}, "different lengths"),
    (
        {"inputs": [tensor(n, t, []) for n, t in (("carrier", "BYTES"), ("hour", "FP32"), ("flight", "INT64"))]},
        "no rows",
    ),
    ({"inputs": inputs(tensor("hour", "FP32", [[1], [2, 3]]))}, "ragged"),
    ({"inputs": inputs(tensor("hour", "FP32", [[1], 2]))}, "ragged"),
    ({"inputs": inputs(tensor("hour", "FP32", [1, [2]]))}, "'hour' of row 1 is a JSON array"),
    ({"inputs": inputs(tensor("hour", "BYTES", ["1", "2"]))}, "holds number values and has the datatype BYTES"),
    ({"inputs": inputs(tensor("flight", "FP32", [1, 2]))}, "holds integer values and has the datatype FP32"),
    ({"inputs": inputs(tensor("hour", "FP32", ["1", 2]))}, "'hour' of row 0 is '1'"),
    ({"inputs": [*inputs(), tensor("wing", "FP32", [1, 2])]}, "unknown field 'wing'"),
    ({"inputs": inputs()[:2]}, "lacks 'flight'"),
    ({"inputs": [*inputs(), inputs()[0]]}, "'carrier' is given twice"),
    ({"inputs": inputs({**BINARY, "data": None, "parameters": {"binary_data_size": 8}})}, "needs either"),
    ({"inputs": inputs(BINARY)}, "needs either"),
    ({"inputs": inputs({**BINARY, "parameters": {"binary_data_size": 8}})}, "0 raw bytes are left"),
    ({"inputs": inputs({**BINARY, "parameters": {"binary_data_size": -1}})}, "binary_data_size -1"),
    ({"inputs": inputs({**BINARY, "parameters": 1})}, "parameters of input 'hour'"),
    ({"inputs": inputs(), "outputs": {}}, "'outputs' is a JSON object"),
    ({"inputs": inputs(), "outputs": [{}]}, "'outputs' is a JSON array"),
    ({"inputs": inputs(), "parameters": []}, "parameters of the request"),
]


@pytest.mark.parametrize(("body", "text"), V2_FAULTS)
def test_v2_faults_are_explained(body: Any, text: str) -> None:
    """Each fault gets 400 and a text that says what came and what is allowed."""
    with pytest.raises(RequestInvalidError, match=text):
        v2(body)


@pytest.mark.parametrize(
    ("datatype", "raw", "text"),
    [
        ("FP32", b"\0" * 7, "no multiple"),
        ("FP32", struct.pack("<2f", 1, float("inf")), "row 1 is infinite"),
        ("FP32", b"\0" * 12, "3 values"),
        ("BYTES", b"\x05\0\0\0ab", "end within a string"),
        ("BYTES", b"\x05\0", "end within a string"),
        ("BYTES", struct.pack("<I", 1) + b"\xff" + struct.pack("<I", 0), "not UTF-8"),
    ],
)
def test_raw_tensors_are_checked(datatype: str, raw: bytes, text: str) -> None:
    """Lengths that do not fit, strings that are none and infinite numbers are refused."""
    name = "carrier" if datatype == "BYTES" else "hour"
    entry = {"name": name, "datatype": datatype, "shape": [2], "parameters": {"binary_data_size": len(raw)}}
    with pytest.raises(RequestInvalidError, match=text):
        v2({"inputs": inputs(entry)}, raw)


def test_raw_bytes_that_nobody_announced_are_refused() -> None:
    """The sizes must sum to what follows the JSON, and the JSON's length must fit the body."""
    with pytest.raises(RequestInvalidError, match="3 raw bytes follow"):
        v2({"inputs": inputs()}, b"abc")
    with pytest.raises(RequestInvalidError, match="Inference-Header-Content-Length is 9999"):
        v2({"inputs": inputs()}, length=9999)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "lacks 'request_id'"),
        ({"request_id": 7, "outcome": 1}, "'request_id' is 7"),
        ({"request_id": "", "outcome": 1}, "'request_id' is ''"),
        ({"request_id": "a\nb", "outcome": 1}, "printable"),
        ({"request_id": "a"}, "'outcome' is None"),
        ({"request_id": "a", "outcome": 2}, "'outcome' is 2"),
        ({"request_id": "a", "outcome": 0.0}, "'outcome' is 0.0"),
        ({"request_id": "a", "outcome": [1]}, "'outcome' is a JSON array"),
        ({"request_id": "a", "outcome": "1"}, "'outcome' is '1'"),
        ({"request_id": "a", "outcome": 1, "row": -1}, "'row' is -1"),
        ({"request_id": "a", "outcome": 1, "row": 1.0}, "'row' is 1.0"),
        ({"request_id": "a", "outcome": 1, "note": "x"}, "unknown key 'note'"),
    ],
)
def test_feedback_faults_are_explained(body: Any, text: str) -> None:
    """Feedback that could not be joined with a prediction is refused."""
    with pytest.raises(RequestInvalidError, match=text):
        requests.read_feedback(orjson.dumps(body))


def test_feedback_is_read() -> None:
    """The row is 0 where none is given; true counts as 1."""
    assert {**requests.read_feedback(b'{"request_id": "a", "outcome": true}'), "time": 0} == {
        "request_id": "a", "row": 0, "outcome": 1, "time": 0,
    }  # fmt: skip


def answer(**changes: Any) -> Answer:
    """Make an answer of two rows."""
    query = Query("v2", "id", {}, 2, **changes)
    return Answer(query, {"probability": np.array([0.25, 0.75], np.float32), "late": np.array([False, True])})


def test_v1_answers_are_one_object_per_row() -> None:
    """A row's outputs stand together under their names."""
    assert orjson.loads(requests.write_v1(answer())) == {
        "predictions": [{"probability": 0.25, "late": False}, {"probability": 0.75, "late": True}]
    }


def test_v2_answers_are_tensors_in_json_or_raw() -> None:
    """Raw outputs follow the JSON where the client asked for binary data."""
    content, length = requests.write_v2(answer(), "m", "v")
    assert length is None
    assert orjson.loads(content)["outputs"][0] == {
        "name": "probability", "shape": [2], "datatype": "FP32", "data": [0.25, 0.75],
    }  # fmt: skip
    content, length = requests.write_v2(answer(binary=True, wanted={"probability": None, "late": False}), "m", "v")
    assert length is not None
    assert np.frombuffer(content[length:], "<f4").tolist() == [0.25, 0.75]
    assert orjson.loads(content[:length])["outputs"][1]["data"] == [False, True]


def test_ids_are_made_or_checked() -> None:
    """An id goes into logs and headers, so it must be short printable ASCII."""
    assert requests.check_id("a-1") == "a-1"
    assert len(requests.check_id(None)) == 32
    for bad in ("x" * 129, "a\nb", "é", 7):
        with pytest.raises(RequestInvalidError, match="printable ASCII"):
            requests.check_id(bad)
