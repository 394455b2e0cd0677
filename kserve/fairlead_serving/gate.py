"""The server's ASGI application: its own lean routes for predictions and feedback, kserve's application for the rest.

    POST /v1/models/{name}:predict                      V1
    POST /v2/models/{name}/infer                        V2 (also /v2/models/{name}/versions/{version}/infer)
    POST /v1/models/{name}:feedback                     the outcome of an earlier prediction
    GET  /v2/models/{name}/ready, /v1/models/{name}     200 only when the model is loaded and the server does not drain
    GET  /v2/health/ready                               the same
    GET  /v2/health/live, /metrics, /v2, /v2/models/{name}   kserve's

kserve's routes spend four fifths of a small model's request in routing, timing, logging and pydantic; these parse the
body with orjson and call the same `dataplane.infer`. Every request gets an answer in JSON with the headers
x-fairlead-digest and x-request-id: an exception that reached uvicorn would cost the client its connection.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from fairlead_serving import requests
from fairlead_serving.body import ClientGoneError, read_body
from fairlead_serving.errors import (
    MethodRefusedError,
    NotServedError,
    RequestInvalidError,
    ServingError,
    UnavailableError,
)
from fairlead_serving.prediction_log import JsonLinesLog
from fairlead_serving.query import Query

if TYPE_CHECKING:  # it imports kserve, which the gate can do without
    from fairlead_serving.model import FairleadModel

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

JSON: Headers = [(b"content-type", b"application/json")]
BODY_ON_LOOP = 65536
CLIENT_GONE = 499
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What a request may cost.

    Attributes:
        body_bytes: The largest body, before and after decompression.
        rows: The most rows of one request.
        body_seconds: How long a body may take to arrive.
    """

    body_bytes: int = 4 * 2**20
    rows: int = 10_000
    body_seconds: float = 30.0


@dataclass(slots=True)
class Exchange:
    """One request that is being answered."""

    protocol: str
    headers: dict[bytes, bytes]
    request_id: str
    given_id: str | None
    started: float
    received: float
    receive: Receive


Result = tuple[bytes, Headers]


class Gate:
    """The ASGI application.

    Args:
        app: kserve's application, for everything that is answered there.
        infer: kserve's `dataplane.infer`.
        model: The served model.
        feedback: The feedback log, or None.
        limits: What a request may cost.

    Attributes:
        draining: Set while the server stops: it is not ready, answers everything, and closes connections.
        active: Requests being answered.
        last_arrival: `time.monotonic()` of the latest request.
    """

    def __init__(
        self, app: App, infer: Callable[..., Awaitable[Any]], model: "FairleadModel", feedback: JsonLinesLog | None,
        limits: Limits,
    ) -> None:  # fmt: skip
        self._app, self._infer, self._model, self._feedback, self._limits = app, infer, model, feedback, limits
        self.draining, self.active, self.last_arrival = False, 0, 0.0
        name, version = model.name, model.version
        self._posts: dict[str, tuple[str, Callable[[Exchange], Awaitable[Result]]]] = {
            f"/v1/models/{name}:predict": ("v1", self._predict),
            f"/v2/models/{name}/infer": ("v2", self._predict),
            f"/v2/models/{name}/versions/{version}/infer": ("v2", self._predict),
            f"/v1/models/{name}:feedback": ("feedback", self._take_feedback),
        }
        self._readiness = frozenset({
            f"/v1/models/{name}", f"/v2/models/{name}/ready", f"/v2/models/{name}/versions/{version}/ready",
            "/v2/health/ready",
        })  # fmt: skip
        self._digest = (b"x-fairlead-digest", model.package.digest.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; ASGI's entry point."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self.active += 1
        self.last_arrival = time.monotonic()
        try:
            await self._answer(scope, receive, send)
        finally:
            self.active -= 1

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        path, method = scope["path"], scope["method"]
        given = headers.get(b"x-request-id")
        try:
            given_id = requests.check_id(given.decode("latin-1")) if given else None
            request_id = given_id or requests.check_id(None)
            route = self._posts.get(path)
            if route is not None and method == "POST":
                exchange = Exchange(route[0], headers, request_id, given_id, time.perf_counter(), time.time(), receive)
                await self._exchange(exchange, route[1], send)
                return
            if method not in ("GET", "HEAD") or route is not None:
                raise self._refusal(method, path)
            self._check_get(path)
        except ServingError as error:
            await self._send_error(send, error, requests.check_id(None))
            return
        await self._app(scope, receive, self._with_headers(send, request_id))

    async def _exchange(self, exchange: Exchange, handle: Callable[[Exchange], Awaitable[Result]], send: Send) -> None:
        with self._model.metrics.in_flight.track_inprogress():
            status = 200
            try:
                body, headers = await handle(exchange)
                await self._send(send, 200, body, headers, exchange.request_id)
            except ServingError as error:
                status = error.status
                if status >= 500:  # noqa: PLR2004
                    logger.warning("%s: %s", exchange.request_id, error)
                await self._send_error(send, error, exchange.request_id)
            except ClientGoneError:
                status = CLIENT_GONE
            except Exception:  # the process's edge: an exception that reaches uvicorn drops the connection
                status = 500
                logger.exception("%s: the prediction failed", exchange.request_id)
                failure = ServingError("the prediction failed inside the server; its log says why")
                await self._send_error(send, failure, exchange.request_id)
        self._model.metrics.request(exchange.protocol, status, time.perf_counter() - exchange.started)

    async def _predict(self, exchange: Exchange) -> Result:
        if not self._model.ready:
            raise UnavailableError(f"model {self._model.name!r} is being loaded; try again in some seconds")
        body = await read_body(exchange.receive, exchange.headers, self._limits.body_bytes, self._limits.body_seconds)
        if len(body) > BODY_ON_LOOP:
            query = await asyncio.get_running_loop().run_in_executor(None, self._read, exchange, body)
        else:
            query = self._read(exchange, body)
        query.started, query.received = exchange.started, exchange.received
        exchange.request_id = query.request_id
        answer, _ = await self._infer(self._model.name, query)
        if exchange.protocol == "v1":
            return requests.write_v1(answer), JSON
        content, json_length = requests.write_v2(answer, self._model.name, self._model.version)
        if json_length is None:
            return content, JSON
        length = (b"inference-header-content-length", str(json_length).encode())
        return content, [(b"content-type", b"application/octet-stream"), length]

    def _read(self, exchange: Exchange, body: bytes) -> Query:
        schema, rows = self._model.schema, self._limits.rows
        if exchange.protocol == "v1":
            return requests.read_v1(body, schema, exchange.request_id, rows)
        given = exchange.headers.get(b"inference-header-content-length")
        if given is not None and not given.isdigit():
            raise RequestInvalidError("Inference-Header-Content-Length must be the number of bytes of the JSON part")
        return requests.read_v2(body, None if given is None else int(given), schema, exchange.given_id, rows)

    async def _take_feedback(self, exchange: Exchange) -> Result:
        body = await read_body(exchange.receive, exchange.headers, self._limits.body_bytes, self._limits.body_seconds)
        feedback = requests.read_feedback(body, self._model.package.manifest.task)
        if self._feedback is None:
            raise NotServedError("this server keeps no feedback; start it with --predictions")
        if not self._feedback.offer(feedback):
            raise UnavailableError("the feedback log has no room now; send the outcome again in some seconds")
        self._model.metrics.feedback(feedback["outcome"])
        return b'{"status":"accepted"}', JSON

    def _check_get(self, path: str) -> None:
        parts = path.split("/")
        if path in self._readiness:
            self._check_ready()
        elif parts[1:3] in (["v1", "models"], ["v2", "models"]) and parts[3:4] not in ([], [self._model.name]):
            raise NotServedError(f"no model {parts[3][:80]!r}; here is {self._model.name!r}")

    def _check_ready(self) -> None:
        if self.draining:
            raise UnavailableError(f"the server of model {self._model.name!r} is stopping")
        if not self._model.ready:
            raise UnavailableError(f"model {self._model.name!r} is being loaded")

    def _refusal(self, method: str, path: str) -> ServingError:
        if path in self._posts:
            return MethodRefusedError(f"{path} takes POST, not {method}")
        if path in self._readiness:
            return MethodRefusedError(f"{path} takes GET, not {method}")
        return NotServedError(f"nothing at {method} {path[:200]}; this server has POST {', POST '.join(self._posts)}")

    async def _send_error(self, send: Send, error: ServingError, request_id: str) -> None:
        headers = [*JSON, (b"retry-after", b"1")] if error.status == 503 else JSON  # noqa: PLR2004
        if error.status in (408, 413):  # what is left of the body is not read
            headers = [*headers, (b"connection", b"close")]
        await self._send(send, error.status, orjson.dumps({"error": str(error)}), headers, request_id)

    async def _send(self, send: Send, status: int, body: bytes, headers: Headers, request_id: str) -> None:
        own = [*headers, (b"content-length", str(len(body)).encode()), *self._own_headers(request_id)]
        await send({"type": "http.response.start", "status": status, "headers": own})
        await send({"type": "http.response.body", "body": body})

    def _own_headers(self, request_id: str) -> Headers:
        headers = [self._digest, (b"x-request-id", request_id.encode())]
        return [*headers, (b"connection", b"close")] if self.draining else headers

    def _with_headers(self, send: Send, request_id: str) -> Send:
        async def sender(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._own_headers(request_id)]
            await send(message)

        return sender
