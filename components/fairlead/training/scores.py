"""What an epoch's validation figures are, by task, in numpy: scikit-learn's import takes a second.

Raw scores are logits for binary (N,) and multiclass (N, K), and the prediction itself for regression and ranking.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from fairlead.training.recipes.protocol import Objective

Array = np.ndarray[Any, Any]

OBJECTIVES = {
    "binary": Objective("validation_log_loss"),
    "multiclass": Objective("validation_log_loss"),
    "regression": Objective("validation_rmse"),
    "ranking": Objective("validation_ndcg", "maximize"),
}
"""What chooses the epoch, by task."""

BEST_RANKS = 10  # the length of the list that the NDCG looks at


def validation_figures(task: str, label: Array, raw: Array, group: Array | None = None) -> dict[str, float]:
    """Scores a model on validation rows.

    Args:
        task: A key of `OBJECTIVES`.
        label: (N,): 0 or 1, class numbers, or numbers.
        raw: Raw scores, (N,), or (N, K) for multiclass.
        group: (N,) the groups of a ranking.

    Returns:
        Figures by name; the task's objective is among them. Log losses in nats, RMSE and MAE in the label's unit.
    """
    return {f"validation_{name}": value for name, value in _FIGURES[task](label, raw.astype(np.float64), group).items()}


def _binary(label: Array, raw: Array, _: Array | None) -> dict[str, float]:
    losses = np.logaddexp(0.0, raw) - label * raw
    return {"log_loss": float(losses.mean()), "roc_auc": roc_auc(label, raw)}


def _multiclass(label: Array, raw: Array, _: Array | None) -> dict[str, float]:
    chosen = raw[np.arange(len(label)), label]
    accuracy = float((raw.argmax(axis=1) == label).mean())
    return {"log_loss": float((_log_sum_exp(raw) - chosen).mean()), "accuracy": accuracy}


def _regression(label: Array, raw: Array, _: Array | None) -> dict[str, float]:
    errors = raw - label
    return {"rmse": float(np.sqrt(np.mean(errors**2))), "mae": float(np.abs(errors).mean())}


def _ranking(label: Array, raw: Array, group: Array | None) -> dict[str, float]:
    groups = np.zeros(len(label), np.int64) if group is None else group
    return {"ndcg": ndcg(label, raw, groups), "rmse": float(np.sqrt(np.mean((raw - label) ** 2)))}


_FIGURES: dict[str, Callable[[Array, Array, Array | None], dict[str, float]]] = {
    "binary": _binary, "multiclass": _multiclass, "regression": _regression, "ranking": _ranking,
}  # fmt: skip


def _log_sum_exp(raw: Array) -> Array:
    highest = raw.max(axis=1, keepdims=True)
    return np.asarray(np.log(np.exp(raw - highest).sum(axis=1)) + highest[:, 0])


def log_loss(label: Array, probability: Array) -> float:
    """The mean negative log-likelihood of labels under predicted probabilities, in nats.

    Args:
        label: (N,): 0 or 1, or class numbers where `probability` is (N, K).
        probability: (N,) of label 1, or (N, K) of each class.
    """
    clipped = np.clip(probability.astype(np.float64), 1e-7, 1 - 1e-7)
    if clipped.ndim > 1:
        return float(-np.log(clipped[np.arange(len(label)), label.astype(np.int64)]).mean())
    return float(-np.mean(np.where(label > 0, np.log(clipped), np.log1p(-clipped))))


def roc_auc(label: Array, score: Array) -> float:
    """The area under the ROC curve: how often a positive row scores above a negative one; equal scores count half.

    Args:
        label: (N,), 0 or 1, both present.
        score: (N,), higher where the label is likelier 1.

    Returns:
        From 0 to 1; NaN where a score is.
    """
    if np.isnan(score).any():
        return float("nan")
    _, group, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[group]  # of equal scores their middle rank
    positive = int(label.sum())
    above = rank[label > 0].sum() - positive * (positive + 1) / 2
    return float(above / (positive * (len(label) - positive)))


def ndcg(relevance: Array, score: Array, group: Array) -> float:
    """The mean normalised discounted cumulative gain of the first ten ranks, with linear gains.

    Rows of equal scores are ranked with the least relevant first, so that a constant score earns nothing by their
    order. Groups without any relevance do not count.

    Args:
        relevance: (N,), from 0.
        score: (N,).
        group: (N,), rows of one value are ranked against each other.

    Returns:
        From 0 to 1; NaN where a score is, or where no group has any relevance.
    """
    if np.isnan(score).any():
        return float("nan")
    ideal = _discounted(relevance, np.lexsort((-relevance, group)), group)
    gained = _discounted(relevance, np.lexsort((relevance, -score, group)), group)
    counted = ideal > 0
    return float((gained[counted] / ideal[counted]).mean()) if counted.any() else float("nan")


def _discounted(relevance: Array, order: Array, group: Array) -> Array:
    """The discounted gain of each group, (G,), with the rows in an order that keeps groups together."""
    _, first, number = np.unique(group[order], return_index=True, return_inverse=True)
    rank = np.arange(len(order)) - first[number]
    gains = np.where(rank < BEST_RANKS, relevance[order] / np.log2(rank + 2.0), 0.0)
    return np.asarray(np.bincount(number, gains, len(first)))
