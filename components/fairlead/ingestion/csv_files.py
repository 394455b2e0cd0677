"""CSV files, streamed by Arrow in blocks."""

import csv
import io
import re
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, NoReturn

from fairlead.errors import SchemaError, SourceError
from fairlead.ingestion.columns import Place, advice, arrow_type, conform, settled_type, type_name
from fairlead.ingestion.sources import SourceFile
from fairlead.ingestion.spec import TableSpec
from fairlead.ingestion.streams import BLOCK_BYTES, CountedStream, opened

if TYPE_CHECKING:
    import pyarrow as pa

_MISFIT = re.compile(r"In CSV column #(\d+): (?:Row #(\d+): )?CSV conversion error")
_RAGGED = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+): (.*)", re.DOTALL)
_VALUE = re.compile(r"(?:invalid value|offset in) '(.*?)'(?:\.|$)", re.DOTALL)
_OTHER_DELIMITERS = re.compile(r"[;\t|,]")
_SHOWN_CHARACTERS = 80


def columns(file: SourceFile, spec: TableSpec) -> "pa.Schema":
    """The columns of a file, with the types that its first block suggests.

    Raises:
        SourceError: The file cannot be read.
        SchemaError: It is separated by something else than `delimiter`.
    """
    import pyarrow as pa

    found = _first_schema(file, spec)
    padded = _with_leading_zeros(file, spec, [f.name for f in found if pa.types.is_integer(f.type)])
    return pa.schema([(f.name, pa.string() if f.name in padded else settled_type(f.type)) for f in found])


def columns_of(file: SourceFile, spec: TableSpec) -> list[str]:
    """The names of a file's columns, in order; raises as `columns` does."""
    return list(_first_schema(file, spec).names)


def _first_schema(file: SourceFile, spec: TableSpec) -> "pa.Schema":
    import pyarrow as pa

    with opened(file, spec) as stream:
        try:
            with closing(_reader(stream, spec, {}, [])) as reader:
                schema = reader.schema
        except pa.ArrowInvalid as error:
            _locate(file, spec, {}, error)
    other = _OTHER_DELIMITERS.search(schema.names[0]) if len(schema) == 1 else None
    if other:
        raise SchemaError(f"{file.label} has one column, {schema.names[0]!r}; set `delimiter` to {other[0]!r}")
    return schema


def _with_leading_zeros(file: SourceFile, spec: TableSpec, names: list[str]) -> set[str]:
    """Columns that look like numbers but are codes, such as 01234: as numbers they would lose their zeros."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not names or len(set(names)) < len(names):
        return set()
    texts = dict.fromkeys(names, pa.string())
    with opened(file, spec) as stream, closing(_reader(stream, spec, texts, names)) as reader:
        batch = next(iter(reader), None)
    if batch is None:
        return set()
    return {name for name in names if pc.any(pc.match_substring_regex(batch.column(name), r"^\s*[+-]?0\d")).as_py()}


def batches(file: SourceFile, spec: TableSpec, schema: "pa.Schema") -> "Iterator[pa.RecordBatch]":
    """Streams a file's rows.

    Args:
        file: The file; it has the schema's columns.
        spec: How to read it.
        schema: The columns wanted.

    Yields:
        Rows in the file's order, of that schema.

    Raises:
        SourceError: The file is broken.
        SchemaError: A value does not fit its column.
    """
    import pyarrow as pa

    types = {field.name: _parsed_as(field.type, spec) for field in schema}
    row = 1
    with opened(file, spec) as stream:
        try:
            with closing(_reader(stream, spec, types, schema.names)) as reader:
                for batch in reader:
                    lines = int(spec.header) if stream.quotes == 0 else None
                    yield conform(batch, schema, spec, Place(file.label, row, lines))
                    row += batch.num_rows
        except pa.ArrowInvalid as error:
            _locate(file, spec, types, error)
        if stream.quotes % 2:
            _refuse_open_quote(file, spec)


def _parsed_as(kind: "pa.DataType", spec: TableSpec) -> "pa.DataType":
    """What Arrow parses a column as: times that it would refuse or misread arrive as texts."""
    import pyarrow as pa

    special = pa.types.is_timestamp(kind) and (spec.time_zone or spec.time_format)
    return pa.string() if special or (pa.types.is_date(kind) and spec.time_format) else kind


def _reader(
    stream: CountedStream, spec: TableSpec, types: "dict[str, pa.DataType]", wanted: list[str], *, serial: bool = False
) -> Any:
    """Arrow's streaming reader; serial reading is slower and knows the rows of its errors."""
    import pyarrow.csv as arrow_csv

    named = {} if spec.header else {"column_names": list(spec.names), "autogenerate_column_names": not spec.names}
    return arrow_csv.open_csv(
        stream,
        read_options=arrow_csv.ReadOptions(
            block_size=BLOCK_BYTES, encoding=spec.encoding, use_threads=not serial, **named
        ),
        parse_options=arrow_csv.ParseOptions(delimiter=spec.delimiter, newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            column_types=types, include_columns=wanted, null_values=list(spec.na_values), strings_can_be_null=True
        ),
    )


def _locate(file: SourceFile, spec: TableSpec, types: "dict[str, pa.DataType]", first: Exception) -> NoReturn:
    """Reads again up to the error, serially, to name its row."""
    import pyarrow as pa

    with opened(file, spec) as stream:
        try:
            with closing(_reader(stream, spec, types, list(types), serial=True)) as reader:
                for _ in reader:
                    pass
        except pa.ArrowInvalid as error:
            place = Place(file.label, 1, int(spec.header) if stream.quotes == 0 else None)
            above = int(spec.header) + 1  # Arrow counts the header, and from 1
            _explain_ragged(str(error), above, place)
            _explain_misfit(str(error), above, place, types, file, spec)
            raise
    raise first


def _explain_ragged(text: str, above: int, place: Place) -> None:
    if ragged := _RAGGED.search(text):
        line = ragged[4][:_SHOWN_CHARACTERS]
        raise SourceError(
            f"{place.row(int(ragged[1]) - above)} has {ragged[3]} values where {ragged[2]} are expected: {line!r}; "
            "correct the file, or set `delimiter`"
        )


def _explain_misfit(
    text: str, above: int, place: Place, types: "dict[str, pa.DataType]", file: SourceFile, spec: TableSpec
) -> None:
    if misfit := _MISFIT.search(text):
        name = columns_of(file, spec)[int(misfit[1])]
        kind = arrow_type("timestamp") if "offset" in text else types[name]
        value = _VALUE.search(text)
        shown = repr(value[1]) if value else "a value"
        where = place.row(int(misfit[2]) - above) if misfit[2] else place.label
        raise SchemaError(f"{where}, column {name!r} ({type_name(kind)}): {shown} {advice(kind, text, spec)}")


def _refuse_open_quote(file: SourceFile, spec: TableSpec) -> None:
    """An odd number of quotation marks: where the last one is never closed, it has swallowed rows.

    Arrow takes such a file without a word, so Python's slower parser looks at it.
    """
    with opened(file, spec) as stream:
        text = io.TextIOWrapper(io.BufferedReader(stream), spec.encoding, newline="")
        lines = csv.reader(text, delimiter=spec.delimiter, strict=True)
        try:
            for _ in lines:
                pass
        except csv.Error as error:
            raise SourceError(
                f"{file.label}: a quotation mark is wrong or never closed (line {lines.line_num}: {error}); correct it"
            ) from None
