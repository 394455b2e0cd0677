"""What the report shows of a yes/no question: calibration, ranking, scores, the answers at the threshold."""

from typing import TYPE_CHECKING

import numpy as np

from fairlead.evaluation.calibration_metrics import reliability
from fairlead.evaluation.evaluate_model.findings import MODEL, Findings, spoken
from fairlead.evaluation.metrics import ranking
from fairlead.pages import Page
from fairlead.values import interval, limit, number, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CURVE_POINTS = 200  # a curve of more points is a larger page, not a better picture


def yes_no_section(page: Page, findings: Findings) -> None:
    """Adds calibration and ranking, then scores and answers.

    Args:
        page: The page.
        findings: Of a binary model.
    """
    figures = findings.figures
    error, area = figures["expected_calibration_error"], figures["roc_auc"]
    page.heading("Calibration and ranking")
    page.figure(
        _curves(findings),
        f"Left: predicted and observed shares differ by {number(error.estimate)} on average over rows, and by "
        f"{number(figures['calibration_error_debiased'].estimate)} (root mean square) after what chance adds is taken "
        "off; bars are the shares' intervals, and on the dashed line both agree. "
        f"Right: the area under the curve is {interval(area.estimate, area.low, area.high)}.",
    )
    page.heading("Scores and answers")
    page.figure(
        _scores(findings),
        f"Left: the further apart the two classes, the more the model knows. Right: what becomes of the rows when the "
        f"answer is yes from a probability of {limit(findings.threshold)} on.",
    )


def _curves(findings: Findings) -> "Figure":
    from fairlead import plots

    figure, (left, right) = plots.panels(1, 2, width=9, height=4)
    labels, probabilities = findings.scores.labels, findings.scores.predictions[MODEL]
    bins = reliability(labels, probabilities, findings.drawn)
    plots.reliability(left, bins.predicted, bins.observed, counts=bins.counts, ends=(bins.low, bins.high))
    plots.label(left, "predicted probability", f"observed share of {findings.label}", "Calibration")
    _draw_roc(right, findings)
    return figure


def _draw_roc(axes: "Axes", findings: Findings) -> None:
    from fairlead import plots

    grid = np.linspace(0, 1, CURVE_POINTS)
    labels = findings.scores.labels
    plots.line(axes, grid, np.interp(grid, *ranking(labels, findings.scores.predictions[MODEL]).roc), "the model")
    for baseline in (name.name for name in findings.baselines if name.name != "majority"):
        curve = np.interp(grid, *ranking(labels, findings.scores.predictions[baseline]).roc)
        plots.line(axes, grid, curve, spoken(baseline), dashed=True)
    axes.plot([0, 1], [0, 1], color=plots.GRID, linewidth=1, linestyle="--", label="chance")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    plots.label(axes, "share of the others that it says yes to", f"share of {findings.label} that it finds", "Ranking")


def _scores(findings: Findings) -> "Figure":
    from fairlead import plots

    figure, (left, right) = plots.panels(1, 2, width=9, height=3.2)
    labels, probabilities = findings.scores.labels, findings.scores.predictions[MODEL]
    edges = np.linspace(0, 1, 41)
    for value, name in ((0, f"not {findings.label}"), (1, findings.label)):
        plots.histogram(left, probabilities[labels == value], name, edges)
    left.axvline(findings.threshold, color=plots.GRID, linewidth=1, linestyle="--")
    plots.label(left, "predicted probability", "share of the class", "Scores")
    counts = np.bincount(labels.astype(np.int64) * 2 + (probabilities >= findings.threshold), minlength=4)
    shares = counts.reshape(2, 2) / np.maximum(counts.reshape(2, 2).sum(axis=1, keepdims=True), 1)
    texts = [[f"{number(int(n))}\n{percent(float(s))}" for n, s in zip(*row, strict=True)]
             for row in zip(counts.reshape(2, 2), shares, strict=True)]  # fmt: skip
    plots.matrix(right, shares, texts, [f"not {findings.label}", findings.label], ["no", "yes"])
    plots.label(right, "the model's answer", "", "Answers")
    return figure
