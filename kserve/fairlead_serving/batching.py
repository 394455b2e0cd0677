"""Gathering of concurrent queries, so that many of them share one call of the online store.

There is no timer: while one call runs in a thread, new queries wait, and the next call takes all of them. A lone query
waits for nothing. The event loop stays free to answer health checks.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from fairlead_serving.query import Inputs, Query

Transform = Callable[[Sequence[Query]], Sequence[Inputs | Exception]]


class QueryGatherer:
    """Runs a transform in an executor, one call at a time, on whatever has gathered.

    Args:
        transform: Gives for each query its inputs or the reason of refusal; what it raises fails all of the call.
        executor: Where it runs.
        maximum_rows: At most so many rows in one call (a larger query comes alone).
    """

    def __init__(self, transform: Transform, executor: Executor, maximum_rows: int) -> None:
        self._transform, self._executor, self._maximum = transform, executor, maximum_rows
        self._waiting: deque[tuple[Query, asyncio.Future[Inputs]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def submit(self, query: Query) -> Inputs:
        """Waits for the inputs of a query.

        Raises:
            ServingError: What the transform gave or raised.
        """
        future: asyncio.Future[Inputs] = asyncio.get_running_loop().create_future()
        self._waiting.append((query, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        return await future

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch = self._take()
            try:
                results = await loop.run_in_executor(self._executor, self._transform, [query for query, _ in batch])
            except Exception as error:  # noqa: BLE001 - each waiting request gets the error; none may wait for ever
                results = [error] * len(batch)
            for (_, future), result in zip(batch, results, strict=True):
                _settle(future, result)

    def _take(self) -> list[tuple[Query, asyncio.Future[Inputs]]]:
        batch, rows = [self._waiting.popleft()], 0
        rows = batch[0][0].rows
        while self._waiting and rows + self._waiting[0][0].rows <= self._maximum:
            batch.append(self._waiting.popleft())
            rows += batch[-1][0].rows
        return batch


def _settle(future: "asyncio.Future[Inputs]", result: Inputs | Exception) -> None:
    if future.done():  # its request was cancelled
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
