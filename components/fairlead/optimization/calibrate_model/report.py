"""The page about a calibration: what was tried, what was kept, before and after, and the threshold."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fairlead.evaluation.calibration_metrics import reliability
from fairlead.evaluation.losses import row_losses
from fairlead.evaluation.metrics import binary_metrics, expected_calibration_error
from fairlead.evaluation.resampling import resampling
from fairlead.optimization.calibrate_model.choice import Choice
from fairlead.optimization.calibration_spec import CalibrationSpec
from fairlead.optimization.thresholds import CRITERIA
from fairlead.pages import Page
from fairlead.values import interval, limit, number, percent, title
from fairlead_serving.package import Manifest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVE_POINTS = 400
_RESAMPLES = 500
_AT_THRESHOLD = ("precision", "recall", "f1", "accuracy")


def write_report(path: Path | str, manifest: Manifest, choice: Choice, spec: CalibrationSpec) -> None:
    """Writes the page.

    Args:
        path: The HTML file.
        manifest: What the package is.
        choice: What was tried and kept.
        spec: What was demanded.
    """
    page = Page(f"Calibration of {manifest.name}")
    page.note(choice.reason, "good" if choice.kept else "info")
    if choice.threshold is not None:
        page.note(_told_threshold(choice, spec), "info")
    if choice.labels.size:
        _trials(page, choice, spec)
        page.heading("Before and after")
        page.figure(_diagram(choice), _caption(choice))
    if choice.threshold is not None and spec.threshold is not None:
        _threshold(page, choice, spec)
    page.write(path)


def _told_threshold(choice: Choice, spec: CalibrationSpec) -> str:
    value = choice.threshold.value if choice.threshold else 0.0
    rule = spec.threshold.rule if spec.threshold else "fixed"
    if rule == "fixed":
        return f"The answer is yes from a probability of {limit(value)} on, as it was set."
    what = {
        "cost": "makes the cost of wrong answers least",
        "precision_at_recall": f"makes precision greatest with a recall of at least {_recall(spec)}",
    }.get(rule, f"makes {CRITERIA[rule]} greatest")
    return f"The answer is yes from a probability of {number(value)} on: on the validation rows this {what}."


def _recall(spec: CalibrationSpec) -> str:
    return limit(spec.threshold.minimum_recall or 0.0) if spec.threshold else ""


def _trials(page: Page, choice: Choice, spec: CalibrationSpec) -> None:
    """Adds what each calibration did on held-out folds."""
    page.heading("What was tried")
    rows = [("as it is", *_quality(choice.labels, choice.before), "—", "" if choice.kept else "kept")]
    for trial in choice.trials:
        gain = interval(trial.gain.estimate, trial.gain.low, trial.gain.high)
        said = "kept" if trial is choice.kept else ""
        rows.append((trial.method, *_quality(choice.labels, trial.probabilities), gain, said))
    by = f" of whole {spec.cluster}s" if spec.cluster else ""
    page.table(
        ["calibration", "log loss (nats)", "calibration error", "gain in log loss", ""],
        rows,
        f"Each of the {number(choice.labels.size)} validation rows is judged by a calibration fitted on the other "
        f"{spec.folds - 1} of {spec.folds} folds{by}; intervals hold {spec.confidence:.0%}.",
    )


def _quality(labels: np.ndarray, probabilities: np.ndarray) -> tuple[float, float]:
    task = "binary" if probabilities.ndim == 1 else "multiclass"
    return float(row_losses(task, labels, probabilities).mean()), expected_calibration_error(
        *_as_yes_no(labels, probabilities)
    )


def _as_yes_no(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of several classes: whether the most probable one is true, and how probable it was."""
    if probabilities.ndim == 1:
        return labels, probabilities
    return (probabilities.argmax(axis=1) == labels).astype(np.int8), probabilities.max(axis=1)


def _diagram(choice: Choice) -> "Figure":
    from fairlead import plots

    kept = choice.kept
    figure, panels = plots.panels(1, 2, width=9, height=3.9)
    named = [("before", choice.before), *([("after, on held-out folds", kept.probabilities)] if kept else [])]
    drawn = resampling(choice.labels.size, resamples=_RESAMPLES, seed=0)
    for name, probabilities in named:
        bins = reliability(*_as_yes_no(choice.labels, probabilities), drawn)
        plots.reliability(panels[0], bins.predicted, bins.observed, name, bins.counts, (bins.low, bins.high))
    plots.label(panels[0], "predicted probability", "observed share", "Calibration")
    _, said = _as_yes_no(choice.labels, choice.before)
    edges = np.linspace(0, 1, 41)
    plots.histogram(panels[1], said, "before", edges)
    if kept:
        plots.histogram(panels[1], _as_yes_no(choice.labels, kept.probabilities)[1], "after", edges)
    plots.label(panels[1], "predicted probability", "share of rows", "How sure the answers are")
    return figure


def _caption(choice: Choice) -> str:
    of = "" if choice.before.ndim == 1 else " Of the most probable class."
    return f"Left: on the dashed line, predictions come true as often as they say; bars are intervals of 95 %.{of}"


def _threshold(page: Page, choice: Choice, spec: CalibrationSpec) -> None:
    """Adds the criterion over thresholds, and the answers at the old and the new one."""
    if choice.threshold is None or spec.threshold is None:
        return
    page.heading("The threshold")
    page.figure(_curve(choice, spec), "What the rule looks at, over all thresholds; the dashed line is the chosen one.")
    rows = []
    for name, value, said in (
        ("before", choice.old_threshold, choice.before),
        ("after", choice.threshold.value, choice.after),
    ):
        figures = binary_metrics(choice.labels, np.asarray(said, dtype=np.float64), value)
        share = float(np.mean(np.asarray(said, dtype=np.float32) >= np.float32(value)))
        rows.append((name, value, percent(share), *(figures[metric] for metric in _AT_THRESHOLD)))
    page.table(
        ["", "threshold", "share of yes answers", *map(title, _AT_THRESHOLD)],
        rows,
        "On the validation rows, on which the threshold was chosen: on new rows it will do a little worse.",
    )


def _curve(choice: Choice, spec: CalibrationSpec) -> "Figure":
    from fairlead import plots

    figure, axes = plots.figure(9, 2.9)
    if choice.threshold is not None and spec.threshold is not None:
        places, criteria = choice.threshold.thresholds, choice.threshold.criteria
        kept = np.unique(np.linspace(0, places.size - 1, CURVE_POINTS).astype(np.int64))
        axes.plot(places[kept], criteria[kept], linewidth=1.8)
        axes.axvline(choice.threshold.value, color=plots.GRID, linewidth=1.2, linestyle="--")
        axes.set_xlim(0, 1)
        plots.label(axes, "threshold", CRITERIA[spec.threshold.rule])
    return figure
