"""Figures of probabilities for a yes/no question, mostly scikit-learn's.

Calibration error is computed here: scikit-learn's `calibration_curve` can cut bins of equal mass, but it gives no bin
sizes, and these are the weights of the error.
"""

from dataclasses import dataclass

import numpy as np

CALIBRATION_BINS = 15
CERTAIN = float(np.finfo(np.float32).eps)
"""Packages answer in float32, whose nearest value to 1 is this far away; nothing is taken to be surer."""


@dataclass(frozen=True)
class CalibrationBins:
    """Rows grouped by predicted probability.

    Attributes:
        predicted: (B,) float64, mean predicted probability in each bin, ascending.
        observed: (B,) float64, share of rows whose label is 1.
        counts: (B,) int64, rows; none is empty.
    """

    predicted: np.ndarray
    observed: np.ndarray
    counts: np.ndarray


def clip(probabilities: np.ndarray) -> np.ndarray:
    """Takes probabilities away from 0 and 1, where one wrong row would cost infinitely much.

    Args:
        probabilities: (N,) P(label=1).

    Returns:
        (N,) float64 in [CERTAIN, 1 - CERTAIN].
    """
    return np.clip(np.asarray(probabilities, dtype=np.float64), CERTAIN, 1 - CERTAIN)


def row_log_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The log loss of each row, in nats; their mean is the log loss.

    Args:
        labels: (N,) 0 or 1.
        probabilities: (N,) P(label=1).

    Returns:
        (N,) float64, none negative, all finite.
    """
    sure = clip(probabilities)
    return -np.log(np.where(labels == 1, sure, 1 - sure))


def calibration_bins(labels: np.ndarray, probabilities: np.ndarray, bins: int = CALIBRATION_BINS) -> CalibrationBins:
    """Groups rows into bins of about equal mass by predicted probability; equal predictions stay together.

    Args:
        labels: (N,) 0 or 1; N at least 1.
        probabilities: (N,) P(label=1).
        bins: Bins at most; ties leave fewer.

    Returns:
        The bins that hold a row.
    """
    values = np.asarray(probabilities, dtype=np.float64)
    _, inverse, ties = np.unique(values, return_inverse=True, return_counts=True)
    middle = (np.cumsum(ties) - ties / 2) / values.size  # the middle rank of each distinct value, within (0, 1)
    index = (middle * bins).astype(np.int64)[inverse]
    counts = np.bincount(index, minlength=bins)
    kept = counts > 0
    predicted = np.bincount(index, values, bins)[kept] / counts[kept]
    observed = np.bincount(index, labels, bins)[kept] / counts[kept]
    return CalibrationBins(predicted, observed, counts[kept])


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = CALIBRATION_BINS) -> float:
    """How far predicted probabilities are from observed shares, on average over rows.

    With bins of equal mass (Nixon et al. 2019, "Measuring Calibration in Deep Learning").

    Args:
        labels: (N,) 0 or 1; N at least 1.
        probabilities: (N,) P(label=1).
        bins: Bins at most.

    Returns:
        Between 0 (calibrated) and 1.
    """
    found = calibration_bins(labels, probabilities, bins)
    return float(np.sum(found.counts * np.abs(found.predicted - found.observed)) / found.counts.sum())


def constant_log_loss(labels: np.ndarray) -> float:
    """The log loss of the best constant answer, the base rate of these very rows.

    Args:
        labels: (N,) 0 or 1; N at least 1.

    Returns:
        Nats; 0 where all labels are alike.
    """
    rate = float(np.mean(labels))
    return float(-sum(p * np.log(p) for p in (rate, 1 - rate) if p > 0))


def binary_metrics(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> dict[str, float]:
    """All figures of `fairlead.evaluation.spec.METRICS`.

    Args:
        labels: (N,) 0 or 1, both present.
        probabilities: (N,) P(label=1).
        threshold: The probability from which the answer is yes.

    Returns:
        Figure by name. `log_loss_ratio_to_majority` is the log loss by that of the best constant answer on the same
        rows: below 1, the model knows more than the base rate.
    """
    from sklearn import metrics

    sure = clip(probabilities)
    answers = np.asarray(probabilities) >= threshold
    log_loss = float(metrics.log_loss(labels, sure))
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        labels, answers, average="binary", zero_division=0.0
    )
    return {
        "roc_auc": float(metrics.roc_auc_score(labels, probabilities)),
        "average_precision": float(metrics.average_precision_score(labels, probabilities)),
        "log_loss": log_loss,
        "log_loss_ratio_to_majority": log_loss / constant_log_loss(labels),
        "brier": float(np.mean((np.asarray(probabilities, dtype=np.float64) - labels) ** 2)),
        "expected_calibration_error": expected_calibration_error(labels, probabilities),
        "accuracy": float(np.mean(answers == (labels == 1))),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "base_rate": float(np.mean(labels)),
    }
