"""The parts of a server's trial: sections, requests, messages, rows."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from models import tiny_package, tiny_rows
from task_models import picture_package, picture_rows

from fairlead import datasets
from fairlead.errors import ConfigurationError, DataError, PlatformError
from fairlead.evaluation.serving_spec import LoadSpec, RuntimeSpec, ServerSpec
from fairlead.evaluation.serving_trial import payloads
from fairlead.evaluation.serving_trial.asking import largest_difference
from fairlead.evaluation.serving_trial.grpc_client import infer_request, read_outputs
from fairlead.evaluation.serving_trial.grpc_messages import message
from fairlead.evaluation.serving_trial.payloads import HEAD_LENGTH, Field
from fairlead.evaluation.serving_trial.plain_http import Answer
from fairlead.evaluation.serving_trial.rows import read_rows, with_gaps, with_unknowns
from fairlead.evaluation.serving_trial.signature import askable, objections, read_fields
from fairlead.evaluation.validate_server.task import affordable
from fairlead_serving.package import ModelPackage

FIELDS = (Field("carrier", "BYTES"), Field("hour", "FP32"))
COLUMNS: dict[str, list[Any]] = {"carrier": ["AA", None], "hour": [None, 1.5]}


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        (ServerSpec, {"command": ["serve", "{prot}", "{port}"]}, "did you mean 'port'"),
        (ServerSpec, {"command": ["serve"]}, r"must hold \{port\}"),
        (ServerSpec, {"command": ["serve", "{port}"], "protocols": ["v2", "grpc"]}, r"must hold \{grpc_port\}"),
        (ServerSpec, {"protocols": []}, "protocols is empty"),
        (ServerSpec, {"protocols": ["v3"]}, "protocols"),
        (ServerSpec, {"maximum_memory": 1}, "did you mean 'maximum_memory_megabytes'"),
        (LoadSpec, {"rates": [100, 50]}, "ascend"),
        (LoadSpec, {"minimum_rate": 70}, "none of the rates"),
        (LoadSpec, {"command": ["serve", "{port}"], "protocol": "v1"}, r"say protocols: \[v1\]"),
        (LoadSpec, {"protocols": ["v1"], "protocol": "v2"}, "none of protocols"),
    ],
)
def test_wrong_sections_are_named(section: type[RuntimeSpec], values: dict[str, Any], message: str) -> None:
    """The error says what is wrong and what is meant."""
    with pytest.raises(ConfigurationError, match=message):
        section.parse(values, "server")


def test_another_server_is_asked_for_less() -> None:
    """Nothing but V2, and no digest, unless the problem says so."""
    own, other = ServerSpec(), ServerSpec(command=("serve", "{port}"))
    assert (own.asked, own.header) == (("v1", "v2", "v2-binary", "grpc"), "x-fairlead-digest")
    assert (other.asked, other.header) == (("v2",), "")
    assert ServerSpec(command=("serve", "{port}"), digest_header="X-Version").header == "x-version"


def test_requests_carry_missing_values_as_each_protocol_can() -> None:
    """Null in JSON; NaN and an empty text in bytes."""
    assert json.loads(payloads.v1(FIELDS, COLUMNS).body) == {
        "instances": [{"carrier": "AA", "hour": None}, {"carrier": None, "hour": 1.5}]
    }
    assert json.loads(payloads.v2(FIELDS, COLUMNS).body)["inputs"] == [
        {"name": "carrier", "shape": [2], "datatype": "BYTES", "data": ["AA", None]},
        {"name": "hour", "shape": [2], "datatype": "FP32", "data": [None, 1.5]},
    ]
    request = payloads.v2_binary(FIELDS, COLUMNS)
    raw = request.body[int(request.headers[HEAD_LENGTH]) :]
    assert raw[:10] == b"\x02\x00\x00\x00AA\x00\x00\x00\x00"
    hour = struct.unpack("<2f", raw[10:])
    assert np.isnan(hour[0])
    assert hour[1] == 1.5


def test_answers_are_read_in_json_and_in_bytes() -> None:
    """Both ways give the same arrays, in the shape that the server says."""
    head = json.dumps({"outputs": [
        {"name": "p", "shape": [2, 2], "datatype": "FP32", "parameters": {"binary_data_size": 16}},
        {"name": "c", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 10}},
    ]}).encode()  # fmt: skip
    raw = np.array([[0.1, 0.9], [0.8, 0.2]], "<f4").tobytes() + b"\x01\x00\x00\x00a\x01\x00\x00\x00b"
    found = payloads.read_v2(Answer(200, {HEAD_LENGTH: str(len(head))}, head + raw))
    plain = {"outputs": [
        {"name": "p", "shape": [2, 2], "datatype": "FP32", "data": [0.1, 0.9, 0.8, 0.2]},
        {"name": "c", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]},
    ]}  # fmt: skip
    same = payloads.read_v2(Answer(200, {}, json.dumps(plain).encode()))
    assert np.allclose(found["p"], same["p"])
    assert found["c"].tolist() == same["c"].tolist() == ["a", "b"]
    for body in (b"{}", b"x", b'{"outputs": [{"name": "p", "shape": [3], "data": [1]}]}'):
        with pytest.raises(PlatformError, match="the server's answer is not V2's"):
            payloads.read_v2(Answer(200, {}, body))
    with pytest.raises(PlatformError, match="the server's answer is not V1's"):
        payloads.read_v1(Answer(200, {}, b'{"predictions": []}'))


def test_grpc_messages_are_kserves(tmp_path: Path) -> None:
    """What is declared here is read by kserve's generated classes, and the other way round."""
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as generated

    request = infer_request("tiny", FIELDS, COLUMNS)
    theirs = generated.ModelInferRequest.FromString(request.SerializeToString())
    assert [(entry.name, entry.datatype, list(entry.shape)) for entry in theirs.inputs] == [
        ("carrier", "BYTES", [2]), ("hour", "FP32", [2]),
    ]  # fmt: skip
    assert list(theirs.raw_input_contents) == list(request.raw_input_contents)
    response = generated.ModelInferResponse(model_name="tiny", id="a")
    response.parameters["x"].bool_param = True
    output = response.outputs.add(name="probability", datatype="FP32", shape=[2])
    output.contents.fp32_contents.extend([0.25, 0.5])
    ours = message("ModelInferResponse").FromString(response.SerializeToString())
    assert read_outputs(ours)["probability"].tolist() == [0.25, 0.5]
    raw = generated.ModelInferResponse(raw_output_contents=[np.array([0.25, 0.5], "<f4").tobytes()])
    raw.outputs.add(name="probability", datatype="FP32", shape=[2])
    assert read_outputs(message("ModelInferResponse").FromString(raw.SerializeToString()))["probability"][1] == 0.5


def write(path: Path, columns: dict[str, Any]) -> Path:
    """Write rows as a dataset."""
    table = pa.table(columns)
    datasets.write_dataset(path, table.to_batches(max_chunksize=64), table.schema, name="rows", source="drawn")
    return path


def test_rows_are_drawn_evenly_and_changed_one_field_at_a_time(tmp_path: Path) -> None:
    """Each field is missing once, and all are missing once; each category is unknown once."""
    package = ModelPackage.open(tiny_package(tmp_path / "p"))
    columns = tiny_rows(500)
    rows = read_rows(write(tmp_path / "rows", columns), package, 11)
    assert rows.count == 11
    assert rows.columns["hour"] == pytest.approx(columns["hour"][np.linspace(0, 499, 11).astype(int)].tolist())
    fields = [Field(item.name, "BYTES" if item.kind == "categorical" else "FP32") for item in package.manifest.inputs]
    gaps = with_gaps(rows, fields, binary=False)
    assert [[gaps[field.name][row] is None for field in fields] for row in range(5)] == [
        [True, False, False, False], [False, True, False, False], [False, False, True, False],
        [False, False, False, True], [True, True, True, True],
    ]  # fmt: skip
    assert with_gaps(rows, fields, binary=True)["carrier"][0] == ""
    unknown = with_unknowns(rows)
    assert [len(unknown["carrier"]), unknown["carrier"][0] == unknown["origin"][1]] == [2, True]
    with pytest.raises(DataError, match="has no rows"):
        read_rows(write(tmp_path / "empty", {name: values[:0] for name, values in columns.items()}), package, 11)


def test_large_rows_are_fewer(tmp_path: Path) -> None:
    """Pictures whose pixels fill a request's body are sent some at a time."""
    small = ModelPackage.open(picture_package(tmp_path / "small"))
    rows = read_rows(write(tmp_path / "rows", picture_rows(40)), small, 40)
    fields = (Field("picture", "BYTES"),)
    assert affordable(rows, fields).count == 40
    large = ModelPackage.open(picture_package(tmp_path / "large", side=200))
    rows = read_rows(write(tmp_path / "pictures", picture_rows(40, side=200)), large, 40)
    assert 2 <= affordable(rows, fields).count <= 11


def test_metadata_is_compared_with_the_signature(tmp_path: Path) -> None:
    """Names, kinds and outputs that differ are told; metadata that is none is an error."""
    package = ModelPackage.open(tiny_package(tmp_path / "p"))
    metadata = {
        "inputs": [{"name": "hour", "datatype": "BYTES", "shape": [-1]}, {"name": "cost", "datatype": "FP32"}],
        "outputs": [{"name": "score"}],
    }
    fields = read_fields(Answer(200, {}, json.dumps(metadata).encode()), {})
    found = objections(package.manifest, fields, metadata, derived=False)
    assert len(found) == 3
    assert "it takes hour (numeric) as BYTES" in found[1]
    assert "it does not give probability" in found[2]
    with pytest.raises(PlatformError, match="no inputs"):
        read_fields(Answer(404, {}, b'{"error": "nothing"}'), {})
    with pytest.raises(PlatformError, match="it takes hour, cost; the model's inputs are carrier"):
        askable(fields, {"carrier": ["AA"]})


def test_differences_are_absolute_near_nought_and_relative_beyond_one() -> None:
    """A number of 1,000 may be away by a thousand times what a probability may."""
    expected = {"prediction": np.array([1000.0, 0.5])}
    assert largest_difference({"prediction": np.array([1000.1, 0.5])}, expected) == pytest.approx(1e-4)
    assert largest_difference({"prediction": np.array([np.nan, 0.5])}, expected) == np.inf
    with pytest.raises(PlatformError, match="does not give the output 'prediction'"):
        largest_difference({"other": np.zeros(2)}, expected)
    with pytest.raises(PlatformError, match=r"of shape \[3\]"):
        largest_difference({"prediction": np.zeros(3)}, expected)
