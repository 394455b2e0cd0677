"""Figures of rankings, group by group: how well scores order the rows of a query, a session, a user.

scikit-learn has NDCG for a matrix of equally long lists only, and Evidently's ranking figures are off by one; groups of
any length are computed here at once, and tests compare each group with scikit-learn or with counting by hand.

Equal scores: NDCG, precision and recall are the expectation over all orders of the tied rows (McSherry & Najork 2008,
"Computing information retrieval performance measures efficiently in the presence of tied scores"; scikit-learn does the
same). Reciprocal rank, hit rate and average precision rank a tied row behind all that it is tied with, as
scikit-learn's average precision does: a constant score earns nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_RELEVANCE = 30.0
"""Gains are 2^relevance - 1 (Burges et al. 2005, "Learning to rank using gradient descent"): grades, not prices."""


@dataclass(frozen=True)
class Ordered:
    """Rows in the order of their scores, group after group.

    Attributes:
        order: (N,) int64, the rows' positions in the input.
        group: (N,) int64, each ordered row's group, ascending.
        rank: (N,) int64, from 1 within the group.
        first: (N,) int64, the rank of the first row that is tied with this one.
        last: (N,) int64, the rank of the last.
        groups: How many groups there are.
    """

    order: np.ndarray
    group: np.ndarray
    rank: np.ndarray
    first: np.ndarray
    last: np.ndarray
    groups: int

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sums of ordered values by group: (groups,) float64."""
        return np.bincount(self.group, values, self.groups)


def order_rows(scores: np.ndarray, groups: np.ndarray) -> Ordered:
    """Orders rows by falling score within their groups.

    Args:
        scores: (N,) the higher, the further up.
        groups: (N,) int64, from 0 to G - 1; N at least 1.
    """
    order = np.lexsort((-np.asarray(scores, dtype=np.float64), groups))
    group, ordered = groups[order], np.asarray(scores)[order]
    new_group = np.append(True, group[1:] != group[:-1])
    new_tie = new_group | np.append(True, ordered[1:] != ordered[:-1])
    rows = np.arange(order.size)
    start = np.maximum.accumulate(np.where(new_group, rows, 0))
    rank = rows - start + 1
    ties = np.flatnonzero(new_tie)
    sizes = np.diff(np.append(ties, order.size))
    first = np.repeat(rank[ties], sizes)
    return Ordered(order, group, rank, first, first + np.repeat(sizes, sizes) - 1, int(groups.max()) + 1)


def group_ndcg(relevance: np.ndarray, scores: np.ndarray, groups: np.ndarray, cutoff: int | None = None) -> np.ndarray:
    """Normalised discounted cumulative gain of each group (Järvelin & Kekäläinen 2002), ties averaged.

    Args:
        relevance: (N,) 0 to `MOST_RELEVANCE`.
        scores: (N,).
        groups: (N,) int64, from 0 to G - 1.
        cutoff: Ranks that count; None for all.

    Returns:
        (G,) float64 between 0 and 1; NaN where nothing in the group is relevant.
    """
    gains = np.exp2(np.asarray(relevance, dtype=np.float64)) - 1
    found = _tied_gain(gains, order_rows(scores, groups), _discounts(groups, cutoff))
    best = _tied_gain(gains, order_rows(relevance, groups), _discounts(groups, cutoff))
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(best > 0, np.minimum(found / np.where(best > 0, best, 1), 1.0), np.nan))


def _discounts(groups: np.ndarray, cutoff: int | None) -> np.ndarray:
    """(longest,) what a gain at each rank is worth."""
    longest = int(np.bincount(groups).max())
    worth = 1 / np.log2(np.arange(longest) + 2)
    worth[cutoff if cutoff is not None else longest :] = 0
    return worth


def _tied_gain(gains: np.ndarray, ordered: Ordered, worth: np.ndarray) -> np.ndarray:
    """Sums gains times what their ranks are worth, by group; tied rows share the worth of their ranks."""
    summed = np.append(0.0, np.cumsum(worth))
    mean = (summed[ordered.last] - summed[ordered.first - 1]) / (ordered.last - ordered.first + 1)
    return ordered.total(gains[ordered.order] * mean)


def group_figures(
    relevance: np.ndarray, scores: np.ndarray, groups: np.ndarray, cutoffs: Sequence[int]
) -> dict[str, np.ndarray]:
    """Every figure of every group.

    Args:
        relevance: (N,) 0 to `MOST_RELEVANCE`; above 0 is relevant.
        scores: (N,).
        groups: (N,) int64, from 0 to G - 1.
        cutoffs: The ranks k of the figures "at k".

    Returns:
        By name, (G,) float64 each: `mrr`, `map`, `ndcg`, and `ndcg_at_k`, `precision_at_k`, `recall_at_k`,
        `hit_rate_at_k`; NaN where nothing in the group is relevant.
    """
    ordered = order_rows(scores, groups)
    relevant = (np.asarray(relevance) > 0).astype(np.float64)
    count = ordered.total(relevant[ordered.order])
    none = count == 0
    best = _first_relevant(relevant, ordered)
    found = {
        "ndcg": group_ndcg(relevance, scores, groups),
        "mrr": 1 / best,
        "map": _average_precision(relevant, ordered),
    }
    longest = int(np.bincount(groups).max())
    for k in cutoffs:
        hits = _tied_gain(relevant, ordered, (np.arange(longest) < k).astype(np.float64))
        found[f"ndcg_at_{k}"] = group_ndcg(relevance, scores, groups, k)
        found[f"precision_at_{k}"] = hits / k
        found[f"recall_at_{k}"] = hits / np.where(none, 1, count)
        found[f"hit_rate_at_{k}"] = (best <= k).astype(np.float64)
    return {name: np.where(none, np.nan, values) for name, values in found.items()}


def _first_relevant(relevant: np.ndarray, ordered: Ordered) -> np.ndarray:
    """(G,) float64: the rank of each group's first relevant row, behind its ties; infinite where there is none."""
    ranks = np.full(ordered.groups, np.inf)
    np.minimum.at(ranks, ordered.group, np.where(relevant[ordered.order] > 0, ordered.last, np.inf))
    return ranks


def _average_precision(relevant: np.ndarray, ordered: Ordered) -> np.ndarray:
    """(G,) float64: the mean, over relevant rows, of the share of relevant ones among the rows down to it."""
    hits = np.cumsum(relevant[ordered.order])
    row = np.arange(hits.size)
    start = row - ordered.rank + 1
    before = np.where(start > 0, hits[start - 1], 0.0)
    precision = (hits[row + ordered.last - ordered.rank] - before) / ordered.last
    total = ordered.total(relevant[ordered.order])
    return ordered.total(precision * relevant[ordered.order]) / np.where(total > 0, total, 1)
