"""The client behind `open_loop`: connections that carry one request at a time, opened as they are needed.

Home-made where HTTP libraries might serve, because a client that is busy itself cannot tell how fast a server is. This
one writes bytes that were made beforehand and reads answers with httptools' parser: it takes 140 microseconds of a
processor for a request where aiohttp takes 365 (and fairlead's server, measured beside them, 460).
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import httptools
import numpy as np

SWEEP_SECONDS = 0.05
LOST, LATE = 0, -1
"""Statuses of requests without an answer: the connection was lost or refused; the time was up."""


class LoadRecord:
    """What becomes of N requests while they are sent.

    Args:
        due: (N,) seconds from the start at which each is to be sent.

    Attributes:
        noticed: (N,) when the client came to each.
        done: (N,) when its answer was complete; NaN where none came.
        statuses: (N,) HTTP statuses, LOST or LATE.
        left: How many are not finished yet.
        started: The start (time.perf_counter()).
        finished: Set when none is left.
        progressed: Set with each one that is finished.
    """

    def __init__(self, due: np.ndarray) -> None:
        count = len(due)
        self.due, self.left, self.started = due, count, 0.0
        self.noticed, self.done = np.full(count, np.nan), np.full(count, np.nan)
        self.statuses = np.full(count, LATE, dtype=np.int64)
        self.finished, self.progressed = asyncio.Event(), asyncio.Event()

    def notice(self, index: int) -> None:
        """Notes that the client came to a request."""
        self.noticed[index] = time.perf_counter() - self.started

    def finish(self, index: int, status: int) -> None:
        """Notes what became of a request."""
        if status > LOST:
            self.done[index] = time.perf_counter() - self.started
        self.statuses[index] = status
        self.left -= 1
        self.progressed.set()
        if self.left <= 0:
            self.finished.set()

    async def watch(self, timeout_seconds: float) -> None:
        """Gives up requests whose time is up, until all are finished."""
        while not self.finished.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.finished.wait(), SWEEP_SECONDS)
            self.give_up(time.perf_counter(), timeout_seconds)

    def give_up(self, now: float, timeout_seconds: float) -> None:
        """Gives up requests whose time is up."""

    async def close(self) -> None:
        """Closes what is open."""


class LoadConnection(asyncio.Protocol):
    """One connection.

    Attributes:
        current: The request that it carries; -1 where none.
        since: When that was sent (time.perf_counter()).
        transport: The socket behind it.
    """

    def __init__(self, client: "HttpLoadClient") -> None:
        self.current, self.since = -1, 0.0
        self.transport: Any = None
        self._client = client
        self._parser: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Notes the transport."""
        self.transport = transport

    def send(self, index: int) -> None:
        """Sends a request."""
        self.current, self.since = index, time.perf_counter()
        self._parser = httptools.HttpResponseParser(self)
        self.transport.write(self._client.wires[index % len(self._client.wires)])

    def data_received(self, data: bytes) -> None:
        """Reads what came; what was not asked for, or is no HTTP, ends the connection."""
        if self._parser is None:
            self.transport.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.abort()

    def on_message_complete(self) -> None:
        """Notes that the answer is complete; httptools calls this."""
        status, keep = self._parser.get_status_code(), self._parser.should_keep_alive()
        if status < 200:  # noqa: PLR2004 - an interim answer; the real one follows
            return
        index, self.current, self._parser = self.current, -1, None
        self._client.finish(index, status)
        if keep and not self.transport.is_closing():
            self._client.free(self)
        else:
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Notes that a request that waits for its answer will get none."""
        if self.current >= 0:
            self._client.finish(self.current, LOST)
            self.current = -1
        self._client.lose(self)

    def give_up(self) -> None:
        """Ends the connection with its request, whose time is up."""
        index, self.current = self.current, -1
        self._client.finish(index, LATE)
        self.transport.abort()


class HttpLoadClient(LoadRecord):
    """Sends requests over as many connections as are needed, up to a limit.

    Args:
        host: The server's address.
        port: Its port.
        wires: Whole requests, taken in turn.
        due: (N,) seconds from the start at which each is to be sent.
        connections: Open connections at most.
    """

    def __init__(self, host: str, port: int, wires: Sequence[bytes], due: np.ndarray, connections: int) -> None:
        super().__init__(due)
        self.wires, self._host, self._port, self._limit = wires, host, port, connections
        self._open: set[LoadConnection] = set()
        self._idle: list[LoadConnection] = []
        self._waiting: deque[int] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._opening = 0

    def notice(self, index: int) -> None:
        """Sends a request over a free connection; where there is none, over the next that is free."""
        super().notice(index)
        if self._idle:
            self._idle.pop().send(index)
            return
        self._waiting.append(index)
        self._open_another()

    def _open_another(self) -> None:
        """Opens a connection for a request that waits, where there is room."""
        if len(self._open) + self._opening >= self._limit or self._opening >= len(self._waiting):
            return
        self._opening += 1
        task = asyncio.get_running_loop().create_task(self._connect())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> None:
        try:
            _, made = await asyncio.get_running_loop().create_connection(
                lambda: LoadConnection(self), self._host, self._port
            )
        except OSError:
            self._opening -= 1
            if self._waiting:
                self.finish(self._waiting.popleft(), LOST)
            self._open_another()
            return
        self._opening -= 1
        self._open.add(made)
        self.free(made)

    def free(self, connection: LoadConnection) -> None:
        """Takes a connection back, or gives it the next request that waits."""
        if self._waiting:
            connection.send(self._waiting.popleft())
        else:
            self._idle.append(connection)

    def lose(self, connection: LoadConnection) -> None:
        """Forgets a connection that was closed."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._open_another()

    def give_up(self, now: float, timeout_seconds: float) -> None:
        """Gives up requests whose time is up, with their connections."""
        for connection in [c for c in self._open if c.current >= 0 and now - c.since > timeout_seconds]:
            connection.give_up()
        while self._waiting and now - self.started - self.due[self._waiting[0]] > timeout_seconds:
            self.finish(self._waiting.popleft(), LATE)

    async def close(self) -> None:
        """Closes all connections."""
        for task in self._tasks:
            task.cancel()
        for connection in self._open:
            connection.transport.abort()
        await asyncio.sleep(0)
