"""What slices can be judged by: figures that can be taken of any part of the rows."""

from collections.abc import Iterable

import numpy as np

from fairlead.evaluation.estimates import AreaFigure, Blocks, Figure, MeanFigure
from fairlead.evaluation.loss_names import LOSSES
from fairlead.evaluation.losses import row_losses
from fairlead.evaluation.metrics import clip
from fairlead.evaluation.slice_spec import SLICE_METRICS


def slice_metrics(
    task: str,
    names: Iterable[str],
    labels: np.ndarray,
    outputs: np.ndarray,
    threshold: float = 0.5,
    blocks: Blocks | None = None,
) -> dict[str, Figure]:
    """Prepares figures of all rows, to be taken of parts of them.

    Args:
        task: binary, multiclass or regression.
        names: Some of SLICE_METRICS of the task. `bias` is the mean prediction less the mean truth; `specificity` is
            the share of the true no that is answered no; `excess_log_loss` is the log loss less what the model itself
            expects it to be, the entropy of its answers: 0 where probabilities are right, however hard the rows are.
        labels: (N,) 0 or 1, codes of classes, or float64.
        outputs: (N,) P(label=1), (N, K) P(class), or (N,) predictions.
        threshold: The probability from which a binary answer is yes.
        blocks: Which rows depend on one another.

    Returns:
        Figures by name, in the order of `names`.
    """
    return {name: _figure(task, name, labels, outputs, threshold, blocks) for name in names}


def _figure(
    task: str, name: str, labels: np.ndarray, outputs: np.ndarray, threshold: float, blocks: Blocks | None
) -> Figure:
    if name in LOSSES[task] or name == "excess_log_loss":
        return MeanFigure(row_costs(task, name, labels, outputs, threshold), blocks=blocks)
    if name == "accuracy":
        right = 1 - row_losses(task, labels, outputs, loss="error_rate", threshold=threshold)
        return MeanFigure(right, worse=-1, blocks=blocks)
    if name == "bias":
        return MeanFigure(np.asarray(outputs, dtype=np.float64) - labels, worse=0, blocks=blocks)
    if name == "roc_auc":
        return AreaFigure(labels, outputs, blocks)
    yes, true = outputs >= threshold, labels == 1
    hits, among = {"recall": (yes, true), "precision": (true, yes), "specificity": (~yes, ~true)}[name]
    return MeanFigure(hits.astype(np.float64), among, -1, blocks)


def row_costs(task: str, metric: str, labels: np.ndarray, outputs: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """What each row costs, for a search: by the metric where it is a cost of rows, otherwise by the task's first loss.

    Args:
        task: binary, multiclass or regression.
        metric: One of SLICE_METRICS of the task.
        labels: (N,).
        outputs: (N,) or (N, K).
        threshold: The probability from which a binary answer is yes.

    Returns:
        (N,) float64; more is worse.
    """
    if metric == "excess_log_loss":
        return np.asarray(row_losses(task, labels, outputs, loss="log_loss") - _entropies(clip(outputs)))
    if metric == "accuracy":
        metric = "error_rate"
    loss = metric if metric in LOSSES[task] else LOSSES[task][0]
    return row_losses(task, labels, outputs, loss=loss, threshold=threshold)


def _entropies(probabilities: np.ndarray) -> np.ndarray:
    """In nats, (N,), of P(label=1) (N,) or P(class) (N, K)."""
    own = -probabilities * np.log(probabilities)
    if probabilities.ndim > 1:
        return np.asarray(own.sum(axis=1))
    return np.asarray(own - (1 - probabilities) * np.log1p(-probabilities))


def shown_metrics(task: str) -> tuple[str, ...]:
    """The figures of a task that a table of slices shows, besides that of the gap."""
    return {
        "binary": ("excess_log_loss", "bias", "roc_auc"),
        "multiclass": ("excess_log_loss", "error_rate"),
        "regression": ("absolute_error", "bias"),
    }[task]


def needed_metrics(task: str, main: str, gated: Iterable[str]) -> tuple[str, ...]:
    """The main figure, those that gates name, and those that are shown, each once.

    Raises:
        KeyError: The task has no slices.
    """
    known = SLICE_METRICS[task]
    return tuple(dict.fromkeys(name for name in (main, *gated, *shown_metrics(task)) if name in known))
