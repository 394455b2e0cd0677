"""Datasets as they pass between components: a folder of Parquet files and a manifest, `dataset.json`."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead import atomic
from fairlead.errors import DataError, SchemaError, SourceError, nearest

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as pads

MANIFEST = "dataset.json"
TIMESTAMP = "timestamp[us, tz=UTC]"
ROWS_PER_FILE = 4_000_000
_FORMAT = 1


@dataclass(frozen=True)
class DatasetManifest:
    """What a dataset is.

    Attributes:
        name: The name that SQL and reports know it by.
        columns: Column name to Arrow type name, in order.
        row_count: Rows in all files together.
        digest: `sha256:` and the digest of the rows' values in order; files' sizes and compression do not matter.
        source: Where it came from.
        licence: Its terms, or `not stated`.
        time_column: The column that orders it in time, if any.
        time_range: Earliest and latest time (ISO 8601, UTC), if there is a time column and a row.
    """

    name: str
    columns: dict[str, str]
    row_count: int
    digest: str
    source: str
    licence: str = "not stated"
    time_column: str | None = None
    time_range: list[str] | None = None

    def metadata(self) -> dict[str, str | int]:
        """The manifest as flat values, for a KFP artifact's metadata."""
        start, end = self.time_range or ["", ""]
        return {
            "name": self.name, "rows": self.row_count, "columns": len(self.columns), "digest": self.digest,
            "source": self.source, "licence": self.licence, "from": start, "until": end,
        }  # fmt: skip


class _Digest:
    """A digest of rows that does not depend on how they were cut into batches."""

    def __init__(self, schema: "pa.Schema") -> None:
        self._columns = [hashlib.sha256(f"{f.name}\0{f.type}".encode()) for f in schema]

    def add(self, batch: "pa.RecordBatch") -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        for hasher, column in zip(self._columns, batch.columns, strict=True):
            plain = column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column
            hasher.update(pc.is_valid(plain).to_numpy(zero_copy_only=False).tobytes())
            hasher.update(_value_bytes(plain))

    def hexdigest(self) -> str:
        return hashlib.sha256(b"".join(h.digest() for h in self._columns)).hexdigest()


def _value_bytes(column: "pa.Array") -> bytes:
    """The values of one column chunk as bytes, equal for equal values, nulls filled."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind):
        lengths = pc.fill_null(pc.binary_length(column), 0).cast(pa.int64())
        return bytes(lengths.to_numpy().tobytes()) + _text_bytes(column.drop_null().cast(pa.large_binary()))
    if pa.types.is_temporal(kind):
        column = column.cast(pa.int32() if kind.bit_width == 32 else pa.int64())  # noqa: PLR2004 (bits)
    if pa.types.is_nested(column.type):
        return json.dumps(column.to_pylist(), default=str).encode()
    filled = pc.fill_null(column, False if pa.types.is_boolean(column.type) else 0)
    return bytes(filled.to_numpy(zero_copy_only=False).tobytes())


def _text_bytes(column: "pa.Array") -> bytes:
    """The texts of a column without nulls, one after another, straight from its buffer."""
    if len(column) == 0:
        return b""
    _, offsets, texts = column.buffers()
    ends = memoryview(offsets).cast("q")
    start, stop = ends[column.offset], ends[column.offset + len(column)]
    return bytes(memoryview(texts)[start:stop]) if texts is not None else b""


def write_dataset(
    path: Path | str,
    batches: "Iterable[pa.RecordBatch | pa.Table]",
    schema: "pa.Schema",
    *,
    name: str,
    source: str,
    licence: str = "not stated",
    time_column: str | None = None,
) -> DatasetManifest:
    """Writes a dataset, streaming; it appears whole or not at all.

    Args:
        path: The folder to make; a dataset that stood there is replaced.
        batches: Rows in order, in pieces that fit in memory.
        schema: Their schema; timestamps are `timestamp[us, tz=UTC]`.
        name: The dataset's name.
        source: Where it came from.
        licence: Its terms.
        time_column: The timestamp column whose range the manifest tells.

    Returns:
        The manifest as written.

    Raises:
        SchemaError: The time column is absent or no timestamp in UTC.
        DataError: There are no rows.
        OSError: The file system refuses, for instance because it is full.
    """
    _check_time_column(schema, time_column)
    with atomic.directory(path) as folder:
        digest, rows, span = _write_files(folder, batches, schema, time_column)
        if rows == 0:
            raise DataError(f"dataset {name!r} from {source} has no rows; give a source with at least one")
        columns = {field.name: str(field.type) for field in schema}
        manifest = DatasetManifest(name, columns, rows, digest, source, licence, time_column, span)
        atomic.write_json(folder / MANIFEST, {"format": _FORMAT, **asdict(manifest)})
    return manifest


def _write_files(
    folder: Path, batches: "Iterable[pa.RecordBatch | pa.Table]", schema: "pa.Schema", time_column: str | None
) -> tuple[str, int, list[str] | None]:
    import pyarrow.parquet as pq

    digest, rows, span = _Digest(schema), 0, _Span(time_column)
    writer, room, number = None, 0, 0
    try:
        for batch in _as_batches(batches, schema):
            if room <= 0:
                if writer is not None:
                    writer.close()
                writer = pq.ParquetWriter(folder / f"part-{number:05d}.parquet", schema, compression="zstd")
                room, number = ROWS_PER_FILE, number + 1
            writer.write_batch(batch)  # type: ignore[union-attr]
            digest.add(batch)
            span.add(batch)
            rows, room = rows + batch.num_rows, room - batch.num_rows
    finally:
        if writer is not None:
            writer.close()
    return f"sha256:{digest.hexdigest()}", rows, span.iso()


def _as_batches(batches: "Iterable[pa.RecordBatch | pa.Table]", schema: "pa.Schema") -> "Iterator[pa.RecordBatch]":
    """Batches of one size, whatever came, so that the digest depends on the rows alone."""
    import pyarrow as pa

    waiting, size, rows = [], 0, _batch_rows(schema)
    for piece in batches:
        table = (piece if isinstance(piece, pa.Table) else pa.Table.from_batches([piece])).cast(schema)
        waiting.append(table)
        size += table.num_rows
        while size >= rows:
            whole = pa.concat_tables(waiting).combine_chunks()
            yield from whole.slice(0, rows).combine_chunks().to_batches()
            waiting, size = [whole.slice(rows)], size - rows
    if size:
        yield from pa.concat_tables(waiting).combine_chunks().to_batches()


_BATCH = 65_536
_BATCH_OF_FILES = 1_024  # rows that hold pictures or other files


def _batch_rows(schema: "pa.Schema") -> int:
    """Rows of a batch, by the schema alone, as the digest depends on where batches are cut."""
    import pyarrow as pa

    return _BATCH_OF_FILES if any(pa.types.is_binary(field.type) for field in schema) else _BATCH


class _Span:
    """The earliest and latest time seen."""

    def __init__(self, column: str | None) -> None:
        self._column = column
        self._earliest: datetime | None = None
        self._latest: datetime | None = None

    def add(self, batch: "pa.RecordBatch") -> None:
        import pyarrow.compute as pc

        if self._column is None:
            return
        ends = pc.min_max(batch.column(self._column)).as_py()
        if ends["min"] is not None:
            self._earliest = min(filter(None, (self._earliest, ends["min"])))
            self._latest = max(filter(None, (self._latest, ends["max"])))

    def iso(self) -> list[str] | None:
        if self._earliest is None or self._latest is None:
            return None
        return [self._earliest.astimezone(UTC).isoformat(), self._latest.astimezone(UTC).isoformat()]


def _check_time_column(schema: "pa.Schema", column: str | None) -> None:
    if column is None:
        return
    if column not in schema.names:
        raise SchemaError(f"time column {column!r} is not in the data; {nearest(column, schema.names)}")
    if str(schema.field(column).type) != TIMESTAMP:
        raise SchemaError(f"time column {column!r} is {schema.field(column).type}; declare it as a timestamp in UTC")


def read_manifest(path: Path | str) -> DatasetManifest:
    """Reads a dataset's manifest.

    Args:
        path: The dataset's folder.

    Returns:
        The manifest.

    Raises:
        SourceError: There is no finished dataset at the path, or its manifest is corrupt or of another version.
    """
    file = Path(path) / MANIFEST
    try:
        content: dict[str, Any] = json.loads(file.read_text())
    except FileNotFoundError:
        raise SourceError(f"no finished dataset at {path}: {MANIFEST} is missing; run the step that makes it") from None
    except (ValueError, OSError) as error:
        raise SourceError(f"the manifest {file} cannot be read ({error}); make the dataset again") from None
    if content.pop("format", None) != _FORMAT:
        raise SourceError(f"the manifest {file} is of another format than {_FORMAT}; make the dataset again")
    return DatasetManifest(**content)


def scan(path: Path | str) -> "pads.Dataset":
    """Opens a dataset's rows for streaming.

    Args:
        path: The dataset's folder.

    Returns:
        The Arrow dataset over its Parquet files, in order.

    Raises:
        SourceError: There is no finished dataset at the path, or a Parquet file is corrupt.
    """
    import pyarrow as pa
    import pyarrow.dataset as pads

    read_manifest(path)
    files = [str(file) for file in sorted(Path(path).glob("*.parquet"))]
    try:
        return pads.dataset(files, format="parquet")
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"dataset {path} has a Parquet file that cannot be read: {error}; make it again") from None


def read_table(path: Path | str, columns: list[str] | None = None) -> "pa.Table":
    """Reads a dataset whole; for data known to fit in memory.

    Args:
        path: The dataset's folder.
        columns: The columns to read; all by default.

    Returns:
        An Arrow table, rows in order.

    Raises:
        SourceError: The dataset is unfinished or corrupt.
        SchemaError: A wanted column is absent.
    """
    dataset = scan(path)
    for column in columns or []:
        if column not in dataset.schema.names:
            raise SchemaError(f"dataset {path} has no column {column!r}; {nearest(column, dataset.schema.names)}")
    return dataset.to_table(columns=columns)


def parquet_glob(path: Path | str) -> str:
    """The pattern of a dataset's Parquet files, as DuckDB's read_parquet takes it."""
    read_manifest(path)
    return str(Path(path) / "*.parquet")
