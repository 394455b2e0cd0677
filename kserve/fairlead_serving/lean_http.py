"""uvicorn's HTTP protocol with a short way for predictions, and with the limits that it lacks.

A request that arrived whole, for a model that is asked on the event loop, is read, predicted and answered within the
call in which its bytes came: no task, no ASGI messages, one write. Everything else (large or slow bodies, gzip, faults,
health checks, pipelining, models that take long) goes the general way, through ASGI, where the same checks are made by
the same code. What goes wrong on the short way is tried again on the general one, which says what it was.

Limits: a head of at most 64 KiB (llhttp has none) that arrives in time, a number of connections, and an end to those
that never say anything.
"""

import asyncio
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from fairlead_serving.exchange import TIMEOUTS, read_traceparent

if TYPE_CHECKING:
    from fairlead_serving.gate import Gate, Route

HEAD_BYTES = 65536
BODY_BYTES = 65536
GENERAL = frozenset({b"content-encoding", b"transfer-encoding", b"expect", b"upgrade", *TIMEOUTS})
"""Headers of requests that ask for more than the short way has."""


def protocol_of(gate: "Gate") -> type[HttpToolsProtocol]:
    """The protocol class of one server, as uvicorn wants it: a class that is called with uvicorn's own arguments."""

    class Bound(LeanProtocol):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(gate, *arguments, **options)

    return Bound


class QuietTransport:
    """A transport to which what comes too late is not written.

    When a client resets its connection, uvloop closes the transport at once but tells the protocol a moment later; an
    answer that is ready in between would raise, as if the server were at fault.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.close, self.is_closing = transport.close, transport.is_closing

    def write(self, data: bytes) -> None:
        """Writes, if there is still somebody."""
        if not self._transport.is_closing():
            self._transport.write(data)


class LeanProtocol(HttpToolsProtocol):
    """One connection.

    Args:
        gate: The application.
    """

    def __init__(self, gate: "Gate", *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._gate = gate
        self._route: Route | None = None
        self._chunks: list[bytes] = []
        self._in_head, self._head_bytes = False, 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        """Takes a connection, or refuses it where there are too many."""
        super().connection_made(transport)
        limits = self._gate.handlers.limits
        if len(self.connections) > limits.connections:
            self._refuse(503, f"{limits.connections} connections are open already; try again in a second")
            return
        self._head_timer = self.loop.call_later(limits.body_seconds, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the connection."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """Takes a client that ends the connection for one that is gone: nothing is written to it any more."""
        self._give_up()

    def _give_up(self) -> None:
        """Tells the requests in progress that nobody can be answered."""
        for cycle in (self.cycle, *(waiting for waiting, _ in self.pipeline)):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    def data_received(self, data: bytes) -> None:
        """Reads what came; what is not whole by then goes the general way."""
        super().data_received(data)
        if self._route is not None:
            self._go_general()
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse(431, f"the request's head has more than {HEAD_BYTES} bytes")
            elif self._head_timer is None:
                seconds = self._gate.handlers.limits.body_seconds
                self._head_timer = self.loop.call_later(seconds, self._head_is_late)

    def on_message_begin(self) -> None:
        """Starts a head."""
        super().on_message_begin()
        self._in_head, self._head_bytes = True, 0

    def on_headers_complete(self) -> None:
        """Chooses the way."""
        self._in_head = False
        self._stop_head_timer()
        route = self._gate.routes_by_target.get(self.url)
        if route is None or not route.model.prompt_rows or not self._may_be_short():
            super().on_headers_complete()
            return
        self._route, self._chunks = route, []

    def on_body(self, body: bytes) -> None:
        """Keeps a part of the body."""
        if self._route is None:
            super().on_body(body)
        else:
            self._chunks.append(body)

    def on_message_complete(self) -> None:
        """Answers, where the short way was taken."""
        route = self._route
        if route is None:
            super().on_message_complete()
            return
        answer = self._answer(route)
        if answer is None:
            self._go_general()
            super().on_message_complete()
            return
        self._route = None
        if not self.transport.is_closing():
            self.transport.write(answer)
        self.server_state.total_requests += 1
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        cycle.transport = QuietTransport(self.transport)
        super()._start_asgi_task(cycle, app)

    def _may_be_short(self) -> bool:
        cycle = self.cycle
        return (
            self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and self.parser.should_keep_alive()
            and (cycle is None or cycle.response_complete)
            and not self.flow.write_paused
            and not self._gate.draining
        )

    def _answer(self, route: "Route") -> bytes | None:
        headers = dict(self.headers)
        if not GENERAL.isdisjoint(headers):
            return None
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        if len(body) > BODY_BYTES:
            return None
        started, model, gate = time.perf_counter(), route.model, self._gate
        gate.last_arrival = time.monotonic()
        try:
            found = gate.handlers.answer_now(model, route.protocol, headers, body)
        except Exception:  # noqa: BLE001 - the general way meets it again, and answers, logs and counts it
            return None
        if found is None:
            return None
        query, content, own = found
        traceparent = read_traceparent(headers)
        trace = gate.traces.begin(traceparent) if gate.traces is not None else None
        if trace is not None or traceparent:
            query.traceparent = trace.traceparent if trace is not None else traceparent
            own = [*own, (b"traceparent", query.traceparent.encode())]
        lines = b"".join([b"%b: %b\r\n" % header for header in own])
        head = b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\nx-fairlead-digest: %b\r\nx-request-id: %b\r\n\r\n" % (
            lines, len(content), model.digest_header, query.request_id.encode(),
        )  # fmt: skip
        finished = time.perf_counter()
        model.metrics.request(route.protocol, 200, finished - started)
        if trace is not None:
            trace.finish(model, route.protocol, 200, query, started, finished)
        return bytes(head + content)

    def _go_general(self) -> None:
        """Makes uvicorn's cycle after all, with what has come so far."""
        self._route, chunks, self._chunks = None, self._chunks, []
        super().on_headers_complete()
        for chunk in chunks:
            super().on_body(chunk)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._in_head:
            self._refuse(408, "the request's head did not arrive in time")
        elif not self.transport.is_closing():
            self.transport.close()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP, in JSON as everything else, and closes."""
        self._refuse(400, msg)

    def _refuse(self, status: int, reason: str) -> None:
        """Answers without a request that could be answered, and closes."""
        self._stop_head_timer()
        self._in_head = False
        self._give_up()
        self._gate.models.count_other(status)
        if self.transport.is_closing():
            return
        body = orjson.dumps({"error": reason})
        retry = b"retry-after: 1\r\n" if status == HTTPStatus.SERVICE_UNAVAILABLE else b""
        self.transport.write(
            b"HTTP/1.1 %d %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%bconnection: close\r\n\r\n%b"
            % (status, HTTPStatus(status).phrase.encode(), len(body), retry, body)
        )
        self.transport.close()
