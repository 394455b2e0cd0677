"""Traces of a real server, received by a real OTLP/HTTP collector; and one whose collector is no help."""

import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import httpx
import pytest
from fuzz_cases import grpc_request
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc
from models import tiny_package
from otlp_receiver import Receiver
from serving_process import ServerProcess, free_port, serving

ROW = {"carrier": "AA", "origin": "JFK", "hour": 1.0, "distance": None}
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Run a collector."""
    running = Receiver()
    yield running
    running.close()


def wait_spans(receiver: Receiver, trace_id: str) -> dict[str, Any]:
    """Wait for the spans of a trace, by name."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        found = {span.name: span for span in receiver.spans if span.trace_id.hex() == trace_id}
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"no span of {trace_id}")


def serve(tmp_path: Path) -> Any:
    """Serve the tiny package."""
    return serving(tiny_package(tmp_path / "package"), tmp_path, grpc=True)


def check(spans: dict[str, Any], server: ServerProcess, name: str) -> Any:
    """The server's span is the client's child; what was done lies within it, in order."""
    root = spans[name]
    assert (root.parent_span_id.hex(), root.kind) == (SPAN, 2)
    named = {entry.key: entry.value.string_value or entry.value.int_value for entry in root.attributes}
    assert (named["fairlead.model"], named["fairlead.digest"]) == ("tiny", server.digest)
    stages = [spans[stage] for stage in ("decode", "predict", "encode")]
    assert {stage.parent_span_id for stage in stages} == {root.span_id}
    moments = [root.start_time_unix_nano]
    moments += [moment for stage in stages for moment in (stage.start_time_unix_nano, stage.end_time_unix_nano)]
    assert all(later - earlier > -2_000_000 for earlier, later in pairwise(moments))
    return root


def test_spans_continue_the_clients_trace(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over REST and gRPC; the answer names the server's span; without a context a new trace begins."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
    given = f"00-{TRACE}-{SPAN}-01"
    with serve(tmp_path) as server:
        answer = server.predict(ROW, headers={"traceparent": given, "x-request-id": "traced"})
        root = check(wait_spans(receiver, TRACE), server, "v1 tiny")
        assert answer.headers["traceparent"] == f"00-{TRACE}-{root.span_id.hex()}-01"
        assert {"fairlead.request_id", "fairlead.rows"} <= {entry.key for entry in root.attributes}
        receiver.spans.clear()
        with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
            stub = grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(channel)
            stub.ModelInfer(grpc_request(), metadata=[("traceparent", given)])
        check(wait_spans(receiver, TRACE), server, "grpc tiny")
        own = server.predict(ROW).headers["traceparent"].split("-")[1]
        assert own != TRACE
        assert wait_spans(receiver, own)["v1 tiny"].parent_span_id == b""
        unsampled = server.predict(ROW, headers={"traceparent": f"00-{'c' * 32}-{SPAN}-00"})
        assert unsampled.headers["traceparent"].endswith("-00")
        fault = server.predict(headers={"traceparent": f"00-{'d' * 32}-{SPAN}-01"})
        assert (fault.status_code, set(wait_spans(receiver, "d" * 32))) == (400, {"v1 tiny"})
        assert not [span for span in receiver.spans if span.trace_id.hex() == "c" * 32]
    assert receiver.resources[0]["service.name"] == "fairlead-serving"


def test_a_collector_that_is_gone_costs_spans_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens at the endpoint: predictions are as quick as ever, and stopping is prompt."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
    with serve(tmp_path) as server:
        with httpx.Client(base_url=server.url) as client:
            times = []
            for _ in range(300):
                started = time.perf_counter()
                assert client.post("/v1/models/tiny:predict", json={"instances": [ROW]}).status_code == 200
                times.append(time.perf_counter() - started)
        assert sorted(times)[150] < 0.25
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 30


def test_without_the_variable_nothing_is_imported(tmp_path: Path) -> None:
    """The server does not load OpenTelemetry's exporter, and echoes the context as it came."""
    given = f"00-{TRACE}-{SPAN}-01"
    with serve(tmp_path) as server:
        assert server.predict(ROW, headers={"traceparent": given}).headers["traceparent"] == given
        maps = Path(f"/proc/{server.process.pid}/maps").read_text()
        assert "opentelemetry" not in maps
