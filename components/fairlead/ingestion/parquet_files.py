"""Parquet files, streamed by row groups and pages."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from fairlead.errors import SourceError
from fairlead.ingestion.columns import Place, conform, settled_type
from fairlead.ingestion.sources import SourceFile
from fairlead.ingestion.spec import TableSpec
from fairlead.ingestion.streams import BLOCK_BYTES, readable

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 65_536


def columns(file: SourceFile, _spec: TableSpec) -> "pa.Schema":
    """The columns of a file and their types.

    Raises:
        SourceError: The file cannot be read.
    """
    import pyarrow as pa

    with readable(file.label), _opened(file) as reader:
        return pa.schema([(field.name, settled_type(field.type)) for field in reader.schema_arrow])


def columns_of(file: SourceFile, _spec: TableSpec) -> list[str]:
    """The names of a file's columns, in order."""
    with readable(file.label), _opened(file) as reader:
        return list(reader.schema_arrow.names)


def batches(file: SourceFile, spec: TableSpec, schema: "pa.Schema") -> "Iterator[pa.RecordBatch]":
    """Streams a file's rows.

    Args:
        file: The file; it has the schema's columns.
        spec: The zone of times without one.
        schema: The columns wanted.

    Yields:
        Rows in the file's order, of that schema.

    Raises:
        SourceError: The file is truncated or damaged.
        SchemaError: A value, or a column as a whole, does not fit its declared type.
    """
    row = 1
    with readable(file.label), _opened(file) as reader:
        for batch in reader.iter_batches(batch_size=_BATCH_ROWS, columns=schema.names):
            yield conform(batch, schema, spec, Place(file.label, row))
            row += batch.num_rows


def _opened(file: SourceFile) -> Any:
    """Reads through a small buffer, so that a large row group does not have to fit in memory."""
    import pyarrow.parquet as pq

    if file.compression:
        raise SourceError(f"{file.label}: a Parquet file inside a {file.compression} cannot be streamed; unpack it")
    return pq.ParquetFile(file.path, buffer_size=BLOCK_BYTES, pre_buffer=False)
