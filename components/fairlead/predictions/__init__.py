"""Reads prediction logs and feedback: what was predicted from which features, and what became of it.

    log = PredictionLog.open(settings().predictions_home("flights"))   # or "s3://BUCKET/PREFIX"
    everything, cursor = log.predictions()
    new, cursor = log.predictions(cursor)       # what came in since
    log.find("3f2a…")                           # the rows of one request
    log.joined(Period(since=yesterday)).table   # with their outcomes

The columns are those of `fairlead_serving.log_schema`. A cursor is plain JSON and may be used by another process. It
names, for each writer, the journal and the position in it; a journal that became Parquet meanwhile keeps its positions,
so that no row is given twice and none is left out. An S3 prefix is listed from two days before the cursor was made:
what a server publishes later than that is given to readers that begin anew, and to `find` and `joined`.
"""

import contextlib
import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fairlead.predictions.join import Joined, join, together
from fairlead.predictions.places import Part, Place, place_of
from fairlead_serving.journal import Segment, read_journal
from fairlead_serving.log_schema import POSITION

__all__ = ["Cursor", "Joined", "Period", "PredictionLog"]

Cursor = Mapping[str, Any]
"""Up to where a log was read: plain JSON, opaque to whoever keeps it."""

MOST_ROWS = 1_000_000
_WRITERS, _SINCE = "writers", "since"
_Entry = tuple[Segment, Path | None, list[Part]]


@dataclass(frozen=True)
class Period:
    """A stretch of time.

    Attributes:
        since: Its begin; None for the log's own.
        until: Its end, which is no part of it; None for now.
    """

    since: dt.datetime | None = None
    until: dt.datetime | None = None

    @property
    def first_day(self) -> str:
        """The first partition that it can touch; empty for all."""
        return self.since.astimezone(dt.UTC).date().isoformat() if self.since else ""

    def of(self, table: pa.Table) -> pa.Table:
        """The rows whose `time` lies in it."""
        for moment, compare in ((self.since, pc.greater_equal), (self.until, pc.less)):
            if moment is not None and table.num_rows:
                bound = pa.scalar(moment.astimezone(dt.UTC), pa.timestamp("us", tz="UTC"))
                table = table.filter(compare(table["time"], bound))
        return table


class PredictionLog:
    """The prediction and feedback logs of one service.

    Args:
        place: Where they lie; `open` finds it.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._finished: dict[Segment, tuple[str, int]] = {}  # marks and position of what was read to its end

    @classmethod
    def open(cls, location: Path | str) -> "PredictionLog":
        """Opens a log; it need not have any row yet.

        Args:
            location: The servers' `--predictions`: a folder, or s3://BUCKET/PREFIX.

        Raises:
            ConfigurationError: The settings of the object store are wrong.
        """
        return cls(place_of(location))

    def predictions(self, since: Cursor | None = None, *, most_rows: int = MOST_ROWS) -> tuple[pa.Table, Cursor]:
        """Reads the predictions that were logged since a cursor.

        Args:
            since: Where an earlier reading ended; None for the log's begin.
            most_rows: About how many rows are given at most; the cursor leads to the others.

        Returns:
            (N rows) in the order in which each server wrote them, and the next cursor.

        Raises:
            SourceError: The log cannot be read.
        """
        return self._read("predictions", since, most_rows)

    def feedback(self, since: Cursor | None = None, *, most_rows: int = MOST_ROWS) -> tuple[pa.Table, Cursor]:
        """Reads the outcomes that were reported since a cursor; like `predictions`."""
        return self._read("feedback", since, most_rows)

    def end(self, log: str = "predictions") -> Cursor:
        """Gives the cursor of now: what was logged before does not count.

        Args:
            log: `predictions` or `feedback`.

        Raises:
            SourceError: The log cannot be read.
        """
        newest: dict[str, tuple[Segment, Path | None, list[Part]]] = {}
        for entry in sorted(self._segments(log), key=lambda entry: entry[0]):
            newest[entry[0].stem] = entry
        writers = {stem: [entry[0].number, *self._read_segment(*entry, 0, 0)[1:]] for stem, entry in newest.items()}
        return {_WRITERS: writers, _SINCE: self._recent()}

    def find(self, request_id: str) -> pa.Table:
        """Finds the predictions of a request, of all versions that answered it.

        Returns:
            (N rows); none where the log does not have it.

        Raises:
            SourceError: The log cannot be read.
        """
        return together(self._with_id("predictions", request_id))

    def outcomes_of(self, request_id: str) -> pa.Table:
        """Finds the outcomes that were reported for a request, the earliest first.

        Raises:
            SourceError: The log cannot be read.
        """
        found = together(self._with_id("feedback", request_id))
        return found.sort_by("time") if found.num_rows else found

    def joined(self, period: Period | None = None) -> Joined:
        """Joins the predictions of a period with all feedback that has come in since.

        Args:
            period: Of the predictions' times; None for the whole log.

        Raises:
            SourceError: The log cannot be read.
        """
        chosen = period or Period()
        predictions = together(chosen.of(table) for table in self._all("predictions", chosen.first_day))
        feedback = together(self._all("feedback", chosen.first_day))
        return join(predictions, feedback, self._all("predictions", "", ["request_id"]) if period else ())

    def request_ids(self) -> Iterator[pa.Array]:
        """Gives the request ids of all predictions that are kept, file by file.

        Raises:
            SourceError: The log cannot be read.
        """
        for table in self._all("predictions", "", ["request_id"]):
            if table.num_rows:
                yield table["request_id"].combine_chunks()

    def begins(self) -> dt.datetime | None:
        """When the oldest prediction that is kept was made; None of an empty log.

        Raises:
            SourceError: The log cannot be read.
        """
        parts = self._place.parts("predictions")
        first_day = min((part.day for part in parts), default="")
        tables = [self._place.read(part, ["time"]) for part in parts if part.day == first_day]
        tables += [read_journal(path).table for path in self._place.journals("predictions").values()]
        times = [pc.min(table["time"]).as_py() for table in tables if table.num_rows]
        return min((time for time in times if time is not None), default=None)

    def _recent(self) -> str:
        """From which day on a place is listed that is dear to list; empty of others."""
        late = self._place.lateness
        return (dt.datetime.now(dt.UTC).date() - late).isoformat() if late else ""

    def _read(self, log: str, since: Cursor | None, most_rows: int) -> tuple[pa.Table, Cursor]:
        first_day = str((since or {}).get(_SINCE, ""))
        writers = {stem: list(place) for stem, place in (since or {}).get(_WRITERS, {}).items()}
        tables: list[pa.Table] = []
        rows = 0
        for segment, journal, parts in sorted(self._segments(log, first_day), key=lambda entry: entry[0]):
            number, position, start = writers.get(segment.stem, [0, 0, 0])
            if segment.number < number or rows >= most_rows:
                continue
            begin = (position, start) if segment.number == number else (0, 0)
            table, position, start = self._read_segment(segment, journal, parts, *begin)
            writers[segment.stem] = [segment.number, position, start]
            tables.append(table)
            rows += table.num_rows
        return together(tables), {_WRITERS: writers, _SINCE: first_day if rows >= most_rows else self._recent()}

    def _segments(self, log: str, first_day: str = "") -> list[_Entry]:
        """All segments; a journal that is there counts alone, because its Parquet may not be whole yet."""
        journals = self._place.journals(log)  # first: a journal goes only when its Parquet is there
        parts: dict[Segment, list[Part]] = {}
        for part in self._place.parts(log, first_day):
            if part.segment not in journals:
                parts.setdefault(part.segment, []).append(part)
        return [*((one, path, []) for one, path in journals.items()), *((one, None, own) for one, own in parts.items())]

    def _read_segment(
        self, segment: Segment, journal: Path | None, parts: list[Part], position: int, start: int
    ) -> tuple[pa.Table, int, int]:
        """Reads a segment from a position on; gives its rows, and the position and the byte after them."""
        if journal is not None:
            try:
                if start and journal.stat().st_size <= start:
                    return pa.table({}), position, start
                stretch = read_journal(journal, position, start)
            except FileNotFoundError:
                parts = [part for part in self._place.parts(segment.log) if part.segment == segment]
            else:
                return stretch.table, stretch.rows, stretch.end
        marks = ",".join(part.mark for part in parts)
        if self._finished.get(segment) == (marks, position):
            return pa.table({}), position, 0
        table = together(self._rows_from(part, position) for part in parts)
        if table.num_rows:
            table = table.sort_by(POSITION)
            position = table[POSITION][-1].as_py() + 1
        self._finished[segment] = (marks, position)
        return table, position, 0

    def _rows_from(self, part: Part, position: int) -> pa.Table:
        try:
            table = self._place.read(part)
        except FileNotFoundError:  # retention
            return pa.table({})
        return table.filter(pc.greater_equal(table[POSITION], position)) if position else table

    def _all(self, log: str, first_day: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
        for segment, journal, parts in self._segments(log, first_day):
            if journal is not None:
                yield self._read_segment(segment, journal, parts, 0, 0)[0]
            for part in parts:
                with contextlib.suppress(FileNotFoundError):  # retention
                    yield self._place.read(part, columns)

    def _with_id(self, log: str, request_id: str) -> Iterator[pa.Table]:
        for segment, journal, parts in self._segments(log):
            if journal is not None and _mentions(journal, request_id):
                table = self._read_segment(segment, journal, parts, 0, 0)[0]
                yield table.filter(pc.equal(table["request_id"], request_id))
            for part in parts:
                with contextlib.suppress(FileNotFoundError):  # retention
                    ids = self._place.read(part, ["request_id"])["request_id"]
                    if pc.any(pc.equal(ids, request_id)).as_py():
                        table = self._place.read(part)
                        yield table.filter(pc.equal(table["request_id"], request_id))


def _mentions(journal: Path, request_id: str) -> bool:
    """Whether a journal may hold a request; True also where it has just become Parquet."""
    try:
        return json.dumps(request_id).encode() in journal.read_bytes()
    except FileNotFoundError:
        return True
