"""The gate in front of kserve's application, with an application and a model that behave as told."""

import asyncio
import json
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from fairlead_serving.backlog import Backlog
from fairlead_serving.errors import FeaturesStaleError
from fairlead_serving.families import Families
from fairlead_serving.fields import NUMBER, Schema
from fairlead_serving.gate import Gate, Limits
from fairlead_serving.log_lines import FeedbackLines
from fairlead_serving.metrics import ServingMetrics
from fairlead_serving.models import Models
from fairlead_serving.prediction_log import JsonLinesLog, Writer

DIGEST = "sha256:" + "ab" * 32
BODY = b'{"instances": [{"hour": 1}]}'


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Answer 200 to everything, as kserve's application would to what the gate lets through."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"through"})


class Asked:
    """A model that raises what it is told."""

    def __init__(self, error: Exception, feedback: JsonLinesLog | None, *, ready: bool) -> None:
        self.name, self.version, self.ready, self.error, self.feedback = "m", DIGEST[7:19], ready, error, feedback
        self.schema, self.prompt_rows = Schema({"hour": NUMBER}), 0
        self.metrics = ServingMetrics(CollectorRegistry(), "m", DIGEST)
        self.package = SimpleNamespace(digest=DIGEST, manifest=SimpleNamespace(task="binary"))

    async def __call__(self, query: Any) -> Any:
        raise self.error


def make(
    error: Exception | None = None, feedback: JsonLinesLog | None = None, *, ready: bool = True
) -> tuple[Gate, Any]:
    """Make a gate before a model; give the model too."""
    model: Any = Asked(error or RuntimeError("boom"), feedback, ready=ready)
    models = Models(lambda *_: model, lambda _: None, Families.of(model.metrics.registry))
    models.update(model)
    return Gate(application, models, Limits()), model


def ask(gate: Gate, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[bytes, bytes], bytes]:
    """Send one request through the gate."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> Mapping[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path,
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    asyncio.run(gate(scope, receive, send))  # type: ignore[arg-type] # a mapping is enough
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


def test_an_unforeseen_exception_is_a_500_in_json() -> None:
    """What uvicorn would answer with a closed connection gets a JSON answer, is counted, and tells no secrets."""
    gate, model = make(RuntimeError("secret"))
    status, headers, body = ask(gate, "POST", "/v1/models/m:predict", BODY)
    assert (status, headers[b"x-fairlead-digest"]) == (500, DIGEST.encode())
    assert "secret" not in json.loads(body)["error"]
    labels = {"model": "m", "version": DIGEST[7:19], "protocol": "v1", "code": "500"}
    assert model.metrics.registry.get_sample_value("fairlead_requests_total", labels) == 1
    assert (gate.active, model.metrics.registry.get_sample_value("fairlead_requests_in_flight",
            {"model": "m", "version": DIGEST[7:19]})) == (0, 0)  # fmt: skip


def test_a_refusal_keeps_its_status() -> None:
    """Stale features are 422."""
    status, _, body = ask(make(FeaturesStaleError("too old"))[0], "POST", "/v1/models/m:predict", BODY)
    assert (status, json.loads(body)) == (422, {"error": "too old"})


@pytest.mark.parametrize("path", ["/v2/models/m/ready", "/v1/models/m", "/v2/health/ready"])
def test_readiness_tells_the_truth(path: str) -> None:
    """Loading and draining are 503, the rest is kserve's; liveness is not concerned."""
    gate, model = make(ready=False)
    assert ask(gate, "GET", path)[0] == 503
    assert ask(gate, "GET", "/v2/health/live")[0] == 200
    assert ask(gate, "POST", "/v1/models/m:predict", BODY)[0] == 503
    model.ready = True
    assert json.loads(ask(gate, "GET", path)[2])["ready"] is True
    gate.draining = True
    status, headers, _ = ask(gate, "GET", path)
    assert (status, headers[b"connection"], headers[b"retry-after"]) == (503, b"close", b"1")


def test_a_draining_server_closes_connections() -> None:
    """It still answers, but its clients have to connect anew, elsewhere."""
    gate, _ = make(FeaturesStaleError("old"))
    gate.draining = True
    assert ask(gate, "POST", "/v1/models/m:predict", BODY)[1][b"connection"] == b"close"
    assert ask(gate, "GET", "/metrics")[1][b"connection"] == b"close"


def test_bad_request_ids_are_refused() -> None:
    """An id that would spoil logs or headers is 400, whatever was asked."""
    gate, _ = make()
    assert ask(gate, "GET", "/metrics", x_request_id="x" * 200)[0] == 400
    assert ask(gate, "POST", "/v1/models/m:predict", BODY, x_request_id="é")[0] == 400


def test_feedback_is_taken_or_refused(tmp_path: Path) -> None:
    """Without a log it is 404, with a full one 503, so that the sender can keep it."""
    body, path = b'{"request_id": "a", "outcome": 1}', "/v1/models/m:feedback"
    assert ask(make()[0], "POST", path, body)[0] == 404
    log = Writer.start(tmp_path).open(FeedbackLines("m"), lambda *_: None)
    assert ask(make(feedback=log)[0], "POST", path, body)[0] == 200
    assert ask(make(feedback=log)[0], "POST", "/feedback", body)[0] == 200
    log.close()
    (journal,) = tmp_path.glob("feedback-*.jsonl")
    assert json.loads(journal.read_text().splitlines()[-1])["outcome"] == 1
    assert ask(make(feedback=log)[0], "POST", path, body)[0] == 503


def test_a_deadline_that_has_passed_computes_nothing() -> None:
    """A timeout of 0 is 504, one that is no number 400, and neither reaches the model."""
    gate, _ = make()
    for given, status in (("0", 504), ("soon", 400), ("-1", 400)):
        assert ask(gate, "POST", "/v1/models/m:predict", BODY, x_fairlead_timeout_ms=given)[0] == status


def test_a_full_queue_is_refused_at_once() -> None:
    """503 with Retry-After, and the place is given back when a query ends."""
    gate, _ = make(FeaturesStaleError("old"))
    gate.handlers.backlog = Backlog(1, 1 << 20)
    with gate.handlers.backlog.query():
        status, headers, body = ask(gate, "POST", "/v1/models/m:predict", BODY)
    assert (status, headers[b"retry-after"], b"try again" in body) == (503, b"1", True)
    assert ask(gate, "POST", "/v1/models/m:predict", BODY)[0] == 422
    assert gate.handlers.backlog.queries == 0


def test_the_trace_context_comes_back() -> None:
    """A valid traceparent is echoed; a malformed one is ignored, as the standard says."""
    gate, _ = make(FeaturesStaleError("old"))
    given = f"00-{'a' * 32}-{'b' * 16}-01"
    assert ask(gate, "POST", "/v1/models/m:predict", BODY, traceparent=given)[1][b"traceparent"] == given.encode()
    assert b"traceparent" not in ask(gate, "POST", "/v1/models/m:predict", BODY, traceparent="00-zz")[1]
