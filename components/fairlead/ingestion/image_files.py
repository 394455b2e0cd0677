"""Folders of pictures: a row for each file, its class the name of the folder that it lies in.

photographs/
  cat/0001.png
  dog/0001.jpg
"""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from fairlead.errors import SourceError
from fairlead.ingestion.sources import SourceFile
from fairlead.ingestion.spec import TableSpec

if TYPE_CHECKING:
    import pyarrow as pa

IMAGE, LABEL, FILE = "image", "label", "file"
_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")


def columns(_file: SourceFile, _spec: TableSpec) -> "pa.Schema":
    """Every picture has the same three columns: `image` (the file itself), `label` and `file`."""
    import pyarrow as pa

    return pa.schema([(IMAGE, pa.binary()), (LABEL, pa.string()), (FILE, pa.string())])


def columns_of(file: SourceFile, spec: TableSpec) -> list[str]:
    """The names of the columns."""
    return list(columns(file, spec).names)


def batches(file: SourceFile, _spec: TableSpec, schema: "pa.Schema") -> "Iterator[pa.RecordBatch]":
    """Reads one picture as one row.

    Args:
        file: The file.
        schema: The columns wanted, some of the three.

    Yields:
        One batch of one row.

    Raises:
        SourceError: It cannot be read, or is neither PNG nor JPEG.
    """
    import pyarrow as pa

    path = PurePosixPath(file.label)
    try:
        content = file.path.read_bytes()
    except OSError as error:
        raise SourceError(f"{file.label} cannot be read: {error.strerror}") from None
    if not content.startswith(_SIGNATURES):
        raise SourceError(f"{file.label} is neither a PNG nor a JPEG file ({len(content)} bytes); take it out")
    row = {IMAGE: content, LABEL: path.parent.name, FILE: f"{path.parent.name}/{path.name}"}
    yield pa.RecordBatch.from_pylist([{name: row[name] for name in schema.names}], schema=schema)
