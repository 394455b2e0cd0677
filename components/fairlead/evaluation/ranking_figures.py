"""Every figure of rankings with its interval; the unit is a group, since rows of one group share their query."""

from collections.abc import Sequence

import numpy as np

from fairlead.evaluation.ranking_metrics import group_figures
from fairlead.evaluation.resampling import Interval, Resampling


def ranking_figures(
    relevance: np.ndarray, scores: np.ndarray, groups: np.ndarray, cutoffs: Sequence[int], drawn: Resampling
) -> dict[str, Interval]:
    """Every figure of `fairlead.evaluation.spec.FIGURES["ranking"]`, and those at each cutoff.

    Args:
        relevance: (N,) float64, not negative; above 0 is relevant.
        scores: (N,).
        groups: (N,) int64, from 0 to G - 1.
        cutoffs: The ranks k of the figures "at k".
        drawn: How the groups (not the rows) are resampled.

    Returns:
        Interval by name: means over the groups that have something relevant.
    """
    found = {}
    for name, values in group_figures(relevance, scores, groups, cutoffs).items():
        defined = np.isfinite(values)
        tops, counts = drawn.sums(np.where(defined, values, 0)), drawn.sums(defined)
        found[name] = drawn.interval(lambda top, count: top / count, tops, counts, within=(0, 1))
    return found
