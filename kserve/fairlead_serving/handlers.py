"""What is done with requests for a model, whichever protocol they came by.

A query that is predicted on the event loop needs no task, no queue and no watch over its client: `answer_now` reads,
predicts and writes in one go. All others wait in the bounded queue, and are dropped once nobody waits for them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from fairlead_serving import requests
from fairlead_serving.backlog import Backlog
from fairlead_serving.body import ClientGoneError, read_body
from fairlead_serving.errors import DeadlinePassedError, NotServedError, RequestInvalidError, UnavailableError
from fairlead_serving.exchange import JSON, Exchange, Headers, Result
from fairlead_serving.query import Answer, Query

if TYPE_CHECKING:  # it imports kserve, which the handlers can do without
    from fairlead_serving.model import FairleadModel

T = TypeVar("T")
BODY_ON_LOOP = 65536
RAW: Headers = [(b"content-type", b"application/octet-stream")]


@dataclass(frozen=True)
class Limits:
    """What requests may cost.

    Attributes:
        body_bytes: The largest body, before and after decompression.
        rows: The most rows of one request.
        body_seconds: How long a request may take to arrive.
        queue: The most queries that wait or are predicted off the event loop.
        buffer_bytes: The most bytes of bodies of all requests together.
        connections: The most connections.
    """

    body_bytes: int = 4 * 2**20
    rows: int = 10_000
    body_seconds: float = 30.0
    queue: int = 256
    buffer_bytes: int = 64 * 2**20
    connections: int = 1024


class Handlers:
    """Answers requests for models.

    Args:
        limits: What requests may cost.

    Attributes:
        backlog: What the process holds.
        explainer: Makes explanations of a query, a body in JSON; None where this server makes none.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.backlog = Backlog(limits.queue, limits.buffer_bytes)
        self.explainer: Callable[[FairleadModel, Query], Awaitable[bytes]] | None = None

    async def predict(self, exchange: Exchange) -> Result:
        """Answers a V1 or V2 query."""
        model, query = await self._read_query(exchange)
        answer = await while_wanted(exchange, self.infer(model, query))
        return write(answer, exchange.protocol, model)

    async def explain(self, exchange: Exchange) -> Result:
        """Explains a V1 query.

        Raises:
            NotServedError: This server makes no explanations.
        """
        if self.explainer is None:
            raise NotServedError("this server explains nothing")
        model, query = await self._read_query(exchange)
        return await while_wanted(exchange, self._in_queue(self.explainer(model, query))), JSON

    async def take_feedback(self, exchange: Exchange) -> Result:
        """Takes the outcome of an earlier prediction.

        Raises:
            NotServedError: This server keeps no feedback.
            UnavailableError: The log has no room.
        """
        model, body = exchange.target(), await self.read_body(exchange)
        feedback = requests.read_feedback(body, model.package.manifest.task)
        if model.feedback is None:
            raise NotServedError("this server keeps no feedback; start it with --predictions")
        if not model.feedback.offer(feedback):
            raise UnavailableError("the feedback log has no room now; send the outcome again in some seconds")
        model.metrics.feedback(feedback["outcome"])
        return b'{"status":"accepted"}', JSON

    async def infer(self, model: "FairleadModel", query: Query) -> Answer:
        """Answers a query of any protocol.

        Raises:
            OverloadedError: As much waits already as may.
            ServingError: What the model raises.
        """
        if query.rows <= model.prompt_rows:
            return model.answer_now(query)
        answer, _ = await self._in_queue(model(query))
        return answer

    def answer_now(self, model: "FairleadModel", protocol: str, headers: Mapping[bytes, bytes], body: bytes) -> Any:
        """Reads, predicts and writes in one go.

        Args:
            model: One that may be asked on the event loop.
            protocol: v1 or v2.
            headers: By name; none that asks for more than a plain answer.
            body: All of it, plain.

        Returns:
            The request's id, its traceparent, the body and its headers, and when it began; None where the query has
            more rows than the event loop has time for.

        Raises:
            ServingError: What the general path would raise as well.
        """
        given = headers.get(b"x-request-id")
        given_id = requests.check_id(given.decode("latin-1")) if given else None
        schema, rows = model.schema, model.prompt_rows
        started = time.perf_counter()
        if protocol == "v1":
            query = requests.read_v1(body, schema, given_id or requests.make_id(), self.limits.rows)
        else:
            query = requests.read_v2(body, json_length(headers), schema, given_id, self.limits.rows)
        if query.rows > rows:
            return None
        query.started, query.decoded = started, time.perf_counter()
        return query, *write(model.answer_now(query), protocol, model)

    def read(self, exchange: Exchange, body: bytes) -> Query:
        """Reads a query's body.

        Raises:
            RequestInvalidError: It does not fit the model.
        """
        schema, rows = exchange.target().schema, self.limits.rows
        if exchange.protocol == "v2":
            query = requests.read_v2(body, json_length(exchange.headers), schema, exchange.given_id, rows)
        else:
            query = requests.read_v1(body, schema, exchange.request_id, rows)
        query.started, query.received, query.deadline = exchange.started, exchange.received, exchange.deadline
        query.traceparent, query.decoded = exchange.traceparent, time.perf_counter()
        exchange.query = query
        return query

    async def read_body(self, exchange: Exchange) -> bytes:
        """Reads the body of a request; see `fairlead_serving.body`."""
        limits = self.limits
        return await read_body(
            exchange.receive, exchange.headers, limits.body_bytes, limits.body_seconds, exchange.held
        )

    async def _read_query(self, exchange: Exchange) -> "tuple[FairleadModel, Query]":
        model = exchange.target()
        if not model.ready:
            raise UnavailableError(f"model {model.name!r} is being loaded; try again in some seconds")
        exchange.read_deadline()
        body = await self.read_body(exchange)
        if len(body) > BODY_ON_LOOP:
            query = await asyncio.get_running_loop().run_in_executor(None, self.read, exchange, body)
        else:
            query = self.read(exchange, body)
        exchange.request_id = query.request_id
        return model, query

    async def _in_queue(self, work: Awaitable[T]) -> T:
        try:
            with self.backlog.query():
                return await work
        finally:
            if isinstance(work, Coroutine):
                work.close()  # one that was refused was never begun, and Python would warn of it


async def while_wanted(exchange: Exchange, work: Coroutine[Any, Any, T]) -> T:
    """Runs what may wait in a queue, for as long as its client is there and its deadline has not passed.

    Raises:
        ClientGoneError: The client closed the connection; the work is cancelled.
        DeadlinePassedError: The deadline passed; the work is cancelled.
    """
    task = asyncio.ensure_future(work)
    await asyncio.sleep(0)  # what needs no thread is done now
    if task.done():
        return task.result()
    gone = asyncio.ensure_future(exchange.receive())
    left = None if exchange.deadline is None else max(exchange.deadline - time.perf_counter(), 0)
    try:
        done, _ = await asyncio.wait({task, gone}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            return task.result()
        if gone in done:
            raise ClientGoneError
        raise DeadlinePassedError("the deadline passed before there was an answer; the work was given up")
    finally:
        task.cancel()
        gone.cancel()


def write(answer: Answer, protocol: str, model: "FairleadModel") -> Result:
    """Writes an answer in V1 or V2."""
    if protocol == "v1":
        return requests.write_v1(answer), JSON
    content, length = requests.write_v2(answer, model.name, model.version)
    if length is None:
        return content, JSON
    return content, [*RAW, (b"inference-header-content-length", str(length).encode())]


def json_length(headers: Mapping[bytes, bytes]) -> int | None:
    """The length of the JSON part of a V2 body, where raw tensors follow it.

    Raises:
        RequestInvalidError: The header holds no number.
    """
    given = headers.get(b"inference-header-content-length")
    if given is None:
        return None
    if not given.isdigit() or len(given) > 19:  # noqa: PLR2004 - longer than any length
        raise RequestInvalidError("Inference-Header-Content-Length must be the number of bytes of the JSON part")
    return int(given)
