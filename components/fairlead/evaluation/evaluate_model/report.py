"""The report of an evaluation: figures with intervals beside baselines, calibration, ROC, scores, slices."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fairlead.evaluation.evaluate_model.findings import BaselineFinding, Findings, remark, spoken
from fairlead.evaluation.intervals import Interval
from fairlead.evaluation.metrics import calibration_bins, ranking
from fairlead.evaluation.slices import SliceFigures
from fairlead.evaluation.spec import METRICS, EvaluationSpec
from fairlead.pages import Page
from fairlead.values import interval, number, percent, title
from fairlead.verdicts import Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVE_POINTS = 200  # a ROC curve of more points is a larger page, not a better picture
SHOWN_SLICES = 40


def write_report(path: Path | str, findings: Findings, verdict: Verdict, spec: EvaluationSpec) -> None:
    """Writes the HTML report.

    Args:
        path: The file.
        findings: What was found.
        verdict: What was concluded.
        spec: What was demanded.
    """
    page = Page(f"Evaluation of {findings.name}")
    _summary(page, findings, verdict)
    _figures(page, findings, spec)
    page.heading("Calibration and ranking")
    error = number(findings.figures["expected_calibration_error"])
    page.figure(
        _curves(findings),
        f"Left: predicted and observed shares differ by {error} on average over rows; on the dashed line they agree. "
        f"Right: the area under the curve is {_told(findings.roc_auc)}.",
    )
    _scores(page, findings)
    for column, groups in findings.slices.items():
        _slices(page, column, groups, findings, spec)
    page.write(path)


def _summary(page: Page, findings: Findings, verdict: Verdict) -> None:
    page.note(f"Verdict: {verdict.outcome}", "good" if verdict.outcome == "approved" else "bad")
    said = {remark(finding) for finding in findings.baselines}
    for reason in verdict.reasons:
        if reason not in said:
            page.note(reason, "warn" if verdict.outcome == "approved" else "bad")
    for finding in findings.baselines:
        page.note(remark(finding), "good" if finding.model_wins else "bad" if finding.model_loses else "warn")
    page.facts(
        {
            "ROC AUC": _told(findings.roc_auc),
            "log loss": _told(findings.log_loss),
            "calibration error": findings.figures["expected_calibration_error"],
            f"share of {findings.label}": percent(findings.figures["base_rate"]),
            "rows": findings.labels.size,
            "model": findings.digest,
        }
    )


def _figures(page: Page, findings: Findings, spec: EvaluationSpec) -> None:
    """Adds every figure of the model, what is demanded of it, and the same of each baseline."""
    page.heading("Beside simple models" if findings.baselines else "Figures")
    demanded = _demands(spec)
    headers = ["figure", "the model", *(["demanded"] if demanded else [])]
    rows = [
        [
            title(metric),
            _measured(metric, findings),
            *([demanded.get(metric, "")] if demanded else []),
            *(_measured(metric, baseline) for baseline in findings.baselines),
        ]
        for metric in METRICS
    ]
    if findings.baselines:
        gaps = [_told(baseline.difference) for baseline in findings.baselines]
        rows.append(["the model's log loss less theirs", "—", *([""] if demanded else []), *gaps])
    page.table(
        [*headers, *(spoken(baseline.name) for baseline in findings.baselines)],
        rows,
        f"All on the same {number(findings.labels.size)} rows; yes from a probability of {findings.threshold:g}; "
        f"intervals hold {spec.confidence:.0%}.",
    )
    others = {name: demand for name, demand in demanded.items() if name not in METRICS}
    if others:
        page.table(["also demanded", "measured", ""], [(title(n), findings.figures[n], d) for n, d in others.items()])
    for note in findings.notes:
        page.text(note)


def _demands(spec: EvaluationSpec) -> dict[str, str]:
    """What the gates demand of each figure, in signs: `≥ 0.62`."""
    found: dict[str, list[str]] = {}
    for gate in spec.gates:
        bounds = {"≥": gate.at_least, "≤": gate.at_most}
        found.setdefault(gate.metric, []).extend(f"{sign} {b:g}" for sign, b in bounds.items() if b is not None)
    return {metric: " and ".join(bounds) for metric, bounds in found.items()}


def _measured(metric: str, of: Findings | BaselineFinding) -> str | float:
    intervals = {"roc_auc": of.roc_auc, "log_loss": of.log_loss}
    return _told(intervals[metric]) if metric in intervals else of.figures[metric]


def _curves(findings: Findings) -> "Figure":
    from fairlead import plots

    figure, (calibration, ranking) = plots.panels(1, 2, width=9, height=4)
    bins = calibration_bins(findings.labels, findings.probabilities)
    plots.reliability(calibration, bins.predicted, bins.observed, counts=bins.counts)
    plots.label(calibration, "predicted probability", f"observed share of {findings.label}", "Calibration")
    _draw_roc(ranking, findings)
    return figure


def _draw_roc(axes: "Axes", findings: Findings) -> None:
    from fairlead import plots

    grid = np.linspace(0, 1, CURVE_POINTS)
    plots.line(axes, grid, np.interp(grid, *ranking(findings.labels, findings.probabilities).roc), "the model")
    axes.plot([0, 1], [0, 1], color=plots.GRID, linewidth=1, linestyle="--", label="chance")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    plots.label(axes, "share of the others that it says yes to", f"share of {findings.label} that it finds", "Ranking")


def _scores(page: Page, findings: Findings) -> None:
    from fairlead import plots

    figure, axes = plots.figure(9, 2.8)
    edges = np.linspace(0, 1, 41)
    for value, name in ((0, f"not {findings.label}"), (1, findings.label)):
        plots.histogram(axes, findings.probabilities[findings.labels == value], name, edges)
    plots.label(axes, "predicted probability", "share of the class")
    page.heading("Scores")
    page.figure(figure, "The further apart the two classes, the more the model knows.")


def _slices(page: Page, column: str, groups: Sequence[SliceFigures], findings: Findings, spec: EvaluationSpec) -> None:
    page.heading(f"By {column}")
    small = sum(group.low_support for group in groups)
    if small:
        page.text(f"{small} of {len(groups)} groups have fewer than {spec.minimum_slice_rows} rows: conclude nothing.")
    worse = [g for g in groups if not g.low_support and g.log_loss.low > findings.log_loss.estimate]
    if worse:
        listed = ", ".join(g.value for g in sorted(worse, key=lambda g: -g.log_loss.estimate)[:5])
        page.text(f"Harder for the model than the average row: {listed}.")
    headers = [
        "value",
        "rows",
        "share of yes",
        "mean probability",
        "ROC AUC",
        "log loss",
        *(["support"] if small else []),
    ]
    rows = [
        (
            g.value,
            g.rows,
            percent(g.base_rate),
            percent(g.mean_probability),
            g.roc_auc,
            _told(g.log_loss),
            *(["low" if g.low_support else ""] if small else []),
        )
        for g in groups[:SHOWN_SLICES]
    ]
    hidden = len(groups) - len(rows)
    page.table(headers, rows, f"{hidden} smaller groups are not shown." if hidden else "")


def _told(of: Interval) -> str:
    return interval(of.estimate, of.low, of.high)
