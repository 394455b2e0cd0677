"""How far probabilities can be believed: calibration errors, and what the Brier score is made of.

Rows are grouped into bins of equal mass by their probability (Nixon et al. 2019, "Measuring Calibration in Deep
Learning"). The plain calibration error counts the bins' own noise as error: a perfectly calibrated model of 1,000 rows
shows about 0.03. The debiased one takes that noise off (Kumar et al. 2019, "Verified Uncertainty Calibration").
Scikit-learn has neither, and its `calibration_curve` gives no bin sizes, which are the weights of the errors.
"""

from dataclasses import dataclass

import numpy as np

from fairlead.evaluation.metrics import CALIBRATION_BINS, bin_rows
from fairlead.evaluation.resampling import Interval, Resampling, ratio


@dataclass(frozen=True)
class Reliability:
    """The reliability diagram: what was predicted and what happened, by bin.

    Attributes:
        predicted: (B,) float64, mean predicted probability in each bin, ascending.
        observed: (B,) float64, share of rows that came true.
        low: (B,) float64, the lower ends of the shares' intervals.
        high: (B,) float64, the upper ends.
        counts: (B,) int64, rows; none is empty.
    """

    predicted: np.ndarray
    observed: np.ndarray
    low: np.ndarray
    high: np.ndarray
    counts: np.ndarray


def reliability(
    labels: np.ndarray, probabilities: np.ndarray, drawn: Resampling, bins: int = CALIBRATION_BINS
) -> Reliability:
    """Computes the reliability diagram with an interval for each bin.

    Args:
        labels: (N,) 0 or 1, whether it came true.
        probabilities: (N,).
        drawn: How rows are resampled.
        bins: Bins at most.
    """
    index = bin_rows(probabilities, bins)
    counts = np.bincount(index, minlength=bins)
    kept = np.flatnonzero(counts)
    rows, hits = drawn.cell_sums(index, bins), drawn.cell_sums(index, bins, labels.astype(np.float64))
    shares = [drawn.interval(ratio, hits[cell], rows[cell], within=(0, 1)) for cell in kept]
    return Reliability(
        np.bincount(index, probabilities, bins)[kept] / counts[kept],
        np.array([share.estimate for share in shares]),
        np.array([share.low for share in shares]),
        np.array([share.high for share in shares]),
        counts[kept],
    )


def calibration_figures(
    labels: np.ndarray, probabilities: np.ndarray, drawn: Resampling, bins: int = CALIBRATION_BINS
) -> dict[str, Interval]:
    """Calibration errors and the parts of the Brier score, with intervals by their influence functions.

    `brier = brier_reliability - brier_resolution + brier_uncertainty + brier_within_bins` holds exactly (Murphy 1973,
    "A new vector partition of the probability score"; the last term is Stephenson et al. 2008, "Two extra components
    in the Brier score decomposition": what bins blur).

    Args:
        labels: (N,) 0 or 1, whether it came true.
        probabilities: (N,).
        drawn: How rows are resampled.
        bins: Bins at most.

    Returns:
        Interval by name: `expected_calibration_error`, `calibration_error_debiased`, `brier_reliability`,
        `brier_resolution`, `brier_uncertainty`, `brier_within_bins`.
    """
    truth, said = labels.astype(np.float64), np.asarray(probabilities, dtype=np.float64)
    index = bin_rows(said, bins)
    counts = np.maximum(np.bincount(index, minlength=bins), 1)
    predicted, observed = (np.bincount(index, values, bins) / counts for values in (said, truth))
    gap, lift = (predicted - observed)[index], (observed - truth.mean())[index]
    error = said - truth
    reliable = 2 * gap * error - gap**2
    resolved = lift**2 + 2 * lift * (truth - observed[index])
    within = error**2 - reliable + resolved - truth * (1 - 2 * truth.mean()) - truth.mean() ** 2
    noise = float(np.sum(np.where(counts > 1, observed * (1 - observed) / np.maximum(counts - 1, 1) * counts, 0)))
    squared = drawn.mean(reliable)
    return {
        "expected_calibration_error": drawn.mean(np.sign(gap) * error, within=(0, 1)),
        "calibration_error_debiased": _root(squared, noise / truth.size),
        "brier_reliability": _clipped(squared),
        "brier_resolution": _clipped(drawn.mean(resolved)),
        "brier_uncertainty": drawn.interval(_variance, drawn.sums(truth), drawn.counts(), within=(0, 0.25)),
        "brier_within_bins": drawn.mean(within),
    }


def _variance(ones: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.asarray(ones / rows * (1 - ones / rows))


def _root(of: Interval, less: float) -> Interval:
    low, middle, high = (float(np.sqrt(max(value - less, 0.0))) for value in (of.low, of.estimate, of.high))
    return Interval(middle, low, high)


def _clipped(of: Interval) -> Interval:
    return Interval(max(of.estimate, 0.0), max(of.low, 0.0), max(of.high, 0.0))
