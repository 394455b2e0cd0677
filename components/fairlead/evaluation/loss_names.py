"""The losses of each task by name, apart from their arithmetic: problems are checked where numpy is not installed."""

from fairlead.errors import ConfigurationError, nearest

TEXT = "text-generation"

LOSSES: dict[str, tuple[str, ...]] = {
    "binary": ("log_loss", "brier", "error_rate"),
    "multiclass": ("log_loss", "brier", "error_rate"),
    "regression": ("squared_error", "absolute_error"),
    "ranking": ("ndcg_loss",),
    TEXT: ("chrf_loss", "edit_distance", "error_rate"),
}
"""The losses of each task; the first is the one that is meant where none is named. Less is better, 0 is perfect."""


def default_loss(task: str) -> str:
    """The loss that is meant where none is named.

    Raises:
        ConfigurationError: There is no such task.
    """
    return known_loss(task, "")


def known_loss(task: str, loss: str) -> str:
    """A loss of a task by name.

    Args:
        task: A key of `LOSSES`.
        loss: The loss's name; empty for the task's first.

    Raises:
        ConfigurationError: There is no such task, or it has no such loss.
    """
    if task not in LOSSES:
        raise ConfigurationError(f"there is no task {task!r}; {nearest(task, list(LOSSES))}")
    if loss and loss not in LOSSES[task]:
        raise ConfigurationError(f"task {task!r} has no loss {loss!r}; it has {', '.join(LOSSES[task])}")
    return loss or LOSSES[task][0]
