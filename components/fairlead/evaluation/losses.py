"""What a wrong answer costs, row by row, for every task: what slices, comparisons and intervals are made from."""

from collections.abc import Sequence

import numpy as np

from fairlead.errors import ConfigurationError
from fairlead.evaluation.loss_names import TEXT, known_loss
from fairlead.evaluation.metrics import CERTAIN, row_log_losses
from fairlead.evaluation.ranking_metrics import group_ndcg


def row_losses(
    task: str,
    labels: "np.ndarray | Sequence[str]",
    predictions: "np.ndarray | Sequence[str]",
    *,
    loss: str = "",
    groups: np.ndarray | None = None,
    cutoff: int | None = None,
    threshold: float = 0.5,
) -> np.ndarray:
    """What each row costs; their mean is the model's loss.

    Args:
        task: A key of `LOSSES`.
        labels: N of them: binary 0 or 1, multiclass int64 codes of the classes, regression and ranking float64, text
            strings.
        predictions: P(label=1) (N,), P(class) (N, K), predictions or scores (N,), or N strings.
        loss: A loss of the task; empty for its first. `log_loss` is in nats, `brier` is the squared distance of the
            probabilities from the truth (of all classes, for multiclass), `ndcg_loss` is 1 - NDCG.
        groups: (N,) int64 from 0 to G - 1, for a ranking.
        cutoff: Ranks that count in `ndcg_loss`; None for all.
        threshold: The probability from which a binary answer is yes, for `error_rate`.

    Returns:
        (N,) float64; for a ranking (G,), one for each group, NaN where nothing in the group is relevant.

    Raises:
        ConfigurationError: There is no such task or loss, or a ranking has no groups.
    """
    loss = known_loss(task, loss)
    if task == TEXT:
        from fairlead.evaluation.text_metrics import text_losses

        return text_losses(list(labels), list(predictions), loss)
    truth, answers = np.asarray(labels), np.asarray(predictions)
    if task == "ranking":
        if groups is None:
            raise ConfigurationError("a ranking is judged by groups; name their column as `group`")
        return 1 - group_ndcg(truth, answers, groups, cutoff)
    if task == "regression":
        error = np.asarray(answers, dtype=np.float64) - truth
        return np.asarray(error**2 if loss == "squared_error" else np.abs(error))
    if task == "multiclass":
        return _of_classes(truth, answers, loss)
    return _of_yes_or_no(truth, answers, loss, threshold)


def _of_yes_or_no(labels: np.ndarray, probabilities: np.ndarray, loss: str, threshold: float) -> np.ndarray:
    if loss == "log_loss":
        return row_log_losses(labels, probabilities)
    if loss == "brier":
        return np.asarray((np.asarray(probabilities, dtype=np.float64) - labels) ** 2)
    return np.asarray((probabilities >= threshold) != (labels == 1), dtype=np.float64)


def _of_classes(labels: np.ndarray, probabilities: np.ndarray, loss: str) -> np.ndarray:
    own = probabilities[np.arange(labels.size), labels].astype(np.float64)
    if loss == "log_loss":
        return np.asarray(-np.log(np.clip(own, CERTAIN, 1 - CERTAIN)))
    if loss == "brier":
        squares = np.einsum("nk,nk->n", probabilities, probabilities, dtype=np.float64)
        return np.asarray(squares - 2 * own + 1)
    return np.asarray(probabilities.argmax(axis=1) != labels, dtype=np.float64)
