"""Gathering of concurrent queries, so that many of them share one call: of the online store, or of the model.

There is no timer: while calls run in threads, new queries wait, and the next call takes as many of them as it may. A
lone query waits for nothing. The event loop stays free to answer health checks. A query whose client has gone away, or
whose deadline has passed, is never computed.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, Protocol, TypeVar

from fairlead_serving.errors import DeadlinePassedError


class HasRows(Protocol):
    """What can be gathered."""

    @property
    def rows(self) -> int:
        """How many rows it has."""


Item = TypeVar("Item", bound=HasRows)
Result = TypeVar("Result")


class QueryGatherer(Generic[Item, Result]):
    """Runs a function in an executor on whatever has gathered.

    Args:
        transform: Gives for each item its result or the reason of refusal; what it raises fails all of the call.
        executor: Where it runs.
        maximum_rows: At most so many rows in one call (a larger item comes alone).
        parallel: At most so many calls at a time.
        count: Is told the rows of each call, on the event loop's thread.
    """

    def __init__(
        self, transform: Callable[[Sequence[Item]], Sequence[Result | Exception]], executor: Executor,
        maximum_rows: int, parallel: int = 1, count: Callable[[float], None] | None = None,
    ) -> None:  # fmt: skip
        self._count = count
        self._transform, self._executor, self._maximum, self._parallel = transform, executor, maximum_rows, parallel
        self._waiting: deque[tuple[Item, asyncio.Future[Result], float | None]] = deque()
        self._running, self._tasks = 0, set[asyncio.Task[None]]()

    def __len__(self) -> int:
        return len(self._waiting)

    async def submit(self, item: Item, deadline: float | None = None) -> Result:
        """Waits for the result of an item.

        Args:
            item: The item.
            deadline: `time.perf_counter()` from which on it need not be computed.

        Raises:
            ServingError: What the function gave or raised, or that the deadline passed while the item waited.
        """
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future, deadline))
        if self._running < self._parallel:
            self._running += 1
            task = asyncio.create_task(self._drain())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while batch := self._take():
            if self._count is not None:
                self._count(sum(item.rows for item, _ in batch))
            try:
                results = await loop.run_in_executor(self._executor, self._transform, [item for item, _ in batch])
            except Exception as error:  # noqa: BLE001 - each waiting request gets the error; none may wait for ever
                results = [error] * len(batch)
            for (_, future), result in zip(batch, results, strict=True):
                _settle(future, result)
        self._running -= 1  # nothing may be awaited between the empty take and this, or a query would wait for ever

    def _take(self) -> "list[tuple[Item, asyncio.Future[Result]]]":
        batch: list[tuple[Item, asyncio.Future[Result]]] = []
        rows, now = 0, time.perf_counter()
        while self._waiting and (not batch or rows + self._waiting[0][0].rows <= self._maximum):
            item, future, deadline = self._waiting.popleft()
            if future.done():  # its request was cancelled
                continue
            if deadline is not None and deadline <= now:
                future.set_exception(DeadlinePassedError("the deadline passed while the request waited"))
                continue
            batch.append((item, future))
            rows += item.rows
        return batch


def _settle(future: "asyncio.Future[Result]", result: Result | Exception) -> None:
    if future.done():  # its request was cancelled
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
