"""Real servers of models of other kinds: images in every protocol; classes, numbers and scores as answers."""

import base64
import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import httpx
import numpy as np
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
from serving_process import ServerProcess, serving
from task_models import picture_package, picture_rows, task_package, task_rows

from fairlead_serving.images import read_images
from fairlead_serving.package import ModelPackage

FILES: list[bytes] = picture_rows(5)["picture"]
PIXELS = read_images("picture", FILES, (8, 8, 1))
INFER = "/v2/models/pictures/infer"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Serve a package of one picture."""
    folder = tmp_path_factory.mktemp("serving")
    with serving(picture_package(folder / "package"), folder, "pictures", grpc=True) as running:
        yield running


@pytest.fixture(scope="module")
def truth(server: ServerProcess) -> tuple[np.ndarray[Any, Any], list[str]]:
    """What the package itself predicts: probabilities (N, 2) and classes."""
    probability = ModelPackage.open(server.package).predict({"picture": FILES})["probability"]
    return probability, [("left", "right")[k] for k in probability.argmax(axis=1)]


def infer(server: ServerProcess, tensor: dict[str, Any], raw: bytes = b"", **content: Any) -> httpx.Response:
    """Ask over V2; with raw bytes behind the JSON where there are any."""
    request = httpx.Request("POST", server.url, json={"inputs": [{"name": "picture", **tensor}], **content})
    headers = {"inference-header-content-length": str(len(request.content))} if raw else {}
    return httpx.post(server.url + INFER, content=request.content + raw, headers=headers, timeout=60)


def lengths_and(parts: list[bytes]) -> bytes:
    """Write raw BYTES."""
    return b"".join(struct.pack("<I", len(part)) + part for part in parts)


def encoded(content: bytes) -> str:
    """Write base64."""
    return base64.b64encode(content).decode()


def test_v1_takes_base64_and_pixels(server: ServerProcess, truth: tuple[Any, list[str]]) -> None:
    """A picture under its name or alone, as base64 or as nested arrays, gets the same answer."""
    one, two, three, *_ = FILES
    answer = server.predict(
        {"picture": {"b64": encoded(one)}}, {"b64": encoded(two)}, {"picture": encoded(three)},
        {"picture": PIXELS[3].tolist()}, PIXELS[4, ..., 0].tolist(),
    )  # fmt: skip
    predictions = answer.json()["predictions"]
    assert [entry["label"] for entry in predictions] == truth[1]
    assert np.array([entry["probability"] for entry in predictions]) == pytest.approx(truth[0])


def raw_size(raw: bytes) -> dict[str, Any]:
    """Announce raw bytes."""
    return {"parameters": {"binary_data_size": len(raw)}}


def test_v2_takes_files_and_pixels(server: ServerProcess, truth: tuple[Any, list[str]]) -> None:
    """BYTES and UINT8, in JSON and raw, flat and nested: all say the same."""
    files, pixels = lengths_and(FILES), PIXELS.tobytes()
    answers = [
        infer(server, {"datatype": "BYTES", "shape": [5], "data": [encoded(f) for f in FILES]}),
        infer(server, {"datatype": "BYTES", "shape": [5, 1], "data": [[{"b64": encoded(f)}] for f in FILES]}),
        infer(server, {"datatype": "BYTES", "shape": [5], **raw_size(files)}, files),
        infer(server, {"datatype": "UINT8", "shape": [5, 8, 8, 1], "data": PIXELS.tolist()}),
        infer(server, {"datatype": "UINT8", "shape": [5, 8, 8], "data": PIXELS.ravel().tolist()}),
        infer(server, {"datatype": "UINT8", "shape": [5, 8, 8, 1], **raw_size(pixels)}, pixels),
    ]
    for answer in answers:
        assert answer.status_code == 200, answer.text
        probability, label = answer.json()["outputs"]
        assert (probability["shape"], probability["datatype"]) == ([5, 2], "FP32")
        assert np.array(probability["data"]).reshape(5, 2) == pytest.approx(truth[0])
        assert label == {"name": "label", "shape": [5], "datatype": "BYTES", "data": truth[1]}


def test_raw_answers_hold_classes_as_bytes(server: ServerProcess, truth: tuple[Any, list[str]]) -> None:
    """With binary outputs the classes come as lengths and UTF-8."""
    answer = infer(
        server, {"datatype": "UINT8", "shape": [5, 8, 8, 1], "data": PIXELS.tolist()},
        parameters={"binary_data_output": True}, outputs=[{"name": "label"}],
    )  # fmt: skip
    length = int(answer.headers["inference-header-content-length"])
    assert answer.content[length:] == lengths_and([name.encode() for name in truth[1]])


@pytest.mark.parametrize("datatype", ["BYTES", "UINT8", "RAW"])
def test_grpc_takes_files_and_pixels(server: ServerProcess, truth: tuple[Any, list[str]], datatype: str) -> None:
    """Contents and raw contents; the classes come as bytes."""
    request = pb.ModelInferRequest(model_name="pictures")
    if datatype == "UINT8":
        request.inputs.add(name="picture", datatype="UINT8", shape=PIXELS.shape).contents.uint_contents.extend(
            PIXELS.ravel().tolist()
        )
    else:
        entry = request.inputs.add(name="picture", datatype="BYTES", shape=[5])
        if datatype == "BYTES":
            entry.contents.bytes_contents.extend(FILES)
        else:
            request.raw_input_contents.append(lengths_and(FILES))
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        answer = grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=60)
    assert list(answer.outputs[0].shape) == [5, 2]
    if datatype == "RAW":
        assert np.frombuffer(answer.raw_output_contents[0], "<f4").reshape(5, 2) == pytest.approx(truth[0])
        assert answer.raw_output_contents[1] == lengths_and([name.encode() for name in truth[1]])
    else:
        assert np.array(answer.outputs[0].contents.fp32_contents).reshape(5, 2) == pytest.approx(truth[0])
        assert list(answer.outputs[1].contents.bytes_contents) == [name.encode() for name in truth[1]]


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"datatype": "BYTES", "shape": [1], "data": ["no base64!"]}, 'send {"b64"'),
    ({"datatype": "BYTES", "shape": [1], "data": [encoded(b"no picture")]}, "no readable PNG or JPEG"),
    ({"datatype": "BYTES", "shape": [1], "data": [None]}, "is no image"),
    ({"datatype": "BYTES", "shape": [2], "data": [encoded(FILES[0])]}, "but 1 values"),
    ({"datatype": "BYTES", "shape": [1, 8], "data": [[encoded(FILES[0])] * 8]}, "one file per row"),
    ({"datatype": "FP32", "shape": [1], "data": [1.0]}, "allowed are BYTES, UINT8"),
    ({"datatype": "UINT8", "shape": [1, 4, 4, 1], "data": [0] * 16}, "takes pixels [N, 8, 8, 1]"),
    ({"datatype": "UINT8", "shape": [1, 8, 8, 1], "data": [0] * 63}, "but 63 values"),
    ({"datatype": "UINT8", "shape": [1, 8, 8, 1], "data": [256] * 64}, "from 0 to 255"),
    ({"datatype": "UINT8", "shape": [1, 8, 8, 1], "data": [0.5] * 64}, "from 0 to 255"),
    ({"datatype": "UINT8", "shape": [1, 8, 8, 1], "data": [[1], [1, 2]]}, "ragged"),
    ({"datatype": "UINT8", "shape": [0, 8, 8, 1], "data": []}, "no rows"),
]


@pytest.mark.parametrize(("tensor", "text"), FAULTS)
def test_faulty_pictures_are_refused(server: ServerProcess, tensor: dict[str, Any], text: str) -> None:
    """What is no picture of the right size gets a 400 that says so, and the server lives on."""
    answer = infer(server, tensor)
    assert (answer.status_code, text in answer.json()["error"]) == (400, True), answer.text


@pytest.mark.parametrize(
    "instance",
    [{"picture": None}, {"picture": {"b64": 7}}, {"picture": {"url": "x"}}, {"picture": ""}, 7, {"other": 1}],
)
def test_faulty_instances_are_refused(server: ServerProcess, instance: Any) -> None:
    """The same over V1."""
    assert server.predict(instance).status_code == 400


def test_metadata_and_metrics(server: ServerProcess) -> None:
    """Metadata names the tensors; the metrics count highest probabilities and classes."""
    content = httpx.get(f"{server.url}/v2/models/pictures").json()
    assert content["inputs"] == [{"name": "picture", "datatype": "BYTES", "shape": [-1]}]
    assert [(o["name"], o["datatype"], o["shape"]) for o in content["outputs"]] == [
        ("probability", "FP32", [-1, 2]), ("label", "BYTES", [-1]),
    ]  # fmt: skip
    metrics = httpx.get(f"{server.url}/metrics").text
    assert 'fairlead_predicted_class_total{class="left"' in metrics
    counts = [
        float(line.split()[-1]) for line in metrics.splitlines() if line.startswith("fairlead_predicted_class_total")
    ]
    (rows,) = (line.split()[-1] for line in metrics.splitlines() if line.startswith("fairlead_prediction_count"))
    assert sum(counts) == float(rows) > 0


def test_the_log_holds_digests_and_outcomes_are_classes(server: ServerProcess) -> None:
    """No bytes of images in the log; feedback names the class."""
    server.predict({"b64": encoded(FILES[0])}, headers={"x-request-id": "logged"})
    line = server.wait_line("predictions", "logged")
    assert line["features"] == {"picture": f"sha256:{hashlib.sha256(FILES[0]).hexdigest()}"}
    assert len(line["probability"]) == 2
    given = {"request_id": "logged", "outcome": "left"}
    assert httpx.post(f"{server.url}/v1/models/pictures:feedback", json=given).status_code == 200
    assert server.wait_line("feedback", "logged")["outcome"] == "left"
    assert httpx.post(f"{server.url}/v1/models/pictures:feedback", json={**given, "outcome": 0.5}).status_code == 400


@pytest.mark.parametrize(("task", "output"), [("regression", "prediction"), ("ranking", "score")])
def test_numbers_are_served(tmp_path: Path, task: str, output: str) -> None:
    """A number has one output and no decision, in the answer, the log and the metadata; an outcome is a number."""
    rows = task_rows(task, 3)
    columns = {name: rows[name].tolist() for name in ("x0", "x1", "x2")}
    with serving(task_package(tmp_path / "package", task), tmp_path) as server:
        truth = ModelPackage.open(server.package).predict(columns)[output]
        answer = server.predict(*({name: values[row] for name, values in columns.items()} for row in range(3)))
        assert answer.json()["predictions"] == [{output: pytest.approx(float(value))} for value in truth]
        (described,) = httpx.get(f"{server.url}/v2/models/tiny").json()["outputs"]
        assert described["name"] == output
        identity = answer.headers["x-request-id"]
        assert server.wait_line("predictions", identity)[output] == pytest.approx(float(truth[0]))
        given = {"request_id": identity, "outcome": -3.5}
        assert httpx.post(f"{server.url}/v1/models/tiny:feedback", json=given).status_code == 200
        assert server.wait_line("feedback", identity)["outcome"] == -3.5
        assert 'outcome="number"' in httpx.get(f"{server.url}/metrics").text
