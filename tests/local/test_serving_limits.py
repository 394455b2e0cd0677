"""What one real process takes at most: queue, buffers, connections, heads and bodies; and how it says so."""

import gzip
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc  # type: ignore[import-untyped]
import httpx
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
from models import tiny_package
from serving_process import ServerProcess, serving

ROW = {"carrier": "AA", "origin": "JFK", "hour": 1.0, "distance": None}
V1 = "/v1/models/tiny:predict"
LIMITS = ("--max-buffer-bytes", "300000", "--max-body-bytes", "250000", "--max-connections", "20", "--body-seconds",
          "2", "--max-queue", "1", "--log-format", "json")  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Serve the tiny package with tight limits."""
    folder = tmp_path_factory.mktemp("limits")
    with serving(tiny_package(folder / "package"), folder, "tiny", *LIMITS, grpc=True) as running:
        yield running


def connect(server: ServerProcess) -> socket.socket:
    """Open a connection."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=30)


def head(length: int, *more: str) -> bytes:
    """The head of a prediction."""
    lines = (f"POST {V1} HTTP/1.1", "host: x", f"content-length: {length}", *more)
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def test_bodies_of_all_requests_have_one_bound(server: ServerProcess) -> None:
    """While one body of 200 kB is on its way, another is refused with 503, and taken when the first is over."""
    with connect(server) as slow:
        slow.sendall(head(240_000) + b" " * 200_000)
        time.sleep(0.5)
        answer = httpx.post(server.url + V1, content=b" " * 200_000)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    time.sleep(0.5)
    assert httpx.post(server.url + V1, content=b" " * 200_000).status_code == 400


def test_late_bodies_and_heads_are_408(server: ServerProcess) -> None:
    """What does not arrive within --body-seconds is ended."""
    for sent in (head(100) + b"{", f"POST {V1} HTTP/1.1\r\nhost".encode()):
        with connect(server) as slow:
            slow.sendall(sent)
            assert slow.recv(100).startswith(b"HTTP/1.1 408")


def test_endless_heads_are_431(server: ServerProcess) -> None:
    """A head of more than 64 KiB is not gathered."""
    with connect(server) as client:
        client.sendall(f"GET / HTTP/1.1\r\nhost: x\r\n{'x: ' + 'y' * 70_000}".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 431")


def test_too_many_connections_are_503(server: ServerProcess) -> None:
    """The twenty-first is refused; when the others are gone, all is well."""
    held = [connect(server) for _ in range(30)]
    try:
        time.sleep(0.3)
        refused = 0
        for connection in held:
            connection.settimeout(0.05)
            try:
                refused += connection.recv(100).startswith(b"HTTP/1.1 503")
            except TimeoutError:
                continue
        assert 10 <= refused < 30
    finally:
        for connection in held:
            connection.close()
    time.sleep(0.3)
    assert server.predict(ROW).status_code == 200


def test_chunked_and_compressed_bodies_are_limited_too(server: ServerProcess) -> None:
    """Neither way leads round the limit."""
    body = json.dumps({"instances": [ROW]}).encode()
    assert httpx.post(server.url + V1, content=iter([body[:9], body[9:]])).status_code == 200
    assert httpx.post(server.url + V1, content=iter([b" " * 1000] * 400)).status_code == 413
    bomb = gzip.compress(b" " * (64 << 20))
    answer = httpx.post(server.url + V1, content=iter([bomb[:99], bomb[99:]]), headers={"content-encoding": "gzip"})
    assert answer.status_code == 413


def test_a_full_queue_is_said_and_passes(server: ServerProcess) -> None:
    """With room for one, some of many large queries are 503 with Retry-After, over gRPC RESOURCE_EXHAUSTED."""
    content = {"instances": [ROW] * 2000}

    def ask(_: int) -> tuple[int, bool]:
        answer = httpx.post(server.url + V1, json=content, timeout=60)
        return answer.status_code, "retry-after" in answer.headers

    with ThreadPoolExecutor(8) as executor:
        outcomes = set(executor.map(ask, range(60)))
    assert (200, False) in outcomes
    assert outcomes <= {(200, False), (503, True)}
    assert server.predict(ROW).status_code == 200


def test_a_grpc_deadline_that_passes_is_a_deadline(server: ServerProcess) -> None:
    """The client's own deadline ends the call; the server goes on."""
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub = grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(pb.ModelInferRequest(model_name="tiny"), timeout=1e-6)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        assert stub.ServerReady(pb.ServerReadyRequest()).ready


def test_the_log_is_json(server: ServerProcess) -> None:
    """Every line of stderr parses, with time, level and message."""
    lines = [json.loads(line) for line in server.stderr.splitlines() if line.startswith("{")]
    assert len(lines) >= 3
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    assert "ready" in {line["message"] for line in lines}
