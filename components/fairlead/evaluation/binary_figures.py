"""Every figure of a yes/no question with its interval, from one sort of the rows."""

import numpy as np

from fairlead.evaluation.calibration_metrics import calibration_figures
from fairlead.evaluation.intervals import area_interval
from fairlead.evaluation.metrics import row_log_losses
from fairlead.evaluation.resampling import Interval, Of, Resampling, ratio

SHARE = (0.0, 1.0)
_TN, _FP, _FN, _TP = range(4)  # true no answered no, true no answered yes, and so on


def binary_figures(
    labels: np.ndarray, probabilities: np.ndarray, threshold: float, drawn: Resampling
) -> dict[str, Interval]:
    """Every figure of `fairlead.evaluation.spec.FIGURES["binary"]`.

    The areas are linear in the rows to first order; their intervals resample that linear form.

    Args:
        labels: (N,) 0 or 1, both present.
        probabilities: (N,) float64, P(label=1).
        threshold: The probability from which the answer is yes.
        drawn: How rows are resampled.

    Returns:
        Interval by name. `log_loss_ratio_to_majority` is the log loss by that of the best constant answer on the same
        rows: below 1, the model knows more than the base rate.
    """
    ones = labels == 1
    placed, precise = _by_rank(ones, probabilities)
    losses, squares = row_log_losses(labels, probabilities), (probabilities - labels) ** 2
    rows = drawn.counts()
    total, loss = drawn.sums(ones), drawn.sums(losses)
    return {
        "roc_auc": _within_share(area_interval(ones, placed, drawn)),
        "average_precision": drawn.mean(precise, within=SHARE),
        "log_loss": drawn.interval(ratio, loss, rows),
        "log_loss_ratio_to_majority": drawn.interval(_by_constant, loss, total, rows),
        "brier": drawn.mean(squares),
        **calibration_figures(labels, probabilities, drawn),
        **_of_answers(ones, probabilities >= threshold, drawn),
        "base_rate": drawn.interval(ratio, total, rows),
    }


def _within_share(of: Interval) -> Interval:
    return Interval(of.estimate, max(of.low, 0.0), min(of.high, 1.0))


def _by_constant(loss: np.ndarray, ones: np.ndarray, rows: np.ndarray) -> np.ndarray:
    rate = ones / rows
    constant = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    return np.asarray(loss / rows / constant)


def _of_answers(ones: np.ndarray, yes: np.ndarray, drawn: Resampling) -> dict[str, Interval]:
    """The figures at the threshold, from the four cells of the confusion matrix."""
    cells = drawn.cell_sums(ones * 2 + yes, 4)
    figures: dict[str, Of] = {
        "accuracy": lambda c: (c[_TN] + c[_TP]) / c.sum(axis=0),
        "balanced_accuracy": lambda c: (c[_TP] / (c[_TP] + c[_FN]) + c[_TN] / (c[_TN] + c[_FP])) / 2,
        "precision": lambda c: c[_TP] / np.maximum(c[_TP] + c[_FP], 1),
        "recall": lambda c: c[_TP] / (c[_TP] + c[_FN]),
        "specificity": lambda c: c[_TN] / (c[_TN] + c[_FP]),
        "f1": lambda c: 2 * c[_TP] / (2 * c[_TP] + c[_FP] + c[_FN]),
        "share_of_yes_answers": lambda c: (c[_TP] + c[_FP]) / c.sum(axis=0),
    }
    shares = {name: drawn.interval(of, cells, within=SHARE) for name, of in figures.items()}
    return {**shares, "matthews_correlation": drawn.interval(_correlation, cells, within=(-1.0, 1.0))}


def _correlation(cells: np.ndarray) -> np.ndarray:
    """Matthews 1975; 0 where one side of the matrix is empty, as scikit-learn has it."""
    tn, fp, fn, tp = cells
    spread = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return np.asarray((tp * tn - fp * fn) / np.where(spread > 0, spread, 1))


def _by_rank(ones: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each row adds to the area under the ROC curve and to the average precision.

    Returns:
        The row's placement (see `placements`), and the influence of the row on the average precision, whose mean is
        the average precision; each (N,) float64.
    """
    order = np.argsort(-probabilities, kind="stable")
    ordered = probabilities[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    hits, rows = np.cumsum(ones[order])[last].astype(np.float64), last + 1.0
    here, misses = np.diff(hits, prepend=0), rows - hits
    positives, negatives = hits[-1], misses[-1]
    above = (misses - np.diff(misses, prepend=0) / 2) / negatives
    ahead = (hits - here / 2) / positives
    precision, share = hits / rows, here / positives
    area = float(np.sum(share * precision))
    gain = np.cumsum((share * misses / rows**2)[::-1])[::-1]
    cost = np.cumsum((share * hits / rows**2)[::-1])[::-1]
    up, down = area + rows[-1] * ((precision - area) / positives + gain), area - rows[-1] * cost
    placed, precise = np.empty(ones.size), np.empty(ones.size)
    ties = np.diff(np.append(-1, last))
    positive = ones[order]
    placed[order] = np.where(positive, np.repeat(1 - above, ties), np.repeat(ahead, ties))
    precise[order] = np.where(positive, np.repeat(up, ties), np.repeat(down, ties))
    return placed, precise
