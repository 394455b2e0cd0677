"""The server's ASGI application: its own lean routes for what concerns models, kserve's application for the rest.

    POST /v1/models/{name}:predict                      V1
    POST /v2/models/{name}/infer                        V2 (also /v2/models/{name}/versions/{version}/infer)
    POST /v1/models/{name}:explain                      explanations, where the server has an explainer
    POST /v1/models/{name}:feedback                     the outcome of an earlier prediction (of a lone one: /feedback)
    POST /v2/repository/index, /v2/repository/models/{name}/load, …/unload      see `repository`
    GET  /v2/models/{name}, /v2/models/{name}/versions/{version}                metadata
    GET  /v2/models/{name}/ready, /v1/models/{name}     200 only when the model is loaded and the server does not drain
    GET  /v2/health/ready                               the same of all models
    GET  /v2/health/live, /metrics, /v2, /v1/models     kserve's

kserve's routes spend four fifths of a small model's request in routing, timing, logging and pydantic; these parse the
body with orjson and call the model. Every request gets an answer in JSON with the headers x-fairlead-digest and
x-request-id: an exception that reached uvicorn would cost the client its connection.
"""

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from fairlead_serving import requests
from fairlead_serving.backlog import Held
from fairlead_serving.body import ClientGoneError
from fairlead_serving.errors import MethodRefusedError, NotServedError, ServingError, UnavailableError
from fairlead_serving.exchange import JSON, App, Exchange, Headers, Receive, Result, Scope, Send, read_traceparent
from fairlead_serving.handlers import Handlers, Limits
from fairlead_serving.repository import RepositoryApi

if TYPE_CHECKING:  # they import kserve, which the gate can do without
    from fairlead_serving.model import FairleadModel
    from fairlead_serving.models import Models
    from fairlead_serving.tracing import Traces

__all__ = ["Gate", "Limits", "Route"]

Handler = Callable[[Exchange], Awaitable[Result]]
CLIENT_GONE = 499
NONE = b"none"
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Route:
    """Where a POST goes."""

    protocol: str
    model: "FairleadModel"
    handler: Handler


class Gate:
    """The ASGI application.

    Args:
        app: kserve's application, for everything that is answered there.
        models: The models of this process.
        limits: What requests may cost.
        traces: Where traces go, or None.

    Attributes:
        draining: Set while the server stops: it is not ready, answers everything, and closes connections.
        active: Requests being answered.
        last_arrival: `time.monotonic()` of the latest request.
        handlers: What is done with requests for a model.
        routes: The POST routes by path.
        routes_by_target: Those of predictions, by the target as it stands in a request's first line.
    """

    def __init__(self, app: App, models: "Models", limits: Limits, traces: "Traces | None" = None) -> None:
        self._app, self.models, self.traces = app, models, traces
        self.draining, self.active, self.last_arrival = False, 0, 0.0
        self.handlers, self._repository = Handlers(limits), RepositoryApi(models, limits)
        self.routes: dict[str, Route] = {}
        self.routes_by_target: dict[bytes, Route] = {}
        models.on_change(self._make_routes)

    def _make_routes(self) -> None:
        """Makes the table of POST routes anew, when a model has come or gone."""
        handlers, served, routes = self.handlers, self.models.served, dict[str, Route]()
        for model in served:
            name, version = model.name, model.version
            routes |= {
                f"/v1/models/{name}:predict": Route("v1", model, handlers.predict),
                f"/v2/models/{name}/infer": Route("v2", model, handlers.predict),
                f"/v2/models/{name}/versions/{version}/infer": Route("v2", model, handlers.predict),
                f"/v1/models/{name}:explain": Route("explain", model, handlers.explain),
                f"/v1/models/{name}:feedback": Route("feedback", model, handlers.take_feedback),
            }
        if len(served) == 1:
            routes["/feedback"] = Route("feedback", served[0], handlers.take_feedback)
        self.routes = routes
        self.routes_by_target = {
            path.encode(): route for path, route in routes.items() if route.protocol in ("v1", "v2")
        }

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
        exchange = Exchange(dict(scope["headers"]), receive, Held(self.handlers.backlog))
        path, method = scope["path"], scope["method"]
        try:
            given = exchange.headers.get(b"x-request-id")
            exchange.given_id = requests.check_id(given.decode("latin-1")) if given else None
            exchange.request_id = exchange.given_id or exchange.request_id
            exchange.traceparent = read_traceparent(exchange.headers)
            handler = self._find(exchange, method, path)
        except ServingError as error:
            self.models.count_other(error.status)
            await self._send_error(send, error, exchange)
            return
        if handler is None:
            await self._app(scope, receive, self._with_headers(send, exchange))
        else:
            await self._exchange(exchange, handler, send)

    def _find(self, exchange: Exchange, method: str, path: str) -> Handler | None:
        """Finds who answers; None where that is kserve's application.

        Raises:
            ServingError: Nobody does, or a model is asked whether it is ready and is not.
        """
        route = self.routes.get(path)
        if route is not None:
            if method != "POST":
                raise MethodRefusedError(f"{path} takes POST, not {method}")
            exchange.protocol, exchange.model = route.protocol, route.model
            return route.handler
        if method == "POST":
            exchange.protocol, found = "repository", self._repository.find(path)
            if found is not None:
                return found
        if method not in ("GET", "HEAD"):
            raise self._refusal(method, path)
        return self._find_get(exchange, path)

    async def _exchange(self, exchange: Exchange, handle: Handler, send: Send) -> None:
        metrics = exchange.model.metrics if exchange.model is not None else None
        status = 200
        if metrics is not None:
            metrics.in_flight += 1
            if self.traces is not None:
                exchange.trace = self.traces.begin(exchange.traceparent)
                exchange.traceparent = exchange.trace.traceparent
        try:
            body, headers = await handle(exchange)
            await self._send(send, 200, body, headers, exchange)
        except ServingError as error:
            status = error.status
            if status >= 500:  # noqa: PLR2004
                logger.warning("%s: %s", exchange.request_id, error)
            await self._send_error(send, error, exchange)
        except ClientGoneError:
            status = CLIENT_GONE
        except Exception:  # the process's edge: an exception that reaches uvicorn drops the connection
            status = 500
            logger.exception("%s: the request failed", exchange.request_id)
            await self._send_error(send, ServingError("it failed inside the server; its log says why"), exchange)
        finally:
            exchange.held.release()
            if metrics is not None:
                metrics.in_flight -= 1
        self._count(exchange, status)

    def _count(self, exchange: Exchange, status: int) -> None:
        if exchange.model is None:
            self.models.count_other(status)
            return
        finished = time.perf_counter()
        exchange.model.metrics.request(exchange.protocol, status, finished - exchange.started)
        if exchange.trace is not None:
            exchange.trace.finish(exchange.model, exchange.protocol, status, exchange.query, exchange.started, finished)

    def _find_get(self, exchange: Exchange, path: str) -> Handler | None:
        if path == "/v2/health/ready":
            self.check_ready(self.models.served)
            return _tell_ready
        parts = path.split("/")
        if parts[1:3] not in (["v1", "models"], ["v2", "models"]) or len(parts) == 3:  # noqa: PLR2004
            return None
        model = self.models.find(parts[3])
        rest = parts[4:]
        if parts[1] == "v2" and rest[:1] == ["versions"] and len(rest) > 1:
            self.models.check_version(model, rest[1])
            rest = rest[2:]
        exchange.named = model
        if parts[1] == "v2" and not rest:
            return self._repository.describe
        if (parts[1] == "v1" and not rest) or rest == ["ready"]:
            self.check_ready([model])
            return _tell_ready
        return None

    def check_ready(self, models: "list[FairleadModel]") -> None:
        """Checks that all of the models answer.

        Raises:
            UnavailableError: One does not, or the server is stopping.
        """
        for model in models:
            if self.draining:
                raise UnavailableError(f"the server of model {model.name!r} is stopping")
            if not model.ready:
                raise UnavailableError(f"model {model.name!r} is being loaded")
        if self.draining:
            raise UnavailableError("the server is stopping")

    def _refusal(self, method: str, path: str) -> ServingError:
        if path == "/v2/health/ready" or path.endswith("/ready"):
            return MethodRefusedError(f"{path[:200]} takes GET, not {method}")
        parts = path.split("/")
        if parts[1:3] in (["v1", "models"], ["v2", "models"]) and len(parts) > 3:  # noqa: PLR2004
            self.models.find(parts[3].partition(":")[0])  # raises where there is no such model
        some = sorted(self.routes)[:12]
        return NotServedError(f"nothing at {method} {path[:200]}; this server has POST {', POST '.join(some)}")

    async def _send_error(self, send: Send, error: ServingError, exchange: Exchange) -> None:
        headers = [*JSON, (b"retry-after", b"1")] if error.status == 503 else JSON  # noqa: PLR2004
        if error.status in (408, 413):  # what is left of the body is not read
            headers = [*headers, (b"connection", b"close")]
        await self._send(send, error.status, orjson.dumps({"error": str(error)}), headers, exchange)

    async def _send(self, send: Send, status: int, body: bytes, headers: Headers, exchange: Exchange) -> None:
        own = [*headers, (b"content-length", str(len(body)).encode()), *self._own_headers(exchange)]
        await send({"type": "http.response.start", "status": status, "headers": own})
        await send({"type": "http.response.body", "body": body})

    def _own_headers(self, exchange: Exchange) -> Headers:
        model = exchange.model or exchange.named or self.models.only
        digest = model.package.digest.encode() if model is not None else NONE
        headers = [(b"x-fairlead-digest", digest), (b"x-request-id", (exchange.request_id or "none").encode())]
        if exchange.traceparent:
            headers.append((b"traceparent", exchange.traceparent.encode()))
        return [*headers, (b"connection", b"close")] if self.draining else headers

    def _with_headers(self, send: Send, exchange: Exchange) -> Send:
        async def sender(message: "dict[str, object]") -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._own_headers(exchange)]  # type: ignore[misc]
            await send(message)

        return sender  # type: ignore[return-value] # a dict is a mutable mapping


async def _tell_ready(exchange: Exchange) -> Result:
    name = {} if exchange.named is None else {"name": exchange.named.name}
    return orjson.dumps({**name, "ready": True}), JSON
