"""One way to read every format: the schema of a source, and its rows in batches."""

from collections.abc import Iterator
from itertools import chain
from types import ModuleType
from typing import TYPE_CHECKING

from fairlead.errors import SchemaError, nearest
from fairlead.ingestion import columns
from fairlead.ingestion.sources import SourceFile
from fairlead.ingestion.spec import TableSpec

if TYPE_CHECKING:
    import pyarrow as pa


def _format(file: SourceFile, spec: TableSpec) -> ModuleType:
    from fairlead.ingestion import csv_files, image_files, jsonl_files, parquet_files

    formats = {"csv": csv_files, "jsonl": jsonl_files, "parquet": parquet_files, "image": image_files}
    return formats[file.format(spec)]


def schema_of(files: list[SourceFile], spec: TableSpec) -> tuple["pa.Schema", list[str]]:
    """The schema that all files have: types as declared, else as the files agree; columns in the first file's order.

    The order of `spec.columns` counts for nothing: a pipeline hands it over as a mapping that keeps none.

    Args:
        files: The files of one table.
        spec: How to read them.

    Returns:
        The schema, and the names of the columns that no one declared and that are left out.

    Raises:
        SchemaError: A declared column is absent, or the files do not agree.
        SourceError: A file cannot be read.
    """
    if not spec.columns:
        return _agreed(files, spec), []
    present = [_format(file, spec).columns_of(file, spec) for file in files]
    for file, names in zip(files, present, strict=True):
        if file.format(spec) != "jsonl":  # a field may first come in a late line; the reader checks at the end
            columns.require_columns(sorted(spec.columns), names, file.label)
    ordered = [name for name in present[0] if name in spec.columns]
    late = sorted(set(spec.columns) - set(ordered))
    return columns.declared_schema(spec, [*ordered, *late]), sorted({*chain(*present)} - set(spec.columns))


def _agreed(files: list[SourceFile], spec: TableSpec) -> "pa.Schema":
    import pyarrow as pa

    first, *others = [_format(file, spec).columns(file, spec) for file in files]
    columns.require_columns(first.names, first.names, files[0].label)
    for file, schema in zip(files[1:], others, strict=True):
        _require_same_names(first.names, schema.names, file.label, files[0].label)
        pairs = [(field, schema.field(field.name).type) for field in first]
        first = pa.schema([(f.name, _common(f, other, file.label, files[0].label)) for f, other in pairs])
    return first


def _require_same_names(first: list[str], names: list[str], label: str, first_label: str) -> None:
    columns.require_columns(first, names, label)
    for name in sorted(set(names) - set(first)):
        raise SchemaError(
            f"{label} has a column {name!r} that {first_label} has not; {nearest(name, first)}; "
            "declare `columns`, or read the files as two tables"
        )


def _common(field: "pa.Field", other: "pa.DataType", label: str, first_label: str) -> "pa.DataType":
    """One type for a column of two files; whole numbers and fractions together are fractions."""
    import pyarrow as pa

    if field.type == other:
        return other
    numbers = {field.type, other}
    if all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in numbers):
        return pa.float64() if any(pa.types.is_floating(kind) for kind in numbers) else pa.int64()
    raise SchemaError(
        f"column {field.name!r} is {columns.type_name(other)} in {label} but {columns.type_name(field.type)} in "
        f"{first_label}; declare its type in `columns`"
    )


def stream(files: list[SourceFile], spec: TableSpec, schema: "pa.Schema") -> "Iterator[pa.RecordBatch]":
    """The rows of all files, one file after another, in bounded memory.

    Args:
        files: The files of one table.
        spec: How to read them.
        schema: The columns wanted, of `schema_of`.

    Yields:
        Batches of that schema.

    Raises:
        SourceError: A file is broken.
        SchemaError: A value does not fit its column.
    """
    for file in files:
        yield from _format(file, spec).batches(file, spec, schema)
