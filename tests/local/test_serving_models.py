"""Several models in one real process: loading, unloading and swapping while it serves."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import httpx
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
from linear_models import linear_package
from models import tiny_package
from serving_process import ServerProcess, serving

from fairlead_serving.package import package_digest

ROW = {"carrier": "AA", "origin": "JFK", "hour": 1.0, "distance": None}
LOAD, UNLOAD = "/v2/repository/models/{}/load", "/v2/repository/models/{}/unload"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    """Serve `tiny` and `line`, with two further packages in a repository."""
    line = linear_package(tmp_path / "line", [[2.0]], task="regression", numeric=["x"])
    for name, weight in (("first", 1.0), ("second", 3.0)):
        linear_package(tmp_path / "repository" / name, [[weight]], task="regression", numeric=["x"])
    more = ("--model", f"line={line}@{package_digest(line)}", "--repository", str(tmp_path / "repository"))
    with serving(tiny_package(tmp_path / "package"), tmp_path, "tiny", *more, grpc=True) as running:
        yield running


def post(server: ServerProcess, path: str, content: Any = None) -> httpx.Response:
    """Ask."""
    return httpx.post(server.url + path, json=content, timeout=60)


def predict(server: ServerProcess, name: str, x: float = 1.0) -> Any:
    """Ask a model of one number."""
    return post(server, f"/v1/models/{name}:predict", {"instances": [[x]]})


def test_models_load_and_unload_by_digest(server: ServerProcess, tmp_path: Path) -> None:
    """Each answers as itself, has metadata and metrics of its own, and is gone when unloaded."""
    assert predict(server, "line").json() == {"predictions": [{"prediction": 2.0}]}
    assert server.predict(ROW).status_code == 200
    digest = package_digest(tmp_path / "repository" / "first")
    assert post(server, LOAD.format("new"), {"parameters": {"digest": digest}}).json()["digest"] == digest
    answer = predict(server, "new")
    assert (answer.json()["predictions"][0]["prediction"], answer.headers["x-fairlead-digest"]) == (1.0, digest)
    index = {entry["name"]: entry["state"] for entry in post(server, "/v2/repository/index").json()}
    assert index == {"tiny": "READY", "line": "READY", "new": "READY"}
    described = httpx.get(f"{server.url}/v2/models/new").json()
    assert (described["versions"], described["inputs"][0]["name"]) == ([digest[7:19]], "x")
    assert f'fairlead_requests_total{{code="200",model="new",protocol="v1",version="{digest[7:19]}"}} 1.0' in (
        httpx.get(f"{server.url}/metrics").text
    )
    assert post(server, UNLOAD.format("new"), {"parameters": {"digest": "sha256:" + "0" * 64}}).status_code == 400
    assert post(server, UNLOAD.format("new")).status_code == 200
    assert predict(server, "new").status_code == 404
    assert predict(server, "line").status_code == 200


def test_what_cannot_be_loaded_is_named(server: ServerProcess) -> None:
    """No path, no other digest and no name of another kind can be loaded; readiness is not concerned."""
    for content in (
        {"parameters": {"digest": "sha256:" + "0" * 64}},
        {"parameters": {"digest": "/etc"}},
        {},
        {"path": "/"},
    ):
        answer = post(server, LOAD.format("new"), content)
        assert (answer.status_code in (400, 404), len(answer.json()["error"]) > 10) == (True, True), answer.text
    assert post(server, LOAD.format("..%2f.."), {}).status_code == 404
    assert httpx.get(f"{server.url}/v2/health/ready").status_code == 200
    assert httpx.get(f"{server.url}/v2/models/new/ready").status_code == 404


def test_a_swap_fails_no_request(server: ServerProcess, tmp_path: Path) -> None:
    """While a name gets another digest, every answer is wholly the old one's or the new one's."""
    digests = {
        package_digest(tmp_path / "repository" / name): value for name, value in (("first", 1.0), ("second", 3.0))
    }
    outcomes: list[tuple[int, str, Any]] = []
    stop = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=server.url, timeout=60) as client:
            while not stop.is_set():
                answer = client.post("/v1/models/swap:predict", json={"instances": [[1.0]]})
                outcomes.append((answer.status_code, answer.headers["x-fairlead-digest"], answer.json()))

    first, *_ = digests
    post(server, LOAD.format("swap"), {"parameters": {"digest": first}})
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for digest in [*digests, *digests]:
        assert post(server, LOAD.format("swap"), {"parameters": {"digest": digest}}).status_code == 200
    stop.set()
    for thread in threads:
        thread.join()
    assert {status for status, _, _ in outcomes} == {200}
    assert {digest for _, digest, _ in outcomes} == set(digests)
    assert all(content["predictions"][0]["prediction"] == digests[digest] for _, digest, content in outcomes)


def test_grpc_knows_the_same_models(server: ServerProcess, tmp_path: Path) -> None:
    """Load, readiness, metadata, prediction and unload over gRPC."""
    digest = package_digest(tmp_path / "repository" / "second")
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub = grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name=f"g@{digest}")).isLoaded
        assert stub.ModelReady(pb.ModelReadyRequest(name="g")).ready
        assert stub.ModelMetadata(pb.ModelMetadataRequest(name="g")).versions == [digest[7:19]]
        request = pb.ModelInferRequest(model_name="g")
        entry = request.inputs.add(name="numeric", datatype="FP32", shape=[2, 1])
        entry.contents.fp32_contents.extend([1.0, 2.0])
        assert list(stub.ModelInfer(request).outputs[0].contents.fp32_contents) == [3.0, 6.0]
        assert stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="g")).isUnloaded
        with pytest.raises(grpc.RpcError, match="no model 'g'"):
            stub.ModelInfer(request)
