"""Chooses the probability from which a binary model answers yes, by a declared rule, on validation rows."""

from dataclasses import dataclass

import numpy as np

from fairlead.errors import DataError
from fairlead.evaluation.metrics import ranking
from fairlead.optimization.calibration_spec import ThresholdSpec

CRITERIA = {
    "fixed": "F1",
    "f1": "F1",
    "balanced_accuracy": "balanced accuracy",
    "cost": "cost per row",
    "precision_at_recall": "precision",
}


@dataclass(frozen=True)
class Threshold:
    """A chosen threshold, and how it was chosen.

    Attributes:
        value: The probability from which the answer is yes.
        criterion: What was made greatest (of `cost`: least), at the threshold.
        thresholds: (D,) where the criterion was looked at, falling.
        criteria: (D,) what it was there; NaN where the rule does not allow the threshold.
    """

    value: float
    criterion: float
    thresholds: np.ndarray
    criteria: np.ndarray


def choose_threshold(labels: np.ndarray, probabilities: np.ndarray, spec: ThresholdSpec) -> Threshold:
    """Chooses the threshold: of several that are as good, the highest.

    Args:
        labels: (N,) 0 or 1, both present.
        probabilities: (N,) P(label=1), float32 as the package answers, or its values.
        spec: The rule.

    Returns:
        The threshold. It lies between two probabilities of these rows, so that a little noise changes no answer.

    Raises:
        DataError: A probability is not finite.
    """
    answers = np.asarray(probabilities, dtype=np.float32)
    if not np.isfinite(answers).all():
        raise DataError("probabilities are not finite; the model is broken")
    ranked = ranking(labels, answers)
    levels = np.unique(answers)[::-1]  # falling, as the ranking's counts
    places = _between(levels)
    criteria = _criteria(ranked.hits.astype(np.float64), ranked.misses.astype(np.float64), spec)
    if spec.rule == "fixed" and spec.value is not None:
        at = int(np.sum(levels >= np.float32(spec.value)))
        return Threshold(spec.value, float(criteria[at]), places, criteria)
    best = int(np.nanargmin(criteria) if spec.rule == "cost" else np.nanargmax(criteria))
    return Threshold(float(places[best]), float(criteria[best]), places, criteria)


def _between(levels: np.ndarray) -> np.ndarray:
    """For each number of leading levels that is a yes, from none to all: the threshold that makes it so.

    Servers compare in float32, so that a threshold is a float32 above one level and not above the next.
    """
    highest = np.float32(1.0) if levels[0] < 1 else np.nextafter(np.float32(1.0), np.float32(2.0))
    uppers = np.append(highest, levels)
    lowers = np.append(levels, np.float32(0.0))
    middle = ((uppers.astype(np.float64) + lowers) / 2).astype(np.float32)
    places = np.where(middle > lowers, middle, uppers)
    places[0], places[-1] = highest, np.float32(0.0)
    return np.asarray(np.minimum(places, 1.0), dtype=np.float64)


def _criteria(hits: np.ndarray, misses: np.ndarray, spec: ThresholdSpec) -> np.ndarray:
    """What the rule looks at, for each number of leading levels that is a yes: (D + 1,)."""
    ones, zeros = hits[-1], misses[-1]
    recall = hits / ones
    if spec.rule == "balanced_accuracy":
        return np.asarray((recall + 1 - misses / zeros) / 2)
    if spec.rule == "cost":
        return np.asarray((spec.false_positive * misses + spec.false_negative * (ones - hits)) / (ones + zeros))
    if spec.rule == "precision_at_recall":
        precision = hits / np.maximum(hits + misses, 1)
        return np.asarray(np.where(recall >= (spec.minimum_recall or 0) - 1e-12, precision, np.nan))
    return np.asarray(2 * hits / (hits + misses + ones))
