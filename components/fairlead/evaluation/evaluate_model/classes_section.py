"""What the report shows of a question with several answers: confusion, each class, calibration."""

from typing import TYPE_CHECKING

import numpy as np

from fairlead.evaluation.calibration_metrics import reliability
from fairlead.evaluation.evaluate_model.findings import MODEL, Findings
from fairlead.pages import Page
from fairlead.values import interval, number, percent, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CLASSES = 25  # in a confusion matrix; of more, the most frequent confusions are listed
MOST_CONFUSIONS = 15


def classes_section(page: Page, findings: Findings) -> None:
    """Adds what is taken for what, the figures of each class, and calibration.

    Args:
        page: The page.
        findings: Of a multiclass model.
    """
    classes = findings.scores.classes
    counts = _counts(findings)
    page.heading("What is taken for what")
    if len(classes) <= MOST_CLASSES:
        wrong = int(counts.sum() - np.trace(counts))
        page.figure(
            _confusion(counts, classes),
            f"Rows: the truth. Columns: the model's answer. A cell is coloured by its share of the row; "
            f"{number(wrong)} of {number(int(counts.sum()))} answers lie off the diagonal.",
        )
    _confusions(page, counts, classes)
    _each(page, findings, counts)
    page.heading("Calibration")
    error = findings.figures["expected_calibration_error"]
    page.figure(
        _calibration(findings),
        f"How often the most probable class is the true one. Predicted and observed shares differ by "
        f"{interval(error.estimate, error.low, error.high)} on average over rows; bars are intervals.",
    )


def _counts(findings: Findings) -> np.ndarray:
    """Rows by truth and answer: (K, K) int64."""
    classes = len(findings.scores.classes)
    answers = findings.scores.predictions[MODEL].argmax(axis=1)
    return np.bincount(findings.scores.labels * classes + answers, minlength=classes**2).reshape(classes, classes)


def _confusion(counts: np.ndarray, classes: tuple[str, ...]) -> "Figure":
    from fairlead import plots

    side = max(3.6, min(9.0, 0.55 * len(classes) + 1.2))
    figure, axes = plots.figure(side, side * 0.9)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    plots.matrix(axes, shares, [[str(n) if n else "" for n in row] for row in counts], classes, classes)
    plots.label(axes, "answer", "truth")
    return figure


def _confusions(page: Page, counts: np.ndarray, classes: tuple[str, ...]) -> None:
    """Lists the most frequent confusions."""
    off = counts.copy()
    np.fill_diagonal(off, 0)
    order = [cell for cell in np.argsort(-off, axis=None, kind="stable")[:MOST_CONFUSIONS] if off.flat[cell]]
    rows = [
        (classes[cell // len(classes)], classes[cell % len(classes)], int(off.flat[cell]),
         percent(off.flat[cell] / counts[cell // len(classes)].sum()))
        for cell in order
    ]  # fmt: skip
    if rows:
        with page.folded("The most frequent confusions"):
            page.table(["truth", "answer", "rows", "of that truth"], rows)


def _each(page: Page, findings: Findings, counts: np.ndarray) -> None:
    """Adds the figures of each class."""
    page.heading("Each class")
    rows = [
        (name, int(counts[k].sum()), *(_told(findings, f"{figure}_of_{name}") for figure in _OF_CLASS))
        for k, name in enumerate(findings.scores.classes)
    ]
    page.table(["class", "rows", *map(title, _OF_CLASS)], rows)


_OF_CLASS = ("recall", "precision", "f1")


def _told(findings: Findings, name: str) -> str:
    of = findings.figures[name]
    return interval(of.estimate, of.low, of.high)


def _calibration(findings: Findings) -> "Figure":
    from fairlead import plots

    figure, (left, right) = plots.panels(1, 2, width=9, height=3.8)
    probabilities = findings.scores.predictions[MODEL]
    right_answer = (probabilities.argmax(axis=1) == findings.scores.labels).astype(np.int8)
    surest = probabilities.max(axis=1)
    bins = reliability(right_answer, surest, findings.drawn)
    plots.reliability(left, bins.predicted, bins.observed, counts=bins.counts, ends=(bins.low, bins.high))
    plots.label(left, "probability of the answer", "share of right answers", "Calibration")
    edges = np.linspace(0, 1, 41)
    for value, name in ((1, "right answers"), (0, "wrong answers")):
        plots.histogram(right, surest[right_answer == value], name, edges)
    plots.label(right, "probability of the answer", "share of these answers", "How sure the answers are")
    return figure
