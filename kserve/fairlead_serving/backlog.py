"""What one process may hold at a time: queries that wait, and bytes of bodies on their way.

More is refused at once, with 503 and Retry-After (gRPC: RESOURCE_EXHAUSTED), instead of being taken in and answered too
late: a queue that only grows helps nobody, and memory that only grows ends in the kernel killing all of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from fairlead_serving.errors import OverloadedError


class Backlog:
    """The bounded queue of a process.

    Args:
        queries: The most queries that wait or are being predicted off the event loop.
        body_bytes: The most bytes of bodies that are being received.
    """

    def __init__(self, queries: int, body_bytes: int) -> None:
        self._most_queries, self._most_bytes = queries, body_bytes
        self.queries, self.body_bytes = 0, 0

    @contextmanager
    def query(self) -> Iterator[None]:
        """Holds a place while a query waits and is predicted.

        Raises:
            OverloadedError: All places are taken.
        """
        if self.queries >= self._most_queries:
            raise OverloadedError(
                f"{self.queries} queries wait already, as many as this server takes; try again in a second, or ask "
                "another replica"
            )
        self.queries += 1
        try:
            yield
        finally:
            self.queries -= 1

    def take(self, count: int) -> None:
        """Takes room for bytes of a body.

        Raises:
            OverloadedError: There is none; nothing is taken.
        """
        if self.body_bytes + count > self._most_bytes:
            raise OverloadedError(
                f"{self.body_bytes} bytes of other requests are being received, as many as this server holds; try "
                "again in a second"
            )
        self.body_bytes += count

    def give_back(self, count: int) -> None:
        """Gives room back."""
        self.body_bytes -= count


class Held:
    """The room that one request's body takes, given back when the request is over.

    Args:
        backlog: Whose room it is; None for no limit.
    """

    __slots__ = ("_backlog", "_count")

    def __init__(self, backlog: Backlog | None) -> None:
        self._backlog, self._count = backlog, 0

    def take(self, count: int) -> None:
        """Takes more room.

        Raises:
            OverloadedError: There is none.
        """
        if self._backlog is not None:
            self._backlog.take(count)
            self._count += count

    def release(self) -> None:
        """Gives all of it back."""
        if self._backlog is not None and self._count:
            self._backlog.give_back(self._count)
            self._count = 0
