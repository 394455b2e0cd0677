"""Checks a dataset against expectations, and tells what it holds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.datasets import DatasetManifest
from fairlead.errors import DataError, SchemaError, nearest
from fairlead.ingestion.columns import type_name
from fairlead.ingestion.disk import full_disk_explained
from fairlead.ingestion.scanning import Rows
from fairlead.ingestion.spec import ColumnExpectation, Expectations
from fairlead.ingestion.validate_dataset import checks, statistics
from fairlead.ingestion.validate_dataset.failures import EXAMPLES, Failure, Failures
from fairlead.ingestion.validate_dataset.report import write_report
from fairlead.progress import step

if TYPE_CHECKING:
    import pyarrow as pa

WHOLE = "(rows)"
_BATCH_ROWS = 131_072


@dataclass(frozen=True)
class Validation:
    """What was checked.

    Attributes:
        row_count: Rows looked at, all of them.
        checked: Expectations checked.
        failures: Those that did not hold.
    """

    row_count: int
    checked: int
    failures: tuple[Failure, ...]

    def metrics(self) -> dict[str, float]:
        """The figures for a KFP Metrics artifact."""
        return {"rows": self.row_count, "expectations": self.checked, "expectations_failed": len(self.failures)}


def validate(path: Path | str, report: Path | str, expectations: Mapping[str, Any]) -> Validation:
    """Checks a dataset and writes the report, also where checks fail.

    Args:
        path: The dataset's folder.
        report: The HTML file to write.
        expectations: The fields of Expectations.

    Returns:
        What was checked; every expectation holds.

    Raises:
        ConfigurationError: An expectation has a wrong key, or does not fit its column's type.
        SchemaError: An expected column is absent or of another type.
        DataError: An expectation does not hold; the message names up to 10 rows and the report.
        SourceError: The dataset is unfinished or corrupt.
        StateError: The disk is full.
    """
    wanted = Expectations.parse(expectations, where="expectations")
    rows, failures = Rows(path), Failures()
    manifest = rows.manifest
    present = _check_schema(wanted, rows.schema, failures)
    schema_breaks = bool(failures.all())
    _check_rows(wanted, manifest, failures)
    with step(f"validating {manifest.name}", manifest.row_count) as progress:
        for done in _check_values(present, rows, failures):
            progress.update(done)
    with statistics.opened(rows.files(), rows.schema) as table:
        _check_unique(wanted, present, table, failures)
        figures = table.statistics()
    _check_missing(present, figures, manifest.row_count, failures)
    checked = _count(wanted)
    with full_disk_explained(report):
        write_report(report, manifest, checked, failures.all(), figures)
    if failures.all():
        raise (SchemaError if schema_breaks else DataError)(_message(manifest, checked, failures.all(), report))
    return Validation(manifest.row_count, checked, ())


def _check_schema(wanted: Expectations, schema: "pa.Schema", failures: Failures) -> dict[str, ColumnExpectation]:
    """Notes absent columns and other types; gives the expectations that can be checked, in the data's order."""
    for name in [*sorted(wanted.columns), *wanted.unique]:
        if name not in schema.names:
            failures.add(name, f"a column of this name; {nearest(name, schema.names)}", 0, [(None, "absent")])
    present = {name: wanted.columns[name] for name in schema.names if name in wanted.columns}
    for name, column in present.items():
        found = type_name(schema.field(name).type)
        if column.type not in (None, found):
            failures.add(name, f"type {column.type}", 0, [(None, found)])
            present = {other: kept for other, kept in present.items() if other != name}
    return present


def _check_rows(wanted: Expectations, manifest: DatasetManifest, failures: Failures) -> None:
    least, most, rows = wanted.rows.minimum, wanted.rows.maximum, manifest.row_count
    if least is not None and rows < least:
        failures.add(WHOLE, f"at least {least} rows", 0, [(None, rows)])
    if most is not None and rows > most:
        failures.add(WHOLE, f"at most {most} rows", 0, [(None, rows)])


def _check_values(columns: dict[str, ColumnExpectation], rows: Rows, failures: Failures) -> Iterator[int]:
    """Checks batch after batch; yields the rows done."""
    schema = checks.value_schema(columns, rows.schema)
    if schema is None:
        return
    row = 1
    for batch in rows.batches(_BATCH_ROWS, list(schema.columns)):
        checks.check_values(batch, row, schema, failures)
        row += batch.num_rows
        yield row - 1


def _check_unique(
    wanted: Expectations, columns: dict[str, ColumnExpectation], table: statistics.Table, failures: Failures
) -> None:
    """Looks for duplicates in the whole table."""
    keys = [[name] for name, column in columns.items() if column.unique]
    if wanted.unique and not any(failure.column in wanted.unique and not failure.count for failure in failures.all()):
        keys.append(list(wanted.unique))
    for key in keys:
        found = table.duplicates(key, EXAMPLES)
        if found.extra_rows:
            failures.add(", ".join(key), "unique", found.extra_rows, [_example(group) for group in found.examples])


def _check_missing(
    columns: dict[str, ColumnExpectation], figures: list[statistics.ColumnStatistics], rows: int, failures: Failures
) -> None:
    missing = {figure.name: figure.missing for figure in figures}
    for name, column in columns.items():
        most = column.maximum_null_fraction
        if most is not None and missing[name] > most * rows:
            share = f"{missing[name]} of {rows} missing ({missing[name] / rows:.2%})"
            failures.add(name, f"at most {most:.2%} missing", 0, [(None, share)])


def _example(group: tuple[tuple[Any, ...], int, int, int]) -> tuple[int, str]:
    values, first, last, copies = group
    shown = ", ".join(value.isoformat() if hasattr(value, "isoformat") else str(value) for value in values)
    return first, f"{shown} ({copies} times, last in row {last})"


def _count(wanted: Expectations) -> int:
    """How many expectations there are."""
    columns = sum(
        (column.type is not None) + (not column.nullable) + column.unique
        + sum(limit is not None for limit in (column.minimum, column.maximum, column.allowed, column.pattern))
        + (column.maximum_null_fraction is not None) + (column.shape is not None)
        for column in wanted.columns.values()
    )  # fmt: skip
    limits = sum(limit is not None for limit in (wanted.rows.minimum, wanted.rows.maximum))
    return columns + limits + bool(wanted.unique)


def _message(manifest: DatasetManifest, checked: int, failures: list[Failure], report: Path | str) -> str:
    """Up to 10 rows, taking one of each failed check in turn so that none stays unnamed."""
    columns = [failure.lines() for failure in failures]
    turns = [lines[i] for i in range(EXAMPLES) for lines in columns if i < len(lines)]
    rows = sum(failure.count for failure in failures)
    head = f"dataset {manifest.name!r}: {len(failures)} of {checked} expectations do not hold ({rows} rows)"
    listed = "\n".join(f"  {line}" for line in turns[:EXAMPLES])
    return f"{head}; rows are counted from 1:\n{listed}\nsee the report {report}; correct the data or `expectations`"
