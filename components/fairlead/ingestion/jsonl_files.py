"""Files with one JSON object a line, streamed by Arrow in blocks."""

import json
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Any, NoReturn

from fairlead.errors import SchemaError, SourceError, nearest
from fairlead.ingestion.columns import Place, advice, conform, settled_type, type_name
from fairlead.ingestion.sources import SourceFile
from fairlead.ingestion.spec import TableSpec
from fairlead.ingestion.streams import BLOCK_BYTES, CountedStream, opened

if TYPE_CHECKING:
    import pyarrow as pa

_SAMPLE_LINES = 1000


def columns(file: SourceFile, spec: TableSpec) -> "pa.Schema":
    """The fields of a file, with the types that its first block suggests.

    Raises:
        SourceError: The file cannot be read, or holds no line.
    """
    import pyarrow as pa
    import pyarrow.json as arrow_json

    with opened(file, spec) as stream:
        try:
            with closing(arrow_json.open_json(stream, read_options=_blocks())) as reader:
                found = reader.schema
        except pa.ArrowInvalid as error:
            _locate(file, spec, pa.schema([]), error)
    days = _dates(file, spec, [field.name for field in found if pa.types.is_timestamp(field.type)])
    return pa.schema([(f.name, pa.date32() if f.name in days else settled_type(f.type)) for f in found])


def _dates(file: SourceFile, spec: TableSpec, names: list[str]) -> set[str]:
    """Which of the fields that Arrow takes for times hold days only."""
    lengths = dict.fromkeys(names, 0)
    with opened(file, spec) as stream:
        for line in islice(stream, _SAMPLE_LINES):
            entry = json.loads(line) if line.strip() and names else {}
            for name in names:
                lengths[name] = max(lengths[name], len(entry.get(name) or ""))
    return {name for name, length in lengths.items() if 0 < length <= len("2013-01-01")}


def columns_of(file: SourceFile, spec: TableSpec) -> list[str]:
    """The names of the fields in a file's first lines, in order of appearance."""
    names: dict[str, None] = {}
    with opened(file, spec) as stream:
        for number, line in enumerate(islice(stream, _SAMPLE_LINES), 1):
            if line.strip():
                names.update(dict.fromkeys(_entry(line, number, file.label)))
    return list(names)


def batches(file: SourceFile, spec: TableSpec, schema: "pa.Schema") -> "Iterator[pa.RecordBatch]":
    """Streams a file's rows; a field that a line lacks is missing there.

    Args:
        file: The file.
        spec: How times are written.
        schema: The columns wanted.

    Yields:
        Rows in the file's order, of that schema.

    Raises:
        SourceError: The file is broken.
        SchemaError: A value does not fit its column, or a column is in no line.
    """
    import pyarrow as pa

    row, empty = 1, set(schema.names)
    with opened(file, spec) as stream:
        try:
            with closing(_reader(stream, schema)) as reader:
                for batch in reader:
                    empty -= {name for name in empty if batch.column(name).null_count < batch.num_rows}
                    yield conform(batch, schema, spec, Place(file.label, row, 0))
                    row += batch.num_rows
        except pa.ArrowInvalid as error:
            _locate(file, spec, schema, error)
    _refuse_absent(file, spec, empty)


def _blocks() -> Any:
    import pyarrow.json as arrow_json

    return arrow_json.ReadOptions(block_size=BLOCK_BYTES)


def _reader(stream: CountedStream, schema: "pa.Schema") -> Any:
    """Arrow's streaming reader. Times and days arrive as texts: it would take a time without zone for UTC."""
    import pyarrow as pa
    import pyarrow.json as arrow_json

    plain = pa.schema([(f.name, pa.string() if pa.types.is_temporal(f.type) else f.type) for f in schema])
    options = arrow_json.ParseOptions(explicit_schema=plain, unexpected_field_behavior="ignore")
    return arrow_json.open_json(stream, read_options=_blocks(), parse_options=options)


def _refuse_absent(file: SourceFile, spec: TableSpec, empty: set[str]) -> None:
    """Arrow fills a field that no line has with nulls; a misspelt column must not pass so."""
    present = columns_of(file, spec) if empty else []
    for name in sorted(empty - set(present)):
        raise SchemaError(f"{file.label} has no column {name!r}; {nearest(name, present)}; correct `columns`")


def _locate(file: SourceFile, spec: TableSpec, schema: "pa.Schema", first: Exception) -> NoReturn:
    """Reads again line by line, in Python, to name what is wrong."""
    with opened(file, spec) as stream:
        for number, line in enumerate(stream, 1):
            entry = _entry(line, number, file.label) if line.strip() else {}
            for field in schema:
                value = entry.get(field.name)
                if value is not None and not _fits(value, field.type):
                    where = f"{file.label}: line {number}, column {field.name!r} ({type_name(field.type)})"
                    raise SchemaError(f"{where}: {value!r} {advice(field.type, '', spec)}")
    raise first


def _entry(line: bytes, number: int, label: str) -> dict[str, Any]:
    try:
        entry = json.loads(line.rstrip())
    except ValueError as error:
        raise SourceError(f"{label}: line {number} is no JSON ({error}); correct or remove it") from None
    if not isinstance(entry, dict):
        raise SourceError(f"{label}: line {number} is no JSON object but {type(entry).__name__}; write one a line")
    return entry


def _fits(value: Any, kind: "pa.DataType") -> bool:
    import pyarrow as pa

    if pa.types.is_boolean(kind):
        return isinstance(value, bool)
    if pa.types.is_integer(kind):
        half = 2 ** (kind.bit_width - 1)
        return isinstance(value, int) and not isinstance(value, bool) and -half <= value < half
    if pa.types.is_floating(kind):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str) or pa.types.is_nested(kind)
