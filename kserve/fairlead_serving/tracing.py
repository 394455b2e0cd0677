"""OpenTelemetry traces, where OTEL_EXPORTER_OTLP_ENDPOINT (or …_TRACES_ENDPOINT) is set; else nothing is imported.

Each request for a model is a span of kind server, a child of the client's where it sent a W3C traceparent, with the
spans decode, features, predict and encode below it. The answer's traceparent names the server's span.

A request leaves a note of its times in a bounded queue; a thread makes spans of notes and sends them. A collector that
is slow, refuses or is gone costs spans (`fairlead_spans_total{result="dropped"|"failed"}`), never a prediction. The
environment variables of the OpenTelemetry SDK are obeyed: OTEL_EXPORTER_OTLP_HEADERS, …_TIMEOUT, …_CERTIFICATE,
OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_SDK_DISABLED.
"""

import logging
import os
import queue
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fairlead_serving.errors import StartupError
from fairlead_serving.families import Families
from fairlead_serving.query import Query

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext

    from fairlead_serving.model import FairleadModel

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
WAITING = 4096
BATCH = 256
GATHER_SECONDS = 0.5
CLOSE_SECONDS = 5.0
SERVER_FAULT = 500
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Trace:
    """One request that is traced.

    Attributes:
        traceparent: Of the server's span, for the answer.
        context: The server's span.
        parent: The client's span, or None.
    """

    _traces: "Traces"
    traceparent: str
    context: "SpanContext"
    parent: "SpanContext | None"

    def finish(
        self, model: "FairleadModel", protocol: str, status: int, query: Query | None, started: float, finished: float
    ) -> None:
        """Leaves a note of the request's times.

        Args:
            model: The model that was asked.
            protocol: v1, v2, grpc, feedback or explain.
            status: The HTTP status.
            query: What was read; None where nothing could be.
            started: `time.perf_counter()` at arrival.
            finished: `time.perf_counter()` when the answer was written.
        """
        if self.context.trace_flags.sampled:
            offset = time.time() - time.perf_counter()
            self._traces.offer(Note(self, model, protocol, status, query, started + offset, finished + offset, offset))


@dataclass(slots=True)
class Note:
    """What is remembered of a request until its spans are made; times in seconds since 1970."""

    trace: Trace
    model: "FairleadModel"
    protocol: str
    status: int
    query: Query | None
    started: float
    finished: float
    offset: float

    def stages(self) -> Iterator[tuple[str, float, float]]:
        """The names, beginnings and ends of what was done, as far as it came."""
        query, begun = self.query, self.started
        if query is None:
            return
        for name, end in (("decode", query.decoded), ("features", query.featured), ("predict", query.predicted)):
            if not end:
                return
            if name != "features" or query.featured > query.decoded:
                yield name, begun, end + self.offset
            begun = end + self.offset
        yield "encode", begun, self.finished

    def attributes(self) -> dict[str, str | int]:
        """What the server's span says of the request."""
        known: dict[str, str | int] = {} if self.query is None else {
            "fairlead.request_id": self.query.request_id, "fairlead.rows": self.query.rows,
        }  # fmt: skip
        return {
            "fairlead.model": self.model.name, "fairlead.version": self.model.version,
            "fairlead.digest": self.model.package.digest, "fairlead.protocol": self.protocol,
            "http.response.status_code": self.status, **known,
        }  # fmt: skip


class Traces:
    """Makes spans and sends them, in a thread of its own.

    Args:
        families: Where spans are counted.
    """

    def __init__(self, families: Families) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.trace import TracerProvider
        except ImportError as error:
            raise StartupError(
                f"{' or '.join(ENDPOINTS)} is set, but {error.name} is not installed; install fairlead[serving], or "
                "unset the variable"
            ) from None
        self._sampler = TracerProvider(shutdown_on_exit=False).sampler
        self._exporter, self._resource = OTLPSpanExporter(), _resource()
        self._families, self._random = families, random.Random()  # noqa: S311 - ids need not be secret
        self._queue: queue.Queue[Note | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()

    @classmethod
    def from_environment(cls, families: Families) -> "Traces | None":
        """The traces that the environment asks for, or None.

        Raises:
            StartupError: It asks, and OpenTelemetry is not installed.
        """
        disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        return cls(families) if any(map(os.environ.get, ENDPOINTS)) and not disabled else None

    def begin(self, traceparent: str) -> Trace:
        """Begins the span of a request.

        Args:
            traceparent: The client's, checked; empty for none.
        """
        from opentelemetry import trace

        parent = _context(traceparent) if traceparent else None
        trace_id = parent.trace_id if parent else self._random.getrandbits(128) or 1
        above = trace.set_span_in_context(trace.NonRecordingSpan(parent)) if parent else None
        sampled = self._sampler.should_sample(above, trace_id, "predict").decision.is_sampled()  # type: ignore[no-untyped-call]
        flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if sampled else trace.TraceFlags.DEFAULT)
        context = trace.SpanContext(trace_id, self._random.getrandbits(64) or 1, is_remote=False, trace_flags=flags)
        text = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(flags):02x}"
        return Trace(self, text, context, parent)

    def offer(self, note: Note) -> None:
        """Takes a note; never blocks and never raises."""
        try:
            self._queue.put_nowait(note)
        except queue.Full:
            self._families.spans.labels("dropped").inc()

    def close(self) -> None:
        """Sends what waits, as far as that takes no longer than some seconds."""
        try:
            self._queue.put(None, timeout=CLOSE_SECONDS)
        except queue.Full:
            return
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        last = False
        while not last:
            notes, last = self._gather()
            spans = [span for note in notes for span in self._spans(note)]
            if spans:
                self._families.spans.labels(self._send(spans)).inc(len(spans))
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _gather(self) -> tuple[list[Note], bool]:
        notes: list[Note] = []
        item = self._queue.get()
        end = time.monotonic() + GATHER_SECONDS
        while item is not None:
            notes.append(item)
            try:
                item = self._queue.get(timeout=max(end - time.monotonic(), 0))
            except queue.Empty:
                return notes, False
            if len(notes) >= BATCH and item is not None:
                notes.append(item)
                return notes, False
        return notes, True

    def _send(self, spans: "list[ReadableSpan]") -> str:
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            return "sent" if self._exporter.export(spans) is SpanExportResult.SUCCESS else "failed"
        except Exception:  # the thread's edge: whatever a collector does, the next batch is tried
            logger.exception("traces cannot be sent")
            return "failed"

    def _spans(self, note: Note) -> "Iterator[ReadableSpan]":
        from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode

        whole, trace_id = note.trace.context, note.trace.context.trace_id
        status = Status(StatusCode.ERROR if note.status >= SERVER_FAULT else StatusCode.UNSET)
        name = f"{note.protocol} {note.model.name}"
        yield self._span(name, whole, note.trace.parent, note.started, note.finished, kind=SpanKind.SERVER,
                         attributes=note.attributes(), status=status)  # fmt: skip
        for stage, begun, ended in note.stages():
            own = SpanContext(
                trace_id, self._random.getrandbits(64) or 1, is_remote=False, trace_flags=whole.trace_flags
            )
            yield self._span(stage, own, whole, begun, ended, kind=SpanKind.INTERNAL)

    def _span(self, name: str, context: Any, parent: Any, begun: float, ended: float, **more: Any) -> "ReadableSpan":
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        return ReadableSpan(
            name, context=context, parent=parent, resource=self._resource, start_time=int(begun * 1e9),
            end_time=int(ended * 1e9), instrumentation_scope=InstrumentationScope("fairlead_serving"), **more,
        )  # fmt: skip


def _context(traceparent: str) -> "SpanContext":
    from opentelemetry.trace import SpanContext, TraceFlags

    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def _resource() -> Any:
    from opentelemetry.sdk.resources import Resource

    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return Resource.create({} if named else {"service.name": "fairlead-serving"})
