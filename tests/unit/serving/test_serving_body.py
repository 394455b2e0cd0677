"""Reading bodies, and gathering queries."""

import asyncio
import gzip
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from fairlead_serving.batching import QueryGatherer
from fairlead_serving.body import ClientGoneError, read_body
from fairlead_serving.errors import (
    BodyTooLateError,
    EncodingRefusedError,
    FeaturesStaleError,
    RequestInvalidError,
    TooLargeError,
)
from fairlead_serving.query import Inputs, Query


def read(*chunks: bytes, headers: Mapping[bytes, bytes] | None = None, limit: int = 100, gone: bool = False) -> bytes:
    """Read a body that comes in chunks; after the last one the client stays silent, or goes."""
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": chunk, "more_body": gone or number < len(chunks)}
        for number, chunk in enumerate(chunks, 1)
    ]
    messages += [{"type": "http.disconnect"}] if gone else []

    async def receive() -> Mapping[str, Any]:
        if not messages:
            await asyncio.sleep(60)
        return messages.pop(0)

    return asyncio.run(read_body(receive, headers or {}, limit, 0.2))


def test_chunks_are_put_together() -> None:
    """A body may come in any number of chunks."""
    assert read(b"ab", b"", b"c") == b"abc"
    assert read(b"") == b""


def test_large_bodies_are_refused() -> None:
    """One byte over the limit is refused, in one chunk or in many, also where the rest is thrown away."""
    assert read(b"x" * 100) == b"x" * 100
    for chunks in ([b"x" * 101], [b"x" * 60, b"x" * 41, b"x" * 10]):
        with pytest.raises(TooLargeError, match="more than the allowed 100 bytes"):
            read(*chunks)


def test_gzip_is_undone_within_the_limit() -> None:
    """A small bomb does not become a large body; what is no gzip, or half of one, is explained."""
    packed = {b"content-encoding": b"gzip"}
    assert read(gzip.compress(b"abc"), headers=packed) == b"abc"
    with pytest.raises(TooLargeError):
        read(gzip.compress(b"\0" * 10_000), headers=packed)
    with pytest.raises(RequestInvalidError, match="is none"):
        read(b"abc", headers=packed)
    with pytest.raises(RequestInvalidError, match="ends within it"):
        read(gzip.compress(b"abc")[:-3], headers=packed)
    with pytest.raises(EncodingRefusedError, match="'br' is not read here; send identity or gzip"):
        read(b"abc", headers={b"content-encoding": b"br"})


def test_a_client_that_goes_or_dawdles() -> None:
    """A closed connection is no error of the server's; a body that does not come is given up."""
    with pytest.raises(ClientGoneError):
        read(b"a", gone=True)
    with pytest.raises(BodyTooLateError, match=r"within 0.2 seconds"):
        asyncio.run(_dawdle())


async def _dawdle() -> bytes:
    sent = asyncio.Event()

    async def receive() -> Mapping[str, Any]:
        if sent.is_set():
            await asyncio.sleep(60)
        sent.set()
        return {"type": "http.request", "body": b"a", "more_body": True}

    return await read_body(receive, {}, 100, 0.2)


def query(rows: int = 1, name: str = "q") -> Query:
    """Make a query of so many rows."""
    return Query("v1", name, {}, rows)


class Transform:
    """Gives each query its rows as inputs; the first call waits until it is released."""

    def __init__(self) -> None:
        self.release, self.calls = threading.Event(), [list[str]()]
        self.calls.clear()

    def __call__(self, queries: Sequence[Query]) -> list[Inputs | Exception]:
        self.calls.append([asked.request_id for asked in queries])
        self.release.wait(5)
        if any(asked.request_id == "break" for asked in queries):
            raise RuntimeError("broken")
        return [
            FeaturesStaleError("old") if asked.request_id == "stale" else Inputs({}, asked.rows) for asked in queries
        ]


async def submit(transform: Transform, queries: Sequence[Query], maximum: int = 10) -> list[Any]:
    """Submit a first query, then the others while it runs."""
    with ThreadPoolExecutor(1) as executor:
        gatherer = QueryGatherer(transform, executor, maximum)
        tasks = [asyncio.create_task(gatherer.submit(queries[0]))]
        await asyncio.sleep(0.05)
        tasks += [asyncio.create_task(gatherer.submit(asked)) for asked in queries[1:]]
        await asyncio.sleep(0.05)
        transform.release.set()
        return await asyncio.gather(*tasks, return_exceptions=True)


def test_queries_gather_while_one_runs() -> None:
    """What came during the first call goes out in one, up to the row limit; each gets its own result."""
    transform = Transform()
    results = asyncio.run(submit(transform, [query(1, "a"), query(4, "b"), query(5, "c"), query(3, "d")]))
    assert transform.calls == [["a"], ["b", "c"], ["d"]]
    assert [result.rows for result in results] == [1, 4, 5, 3]


def test_a_refused_query_does_not_harm_its_neighbours() -> None:
    """A refusal reaches its own query only; a failure of the call reaches all of that call, and no later one."""
    transform = Transform()
    results = asyncio.run(submit(transform, [query(1, "a"), query(1, "stale"), query(1, "b")]))
    assert [type(result).__name__ for result in results] == ["Inputs", "FeaturesStaleError", "Inputs"]
    transform = Transform()
    results = asyncio.run(submit(transform, [query(1, "a"), query(9, "break"), query(1, "b"), query(9, "c")]))
    assert [type(result).__name__ for result in results] == ["Inputs", "RuntimeError", "RuntimeError", "Inputs"]
