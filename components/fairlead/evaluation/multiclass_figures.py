"""Every figure of a question with several answers, with its interval.

They are scikit-learn's (tests compare them), in a form that resamples: sums over rows by class.
"""

from collections.abc import Sequence

import numpy as np

from fairlead.evaluation.binary_figures import SHARE
from fairlead.evaluation.calibration_metrics import calibration_figures
from fairlead.evaluation.intervals import placements
from fairlead.evaluation.losses import row_losses
from fairlead.evaluation.resampling import Interval, Of, Resampling, ratio

TOP = 3
"""`top_3_accuracy`: the truth is among so many of the most probable classes."""
MOST_AREAS = 100  # classes; the area of each takes a sort of all rows


def multiclass_figures(
    labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str], drawn: Resampling
) -> dict[str, Interval]:
    """Every figure of `fairlead.evaluation.spec.FIGURES["multiclass"]`, and of each class.

    Args:
        labels: (N,) int64, positions in `classes`.
        probabilities: (N, K) of the K classes.
        classes: Their names.
        drawn: How rows are resampled.

    Returns:
        Interval by name. Figures of a class are `precision_of_<class>`, `recall_of_<class>`, `f1_of_<class>`; macro
        figures are means over the classes that occur in the rows or the answers. Calibration is that of the most
        probable class.
    """
    answers = probabilities.argmax(axis=1)
    right = answers == labels
    tallies = _tallies(labels, answers, len(classes), drawn)
    loss, rows = drawn.sums(row_losses("multiclass", labels, probabilities)), drawn.counts()
    calibration = calibration_figures(right, probabilities.max(axis=1), drawn)
    return {
        "accuracy": drawn.mean(right, within=SHARE),
        **{name: drawn.interval(of, tallies, within=SHARE) for name, of in _MACRO.items()},
        "matthews_correlation": drawn.interval(_correlation, tallies, within=(-1.0, 1.0)),
        "cohens_kappa": drawn.interval(_kappa, tallies, within=(-1.0, 1.0)),
        **_top(labels, probabilities, drawn),
        **_macro_area(labels, probabilities, drawn),
        "log_loss": drawn.interval(ratio, loss, rows),
        "log_loss_ratio_to_majority": drawn.interval(_by_constant, loss, tallies),
        "brier": drawn.mean(row_losses("multiclass", labels, probabilities, loss="brier")),
        "expected_calibration_error": calibration["expected_calibration_error"],
        "calibration_error_debiased": calibration["calibration_error_debiased"],
        **_of_each(classes, tallies, drawn),
    }


_HITS, _TRUE, _SAID = range(3)


def _tallies(labels: np.ndarray, answers: np.ndarray, classes: int, drawn: Resampling) -> np.ndarray:
    """Rows by class and unit: rightly answered, truly of the class, answered so. (3, K, units) float64."""
    hits = np.where(labels == answers, labels, -1)
    return np.stack([drawn.cell_sums(cell, classes) for cell in (hits, labels, answers)])


def _recalls(tallies: np.ndarray) -> np.ndarray:
    return np.asarray(tallies[_HITS] / tallies[_TRUE])


def _precisions(tallies: np.ndarray) -> np.ndarray:
    """0 for a class that is never answered but occurs, as scikit-learn has it."""
    return np.asarray(np.where(tallies[_SAID] > 0, tallies[_HITS] / np.maximum(tallies[_SAID], 1), _absent(tallies, 0)))


def _f1s(tallies: np.ndarray) -> np.ndarray:
    return np.asarray(2 * tallies[_HITS] / (tallies[_TRUE] + tallies[_SAID]))


def _absent(tallies: np.ndarray, otherwise: float) -> np.ndarray:
    """NaN for a class that neither occurs nor is answered."""
    return np.where(tallies[_TRUE] + tallies[_SAID] > 0, otherwise, np.nan)


def _mean_of(figures: np.ndarray) -> np.ndarray:
    """The mean over the classes of which a figure is defined."""
    defined = np.isfinite(figures)
    return np.asarray(np.where(defined, figures, 0).sum(axis=0) / defined.sum(axis=0))


_MACRO: dict[str, Of] = {
    "balanced_accuracy": lambda t: _mean_of(_recalls(t)),
    "macro_precision": lambda t: _mean_of(_precisions(t)),
    "macro_recall": lambda t: _mean_of(np.where(t[_TRUE] > 0, _recalls(t), _absent(t, 0))),
    "macro_f1": lambda t: _mean_of(_f1s(t)),
    "weighted_f1": lambda t: np.nansum(_f1s(t) * t[_TRUE], axis=0) / t[_TRUE].sum(axis=0),
}


def _correlation(tallies: np.ndarray) -> np.ndarray:
    """Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation coefficient"; 0 if undefined."""
    rows, true, said = tallies[_TRUE].sum(axis=0), tallies[_TRUE], tallies[_SAID]
    shared = tallies[_HITS].sum(axis=0) * rows - (true * said).sum(axis=0)
    spread = np.sqrt((rows**2 - (said**2).sum(axis=0)) * (rows**2 - (true**2).sum(axis=0)))
    return np.asarray(shared / np.where(spread > 0, spread, 1))


def _kappa(tallies: np.ndarray) -> np.ndarray:
    """Cohen 1960, "A coefficient of agreement for nominal scales"."""
    rows = tallies[_TRUE].sum(axis=0)
    chance = (tallies[_TRUE] * tallies[_SAID]).sum(axis=0) / rows**2
    return np.asarray((tallies[_HITS].sum(axis=0) / rows - chance) / (1 - chance))


def _by_constant(loss: np.ndarray, tallies: np.ndarray) -> np.ndarray:
    """The loss by that of answering the rows' own shares of the classes always."""
    counts = tallies[_TRUE]
    shares = counts / counts.sum(axis=0)
    constant = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=0)
    return np.asarray(loss / counts.sum(axis=0) / constant)


def _top(labels: np.ndarray, probabilities: np.ndarray, drawn: Resampling) -> dict[str, Interval]:
    """The share of rows whose truth is among the most probable classes; nothing to tell where there are no more."""
    if probabilities.shape[1] <= TOP:
        return {}
    return {f"top_{TOP}_accuracy": drawn.mean(_in_top(labels, probabilities), within=SHARE)}


def _in_top(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Whether the truth is among the most probable classes; what is as probable as the truth stands before it."""
    own = probabilities[np.arange(labels.size), labels]
    better = np.zeros(labels.size, dtype=np.int64)
    for column in probabilities.T:  # one column at a time: a comparison of all would take (N, K) more
        better += column >= own
    return better <= TOP  # the truth itself is counted once


def _macro_area(labels: np.ndarray, probabilities: np.ndarray, drawn: Resampling) -> dict[str, Interval]:
    """The mean over classes of the area under the ROC curve of a class against the others."""
    if len(np.unique(labels)) == 1 or probabilities.shape[1] > MOST_AREAS:
        return {}
    parts, areas = [], []
    for k in np.unique(labels):
        ones = labels == k
        placed = np.empty(labels.size)
        placed[ones], placed[~ones] = placements(ones.astype(np.int8), probabilities[:, k])
        areas.append(float(placed[ones].mean()))
        parts.append([drawn.sums(values) for values in (placed * ones, ones, placed * ~ones, ~ones)])
    area = np.array(areas)

    def of(sums: np.ndarray) -> np.ndarray:
        each = sums[:, 0] / sums[:, 1] + sums[:, 2] / sums[:, 3]
        return _mean_of(each - area.reshape(-1, *(1,) * (each.ndim - 1)))

    return {"roc_auc": drawn.interval(of, np.array(parts), within=SHARE)}


def _of_each(classes: Sequence[str], tallies: np.ndarray, drawn: Resampling) -> dict[str, Interval]:
    found = {}
    for name, of in (("precision", _precisions), ("recall", _recalls), ("f1", _f1s)):
        for k, label in enumerate(classes):
            found[f"{name}_of_{label}"] = drawn.interval(of, tallies[:, k], within=SHARE)
    return found
