"""The report of build_training_set."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead import plots
from fairlead.features.declarations import Lookup
from fairlead.features.spec import LabelSpec
from fairlead.features.tables import EVENT_TIMESTAMP
from fairlead.pages import Page
from fairlead.values import number, percent

if TYPE_CHECKING:
    import pyarrow as pa

    from fairlead.features.build_training_set.task import TrainingSet


def write_report(
    table: "pa.Table", built: "TrainingSet", wanted: Sequence[Lookup], label: LabelSpec,
    window: tuple[datetime, datetime], path: Path | str,
) -> None:  # fmt: skip
    """Writes the page.

    Args:
        table: The training set.
        built: What was built.
        wanted: The features that were joined.
        label: The label.
        window: The window of event times.
        path: The HTML file.
    """
    account = built.account
    page = Page("Training set")
    page.facts({
        "Rows": account.used, "Columns": table.num_columns, f"Mean of {label.column}": built.positive_rate,
        "From": window[0], "To": window[1], "As of": built.as_of or "everything",
    })  # fmt: skip
    page.heading("What became of every entity row")
    page.table(
        ["rows", "what became of them"],
        [
            [account.used, "used"],
            [account.without_label, f"inside the window, without {label.column} (never or not yet known)"],
            [account.outside_window, "outside the window"],
            [account.rows, "in all"],
        ],
    )
    page.note(
        f"An independent join confirmed {number(built.compared)} sampled values: each is the latest known at its row's"
        " event time, and none is later.",
        "good",
    )
    page.heading("Label over time").figure(_label_figure(table, label.column), f"Mean of {label.column} by week.")
    page.heading("Features")
    headers = ["feature", "view", "missing", "mean", "deviation", "least", "greatest"]
    page.table(headers, [_statistics(table, name, view) for name, view in _named(table, wanted, label)])
    page.write(path)


def _named(table: "pa.Table", wanted: Sequence[Lookup], label: LabelSpec) -> list[tuple[str, str]]:
    views = {name: lookup.view for lookup in wanted for name in lookup.features}
    names = [name for name in table.column_names if name not in (EVENT_TIMESTAMP, label.column)]
    return [(name, views.get(name, "request")) for name in names]


def _statistics(table: "pa.Table", name: str, view: str) -> list[Any]:
    import pyarrow as pa
    import pyarrow.compute as pc

    column = table.column(name)
    missing = percent(column.null_count / max(len(column), 1)) if column.null_count else ""
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        return [name, view, missing, None, None, None, None]
    ends = pc.min_max(column).as_py()
    return [name, view, missing, pc.mean(column).as_py(), pc.stddev(column).as_py(), ends["min"], ends["max"]]


def _label_figure(table: "pa.Table", label: str) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    weeks = pa.table({
        "week": pc.floor_temporal(table.column(EVENT_TIMESTAMP), unit="week"),
        "label": table.column(label).cast(pa.float64()),
    })  # fmt: skip
    means = weeks.group_by("week").aggregate([("label", "mean")]).sort_by("week")
    figure, axes = plots.figure(7, 2.8)
    plots.line(axes, means.column("week").to_pylist(), means.column("label_mean").to_numpy())
    plots.label(axes, y=f"mean of {label}")
    plots.dates(axes)
    return figure
