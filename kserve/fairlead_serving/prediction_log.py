"""The prediction log and the feedback log: journals that a background thread writes, and Parquet made of them.

A prediction never waits for the disk. Rows wait in a bounded queue (20,000 rows and 64 MiB); one thread takes them,
writes them and asks the disk to keep them. On a healthy disk a row is on it within 0.2 seconds of its prediction (the
thread gathers for 0.1 s, then writes and syncs); so a killed process (kill -9) loses at most the rows of its last 0.2
seconds, and the journal up to there parses line by line. A disk that is full or refuses: the rows are kept and tried
again every 0.2 seconds, while newer ones still find room in the queue; rows that find none are dropped and counted
(`fairlead_log_rows_total{result="dropped"}`). A disk that hangs does the same.

Another thread makes Parquet of journals (see `partitions`), of this process and of those that died.
"""

import datetime as dt
import logging
import os
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count as count_up
from pathlib import Path
from typing import Any

import orjson

from fairlead_serving.journal import Segment, append, open_journal
from fairlead_serving.log_lines import OPTIONS, Format
from fairlead_serving.log_schema import LogSchema

GATHER_SECONDS = 0.1
RETRY_SECONDS = 0.2
MAXIMUM_ROWS = 20_000
MAXIMUM_BYTES = 64 << 20
PIECE_BYTES = 64 << 10
JOURNAL_BYTES = 16 << 20
JOURNAL_SECONDS = 300.0
Count = Callable[[str, int], None]
logger = logging.getLogger(__name__)


class Journals:
    """The journals of one writer, one after the other.

    Args:
        folder: Where they lie.
        stem: The writer's own mark, with the model's version before it.
        schema: Gives their first line.
        most_bytes: A journal that has grown so large is closed.
        most_seconds: One that is so old is closed.
    """

    def __init__(
        self, folder: Path, stem: str, schema: Callable[[], LogSchema], *, most_bytes: int = JOURNAL_BYTES,
        most_seconds: float = JOURNAL_SECONDS,
    ) -> None:  # fmt: skip
        self.folder, self.stem, self._schema = folder, stem, schema
        self._most_bytes, self._most_seconds = most_bytes, most_seconds
        self._number, self._file = 0, -1
        self._opened, self._day = 0.0, ""

    @property
    def seconds_left(self) -> float | None:
        """For how long the open journal may stay open; None where none is."""
        return max(0.0, self._opened + self._most_seconds - time.monotonic()) if self._file >= 0 else None

    def append(self, content: bytes) -> None:
        """Writes whole lines and asks the disk to keep them.

        Raises:
            OSError: The disk refuses; nothing of the content is in the journal.
        """
        if self._file >= 0 and not os.fstat(self._file).st_nlink:  # somebody removed it
            self.close()
        if self._file < 0:
            self._open()
        append(self._file, content)
        if os.fstat(self._file).st_size >= self._most_bytes or _today() != self._day:
            self.close()

    def close_old(self) -> None:
        """Closes the open journal where it is old enough."""
        if self.seconds_left == 0.0:
            self.close()

    def close(self) -> None:
        """Closes the open journal, which thereby may become Parquet."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        schema = self._schema()
        segment = Segment(schema.log, self.stem, self._number + 1)
        head = orjson.dumps(schema.to_json(), option=OPTIONS)
        self._file = open_journal(self.folder / segment.journal, head)
        self._number, self._opened, self._day = segment.number, time.monotonic(), _today()


class JsonLinesLog:
    """A log that is written by a thread of its own.

    Args:
        journals: Where its lines go.
        form: Turns entries into lines.
        count: Called with `written` or `dropped` and a number of rows.
        maximum_rows: How many rows may wait.
        maximum_bytes: How many bytes they may take.
    """

    def __init__(
        self, journals: Journals, form: Format, count: Count, maximum_rows: int = MAXIMUM_ROWS,
        maximum_bytes: int = MAXIMUM_BYTES,
    ) -> None:  # fmt: skip
        self._journals, self._form, self._count = journals, form, count
        self._most = (maximum_rows, maximum_bytes)
        self._queue: queue.SimpleQueue[tuple[Any, int, int] | None] = queue.SimpleQueue()
        self._rows, self._bytes, self._lock = 0, 0, threading.Lock()
        self._closing = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name=f"log {journals.stem}", daemon=True)
        self._thread.start()

    def offer(self, entry: Any, rows: int = 1) -> bool:
        """Queues an entry; never blocks and never raises.

        Args:
            entry: What the form writes.
            rows: How many lines it will make.

        Returns:
            Whether there was room; an entry without room is dropped and counted.
        """
        size = self._form.weigh(entry, rows)
        with self._lock:
            room = self._rows + rows <= self._most[0] and self._bytes + size <= self._most[1]
            room = room and not self._closing.is_set()
            if room:
                self._rows += rows
                self._bytes += size
                self._queue.put((entry, rows, size))
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
        last = False
        while not last:
            entries, last = self._gather()
            self._write_or_wait(entries)
            self._journals.close_old()
        self._journals.close()

    def _gather(self) -> tuple[list[tuple[Any, int, int]], bool]:
        try:
            first = self._queue.get(timeout=self._journals.seconds_left)
        except queue.Empty:
            return [], False
        if first is None:
            return [], True
        entries = [first]
        self._closing.wait(GATHER_SECONDS)
        while not self._queue.empty():
            entry = self._queue.get()
            if entry is None:
                return entries, True
            entries.append(entry)
        return entries, False

    def _write_or_wait(self, entries: list[tuple[Any, int, int]]) -> None:
        """Writes entries in pieces, of which a disk that is nearly full takes as many as it has room for."""
        lines = [(self._serialize(entry), rows, size) for entry, rows, size in entries]
        entries.clear()  # the lines are enough; what they were made of need not wait
        piece, rows, size = bytearray(), 0, 0
        for content, more_rows, more_size in lines:
            if piece and len(piece) + len(content) > PIECE_BYTES:
                self._write_piece(bytes(piece), rows, size)
                piece, rows, size = bytearray(), 0, 0
            piece += content
            rows, size = rows + more_rows, size + more_size
        if rows:
            self._write_piece(bytes(piece), rows, size)

    def _write_piece(self, content: bytes, rows: int, size: int) -> None:
        while not self._write(content):
            if self._closing.wait(RETRY_SECONDS):
                self._settle(rows, size, "written" if self._write(content) else "dropped")
                return
        self._settle(rows, size, "written")

    def _serialize(self, entry: Any) -> bytes:
        try:
            return b"".join(self._form.lines(entry))
        except orjson.JSONEncodeError:  # the thread must outlive an entry that JSON cannot hold
            logger.exception("an entry of the log %s cannot be written as JSON and is left out", self._journals.stem)
            return b""

    def _settle(self, rows: int, size: int, result: str) -> None:
        with self._lock:
            self._rows -= rows
            self._bytes -= size
        self._count(result, rows)

    def _write(self, content: bytes) -> bool:
        try:
            self._journals.append(content)
        except OSError as error:
            if not self._failing:
                folder = self._journals.folder
                logger.warning("%s cannot be written (%s); its rows wait for room on the disk", folder, error)
            self._failing = True
            return False
        self._failing = False
        return True


@dataclass(frozen=True)
class Writer:
    """A process as the writer of journals.

    Attributes:
        folder: Where they lie.
        mark: Its own: the time of its start, so that names sort, and some letters that no other has.
        most_seconds: How old a journal may become.
    """

    folder: Path
    mark: str
    most_seconds: float = JOURNAL_SECONDS
    _opened: Iterator[int] = field(default_factory=count_up)

    @classmethod
    def start(cls, folder: Path, most_seconds: float = JOURNAL_SECONDS) -> "Writer":
        """Makes the folder and a new writer for it.

        Raises:
            OSError: The folder cannot be made or written.
        """
        prepare_folder(folder)
        moment = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S")
        return cls(folder, f"{moment}{secrets.token_hex(4)}", most_seconds)

    def open(self, form: Format, count: Count, version: str = "") -> JsonLinesLog:
        """Opens a log.

        Args:
            form: How entries become lines.
            count: Called with `written` or `dropped` and a number of rows.
            version: The model's short digest.
        """
        mark = f"{self.mark}{next(self._opened):03d}"  # a model that is loaded again begins new journals
        stem = f"{version}-{mark}" if version else mark
        journals = Journals(self.folder, stem, lambda: form.schema, most_seconds=self.most_seconds)
        return JsonLinesLog(journals, form, count)


def _today() -> str:
    return dt.datetime.now(dt.UTC).date().isoformat()


def prepare_folder(path: Path) -> None:
    """Makes the folder of the logs.

    Raises:
        OSError: It cannot be made or written.
    """
    path.mkdir(parents=True, exist_ok=True)
    if not os.access(path, os.W_OK | os.X_OK):
        raise PermissionError(f"{path} is not writable")
