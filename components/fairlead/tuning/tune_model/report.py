"""The page and the table about a search."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead import datasets
from fairlead.pages import Page
from fairlead.tuning.space import Parameter
from fairlead.tuning.spec import TuneSpec
from fairlead.tuning.study import FAILED, STOPPED, SUCCEEDED, TrialRecord
from fairlead.tuning.tune_model import figures
from fairlead.values import number, title

if TYPE_CHECKING:
    import pyarrow as pa

FEWEST_FOR_LINES = 5  # fewer trials are seen better in the table

_WORDS = {FAILED: "failed", STOPPED: "stopped early"}


def write_trials(path: Path | str, trials: Sequence[TrialRecord], tuning: TuneSpec, source: str) -> None:
    """Writes the trials as a dataset.

    Args:
        path: The dataset's folder: trial, state, the metrics, seconds, started_at, worker, epochs, error, and a column
            a parameter.
        trials: The finished trials.
        tuning: The search.
        source: What was searched on.
    """
    import pyarrow as pa

    columns: dict[str, pa.Array] = {
        "trial": pa.array([t.number for t in trials], pa.int64()),
        "state": pa.array([t.state for t in trials], pa.string()),
        **{m: pa.array([t.figures.get(m) for t in trials], pa.float64()) for m in tuning.objective.metrics},
        "seconds": pa.array([t.seconds for t in trials], pa.float64()),
        "started_at": pa.array([t.started_at for t in trials], pa.timestamp("us", tz="UTC")),
        "worker": pa.array([t.worker for t in trials], pa.int64()),
        "epochs": pa.array([len(t.curve) for t in trials], pa.int64()),
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
    """Writes the page: the best values, the course of the search, what each parameter does, and every trial.

    Args:
        path: The HTML file.
        best: The best trial.
        trials: The finished trials.
        tuning: The search.
    """
    metric = title(tuning.objective.metric)
    page = Page("Tuning")
    found = tuning.hyperparameters(dict(best.values))
    page.facts({f"best {metric}": best.metric, "algorithm": tuning.algorithm.name, **found})
    page.text(_summary(trials, tuning))
    drawn = sum(trial.succeeded for trial in trials) >= FEWEST_FOR_LINES
    if drawn:
        page.heading("The course of the search")
        page.figure(figures.draw_history(trials, tuning), f"The {metric} of each trial, and the best so far.")
    page.heading("What each parameter does")
    _write_importance(page, trials, tuning)
    page.figure(
        figures.draw_slices(trials, best, tuning), f"Each dot is a trial; the ringed one has the best {metric}."
    )
    if drawn:
        caption = "Each line is a trial, the darker the better; the orange one is the best."
        page.figure(figures.draw_parallel(trials, best, tuning), caption)
    page.heading("Trials")
    _write_table(page, trials, tuning)
    page.write(path)


def _summary(trials: Sequence[TrialRecord], tuning: TuneSpec) -> str:
    counts = [(sum(t.state == state for t in trials), words) for state, words in _WORDS.items()]
    said = [f"{count} {words}" for count, words in counts if count] or ["all to their end"]
    processes = len({trial.worker for trial in trials})
    where = f", in {processes} processes" if processes > 1 else ""
    return (
        f"{len(trials)} trials{where}: {', '.join(said)}. Each saw the {number(tuning.maximum_rows)} latest rows for "
        f"{tuning.maximum_epochs} epochs at most; the final training sees all."
    )


def _write_importance(page: Page, trials: Sequence[TrialRecord], tuning: TuneSpec) -> None:
    if len(tuning.parameters) == 1:
        return
    shares = figures.importance(trials, tuning)
    if shares:
        done = sum(trial.succeeded for trial in trials)
        caption = f"How much of the metric's variance each parameter explains (fANOVA, from {done} trials)."
        page.figure(figures.draw_importance(shares), caption)
    else:
        page.text(f"What each parameter matters is told from {figures.FEWEST_FOR_IMPORTANCE} trials that succeeded.")


def _write_table(page: Page, trials: Sequence[TrialRecord], tuning: TuneSpec) -> None:
    names, metrics = [parameter.name for parameter in tuning.parameters], tuning.objective.metrics
    ends = {trial.state for trial in trials}
    more = [*(["state"] if ends - {SUCCEEDED} else []), *(["error"] if FAILED in ends else [])]
    headers = ["trial", *map(title, metrics), *names, "seconds", *more]

    def row(trial: TrialRecord) -> list[Any]:
        shown = [trial.figures.get(name, "") for name in metrics]
        values = [trial.values.get(name, "") for name in names]
        state = _WORDS.get(trial.state, "")
        return [trial.number, *shown, *values, f"{trial.seconds:.1f}", state, trial.error][: len(headers)]

    page.table(headers, [row(trial) for trial in trials])
