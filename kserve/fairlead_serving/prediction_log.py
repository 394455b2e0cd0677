"""The prediction log and the feedback log: JSON lines that a background thread writes.

A prediction never waits for the disk. Rows wait in a bounded queue; one thread takes them, writes them and asks the
disk to keep them. On a healthy disk a row is on it within 0.2 seconds of its prediction (the thread gathers for 0.1 s,
then writes and syncs); so a killed process (kill -9) loses at most the rows of its last 0.2 seconds, and the file up to
there parses line by line. A disk that is full or refuses: the rows are kept and tried again every 0.2 seconds, while
newer ones still find room in the queue; rows that find none are dropped and counted
(`fairlead_log_rows_total{result="dropped"}`).
"""

import datetime as dt
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from fairlead_serving.query import Scored

GATHER_SECONDS = 0.1
RETRY_SECONDS = 0.2
MAXIMUM_ROWS = 20_000
OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
logger = logging.getLogger(__name__)


class JsonLinesLog:
    """A file of JSON lines, written by a thread of its own.

    Args:
        path: The file; lines are appended to what is there, after cutting off a torn last line.
        lines: Turns one queued entry into lines.
        count: Called with `written` or `dropped` and a number of rows.
        maximum_rows: How many rows may wait.
    """

    def __init__(
        self,
        path: Path,
        lines: Callable[[Any], Iterator[bytes]],
        count: Callable[[str, int], None],
        maximum_rows: int = MAXIMUM_ROWS,
    ) -> None:
        self.path, self._lines, self._count, self._maximum = path, lines, count, maximum_rows
        self._queue: queue.SimpleQueue[tuple[Any, int] | None] = queue.SimpleQueue()
        self._waiting, self._lock = 0, threading.Lock()
        self._file: int | None = None
        self._closing = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name=f"log {path.name}", daemon=True)
        self._thread.start()

    def offer(self, entry: Any, rows: int = 1) -> bool:
        """Queues an entry; never blocks and never raises.

        Args:
            entry: What `lines` takes.
            rows: How many lines it will make.

        Returns:
            Whether there was room; an entry without room is dropped and counted.
        """
        with self._lock:
            room = self._waiting + rows <= self._maximum and not self._closing.is_set()
            if room:
                self._waiting += rows
                self._queue.put((entry, rows))
        if not room:
            self._count("dropped", rows)
        return room

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Writes what waits, and ends the thread; what cannot be written in time is lost."""
        with self._lock:
            self._closing.set()
            self._queue.put(None)
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while True:
            entries, last = self._gather()
            self._write_or_wait(entries)
            if last:
                break
        if self._file is not None:
            os.close(self._file)

    def _gather(self) -> tuple[list[tuple[Any, int]], bool]:
        entries, first = [], self._queue.get()
        if first is None:
            return [], True
        entries.append(first)
        self._closing.wait(GATHER_SECONDS)
        while not self._queue.empty():
            entry = self._queue.get()
            if entry is None:
                return entries, True
            entries.append(entry)
        return entries, False

    def _write_or_wait(self, entries: list[tuple[Any, int]]) -> None:
        rows = sum(count for _, count in entries)
        if not rows:
            return
        content = b"".join(self._serialize(entry) for entry, _ in entries)
        while not self._write(content):
            if self._closing.wait(RETRY_SECONDS):
                written = self._write(content)
                self._settle(rows, "written" if written else "dropped")
                return
        self._settle(rows, "written")

    def _serialize(self, entry: Any) -> bytes:
        try:
            return b"".join(self._lines(entry))
        except orjson.JSONEncodeError:  # the thread must outlive an entry that JSON cannot hold
            logger.exception("an entry of %s cannot be written as JSON and is left out", self.path)
            return b""

    def _settle(self, rows: int, result: str) -> None:
        with self._lock:
            self._waiting -= rows
        self._count(result, rows)

    def _write(self, content: bytes) -> bool:
        try:
            if self._file is None:
                self._file = _open(self.path)
            _append(self._file, content)
        except OSError as error:
            if not self._failing:
                logger.warning("%s cannot be written (%s); its rows wait for room on the disk", self.path, error)
            self._failing = True
            return False
        self._failing = False
        return True


def _open(path: Path) -> int:
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
    whole = _length_of_whole_lines(file)
    if whole != os.fstat(file).st_size:
        os.ftruncate(file, whole)
    return file


def _length_of_whole_lines(file: int) -> int:
    """Where the last whole line ends; a process that was killed while writing leaves a torn one."""
    end = os.fstat(file).st_size
    while end:
        start = max(0, end - 65536)
        newline = os.pread(file, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _append(file: int, content: bytes) -> None:
    """Appends all of the content and syncs it, or leaves the file as it was and raises OSError."""
    before = os.fstat(file).st_size
    view = memoryview(content)
    try:
        while view:
            view = view[os.write(file, view) :]
        os.fdatasync(file)
    except OSError:
        os.ftruncate(file, before)
        raise


def prediction_lines(digest: str) -> Callable[[Scored], Iterator[bytes]]:
    """Makes the writer of a scored query's lines, one per row.

    A line: request_id, row, digest, time, as_of (ISO 8601), every output of the model, features (the model's inputs;
    null where missing), stale (features that were not fresh), seconds (from arrival to the prediction).
    """

    def lines(scored: Scored) -> Iterator[bytes]:
        query, inputs = scored.query, scored.inputs
        moment = iso(query.received)
        columns = {name: _plain(values) for name, values in inputs.columns.items()}
        outputs = {name: values.tolist() for name, values in scored.outputs.items()}
        for row in range(inputs.rows):
            record = {
                "request_id": query.request_id, "row": row, "digest": digest, "time": moment,
                "as_of": moment if inputs.as_of is None else iso(inputs.as_of[row]),
                **{name: values[row] for name, values in outputs.items()},
                "features": {name: values[row] for name, values in columns.items()},
                "stale": inputs.stale[row] if inputs.stale else [],
                "seconds": round(scored.seconds, 6),
            }  # fmt: skip
            yield orjson.dumps(record, option=OPTIONS)

    return lines


def feedback_lines(feedback: dict[str, Any]) -> Iterator[bytes]:
    """Writes one reported outcome as a line: request_id, row, outcome, time (ISO 8601)."""
    yield orjson.dumps({**feedback, "time": iso(feedback["time"])}, option=OPTIONS)


def iso(seconds: float) -> str:
    """Writes seconds since 1970 as ISO 8601 in UTC."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat()


def _plain(values: Any) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def prepare_folder(path: Path) -> None:
    """Makes the folder of the logs.

    Raises:
        OSError: It cannot be made or written.
    """
    path.mkdir(parents=True, exist_ok=True)
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(f"{path} is not writable")
