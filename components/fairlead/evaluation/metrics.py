"""Figures of probabilities for a yes/no question.

They are scikit-learn's, to the last digits (tests compare them), and computed without it: its import alone takes longer
than judging 100,000 rows. Calibration error has no counterpart there: `calibration_curve` can cut bins of equal mass,
but it gives no bin sizes, and these are the weights of the error.
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


def bin_rows(probabilities: np.ndarray, bins: int = CALIBRATION_BINS) -> np.ndarray:
    """Deals rows into bins of about equal mass by predicted probability; equal predictions stay together.

    Args:
        probabilities: (N,); N at least 1.
        bins: Bins at most; ties leave some of them empty.

    Returns:
        (N,) int64: each row's bin, from 0; the higher, the more probable.
    """
    values = np.asarray(probabilities, dtype=np.float64)
    order = np.argsort(values)
    ordered = values[order]
    last_of_ties = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    ties = np.diff(np.append(-1, last_of_ties))
    middle = (last_of_ties + 1 - ties / 2) / values.size  # the middle rank of each distinct value, within (0, 1)
    index = np.empty(values.size, dtype=np.int64)
    index[order] = np.repeat((middle * bins).astype(np.int64), ties)
    return index


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
    index = bin_rows(values, bins)
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


@dataclass(frozen=True)
class Ranking:
    """What answering yes finds, from the surest row down; rows of equal probability come together.

    Attributes:
        hits: (D + 1,) int64, rows with label 1 among the yes, from none to all.
        misses: (D + 1,) int64, rows with label 0 among them.
    """

    hits: np.ndarray
    misses: np.ndarray

    @property
    def roc(self) -> tuple[np.ndarray, np.ndarray]:
        """The ROC curve: false and true positive rates, each (D + 1,) from 0 to 1."""
        return self.misses / self.misses[-1], self.hits / self.hits[-1]

    @property
    def roc_auc(self) -> float:
        """The area under the ROC curve."""
        false_rate, true_rate = self.roc
        return float(np.sum(np.diff(false_rate) * (true_rate[1:] + true_rate[:-1])) / 2)

    @property
    def average_precision(self) -> float:
        """The mean of precision over the rows with label 1, each at its own threshold."""
        gains = np.diff(self.hits) / self.hits[-1]
        return float(np.sum(gains * self.hits[1:] / (self.hits[1:] + self.misses[1:])))


def ranking(labels: np.ndarray, probabilities: np.ndarray) -> Ranking:
    """Counts what every threshold finds.

    Args:
        labels: (N,) 0 or 1, both present.
        probabilities: (N,) the higher, the surer of 1.

    Returns:
        The counts at each of the D distinct probabilities.
    """
    order = np.argsort(-np.asarray(probabilities), kind="stable")
    last_of_ties = np.flatnonzero(np.append(np.diff(probabilities[order]) != 0, True))
    hits = np.cumsum(labels[order], dtype=np.int64)[last_of_ties]
    return Ranking(np.append(0, hits), np.append(0, last_of_ties + 1 - hits))


def binary_metrics(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> dict[str, float]:
    """The figures that need no interval to be compared.

    Args:
        labels: (N,) 0 or 1, both present.
        probabilities: (N,) P(label=1).
        threshold: The probability from which the answer is yes.

    Returns:
        Figure by name. `log_loss_ratio_to_majority` is the log loss by that of the best constant answer on the same
        rows: below 1, the model knows more than the base rate.
    """
    ranked = ranking(labels, probabilities)
    answers = np.asarray(probabilities) >= threshold
    log_loss = float(np.mean(row_log_losses(labels, probabilities)))
    hits, said, ones = float(np.sum(answers & (labels == 1))), float(np.sum(answers)), float(np.sum(labels))
    return {
        "roc_auc": ranked.roc_auc,
        "average_precision": ranked.average_precision,
        "log_loss": log_loss,
        "log_loss_ratio_to_majority": log_loss / constant_log_loss(labels),
        "brier": float(np.mean((np.asarray(probabilities, dtype=np.float64) - labels) ** 2)),
        "expected_calibration_error": expected_calibration_error(labels, probabilities),
        "accuracy": float(np.mean(answers == (labels == 1))),
        "precision": hits / max(said, 1.0),
        "recall": hits / ones,
        "f1": 2 * hits / (said + ones),
        "base_rate": float(np.mean(labels)),
    }
