"""What the report shows of predicted numbers: predictions against truth, and the errors."""

from typing import TYPE_CHECKING

import numpy as np

from fairlead.evaluation.evaluate_model.findings import MODEL, Findings, spoken
from fairlead.pages import Page
from fairlead.values import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = 20


def numbers_section(page: Page, findings: Findings) -> None:
    """Adds predictions against truth, and the distribution of errors.

    Args:
        page: The page.
        findings: Of a regression model.
    """
    page.heading("Predictions and errors")
    half, most = findings.figures["median_absolute_error"], findings.figures["absolute_error_90"]
    page.figure(
        _drawn(findings),
        f"Left: rows in {BINS} bins of equal size by prediction; the line is the mean truth, the band holds 80 % of "
        f"the bin's rows, and on the dashed line prediction and truth agree. Right: half of the errors are below "
        f"{number(half.estimate)}, 90 % below {number(most.estimate)}.",
    )


def _drawn(findings: Findings) -> "Figure":
    from fairlead import plots

    figure, (left, right) = plots.panels(1, 2, width=9, height=3.9)
    truth, said = findings.scores.labels, findings.scores.predictions[MODEL]
    _against(left, truth, said)
    plots.label(left, f"predicted {findings.label}", f"true {findings.label}", "Predictions")
    spread = np.quantile(np.abs(said - truth), 0.98)
    edges = np.linspace(-spread, spread, 41) if spread > 0 else np.linspace(-1, 1, 41)
    plots.histogram(right, said - truth, "the model", edges)
    best = min(findings.baselines, key=lambda baseline: baseline.figures["squared_error"].estimate, default=None)
    if best is not None:
        plots.histogram(right, findings.scores.predictions[best.name] - truth, spoken(best.name), edges)
    right.axvline(0, color=plots.GRID, linewidth=1, linestyle="--")
    plots.label(right, "prediction minus truth", "share of rows", "Errors")
    return figure


def _against(axes: "Axes", truth: np.ndarray, said: np.ndarray) -> None:
    """Draws the truth's mean and spread over the predictions."""
    from fairlead import plots

    edges = np.unique(np.quantile(said, np.linspace(0, 1, BINS + 1)))
    index = np.clip(np.searchsorted(edges, said, side="right") - 1, 0, max(len(edges) - 2, 0))
    order = np.argsort(index, kind="stable")
    parts = [rows for rows in np.split(order, np.flatnonzero(np.diff(index[order])) + 1) if rows.size]
    places = [float(said[rows].mean()) for rows in parts]
    low, middle, high = zip(
        *((np.quantile(truth[rows], 0.1), truth[rows].mean(), np.quantile(truth[rows], 0.9)) for rows in parts),
        strict=True,
    )
    plots.line(axes, places, middle, band=(low, high))
    axes.plot([places[0], places[-1]], [places[0], places[-1]], color=plots.GRID, linewidth=1, linestyle="--")
