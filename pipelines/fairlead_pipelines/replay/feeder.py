"""Feeds the online store with features as they become known, as a streaming job would in production."""

import queue
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_EVERY = timedelta(hours=1)


class Feeder:
    """Pushes feature rows in a thread of its own; told the simulated time, it pushes what has become known."""

    def __init__(self, features_home: Path, tables: "dict[str, pa.Table]", start: datetime) -> None:
        """Prepares a feeder.

        Args:
            features_home: The folder of the feature store.
            tables: Table name to its rows in the order of `event_timestamp`.
            start: What was known then is in the store already.
        """
        self._home = features_home
        self._rest = tables
        self._pushed = start
        self._times: queue.SimpleQueue[datetime | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True, name="feeder")
        self._thread.start()
        self.rows = 0

    def advance(self, now: datetime) -> None:
        """Tells the simulated time; returns at once."""
        if now - self._pushed >= _EVERY:
            self._pushed = now
            self._times.put(now)

    def close(self) -> None:
        """Ends the thread after what it is pushing."""
        self._times.put(None)
        self._thread.join(timeout=10)

    def _work(self) -> None:
        while (now := self._newest()) is not None:
            for name in list(self._rest):
                self._push(name, now)

    def _newest(self) -> datetime | None:
        """The newest time told; times that came while pushing are covered by it."""
        now = self._times.get()
        while now is not None and not self._times.empty():
            now = self._times.get()
        return now

    def _push(self, name: str, now: datetime) -> None:
        from fairlead.features.push import push_rows

        due, self._rest[name] = split_at(self._rest[name], now)
        if due.num_rows:
            push_rows(self._home, name, due)
            self.rows += due.num_rows


def split_at(table: "pa.Table", now: datetime) -> "tuple[Any, Any]":
    """Cuts a table ordered by time into what is known by `now` and the rest."""
    import pyarrow as pa
    import pyarrow.compute as pc

    moment = pa.scalar(now, pa.timestamp("us", tz="UTC"))
    count = pc.sum(pc.less_equal(table["event_timestamp"], moment)).as_py() or 0
    return table.slice(0, count), table.slice(count)
