"""The page and the table about a search."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead import datasets, plots
from fairlead.pages import Page
from fairlead.tuning.search import TrialRecord
from fairlead.tuning.spec import Parameter, TuneSpec
from fairlead.values import number, title

if TYPE_CHECKING:
    import pyarrow as pa
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANELS_A_ROW = 3


def write_trials(path: Path | str, trials: Sequence[TrialRecord], tuning: TuneSpec, source: str) -> None:
    """Writes the trials as a dataset.

    Args:
        path: The dataset's folder: trial, state, metric, seconds, started_at, error, and a column a parameter.
        trials: The finished trials.
        tuning: The search.
        source: What was searched on.
    """
    import pyarrow as pa

    columns: dict[str, pa.Array] = {
        "trial": pa.array([t.number for t in trials], pa.int64()),
        "state": pa.array(["failed" if t.metric is None else "succeeded" for t in trials]),
        tuning.objective.metric: pa.array([t.metric for t in trials], pa.float64()),
        "seconds": pa.array([t.seconds for t in trials], pa.float64()),
        "started_at": pa.array([t.started_at for t in trials], pa.timestamp("us", tz="UTC")),
        "error": pa.array([t.error for t in trials], pa.string()),
    }
    for parameter in tuning.parameters:
        kind = _arrow_type(parameter)
        values = [t.values.get(parameter.name) for t in trials]
        plain = [float(v) if v is not None and kind == pa.float64() else v for v in values]
        columns[parameter.name] = pa.array(plain, kind)
    table = pa.table(columns)
    datasets.write_dataset(path, [table], table.schema, name="trials", source=f"tune_model on {source}")


def _arrow_type(parameter: Parameter) -> "pa.DataType":
    import pyarrow as pa

    return {"int": pa.int64(), "categorical": pa.string()}.get(parameter.kind, pa.float64())


def write_report(path: Path | str, best: TrialRecord, trials: Sequence[TrialRecord], tuning: TuneSpec) -> None:
    """Writes the page: the best values, every trial, and how the metric depends on each parameter.

    Args:
        path: The HTML file.
        best: The best trial.
        trials: The finished trials.
        tuning: The search.
    """
    metric, names = tuning.objective.metric, [parameter.name for parameter in tuning.parameters]
    page = Page("Tuning")
    page.facts({f"best {title(metric)}": best.metric, "algorithm": tuning.algorithm.name, **best.values})
    failed = sum(trial.metric is None for trial in trials)
    page.text(
        f"{len(trials)} trials, {failed} of them failed. Each saw the {number(tuning.maximum_rows)} latest rows for "
        f"{tuning.maximum_epochs} epochs at most; the final training sees all rows."
    )
    if tuning.parallel_trials > 1:
        page.note(f"parallelTrialCount is {tuning.parallel_trials}; on a laptop trials run one after another.")
    page.heading("What each parameter does")
    page.figure(_slices(trials, best, tuning), f"Each dot is a trial; the ringed one has the best {title(metric)}.")
    page.heading("Trials")
    headers = ["trial", title(metric), *names, "seconds", *(["error"] if failed else [])]
    page.table(headers, [_row(trial, names)[: len(headers)] for trial in trials])
    page.write(path)


def _row(trial: TrialRecord, names: Sequence[str]) -> list[Any]:
    shown = "" if trial.metric is None else trial.metric
    return [trial.number, shown, *(trial.values.get(name, "") for name in names), f"{trial.seconds:.1f}", trial.error]


def _slices(trials: Sequence[TrialRecord], best: TrialRecord, tuning: TuneSpec) -> "Figure":
    rows = -(-len(tuning.parameters) // _PANELS_A_ROW)
    columns = min(len(tuning.parameters), _PANELS_A_ROW)
    figure, panels = plots.panels(rows, columns, width=3 * columns + 1, height=3 * rows)
    for at, (axes, parameter) in enumerate(zip(panels, tuning.parameters, strict=False)):
        _draw_slice(axes, parameter, trials, best)
        plots.label(axes, x=parameter.name, y="" if at % columns else title(tuning.objective.metric))
    for axes in panels[len(tuning.parameters) :]:
        axes.set_axis_off()
    return figure


def _draw_slice(axes: "Axes", parameter: Parameter, trials: Sequence[TrialRecord], best: TrialRecord) -> None:
    done = [t for t in trials if t.metric is not None]
    text = parameter.kind == "categorical"
    x = [str(t.values[parameter.name]) if text else t.values[parameter.name] for t in done]
    axes.scatter(x, [t.metric or 0.0 for t in done], s=36, color=plots.SERIES[0], alpha=0.8, linewidth=0)
    mine = best.values[parameter.name]
    place = [str(mine) if text else mine], [best.metric or 0.0]
    axes.scatter(*place, s=130, facecolors="none", edgecolors=plots.SERIES[1], linewidths=1.8)
    if not text:
        plots.few_ticks(
            axes, [float(t.values[parameter.name]) for t in done], parameter.space.distribution == "logUniform"
        )
