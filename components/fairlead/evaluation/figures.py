"""Every figure of a model with its interval, whatever its task; and a model beside another on the same rows."""

from collections.abc import Sequence

import numpy as np

from fairlead.errors import DataError
from fairlead.evaluation.binary_figures import binary_figures
from fairlead.evaluation.loss_names import TEXT
from fairlead.evaluation.multiclass_figures import multiclass_figures
from fairlead.evaluation.ranking_figures import ranking_figures
from fairlead.evaluation.regression_figures import regression_figures
from fairlead.evaluation.resampling import Interval, Resampling, resampling
from fairlead.evaluation.scoring import Scores
from fairlead.evaluation.spec import EvaluationSpec
from fairlead.evaluation.text_figures import text_figures


def prepare(scores: Scores, spec: EvaluationSpec) -> Resampling:
    """Prepares the bootstrap: what is drawn together, and how often.

    Args:
        scores: The rows; the cluster's column is among those that were kept.
        spec: How intervals are made.

    Returns:
        The resampling of rows, or of groups for a ranking.

    Raises:
        DataError: A group of a ranking lies in two clusters.
    """
    clusters = scores.codes(spec.cluster, spec.cluster_seconds) if spec.cluster else None
    strata = scores.labels if spec.stratified and scores.task in ("binary", "multiclass") else None
    rows = scores.labels.size
    if scores.groups is not None:
        rows = int(scores.groups.max()) + 1
        clusters = None if clusters is None else _of_groups(clusters, scores.groups, spec.cluster)
    return resampling(
        rows, resamples=spec.resamples, seed=spec.seed, confidence=spec.confidence, method=spec.interval,
        clusters=clusters, strata=strata,
    )  # fmt: skip


def _of_groups(clusters: np.ndarray, groups: np.ndarray, column: str) -> np.ndarray:
    """Each group's cluster."""
    found = np.zeros(int(groups.max()) + 1, dtype=np.int64)
    found[groups] = clusters
    if (found[groups] != clusters).any():
        raise DataError(
            f"the rows of one group lie in several clusters of {column!r}; a cluster holds whole groups: name a "
            "coarser column, or none"
        )
    return found


def figures(
    scores: Scores, model: str, drawn: Resampling, *, threshold: float = 0.5, cutoffs: Sequence[int] = (5, 10)
) -> dict[str, Interval]:
    """Every figure of a model, with its interval.

    Args:
        scores: Labels and predictions.
        model: Which of the predictions.
        drawn: As `prepare` made it.
        threshold: Of a yes/no question: the probability from which the answer is yes.
        cutoffs: Of a ranking: the ranks of the figures "at k".

    Returns:
        Interval by name; see `fairlead.evaluation.figure_names.FIGURES`.

    Raises:
        DataError: No group of a ranking has a relevant row.
    """
    labels, answers = scores.labels, scores.predictions[model]
    if scores.task == "multiclass":
        return multiclass_figures(labels, answers, scores.classes, drawn)
    if scores.task == "regression":
        return regression_figures(labels, answers, drawn)
    if scores.task == "ranking" and scores.groups is not None:
        if not (labels > 0).any():
            raise DataError("no row of the ranking is relevant (label above 0); there is nothing to find")
        return ranking_figures(labels, answers, scores.groups, cutoffs, drawn)
    if scores.task == TEXT:
        return text_figures(list(labels), list(answers), drawn)
    return binary_figures(labels, answers, threshold, drawn)


def difference(scores: Scores, model: str, other: str, drawn: Resampling) -> Interval:
    """A model's loss minus another's, row by row (group by group): below 0, the model is better.

    Args:
        scores: Both models' predictions on the same rows.
        model: The one.
        other: The other.
        drawn: As `prepare` made it.
    """
    excess = scores.losses(model) - scores.losses(other)
    defined = np.isfinite(excess)
    sums = drawn.sums(np.where(defined, excess, 0)), drawn.sums(defined)
    return drawn.interval(lambda top, count: top / count, *sums)
