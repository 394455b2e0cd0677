"""The report of an evaluation: figures with intervals, baselines, calibration, ROC, scores, slices."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fairlead.evaluation.evaluate_model.findings import Findings, remark, spoken
from fairlead.evaluation.intervals import Interval
from fairlead.evaluation.metrics import calibration_bins
from fairlead.evaluation.slices import SliceFigures
from fairlead.evaluation.spec import METRICS, EvaluationSpec
from fairlead.pages import Page, number
from fairlead.verdicts import Verdict

if TYPE_CHECKING:
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
    _summary(page, findings, verdict, spec)
    _baselines(page, findings, spec)
    _calibration(page, findings)
    page.heading("Ranking")
    page.figure(_roc(findings), f"The area under the curve is {_with_interval(findings.roc_auc)}.")
    _scores(page, findings)
    for column, groups in findings.slices.items():
        _slices(page, column, groups, findings, spec)
    page.write(path)


def _summary(page: Page, findings: Findings, verdict: Verdict, spec: EvaluationSpec) -> None:
    page.note(f"Verdict: {verdict.outcome}", "good" if verdict.outcome == "approved" else "bad")
    for reason in verdict.reasons:
        page.note(reason, "warn" if verdict.outcome == "approved" else "bad")
    page.facts(
        {
            "rows": findings.labels.size,
            f"share of {findings.label}": findings.figures["base_rate"],
            "ROC AUC": _with_interval(findings.roc_auc),
            "log loss": _with_interval(findings.log_loss),
            "calibration error": findings.figures["expected_calibration_error"],
            "model": findings.digest,
        }
    )
    if spec.gates:
        page.heading("Gates")
        rows = [(g.metric, findings.figures[g.metric], g.at_least, g.at_most) for g in spec.gates]
        page.table(["figure", "measured", "at least", "at most"], rows)
    page.heading("Figures")
    caption = f"Yes from a probability of {number(findings.threshold)}; intervals hold {spec.confidence:.0%}."
    page.table(["figure", "value"], [(name, findings.figures[name]) for name in METRICS], caption)


def _baselines(page: Page, findings: Findings, spec: EvaluationSpec) -> None:
    if not findings.baselines and not findings.notes:
        return
    page.heading("Beside simple models")
    for finding in findings.baselines:
        kind = "good" if finding.model_wins else "bad" if finding.model_loses else "warn"
        page.note(remark(finding), kind)  # type: ignore[arg-type]
    mine = ("the model", findings.roc_auc, findings.log_loss, findings.figures, None)
    others = [(spoken(f.name), f.roc_auc, f.log_loss, f.figures, f.difference) for f in findings.baselines]
    rows = [
        (
            name,
            _with_interval(auc),
            _with_interval(loss),
            figures["average_precision"],
            figures["brier"],
            figures["expected_calibration_error"],
            _with_interval(gap) if gap else None,
        )
        for name, auc, loss, figures, gap in [mine, *others]
    ]
    headers = [
        "",
        "ROC AUC",
        "log loss",
        "average precision",
        "Brier",
        "calibration error",
        "the model's loss minus its",
    ]
    page.table(headers, rows, f"All on the same {findings.labels.size:,} rows; intervals hold {spec.confidence:.0%}.")
    for note in findings.notes:
        page.text(note)


def _calibration(page: Page, findings: Findings) -> None:
    from fairlead import plots

    bins = calibration_bins(findings.labels, findings.probabilities)
    figure, axes = plots.figure()
    plots.reliability(axes, bins.predicted, bins.observed, "the model", bins.counts)
    plots.label(axes, "predicted probability", f"observed share of {findings.label}")
    page.heading("Calibration")
    error = number(findings.figures["expected_calibration_error"])
    page.figure(figure, f"Predicted and observed shares differ by {error} on average over rows; the diagonal is ideal.")


def _roc(findings: Findings) -> "Figure":
    from sklearn.metrics import roc_curve

    from fairlead import plots

    false_rate, true_rate, _ = roc_curve(findings.labels, findings.probabilities)
    grid = np.linspace(0, 1, CURVE_POINTS)
    figure, axes = plots.figure()
    plots.line(axes, grid, np.interp(grid, false_rate, true_rate), "the model")
    plots.line(axes, [0, 1], [0, 1], "chance", dashed=True)
    plots.label(axes, "share of the others that it says yes to", f"share of {findings.label} that it finds")
    return figure


def _scores(page: Page, findings: Findings) -> None:
    from fairlead import plots

    figure, axes = plots.figure()
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
    headers = ["value", "rows", "base rate", "mean probability", "ROC AUC", "log loss", "support"]
    rows = [
        (
            g.value,
            g.rows,
            g.base_rate,
            g.mean_probability,
            g.roc_auc,
            _with_interval(g.log_loss),
            "low" if g.low_support else "",
        )
        for g in groups[:SHOWN_SLICES]
    ]
    hidden = len(groups) - len(rows)
    page.table(headers, rows, f"{hidden} smaller groups are not shown." if hidden else "")


def _with_interval(interval: Interval) -> str:
    return f"{number(interval.estimate)} ({number(interval.low)} to {number(interval.high)})"
