"""Journals: files of JSON lines that one process appends to, until their rows lie in Parquet.

A journal's name says what it is and in which order it was written:

    predictions-{version}-{writer}-{number}.jsonl     feedback-{writer}-{number}.jsonl

`version` is the short digest, `writer` a process's own mark (it begins with its starting time), `number` counts up.
Names without a number are those of other servers; they are read, and left alone. The first line of a journal is its
schema. The process that writes a journal holds a lock on it (flock), which the kernel drops with the process: a journal
that can be locked was left behind.
"""

import contextlib
import fcntl
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from fairlead_serving.log_schema import LogSchema, flatten, guess_schema, table_of_entries

LOGS = ("predictions", "feedback")
_NAME = re.compile(r"(predictions|feedback)-(.+)-([0-9]{6})\.jsonl")
_FOREIGN = re.compile(r"(predictions|feedback)-(.+)\.jsonl")
_BLOCK = 4 << 20  # bytes that Arrow's JSON reader takes at once; a line must fit in


@dataclass(frozen=True, order=True)
class Segment:
    """One journal, or the Parquet files made of it.

    Attributes:
        log: `predictions` or `feedback`.
        stem: Version and writer.
        number: Which one of that writer, from 1; 0 of other servers' journals.
    """

    log: str
    stem: str
    number: int

    @property
    def own(self) -> bool:
        """Whether it was written by this server, and may be compacted."""
        return self.number > 0

    @property
    def journal(self) -> str:
        """The name of its journal."""
        return f"{self.log}-{self.stem}-{self.number:06d}.jsonl" if self.own else f"{self.log}-{self.stem}.jsonl"

    def part(self, day: str) -> str:
        """The path of its rows of one day, below the folder or the prefix of the logs.

        Args:
            day: YYYY-MM-DD, in UTC.
        """
        return f"{self.log}/date={day}/{self.stem}-{self.number:06d}.parquet"

    @classmethod
    def of_journal(cls, name: str) -> "Segment | None":
        """Reads a journal's name."""
        if found := _NAME.fullmatch(name):
            return cls(found[1], found[2], int(found[3]))
        found = _FOREIGN.fullmatch(name)
        return cls(found[1], found[2], 0) if found else None

    @classmethod
    def of_part(cls, log: str, name: str) -> "Segment | None":
        """Reads a Parquet file's name."""
        found = re.fullmatch(r"(.+)-([0-9]{6})\.parquet", name)
        return cls(log, found[1], int(found[2])) if found else None


def open_journal(path: Path, head: bytes) -> int:
    """Makes a journal that exists from the start with its first line and its lock.

    Returns:
        The file descriptor.

    Raises:
        OSError: It cannot be made or written.
    """
    draft = path.with_suffix(".new")
    file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        append(file, head)
        draft.rename(path)  # the lock is the file's, not the name's
    except OSError:
        os.close(file)
        with contextlib.suppress(OSError):
            draft.unlink()
        raise
    return file


def append(file: int, content: bytes) -> None:
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


@contextlib.contextmanager
def left_behind(path: Path) -> Iterator[bool]:
    """Says whether a journal's process is gone, and keeps everybody else from taking the journal meanwhile."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except OSError:
            free = False
        yield free and path.exists()
    finally:
        os.close(file)


@dataclass(frozen=True)
class Stretch:
    """Some whole lines of a journal.

    Attributes:
        table: The rows, in the columns of the log.
        rows: The position after the last one.
        end: The byte after the last one.
    """

    table: pa.Table
    rows: int
    end: int


def read_journal(path: Path, rows: int = 0, start: int = 0, most_bytes: int = 1 << 30) -> Stretch:
    """Reads the whole lines of a journal from a position on.

    Args:
        path: The journal.
        rows: The position of the first row to give.
        start: The byte at which it begins, as an earlier stretch ended; 0 where only the position is known.
        most_bytes: No more lines are read than begin within so many bytes.

    Raises:
        OSError: It cannot be read; FileNotFoundError where its rows have just become Parquet.
    """
    segment = Segment.of_journal(path.name)
    log = segment.log if segment else "predictions"
    with path.open("rb") as stream:
        first = stream.readline()
        schema = _read_head(first)
        begin = len(first) if schema else 0
        stream.seek(max(start, begin))
        content = stream.read(most_bytes)
    content = content[: content.rfind(b"\n") + 1]
    end = max(start, begin) + len(content)
    known = rows if start > begin else 0  # the position at which the content begins
    table = parse_lines(log, schema, content, known)
    skip = max(0, rows - known)
    return Stretch(table.slice(skip) if skip else table, known + content.count(b"\n"), end)


def parse_lines(log: str, schema: LogSchema | None, content: bytes, first: int) -> pa.Table:
    """Turns whole lines into the columns of the log; those that are no JSON are left out.

    Args:
        log: `predictions` or `feedback`.
        schema: The journal's, where its first line says it.
        content: The lines.
        first: The position of the first one.
    """
    if schema is not None and content:
        with contextlib.suppress(pa.ArrowInvalid):  # a line that a broken disk garbled: the slow way skips it
            return flatten(schema, _parse(schema, content), first)
    entries = list(_entries(content, first))
    return table_of_entries(schema or guess_schema(log, [entry for _, entry in entries]), entries)


def _parse(schema: LogSchema, content: bytes) -> pa.Table:
    """Parses with Arrow, which leaves the interpreter to others meanwhile."""
    from pyarrow import json as arrow_json

    table = arrow_json.read_json(
        pa.BufferReader(content),
        read_options=arrow_json.ReadOptions(use_threads=False, block_size=_BLOCK),
        parse_options=arrow_json.ParseOptions(explicit_schema=schema.lines, unexpected_field_behavior="ignore"),
    )
    if table.num_rows != content.count(b"\n"):
        raise pa.ArrowInvalid("lines and rows differ in number")
    return table.select(schema.lines.names)


def _entries(content: bytes, first: int) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(content.split(b"\n")[:-1], first):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield number, entry


def _read_head(line: bytes) -> LogSchema | None:
    if not line.startswith(b'{"fairlead":'):
        return None
    try:
        return LogSchema.from_json(json.loads(line))
    except (ValueError, TypeError):
        return None
