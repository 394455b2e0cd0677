"""Intervals of single figures and of paired differences; `fairlead.evaluation.resampling` says how they are made."""

from functools import lru_cache

import numpy as np

from fairlead.evaluation.resampling import Interval, Resampling, resampling

__all__ = ["Interval", "auc_difference_interval", "auc_interval", "mean_interval", "placements"]


def mean_interval(
    values: np.ndarray, confidence: float, resamples: int, seed: int, clusters: np.ndarray | None = None
) -> Interval:
    """The percentile bootstrap interval of a mean.

    Args:
        values: (N,) finite; N at least 1. For a paired comparison, the differences of the pairs.
        confidence: Between 0 and 1.
        resamples: Bootstrap resamples.
        seed: The same seed gives the same interval.
        clusters: (N,) numbers; rows of one number are drawn together. None where rows are independent.

    Returns:
        The mean and its interval.
    """
    return _prepared(values.size, confidence, resamples, seed, clusters).mean(values)


def _prepared(rows: int, confidence: float, resamples: int, seed: int, clusters: np.ndarray | None) -> Resampling:
    if clusters is not None:
        return resampling(rows, resamples=resamples, seed=seed, confidence=confidence, clusters=clusters)
    return _independent(rows, confidence, resamples, seed)


@lru_cache(maxsize=2)  # one comparison asks for the same rows again and again
def _independent(rows: int, confidence: float, resamples: int, seed: int) -> Resampling:
    return resampling(rows, resamples=resamples, seed=seed, confidence=confidence)


def placements(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row, the share of the other class that it is ordered rightly against (a tie counts half).

    The mean of either array is the area under the ROC curve. (DeLong et al. 1988, "Comparing the areas under two or
    more correlated receiver operating characteristic curves".)

    Args:
        labels: (N,) 0 or 1, both present.
        scores: (N,) the higher, the surer of 1.

    Returns:
        One array for the rows with label 1 (P,), one for those with 0 (N - P,), rows in order.
    """
    ones, zeros = scores[labels == 1], scores[labels == 0]
    return _share_below(ones, zeros), 1 - _share_below(zeros, ones)


def _share_below(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    ordered = np.sort(others)
    below = np.searchsorted(ordered, values, side="left") + np.searchsorted(ordered, values, side="right")
    return np.asarray(below / (2 * others.size))


def auc_interval(
    labels: np.ndarray,
    scores: np.ndarray,
    confidence: float,
    resamples: int,
    seed: int,
    clusters: np.ndarray | None = None,
) -> Interval:
    """The bootstrap interval of the area under the ROC curve, resampled within each class.

    The area is linear in the placements to first order, which are resampled instead of sorting anew each time.

    Args:
        labels: (N,) 0 or 1, both present.
        scores: (N,).
        confidence: Between 0 and 1.
        resamples: Bootstrap resamples.
        seed: The same seed gives the same interval.
        clusters: As for `mean_interval`; they are drawn whole, whatever their classes.

    Returns:
        The area and its interval, within [0, 1].
    """
    drawn = _by_class(labels, confidence, resamples, seed, clusters)
    found = area_interval(labels == 1, _placed(labels, scores), drawn)
    return Interval(found.estimate, max(found.low, 0.0), min(found.high, 1.0))


def auc_difference_interval(
    labels: np.ndarray,
    scores: np.ndarray,
    others: np.ndarray,
    confidence: float,
    resamples: int,
    seed: int,
    clusters: np.ndarray | None = None,
) -> Interval:
    """The paired bootstrap interval of one area under the ROC curve minus another, on the same rows.

    Args:
        labels: (N,) 0 or 1, both present.
        scores: (N,) of the one model.
        others: (N,) of the other.
        confidence: Between 0 and 1.
        resamples: Bootstrap resamples.
        seed: The same seed gives the same interval.
        clusters: As for `auc_interval`.

    Returns:
        The area by `scores` minus that by `others`, and its interval.
    """
    gaps = _placed(labels, scores) - _placed(labels, others)
    return area_interval(labels == 1, gaps, _by_class(labels, confidence, resamples, seed, clusters))


def _placed(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Both classes' placements at their rows: (N,)."""
    placed = np.empty(labels.size)
    placed[labels == 1], placed[labels == 0] = placements(labels, scores)
    return placed


def _by_class(
    labels: np.ndarray, confidence: float, resamples: int, seed: int, clusters: np.ndarray | None
) -> Resampling:
    """Draws within each class, so that no resample lacks one; clusters are drawn whole instead."""
    strata = labels if clusters is None else None
    return resampling(
        labels.size, resamples=resamples, seed=seed, confidence=confidence, clusters=clusters, strata=strata
    )


def area_interval(ones: np.ndarray, placed: np.ndarray, drawn: Resampling) -> Interval:
    """The interval of the mean placement, by the mean placements of both classes.

    Args:
        ones: (N,) bool, whether the label is 1; both are present.
        placed: (N,) each row's placement.
        drawn: How rows are resampled.
    """
    area = float(placed[ones].mean())

    def of(up: np.ndarray, positives: np.ndarray, down: np.ndarray, negatives: np.ndarray) -> np.ndarray:
        return np.asarray(up / positives + down / negatives - area)

    zeros = ~ones
    sums = [drawn.sums(values) for values in (placed * ones, ones, placed * zeros, zeros)]
    return drawn.interval(of, *sums)
