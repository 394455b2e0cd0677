"""Where prediction logs lie: in a folder (journals and Parquet), or below an S3 prefix (Parquet)."""

import contextlib
import datetime as dt
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from fairlead.errors import SourceError
from fairlead.objects import Objects
from fairlead_serving.journal import Segment

_SCHEME = "s3://"
_SETTLED_NS = 1_000_000_000  # two changes of a folder may carry the same time; this much later there is no third


@dataclass(frozen=True)
class Part:
    """A Parquet file of the log.

    Attributes:
        segment: What it was made of.
        day: Its partition, YYYY-MM-DD.
        location: Where it is.
        mark: Changes when its content does.
    """

    segment: Segment
    day: str
    location: str
    mark: str


class Place(Protocol):
    """Where a log lies.

    Attributes:
        lateness: How many days before a cursor its place is listed, where listing is dear; None where it is not.
    """

    lateness: dt.timedelta | None

    def journals(self, log: str) -> dict[Segment, Path]:
        """The journals that can be read."""

    def parts(self, log: str, first_day: str = "") -> list[Part]:
        """The Parquet files of a day (YYYY-MM-DD) and later."""

    def read(self, part: Part, columns: list[str] | None = None) -> pa.Table:
        """Reads a Parquet file.

        Raises:
            FileNotFoundError: It was removed meanwhile.
            SourceError: It cannot be read.
        """


def place_of(location: Path | str) -> Place:
    """Tells folders from S3 prefixes.

    Raises:
        ConfigurationError: The settings of the object store are wrong.
    """
    text = str(location)
    return BucketPlace(text.rstrip("/"), Objects.connect()) if text.startswith(_SCHEME) else FolderPlace(Path(location))


class FolderPlace:
    """A folder of journals and partitions.

    Args:
        folder: It need not exist yet.
    """

    lateness: dt.timedelta | None = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._listed: dict[Path, tuple[int, list[Part]]] = {}

    def journals(self, log: str) -> dict[Segment, Path]:
        """The journals that can be read."""
        found = {}
        for path in self.folder.glob(f"{log}-*.jsonl"):
            if segment := Segment.of_journal(path.name):
                found[segment] = path
        return found

    def parts(self, log: str, first_day: str = "") -> list[Part]:
        """The Parquet files of a day and later; folders that have not changed are not listed again."""
        parts: list[Part] = []
        for folder in sorted((self.folder / log).glob("date=*")):
            if folder.name >= f"date={first_day}":
                parts += self._list(log, folder)
        return parts

    def _list(self, log: str, folder: Path) -> list[Part]:
        try:
            changed = folder.stat().st_mtime_ns
            known = self._listed.get(folder)
            if known is None or known[0] != changed:
                known = (changed, list(_folder_parts(log, folder)))
                if time.time_ns() - changed > _SETTLED_NS:
                    self._listed[folder] = known
        except FileNotFoundError:  # retention
            return []
        return known[1]

    def read(self, part: Part, columns: list[str] | None = None) -> pa.Table:
        """Reads a Parquet file."""
        import pyarrow.parquet as pq

        try:
            return pq.read_table(part.location, columns=columns, partitioning=None)
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, FileNotFoundError):
                raise
            raise SourceError(f"{part.location} cannot be read: {error}; move it away, or restore it") from None


def _folder_parts(log: str, folder: Path) -> Iterator[Part]:
    for path in folder.glob("*.parquet"):
        if segment := Segment.of_part(log, path.name):
            yield Part(segment, folder.name.removeprefix("date="), str(path), str(path.stat().st_mtime_ns))


class BucketPlace:
    """Partitions below an S3 prefix; journals stay with the servers until they are published.

    Args:
        prefix: s3://BUCKET/PREFIX.
        objects: The object store.
    """

    lateness: dt.timedelta | None = dt.timedelta(days=2)

    def __init__(self, prefix: str, objects: Objects) -> None:
        self.prefix, self._objects = prefix, objects

    def journals(self, log: str) -> dict[Segment, Path]:
        """None: they are on the servers' own disks."""
        del log
        return {}

    def parts(self, log: str, first_day: str = "") -> list[Part]:
        """The Parquet files of a day and later, listed by day so that an old log costs nothing."""
        prefixes = [f"{self.prefix}/{log}/"]
        if first_day:
            prefixes = [f"{self.prefix}/{log}/date={day}/" for day in _days_since(first_day)]
        return [part for prefix in prefixes for part in self._list(log, prefix)]

    def _list(self, log: str, prefix: str) -> Iterator[Part]:
        for stored in self._objects.list(prefix):
            folder, _, name = stored.uri.rpartition("/")
            day = folder.rpartition("date=")[2]
            if segment := Segment.of_part(log, name):
                yield Part(segment, day, stored.uri, stored.etag)

    def read(self, part: Part, columns: list[str] | None = None) -> pa.Table:
        """Reads a Parquet file."""
        import pyarrow.parquet as pq

        content = self._objects.read_bytes(part.location)
        try:
            return pq.read_table(pa.BufferReader(content), columns=columns)
        except pa.ArrowException as error:
            raise SourceError(f"{part.location} cannot be read: {error}; remove or restore it") from None


def _days_since(first: str) -> list[str]:
    with contextlib.suppress(ValueError):
        begin, today = dt.date.fromisoformat(first), dt.datetime.now(dt.UTC).date()
        # a day more: another machine's clock may be ahead
        return [(begin + dt.timedelta(days=number)).isoformat() for number in range((today - begin).days + 2)]
    return []
