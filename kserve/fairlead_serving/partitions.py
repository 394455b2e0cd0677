"""Makes Parquet partitions of journals, in the logs' folder or below an S3 prefix.

    predictions/date=YYYY-MM-DD/{version}-{writer}-{number}.parquet      feedback/date=YYYY-MM-DD/…

A journal that nobody writes any more, because it was full, or old, or because its process died, becomes one Parquet
file per day of its rows; then it is removed. The files' names follow from the journal's, so that a process that is
killed in between leaves nothing twice: whoever comes next writes the same files again. Readers take a journal that is
still there, and not its files. To S3 an open journal is published too, every five seconds that bring new rows, each
time whole and under the same name, until it is closed after a minute.

All of this happens in one thread, most of it outside the interpreter's lock. What cannot be published stays in its
journal and is tried again. Where S3 stays away, journals wait on the local disk up to `spool_bytes`; beyond that the
oldest are removed and their rows counted as dropped.
"""

import datetime as dt
import io
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fairlead_serving.bucket import Bucket, BucketError
from fairlead_serving.journal import LOGS, Segment, left_behind, read_journal

FOLDER_SECONDS, BUCKET_SECONDS = 30.0, 5.0
BUCKET_JOURNAL_SECONDS = 60.0
RETENTION_SECONDS = 3600.0
SPOOL_BYTES = 1 << 30
_DAY = "date="
logger = logging.getLogger(__name__)


class Target(Protocol):
    """Where Parquet files go."""

    def put(self, key: str, content: bytes) -> None:
        """Writes a file whole, replacing what was there.

        Raises:
            OSError: The disk refuses.
            BucketError: The bucket does not answer, or refuses.
        """

    def forget(self, log: str, first_day: str) -> None:
        """Removes the partitions before a day (YYYY-MM-DD); errors as above."""


class FolderTarget:
    """A folder of partitions."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, key: str, content: bytes) -> None:
        """Writes a file whole."""
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with draft.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            draft.replace(path)
            _sync_folder(path.parent)
        finally:
            draft.unlink(missing_ok=True)

    def forget(self, log: str, first_day: str) -> None:
        """Removes the partitions before a day."""
        for folder in (self._folder / log).glob(f"{_DAY}*"):
            if folder.name < _DAY + first_day:
                for file in folder.glob("*.parquet"):
                    file.unlink(missing_ok=True)
                folder.rmdir()


class BucketTarget:
    """Partitions below an S3 prefix."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def put(self, key: str, content: bytes) -> None:
        """Writes an object."""
        self._bucket.put(key, content)

    def forget(self, log: str, first_day: str) -> None:
        """Removes the partitions before a day."""
        for folder in self._bucket.list(f"{log}/{_DAY}"):
            if folder.split("/")[1] < _DAY + first_day:
                for key in self._bucket.list(folder, recursive=True):
                    self._bucket.remove(key)


class Publisher:
    """Makes Parquet of a folder's journals, now and then, in a thread of its own.

    Args:
        folder: The folder of the journals; several processes may share it.
        target: Where the Parquet goes.
        count: Called with a log, `dropped` and a number of rows that had to be given up.
        note: Called with a log and `published` or `failed` for each journal that was to be published.
        every_seconds: How often.
        mark: Of a writer whose open journals are published as they grow; empty for none.
        days: How many days of partitions are kept; 0 for all.
        spool_bytes: How much the journals may take on the local disk; 0 for no limit.
    """

    def __init__(
        self, folder: Path, target: Target, count: Callable[[str, str, int], None],
        note: Callable[[str, str], None], *, every_seconds: float = FOLDER_SECONDS, mark: str = "", days: int = 0,
        spool_bytes: int = 0,
    ) -> None:  # fmt: skip
        self._folder, self._target, self._count, self._note = folder, target, count, note
        self._every, self._mark, self._days, self._spool = every_seconds, mark, days, spool_bytes
        self._published: dict[Path, int] = {}  # bytes of open journals that were published
        self._failing, self._forgotten = False, -RETENTION_SECONDS
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publish", daemon=True)
        self._thread.start()

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Publishes what is closed, once more, and ends the thread; what is not published in time stays a journal."""
        self._closing.set()
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while True:
            last = self._closing.is_set()
            self.pass_once()
            if last:
                return
            self._closing.wait(self._every)

    def pass_once(self) -> None:
        """Publishes what there is to publish; whatever fails is logged and tried again at the next pass."""
        try:
            for segment, path in self._journals():
                self._publish_or_leave(segment, path)
            self._forget_old()
            self._failing = False
        except (OSError, BucketError) as error:
            if not self._failing:
                logger.warning("predictions of %s cannot be published (%s); they wait in journals", self._folder, error)
            self._failing = True
        try:
            self._keep_within_spool()
        except OSError:  # the folder is away as well; there is nothing to remove
            logger.debug("journals of %s cannot be listed", self._folder)

    def _journals(self) -> list[tuple[Segment, Path]]:
        found = [(Segment.of_journal(path.name), path) for log in LOGS for path in self._folder.glob(f"{log}-*.jsonl")]
        return sorted((segment, path) for segment, path in found if segment is not None and segment.own)

    def _publish_or_leave(self, segment: Segment, path: Path) -> None:
        with left_behind(path) as free:
            if free:
                self._finish(segment, path)
            elif self._mark and self._mark in segment.stem and _size(path) > self._published.get(path, 0):
                self._published[path] = self._publish(segment, path)

    def _finish(self, segment: Segment, path: Path) -> None:
        """Publishes a journal for the last time; one of which no Parquet can be made must not hold up the others."""
        self._published.pop(path, None)
        try:
            self._publish(segment, path)
        except pa.ArrowException:
            logger.exception("%s is set aside: no Parquet can be made of it", path)
            self._note(segment.log, "failed")
            path.rename(path.with_suffix(".unreadable"))
            return
        path.unlink()

    def _publish(self, segment: Segment, path: Path) -> int:
        """Publishes a journal's rows; gives the byte up to which it was read."""
        try:
            stretch = read_journal(path)
            for day, rows in by_day(stretch.table):
                self._target.put(segment.part(day), parquet_bytes(rows))
        except (OSError, BucketError):
            self._note(segment.log, "failed")
            raise
        self._note(segment.log, "published")
        return stretch.end

    def _forget_old(self) -> None:
        if not self._days or time.monotonic() - self._forgotten < RETENTION_SECONDS:
            return
        first = (dt.datetime.now(dt.UTC).date() - dt.timedelta(days=self._days)).isoformat()
        for log in LOGS:
            self._target.forget(log, first)
        self._forgotten = time.monotonic()

    def _keep_within_spool(self) -> None:
        """Removes the oldest closed journals where all of them take more room than they may."""
        journals = self._journals()
        total = sum(_size(path) for _, path in journals)
        for segment, path in sorted(journals, key=lambda entry: _age(entry[1])):
            if not self._spool or total <= self._spool:
                return
            with left_behind(path) as free:
                if free:
                    total -= _size(path)
                    rows = _count_rows(path)
                    path.unlink()
                    self._count(segment.log, "dropped", rows)


def by_day(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Parts a table by the day of its `time`; a row without one counts as of the epoch."""
    if not table.num_rows:
        return
    days = pc.strftime(pc.fill_null(table["time"], pa.scalar(0, table["time"].type)), format="%Y-%m-%d")
    for day in pc.unique(days).to_pylist():
        yield day, table.filter(pc.equal(days, day))


def parquet_bytes(table: pa.Table) -> bytes:
    """Writes a table as Parquet."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", coerce_timestamps="us")
    return sink.getvalue()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _age(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _count_rows(path: Path) -> int:
    with path.open("rb") as stream:
        return max(0, sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(1 << 20), b"")) - 1)


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
