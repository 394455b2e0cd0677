"""A real server process: protocols, faults, logs and metrics."""

import gzip
import json
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import httpx
import numpy as np
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
from models import tiny_package, tiny_rows
from serving_process import ServerProcess, serving

ROW = {"carrier": "AA", "origin": "JFK", "hour": 1.0, "distance": None}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Serve the tiny package over REST and gRPC."""
    folder = tmp_path_factory.mktemp("serving")
    with serving(tiny_package(folder / "package"), folder, "tiny", "--max-rows", "6000", grpc=True) as running:
        yield running


def tensors(**columns: list[Any]) -> list[dict[str, Any]]:
    """Make V2 inputs."""
    datatypes = {"carrier": "BYTES", "origin": "BYTES", "hour": "FP32", "distance": "FP64"}
    return [{"name": n, "datatype": datatypes[n], "shape": [len(v)], "data": v} for n, v in columns.items()]


def infer(server: ServerProcess, inputs: Any, **content: Any) -> httpx.Response:
    """Ask over V2."""
    return httpx.post(f"{server.url}/v2/models/tiny/infer", json={"inputs": inputs, **content}, timeout=60)


def test_v1_and_v2_predict_the_same(server: ServerProcess) -> None:
    """The same row has the same probability in each protocol; the decision is named after the label."""
    answer = server.predict(ROW, {**ROW, "carrier": "ZZ"})
    first, second = answer.json()["predictions"]
    assert first == {"probability": pytest.approx(1 / (1 + np.exp(-(-0.7 + 1.2 + 0.8 - 0.3)))), "late": True}
    assert second["probability"] == pytest.approx(1 / (1 + np.exp(-(-0.7 + 1.2 - 0.3))))
    columns = {name: [value, "ZZ" if name == "carrier" else value] for name, value in ROW.items()}
    outputs = infer(server, tensors(**columns)).json()["outputs"]
    assert outputs[0]["data"] == [first["probability"], second["probability"]]
    assert (outputs[1]["name"], outputs[1]["data"]) == ("late", [True, True])


def test_every_answer_says_which_version_gave_it(server: ServerProcess) -> None:
    """Digest and request id come with predictions, faults and health checks; a given id is kept."""
    given = server.predict(ROW, headers={"x-request-id": "mine"})
    assert given.headers["x-request-id"] == "mine"
    others = [httpx.get(f"{server.url}/v2/health/live"), httpx.get(f"{server.url}/nothing"), server.predict()]
    for answer in [given, *others]:
        assert answer.headers["x-fairlead-digest"] == server.digest
        assert answer.headers["x-request-id"]
    assert infer(server, ONE_ROW, id="from-body").headers["x-request-id"] == "from-body"


def test_health_and_metadata(server: ServerProcess) -> None:
    """Readiness is per model; metadata lists the request's fields and the outputs."""
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/tiny/ready", "/v1/models/tiny", "/v1/models"):
        assert httpx.get(server.url + path).status_code == 200, path
    other = httpx.get(f"{server.url}/v2/models/other/ready")
    assert (other.status_code, other.json()) == (404, {"error": "no model 'other'; here is 'tiny'"})
    content = httpx.get(f"{server.url}/v2/models/tiny").json()
    assert [entry["name"] for entry in content["inputs"]] == ["carrier", "origin", "hour", "distance"]
    assert [entry["name"] for entry in content["outputs"]] == ["probability", "late"]


ONE_ROW = tensors(**{name: [value] for name, value in ROW.items()})
V1, V2 = "/v1/models/tiny:predict", "/v2/models/tiny/infer"
FAULTS: list[tuple[str, str, bytes, int]] = [
    ("POST", V1, b"", 400),
    ("POST", V1, b"{", 400),
    ("POST", V1, b"[]", 400),
    ("POST", V1, b"\x00\xff", 400),
    ("POST", V1, b"{}", 400),
    ("POST", V1, b'{"instances": null}', 400),
    ("POST", V1, b'{"instances": []}', 400),
    ("POST", V1, b'{"instances": [[]]}', 400),
    ("POST", V1, b'{"instances": [{}]}', 400),
    ("POST", V1, json.dumps({"instances": [{**ROW, "hour": "x"}]}).encode(), 400),
    ("POST", V1, json.dumps({"instances": [{**ROW, "hour": float("nan")}]}).encode(), 400),
    ("POST", V1, json.dumps({"instances": [{**ROW, "hour": float("inf")}]}).encode(), 400),
    ("POST", V1, json.dumps({"instances": [{**ROW, "hour": [1]}]}).encode(), 400),
    ("POST", V1, json.dumps({"instances": [{**ROW, "our": 1}]}).encode(), 400),
    ("POST", V1, json.dumps({"instances": [ROW, {"hour": 1}]}).encode(), 400),
    ("POST", V1, json.dumps({"instances": [ROW] * 6001}).encode(), 413),
    ("POST", V1, b'{"instances":' + b"[" * 100_000, 400),
    ("POST", V1, b" " * (4 * 2**20 + 1), 413),
    ("POST", V2, b"{}", 400),
    ("POST", V2, b'{"inputs": []}', 400),
    ("POST", V2, b'{"inputs": {"hour": 1}}', 400),
    ("POST", V2, json.dumps({"inputs": tensors(hour=[1.0])}).encode(), 400),
    ("POST", V2, json.dumps({"inputs": tensors(carrier=["A"], origin=["B"], hour=[1], distance=[1, 2])}).encode(), 400),
    ("POST", V2, json.dumps({"inputs": tensors(carrier=[], origin=[], hour=[], distance=[])}).encode(), 400),
    ("POST", V2, json.dumps({"inputs": tensors(carrier=["A"], origin=["B"], hour=[[1], 2])}).encode(), 400),
    ("POST", V2, json.dumps({"inputs": ONE_ROW, "outputs": [{"name": "x"}]}).encode(), 400),
    ("POST", "/v1/models/tiny:feedback", b"{}", 400),
    ("POST", "/v1/models/tiny:feedback", b'{"request_id": "a", "outcome": 3}', 400),
    ("POST", "/v1/models/other:predict", b"{}", 404),
    ("POST", "/v2/repository/models/tiny/unload", b"", 404),
    ("POST", "/v1/models/tiny:explain", b"{}", 400),
    ("POST", "/v2/models/tiny/versions/9/infer", b"{}", 404),
    ("POST", "/v2/models/tiny/ready", b"{}", 405),
    ("GET", V1, b"", 405),
    ("DELETE", "/v2/models/tiny", b"", 404),
]  # fmt: skip


def test_faults_are_the_clients_and_never_cost_a_connection(server: ServerProcess) -> None:
    """Each malformed request gets its 4xx with a text, on one connection, and the next request is answered."""
    with httpx.Client(base_url=server.url, timeout=30) as client:
        for method, path, body, status in FAULTS:
            answer = client.request(method, path, content=body)
            assert (answer.status_code, path, body[:80]) == (status, path, body[:80])
            assert len(answer.json()["error"]) > 10, (path, body[:80])
            assert client.post(V1, json={"instances": [ROW]}).status_code == 200


def test_content_encodings(server: ServerProcess) -> None:
    """Gzip is read, a bomb is 413, broken gzip 400, what is not read 415."""
    body = json.dumps({"instances": [ROW]}).encode()

    def send(content: bytes, encoding: str) -> int:
        return httpx.post(server.url + V1, content=content, headers={"content-encoding": encoding}).status_code

    assert send(gzip.compress(body), "gzip") == 200
    assert send(gzip.compress(b" " * (64 * 2**20)), "gzip") == 413
    assert send(body, "gzip") == 400
    assert send(body, "br") == 415


def test_a_client_that_hangs_up_harms_nobody(server: ServerProcess) -> None:
    """Half a request, then nothing: the server goes on."""
    for sent in (
        b"POST /v1/models/tiny:predict HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{",
        b"GARBAGE\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(sent)
    assert server.predict(ROW).status_code == 200


def test_large_batches_equal_small_ones(server: ServerProcess) -> None:
    """A batch that goes through a thread in parts predicts what single rows predict."""
    rows = tiny_rows(5000)
    instances = [
        dict(zip(ROW, values, strict=True)) for values in zip(*(rows[name].tolist() for name in ROW), strict=True)
    ]
    predictions = server.predict(*instances).json()["predictions"]
    assert len(predictions) == 5000
    for row in (0, 255, 256, 4999):
        assert server.predict(instances[row]).json()["predictions"][0]["probability"] == pytest.approx(
            predictions[row]["probability"], abs=1e-6
        )


def test_binary_tensors(server: ServerProcess) -> None:
    """Raw inputs and outputs follow the JSON."""
    hours = struct.pack("<2f", 1.0, float("nan"))
    inputs = tensors(carrier=["AA", "AA"], origin=["JFK", "JFK"], distance=[0.0, 0.0])
    inputs.append({"name": "hour", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": len(hours)}})
    head = json.dumps(
        {"inputs": inputs, "outputs": [{"name": "probability", "parameters": {"binary_data": True}}]}
    ).encode()
    headers = {"inference-header-content-length": str(len(head))}
    answer = httpx.post(server.url + V2, content=head + hours, headers=headers)
    assert answer.status_code == 200
    values = np.frombuffer(answer.content[int(answer.headers["inference-header-content-length"]) :], "<f4")
    expected = [
        p["probability"] for p in server.predict({**ROW, "distance": 0}, {**ROW, "hour": None}).json()["predictions"]
    ]
    assert values.tolist() == pytest.approx(expected)


def test_predictions_and_feedback_are_logged(server: ServerProcess) -> None:
    """What was predicted from what, and what came of it, join by request id and row."""
    assert server.predict(ROW, {**ROW, "hour": 2}, headers={"x-request-id": "logged"}).status_code == 200
    content = {"request_id": "logged", "row": 1, "outcome": 1}
    assert httpx.post(f"{server.url}/v1/models/tiny:feedback", json=content).status_code == 200
    line = server.wait_line("predictions", "logged")
    assert line["features"] == ROW
    assert (line["row"], line["digest"], line["stale"]) == (0, server.digest, [])
    assert line["as_of"] == line["time"]
    assert 0 < line["seconds"] < 5
    feedback = server.wait_line("feedback", "logged")
    assert {key: feedback[key] for key in content} == content
    assert [line["row"] for line in server.lines("predictions") if line["request_id"] == "logged"] == [0, 1]


def test_metrics_count_what_was_answered(server: ServerProcess) -> None:
    """Requests by protocol and code, a latency histogram, probabilities, the digest; kserve's own besides."""
    server.predict(ROW)
    server.predict()
    text = httpx.get(f"{server.url}/metrics").text
    labels = f'model="tiny",protocol="v1",version="{server.digest[7:19]}"'
    for sample in (
        f'fairlead_requests_total{{code="200",{labels}}}',
        f'fairlead_requests_total{{code="400",{labels}}}',
        f'fairlead_request_seconds_bucket{{le="0.01",{labels}}}',
        f'fairlead_prediction_count{{model="tiny",version="{server.digest[7:19]}"}}',
        f'digest="{server.digest}"',
        'fairlead_log_rows_total{log="predictions",result="written"}',
        'request_predict_seconds_count{model_name="tiny"}',
    ):
        assert sample in text


@pytest.fixture
def stub(server: ServerProcess) -> Iterator[grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub]:
    """A gRPC client."""
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        yield grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(channel)


def grpc_request(**changes: Any) -> Any:
    """Make a gRPC request of one row."""
    request = pb.ModelInferRequest(model_name="tiny", id="over-grpc")
    for name in ("carrier", "origin"):
        entry = request.inputs.add(name=name, datatype="BYTES", shape=[1])
        entry.contents.bytes_contents.append(str(ROW[name]).encode())
    for name in ("hour", "distance"):
        entry = request.inputs.add(name=name, datatype="FP32", shape=changes.get(name, [1]))
        entry.contents.fp32_contents.append(1.0 if name == "hour" else float("nan"))
    return request


def test_grpc_predicts_the_same(server: ServerProcess, stub: Any) -> None:
    """Over gRPC too; digest and id are in the trailing metadata, and the prediction is logged."""
    assert stub.ModelReady(pb.ModelReadyRequest(name="tiny")).ready
    assert stub.ServerReady(pb.ServerReadyRequest()).ready
    answer, call = stub.ModelInfer.with_call(grpc_request())
    assert answer.outputs[0].contents.fp32_contents[0] == pytest.approx(
        server.predict(ROW).json()["predictions"][0]["probability"]
    )
    assert list(answer.outputs[1].contents.bool_contents) == [True]
    trailing = {entry.key: entry.value for entry in call.trailing_metadata()}
    assert (trailing["x-fairlead-digest"], trailing["x-request-id"]) == (server.digest, "over-grpc")
    assert server.wait_line("predictions", "over-grpc")["features"] == ROW
    assert [entry.name for entry in stub.ModelMetadata(pb.ModelMetadataRequest(name="tiny")).inputs] == list(ROW)


def test_grpc_faults(stub: Any) -> None:
    """Faults have the matching status and a text."""
    wrong_shape, other, raw = grpc_request(hour=[2]), grpc_request(), grpc_request()
    other.model_name = "other"
    raw.raw_input_contents.append(b"123")
    for request, code in (
        (wrong_shape, grpc.StatusCode.INVALID_ARGUMENT),
        (raw, grpc.StatusCode.INVALID_ARGUMENT),
        (pb.ModelInferRequest(model_name="tiny"), grpc.StatusCode.INVALID_ARGUMENT),
        (other, grpc.StatusCode.NOT_FOUND),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(request)
        assert (caught.value.code(), len(caught.value.details()) > 10) == (code, True)
    with pytest.raises(grpc.RpcError, match="one process serves one version"):
        stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="tiny"))


def test_many_clients_at_once(server: ServerProcess) -> None:
    """Parallel requests each get their own answer."""

    def ask(number: int) -> bool:
        row = {**ROW, "hour": number / 50}
        return bool(server.predict(row).json()["predictions"][0]["probability"] == alone[number])

    alone = [p["probability"] for n in range(40) for p in server.predict({**ROW, "hour": n / 50}).json()["predictions"]]
    with ThreadPoolExecutor(8) as executor:
        assert all(executor.map(ask, range(40)))


def test_stop_is_clean(server: ServerProcess, tmp_path: Path) -> None:
    """SIGTERM ends the server with status 0, without a warning from asyncio or a traceback."""
    assert server.stop() == 0
    assert "Traceback" not in server.stderr
    assert "never awaited" not in server.stderr
