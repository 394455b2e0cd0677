"""The names of every task's figures: what gates may name, and what is told first."""

import re
from collections.abc import Sequence
from typing import Literal

from fairlead.evaluation.loss_names import LOSSES, TEXT

Method = Literal["percentile", "bca"]

_CALIBRATION = ("expected_calibration_error", "calibration_error_debiased")
FIGURES: dict[str, tuple[str, ...]] = {
    "binary": (
        "roc_auc", "average_precision", "log_loss", "log_loss_ratio_to_majority", "brier", *_CALIBRATION,
        "brier_reliability", "brier_resolution", "brier_uncertainty", "brier_within_bins", "accuracy",
        "balanced_accuracy", "precision", "recall", "specificity", "f1", "share_of_yes_answers",
        "matthews_correlation", "base_rate",
    ),
    "multiclass": (
        "accuracy", "balanced_accuracy", "macro_precision", "macro_recall", "macro_f1", "weighted_f1",
        "matthews_correlation", "cohens_kappa", "top_3_accuracy", "roc_auc", "log_loss",
        "log_loss_ratio_to_majority", "brier", *_CALIBRATION,
    ),
    "regression": (
        "root_mean_squared_error", "mean_absolute_error", "median_absolute_error", "absolute_error_90", "mean_error",
        "r2", "explained_variance", "correlation", "weighted_absolute_percentage_error", "squared_error", "label_mean",
    ),
    "ranking": ("ndcg", "mrr", "map"),
    TEXT: (
        "chrf", "bleu", "rouge_1", "rouge_2", "rouge_l", "exact_match", "character_error_rate", "word_error_rate",
        "length_ratio",
    ),
}  # fmt: skip
"""The figures of each task; the modules `*_figures` say how each is computed."""

MAIN: dict[str, tuple[str, ...]] = {
    "binary": ("roc_auc", "log_loss", "expected_calibration_error"),
    "multiclass": ("accuracy", "macro_f1", "log_loss"),
    "regression": ("root_mean_squared_error", "mean_absolute_error", "r2"),
    "ranking": ("ndcg", "mrr", "map"),
    TEXT: ("chrf", "bleu", "exact_match"),
}
"""What is told first of each task."""

FIRST: dict[str, tuple[str, ...]] = {
    "binary": (
        *MAIN["binary"], "average_precision", "log_loss_ratio_to_majority", "brier", "calibration_error_debiased",
        "accuracy", "precision", "recall", "f1",
    ),
    "multiclass": (
        *MAIN["multiclass"], "balanced_accuracy", "macro_precision", "macro_recall", "top_3_accuracy", "roc_auc",
        "log_loss_ratio_to_majority", "expected_calibration_error", "calibration_error_debiased",
    ),
    "regression": (*MAIN["regression"], "median_absolute_error", "absolute_error_90", "mean_error", "correlation"),
    "ranking": (),
    TEXT: FIGURES[TEXT],
}  # fmt: skip
"""What the first table of a report holds; the rest is folded away. Of a ranking, everything is told."""

TASK_BASELINES: dict[str, tuple[str, ...]] = {
    "binary": ("majority", "logistic-regression", "gradient-boosting"),
    "multiclass": ("majority", "logistic-regression", "gradient-boosting"),
    "regression": ("mean", "linear-regression", "gradient-boosting"),
    "ranking": ("popularity", "gradient-boosting"),
    TEXT: ("copy",),
}
"""The simple models that stand beside the judged one, by task."""

BASELINES = tuple(dict.fromkeys(name for names in TASK_BASELINES.values() for name in names))

_AT = re.compile(r"(ndcg|precision|recall|hit_rate)_at_[1-9]\d*")
_OF = re.compile(r"(precision|recall|f1)_of_.+")


def figure_name(baseline: str, metric: str) -> str:
    """The name of a baseline's figure, as gates and metrics know it: `gradient_boosting_log_loss`."""
    return f"{baseline.replace('-', '_')}_{metric}"


def difference_name(baseline: str, loss: str = "log_loss") -> str:
    """The name of the model's loss minus a baseline's: `log_loss_minus_gradient_boosting`."""
    return f"{loss}_minus_{baseline.replace('-', '_')}"


def baseline_of(metric: str) -> str:
    """The baseline that a figure needs; empty for a figure of the model alone."""
    for baseline in BASELINES:
        written = baseline.replace("-", "_")
        if metric.endswith(f"_minus_{written}"):
            return baseline
        if metric.startswith(f"{written}_") and is_figure(metric.removeprefix(f"{written}_")):
            return baseline
    return ""


def is_figure(name: str) -> bool:
    """Whether some task has a figure of a model by that name."""
    fixed = any(name in names for names in FIGURES.values())
    return fixed or bool(_AT.fullmatch(name) or _OF.fullmatch(name))


def every_name() -> Sequence[str]:
    """Every figure with a fixed name that a gate may name."""
    own = list(dict.fromkeys(name for names in FIGURES.values() for name in names))
    for task, baselines in TASK_BASELINES.items():
        for baseline in baselines:
            own += [figure_name(baseline, metric) for metric in FIGURES[task]]
            own.append(difference_name(baseline, LOSSES[task][0]))
    return list(dict.fromkeys(own))
