"""What may be told of a dataset's columns: figures always, values only where many rows share them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead import datasets
from fairlead.errors import SchemaError, nearest
from fairlead.evaluation.write_datasheet.spec import DatasheetSpec
from fairlead.ingestion.validate_dataset.statistics import ColumnStatistics, Table, opened, quoted

if TYPE_CHECKING:
    import pyarrow as pa

IDENTIFYING_SHARE = 0.5
"""Where this share of the rows have a value of their own, a column of texts or whole numbers is taken for a name."""

MOST_CATEGORIES = 200
"""A column of more different texts holds names, of people perhaps, and not categories."""

MOST_VALUES = 6
MOST_CLASSES = 50


@dataclass(frozen=True)
class ColumnFacts:
    """What is told of a column.

    Attributes:
        name: The column.
        type: Its Arrow type's name.
        missing: Rows without a value.
        distinct: Distinct values, estimated (within some per cent).
        why_hidden: Why no values are told; empty where they are.
        minimum: The smallest value; None where it is hidden or there is none.
        maximum: The largest value.
        mean: The mean of numbers.
        bins: Rows in equal steps from minimum to maximum.
        frequent: Values that many rows share, with their rows.
    """

    name: str
    type: str
    missing: int
    distinct: int
    why_hidden: str = ""
    minimum: Any = None
    maximum: Any = None
    mean: float | None = None
    bins: tuple[int, ...] = ()
    frequent: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class DatasetFacts:
    """What is told of a dataset.

    Attributes:
        columns: In order.
        label: The label's values with their rows, the most frequent first; empty where they are too many or hidden.
    """

    columns: tuple[ColumnFacts, ...]
    label: tuple[tuple[str, int], ...] = ()


def describe(path: Path | str, rows: int, spec: DatasheetSpec) -> DatasetFacts:
    """Looks at a dataset's rows in one stream, whatever their number.

    Args:
        path: The dataset's folder.
        rows: How many rows it has.
        spec: What may be told.

    Returns:
        What is told.

    Raises:
        SourceError: The dataset is unfinished or corrupt.
        SchemaError: `spec` names a column that is not there.
    """
    import pyarrow.parquet as pq

    dataset = datasets.scan(path)
    for name in (*spec.private, *([spec.label] if spec.label else [])):
        if name not in dataset.schema.names:
            raise SchemaError(f"datasheet names the column {name!r}; {nearest(name, dataset.schema.names)}")
    files = [(Path(file), pq.read_metadata(file).num_rows) for file in dataset.files]
    with opened(files, dataset.schema) as table:
        found = table.statistics()
        facts = tuple(_told(column, rows, spec, dataset.schema.field(column.name)) for column in found)
        hidden = {column.name: column.why_hidden for column in facts}
        label = _classes(table, spec) if spec.label and not hidden[spec.label] else ()
    return DatasetFacts(facts, label)


def _told(column: ColumnStatistics, rows: int, spec: DatasheetSpec, field: "pa.Field") -> ColumnFacts:
    distinct = min(column.distinct, rows - column.missing)
    counts = (column.name, column.type, column.missing, distinct)
    hidden = _why_hidden(column, rows - column.missing, spec, field)
    if hidden:
        return ColumnFacts(*counts, why_hidden=hidden)
    if column.frequent:
        shared = tuple((value, copies) for value, copies in column.frequent if copies >= spec.least_rows)
        return ColumnFacts(*counts, frequent=shared[:MOST_VALUES])
    return ColumnFacts(*counts, "", column.minimum, column.maximum, column.mean, column.bins)


def _why_hidden(column: ColumnStatistics, present: int, spec: DatasheetSpec, field: "pa.Field") -> str:
    import pyarrow as pa

    kind = field.type
    if column.name in spec.private:
        return "declared private"
    if present < spec.least_rows:
        return "too few rows have a value"
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return "not a single value to tell"
    names = pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)
    if names and column.distinct >= IDENTIFYING_SHARE * present:
        return "nearly every row has a value of its own"
    if column.frequent and column.distinct > MOST_CATEGORIES:
        return f"more than {MOST_CATEGORIES} different texts: names rather than categories"
    return ""


def _classes(table: Table, spec: DatasheetSpec) -> tuple[tuple[str, int], ...]:
    """The label's values with their rows, if they are few and each is shared."""
    name = quoted(spec.label)
    rows = table.fetch(
        f"select {name}::varchar as value, count(*) as copies from rows where {name} is not null "  # noqa: S608 (quoted)
        f"group by all order by copies desc, value limit {MOST_CLASSES + 1}"
    )
    counts = tuple((str(row["value"]), int(row["copies"])) for row in rows)
    return counts if len(counts) <= MOST_CLASSES and _all_shared(counts, spec.least_rows) else ()


def _all_shared(counts: Sequence[tuple[str, int]], least: int) -> bool:
    return all(copies >= least for _, copies in counts)
