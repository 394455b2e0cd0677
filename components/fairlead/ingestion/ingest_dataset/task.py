"""Reads a source, whatever its place and format, into a dataset."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.datasets import DatasetManifest, write_dataset
from fairlead.errors import SchemaError, nearest
from fairlead.ingestion import pixels, readers, sources
from fairlead.ingestion.disk import full_disk_explained
from fairlead.ingestion.spec import TableSpec
from fairlead.progress import step

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ingested:
    """What came in.

    Attributes:
        manifest: The dataset's manifest.
        files: How many files were read.
        left_out_columns: Columns of the files that `columns` does not name.
    """

    manifest: DatasetManifest
    files: int
    left_out_columns: tuple[str, ...]

    def metadata(self) -> dict[str, str | int]:
        """The figures as flat values, for a KFP artifact's metadata."""
        left_out = ", ".join(self.left_out_columns)
        return {**self.manifest.metadata(), "files": self.files, "left_out_columns": left_out}


def ingest(path: Path | str, name: str, source: str, table: Mapping[str, Any]) -> Ingested:
    """Reads a source into a dataset, streaming.

    Args:
        path: The dataset's folder to make; it appears whole or not at all.
        name: The dataset's name; SQL and reports know it by this.
        source: A path, directory, glob, http(s) or s3:// address, or `pkg:NAME/path/in/package`.
        table: The fields of TableSpec, without the source.

    Returns:
        What came in.

    Raises:
        ConfigurationError: `table` has a wrong key or value.
        SourceError: Nothing is there, or a file is not whole.
        SchemaError: A column is absent, or a value does not fit its type.
        DataError: There are no rows.
        StateError: The disk is full.
    """
    spec = pixels.with_pixel_columns(TableSpec.parse(table, where=f"data.{name}"))
    origin = source or spec.source
    with full_disk_explained(path), sources.located(origin, spec, Path(path).parent) as files:
        schema, left_out = readers.schema_of(files, spec)
        _require_time_column(spec, schema, origin)
        rows = _counted(readers.stream(files, spec, schema), name)
        if spec.pixels is not None:
            schema = pixels.packed_schema(schema, spec.pixels, sources.public_name(origin))
            rows = pixels.pack(rows, schema, spec.pixels)
        manifest = write_dataset(
            path, rows, schema, name=name, source=sources.public_name(origin), licence=spec.licence,
            time_column=spec.time_column,
        )  # fmt: skip
    if left_out:
        logger.info("%s: columns left out, because `columns` does not name them: %s", name, ", ".join(left_out))
    return Ingested(manifest, len(files), tuple(left_out))


def _require_time_column(spec: TableSpec, schema: "pa.Schema", origin: str) -> None:
    if spec.time_column and spec.time_column not in schema.names:
        wrong = nearest(spec.time_column, schema.names)
        raise SchemaError(f"{sources.public_name(origin)} has no time column {spec.time_column!r}; {wrong}")


def _counted(batches: "Iterable[pa.RecordBatch]", name: str) -> "Iterator[pa.RecordBatch]":
    with step(f"reading {name}") as progress:
        for batch in batches:
            progress.advance(batch.num_rows)
            yield batch
