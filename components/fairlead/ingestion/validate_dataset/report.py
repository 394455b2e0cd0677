"""The page that tells what a dataset holds, and what of it did not hold."""

from collections.abc import Sequence
from pathlib import Path

from fairlead.datasets import DatasetManifest
from fairlead.ingestion.validate_dataset.failures import Failure
from fairlead.ingestion.validate_dataset.statistics import ColumnStatistics
from fairlead.pages import Page

_BARS = "▁▂▃▄▅▆▇█"
_FREQUENT = 3


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
        ["column", "type", "missing", "distinct ≈", "minimum", "mean", "maximum", "distribution", "most frequent"],
        [_row(column, manifest.row_count) for column in statistics],
        "Distributions go from minimum to maximum; those of texts show the most frequent values.",
    )
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
    missing = f"{column.missing:,} ({column.missing / rows:.2%})" if column.missing else "0"
    frequent = ", ".join(f"{value} ({copies:,})" for value, copies in column.frequent[:_FREQUENT])
    return [
        column.name, column.type, missing, min(column.distinct, rows), _text_or_gap(column.minimum), column.mean,
        _text_or_gap(column.maximum), bars(column.bins), frequent,
    ]  # fmt: skip


def _text_or_gap(value: object) -> object:
    return value if value is None or isinstance(value, int | float) else str(value)
