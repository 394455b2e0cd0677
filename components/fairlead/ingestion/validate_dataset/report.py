"""The page that tells what a dataset holds, and what of it did not hold."""

from collections.abc import Sequence
from pathlib import Path

from fairlead.datasets import DatasetManifest
from fairlead.ingestion.validate_dataset.failures import Failure
from fairlead.ingestion.validate_dataset.statistics import ColumnStatistics
from fairlead.pages import Page
from fairlead.values import moment

_BARS = "▁▂▃▄▅▆▇█"
_FREQUENT = 6
_LONGEST = 24  # characters of a value


def bars(counts: Sequence[int]) -> str:
    """Counts as a small histogram of text: each bar's height is its share of the highest; none, no bar."""
    top = max(counts, default=0)
    return "".join(" " if not count else _BARS[min(7, count * 8 // top)] for count in counts) if top else ""


def write_report(
    path: Path | str,
    manifest: DatasetManifest,
    checked: int,
    failures: Sequence[Failure],
    statistics: Sequence[ColumnStatistics],
) -> None:
    """Writes the page.

    Args:
        path: The HTML file.
        manifest: The dataset.
        checked: How many expectations were checked.
        failures: Those that did not hold.
        statistics: The columns' figures.
    """
    page = Page(f"Validation of {manifest.name}")
    if failures:
        page.note(f"{len(failures)} of {checked} expectations did not hold.", "bad")
    else:
        page.note(f"All {checked} expectations hold.", "good")
    page.facts(_facts(manifest))
    if failures:
        _add_failures(page, failures)
    page.heading("Columns")
    page.table(
        ["column", "type", "missing", "distinct ≈", "from", "mean", "to", "distribution"],
        [_row(column, manifest.row_count) for column in statistics],
        "Distributions go from the smallest value to the largest; those of texts show the most frequent values.",
    )
    texts = [column for column in statistics if column.frequent]
    if texts:
        page.heading("Most frequent values")
        page.table(["column", "values"], [[column.name, _frequent(column)] for column in texts])
    page.write(path)


def _facts(manifest: DatasetManifest) -> dict[str, str | int]:
    start, end = manifest.time_range or ["", ""]
    facts: dict[str, str | int] = {"rows": manifest.row_count, "columns": len(manifest.columns)}
    if start:
        facts |= {"from": start, "until": end}
    return facts | {"source": manifest.source, "licence": manifest.licence, "digest": manifest.digest}


def _add_failures(page: Page, failures: Sequence[Failure]) -> None:
    page.heading("What did not hold")
    page.table(["column", "expected", "rows"], [[f.column, f.check, f.count or None] for f in failures])
    examples = [[row, f.column, _text(value), f.check] for f in failures for row, value in f.examples]
    page.table(["row", "column", "value", "expected"], examples, "The first rows of each; rows are counted from 1.")


def _text(value: object) -> str:
    return "missing" if value is None else str(value)


def _row(column: ColumnStatistics, rows: int) -> list[object]:
    return [
        column.name, column.type.replace(", tz=UTC", ""),
        f"{column.missing:,} ({column.missing / rows:.2%})" if column.missing else 0, min(column.distinct, rows),
        _end(column.minimum), column.mean, _end(column.maximum), bars(column.bins),
    ]  # fmt: skip


def _frequent(column: ColumnStatistics) -> str:
    return ", ".join(f"{value} ({copies:,})" for value, copies in column.frequent[:_FREQUENT])


def _end(value: object) -> object:
    """The smallest or largest value, cut to what a cell holds."""
    if value is None or isinstance(value, int | float):
        return value
    text = moment(str(value))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
