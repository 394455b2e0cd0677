"""Feeds the online store with features as they become known, as a streaming job would in production.

The pushing has a process of its own: it must not hold back the clients, whose waiting is measured.
"""

import multiprocessing
import os
import time
from datetime import datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead_pipelines.replay.rows import Source, becoming_known

if TYPE_CHECKING:
    import pyarrow as pa

_EVERY = timedelta(hours=1)
_READY_SECONDS = 120.0


class Feeder:
    """Pushes feature rows; told the simulated time, its process pushes what has become known since."""

    def __init__(self, features_home: Path, source: Source, start: datetime) -> None:
        """Starts the process, and waits until it has read the rows.

        Args:
            features_home: The folder of the feature store.
            source: Where the rows are; without features there is nothing to push.
            start: What was known then is in the store already.
        """
        self._told = start
        context = multiprocessing.get_context("spawn")
        self._times, theirs = context.Pipe()
        self._process = context.Process(target=_feed, args=(features_home, source, start, theirs), daemon=True)
        self._process.start()
        theirs.close()
        if not self._times.poll(_READY_SECONDS):
            raise TimeoutError(f"the feature rows in {source.features} were not read within {_READY_SECONDS:.0f} s")
        self._times.recv()

    def advance(self, now: datetime) -> None:
        """Tells the simulated time; returns at once."""
        if now - self._told >= _EVERY:
            self._told = now
            self._times.send(now)

    def close(self) -> None:
        """Ends the process after what it is pushing."""
        self._times.send(None)
        self._process.join(timeout=20)
        self._times.close()


def _feed(features_home: Path, source: Source, start: datetime, times: Connection) -> None:
    os.environ["TZ"] = "UTC"  # as in fairlead_pipelines.command.replay
    time.tzset()
    rest = becoming_known(source, start)
    times.send("ready")
    while (now := _newest(times)) is not None:
        for name in list(rest):
            due, rest[name] = split_at(rest[name], now)
            if due.num_rows:
                _push(features_home, name, due)


def _newest(times: Connection) -> datetime | None:
    """The newest time told; times that came while pushing are covered by it."""
    now: datetime | None = times.recv()
    while now is not None and times.poll():
        now = times.recv()
    return now


def _push(features_home: Path, name: str, rows: "pa.Table") -> None:
    from fairlead.features.push import push_rows

    push_rows(features_home, name, rows)


def split_at(table: "pa.Table", now: datetime) -> "tuple[Any, Any]":
    """Cuts a table ordered by `event_timestamp` into what is known by `now` and the rest."""
    import pyarrow as pa
    import pyarrow.compute as pc

    moment = pa.scalar(now, pa.timestamp("us", tz="UTC"))
    count = pc.sum(pc.less_equal(table["event_timestamp"], moment)).as_py() or 0
    return table.slice(0, count), table.slice(count)
