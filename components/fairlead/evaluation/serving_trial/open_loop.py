"""Load on a server: requests sent when they are due, whether or not earlier ones are answered.

A client that waits for each answer before it sends the next asks less of a server just when it is slow, and then
reports few slow answers ("coordinated omission"). Here every request has its time beforehand, and its latency counts
from that time, whatever held it up.

The event loop waits by select(), whose times are exact to microseconds; epoll's are whole milliseconds.
"""

import asyncio
import gc
import selectors
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairlead.evaluation.serving_trial.load_client import HttpLoadClient, LoadRecord
from fairlead.evaluation.serving_trial.plain_http import Request


@dataclass(frozen=True)
class Load:
    """What became of N requests.

    Attributes:
        due: (N,) float64, seconds from the start at which each was to be sent.
        noticed: (N,) when the client came to it; later than due only where the client itself was busy.
        done: (N,) when its answer was complete; NaN where none came.
        statuses: (N,) int64, HTTP statuses, or `load_client.LOST` or `LATE`.
        seconds: From the start to the last answer.
        client_share: The share of one processor core that the client took.
    """

    due: np.ndarray
    noticed: np.ndarray
    done: np.ndarray
    statuses: np.ndarray
    seconds: float
    client_share: float

    @property
    def latencies(self) -> np.ndarray:
        """(N,) float64, seconds from when each was due; infinite where no 2xx came."""
        return np.asarray(np.where(self.failed, np.inf, self.done - self.due))

    @property
    def failed(self) -> np.ndarray:
        """(N,) bool."""
        return np.asarray((self.statuses < 200) | (self.statuses >= 300))  # noqa: PLR2004

    @property
    def lags(self) -> np.ndarray:
        """(N,) float64, seconds by which the client itself was late."""
        return np.asarray(self.noticed - self.due)


def wire(host: str, port: int, path: str, request: Request) -> bytes:
    """A whole POST request as it goes over the wire."""
    headers = {"host": f"{host}:{port}", **request.headers, "content-length": str(len(request.body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + request.body


@dataclass(frozen=True)
class Target:
    """Where requests go, and which.

    Attributes:
        host: The server's address.
        port: Its port for the protocol.
        wires: Whole requests, taken in turn: see `wire`; over gRPC, encoded messages of ModelInfer.
        grpc: Whether they go over gRPC.
        connections: Open connections at most (over gRPC, one carries everything).
    """

    host: str
    port: int
    wires: Sequence[bytes]
    grpc: bool = False
    connections: int = 64

    def client(self, due: np.ndarray) -> LoadRecord:
        """Makes the client; to be called in the running loop."""
        if self.grpc:
            from fairlead.evaluation.serving_trial.grpc_load import GrpcLoadClient

            return GrpcLoadClient(self.host, self.port, self.wires, due)
        return HttpLoadClient(self.host, self.port, self.wires, due, self.connections)


def send_at(target: Target, due: np.ndarray, *, timeout_seconds: float) -> Load:
    """Sends requests at given times.

    Args:
        target: Where they go, and which.
        due: (N,) seconds from the start, ascending.
        timeout_seconds: After which a request has failed.

    Returns:
        What became of them.
    """
    return _run(_send_at(target, due, timeout_seconds))


async def _send_at(target: Target, due: np.ndarray, timeout_seconds: float) -> Load:
    client = target.client(due)
    with _undisturbed():
        processor = time.process_time()
        client.started = started = time.perf_counter()
        watch = asyncio.get_running_loop().create_task(client.watch(timeout_seconds))
        for index, moment in enumerate(due.tolist()):
            while (wait := moment - (time.perf_counter() - started)) > 0:  # noqa: ASYNC110 - it is a time that comes
                await asyncio.sleep(wait)
            client.notice(index)
            if index % 32 == 0:  # where the client is behind, answers are still read
                await asyncio.sleep(0)
        await client.finished.wait()
        seconds = time.perf_counter() - started
        share = (time.process_time() - processor) / seconds
    await watch
    await client.close()
    return Load(due, client.noticed, client.done, client.statuses, seconds, share)


def send_in_turn(target: Target, count: int, *, clients: int, at_most_seconds: float) -> Load:
    """Sends requests as fast as they are answered: each client sends its next one when it has its answer.

    Such a load never asks more of a server than it can give, so its latencies tell little; it is for what happens to a
    server that works, such as its memory.

    Args:
        target: Where they go, and which.
        count: Requests at most.
        clients: Requests in flight.
        at_most_seconds: After this, no further request is sent.

    Returns:
        What became of those that were sent; each was due when it was sent.
    """
    return _run(_send_in_turn(target, count, clients, at_most_seconds))


async def _send_in_turn(target: Target, count: int, clients: int, at_most_seconds: float) -> Load:
    client = target.client(np.zeros(count))
    with _undisturbed():
        processor, sent = time.process_time(), 0
        client.started = started = time.perf_counter()
        watch = asyncio.get_running_loop().create_task(client.watch(max(5.0, 2 * at_most_seconds)))
        while sent < count and time.perf_counter() - started < at_most_seconds:
            if sent - (count - client.left) < clients:
                client.notice(sent)
                sent += 1
                continue
            client.progressed.clear()
            await client.progressed.wait()
        client.left -= count - sent
        if client.left:
            await client.finished.wait()
        client.finished.set()
        seconds = time.perf_counter() - started
        share = (time.process_time() - processor) / seconds
    await watch
    await client.close()
    noticed = client.noticed[:sent]
    return Load(noticed, noticed, client.done[:sent], client.statuses[:sent], seconds, share)


def _run(work: Coroutine[Any, Any, Load]) -> Load:
    loop_factory = lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())  # noqa: E731
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(work)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keeps the garbage collector from pausing the client."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def constant(rate: float, seconds: float) -> np.ndarray:
    """Times of evenly spaced requests: (N,) seconds."""
    return np.asarray(np.arange(max(1, round(rate * seconds))) / rate)


def poisson(rate: float, seconds: float, seed: int) -> np.ndarray:
    """Times of requests that come independently of each other: (N,) seconds, N as many as `constant` has."""
    gaps = np.random.default_rng(seed).exponential(1 / rate, max(1, round(rate * seconds)))
    return np.asarray(np.cumsum(gaps) - gaps[0])
