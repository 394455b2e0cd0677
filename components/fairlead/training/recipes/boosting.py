"""Fits gradient boosting: scikit-learn grows the trees, the validation rows that were given say when to stop."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from fairlead.errors import DataError
from fairlead.training.recipes.forest import Array, Forest, tree_inputs
from fairlead.training.recipes.protocol import Epoch, Fitted, Objective, Observer, Prepared
from fairlead.training.scores import validation_figures
from fairlead.training.tabular import Rows

if TYPE_CHECKING:
    from fairlead.training.recipes.gradient_boosting import BoostingOptions

LARGE = 50_000_000  # values of a table


class Curve:
    """The learning curve: scores each round on the validation rows, and says when to stop.

    It takes the place of the estimator's own check of its loss, which scikit-learn calls after each round with the raw
    predictions that it keeps anyway: a public `scoring` would predict with all trees anew each round.
    """

    def __init__(
        self, estimator: Any, data: Prepared, objective: Objective, stop_after: int, observe: Observer
    ) -> None:
        """Takes the place of the check in an estimator."""
        self.estimator, self.objective, self.stop_after, self.observe = estimator, objective, stop_after, observe
        self.task, self.validation = data.design.model.task, data.validation
        self.epochs: list[Epoch] = []
        self.best: Epoch | None = None
        self.started = False
        estimator._check_early_stopping_loss = self.end_round  # noqa: SLF001

    def end_round(
        self, *, raw_predictions: Array, y_train: Array, raw_predictions_val: Array, n_threads: int = 1, **_: Any
    ) -> bool:
        """Scores one round; the first call comes before the first tree.

        Returns:
            Whether to stop.

        Raises:
            DataError: The loss is not finite.
        """
        if not self.started:
            self.started = True
            return False
        loss = self.estimator._loss(y_true=y_train, raw_prediction=raw_predictions, n_threads=n_threads)  # noqa: SLF001
        raw = raw_predictions_val if self.task == "multiclass" else raw_predictions_val[:, 0]
        figures = validation_figures(self.task, self.validation.label, raw, self.validation.group)
        epoch = Epoch(len(self.epochs) + 1, float(loss), figures)
        if not np.isfinite([epoch.train_loss, self.objective.value(epoch)]).all():
            raise DataError(
                f"the loss was not finite in round {epoch.epoch} ({figures}); lower train.options.shrinkage"
            )
        self.epochs.append(epoch)
        if self.best is None or self.objective.is_better(self.objective.value(epoch), self.objective.value(self.best)):
            self.best = epoch
        self.observe(float(epoch.epoch), epoch)
        return epoch.epoch - self.best.epoch >= self.stop_after

    def kept(self) -> Epoch:
        """The best round.

        Raises:
            DataError: There was none.
        """
        if self.best is None:
            raise DataError("no tree was grown; are the validation rows empty?")
        return self.best


def fit_trees(data: Prepared, options: "BoostingOptions", objective: Objective, observe: Observer) -> Fitted:
    """Fits trees.

    Args:
        data: From the recipe's `prepare`.
        options: The recipe's.
        objective: What chooses the round.
        observe: See `Observer`.

    Returns:
        The trees up to the best round, and the learning curve.
    """
    train, validation = data.train, data.validation
    codes = [np.unique(train.categorical[:, i]) for i in range(train.categorical.shape[1])]
    estimator = _estimator(data, options, max([len(seen) for seen in codes], default=0))
    curve = Curve(estimator, data, objective, options.stop_after, observe)
    with threadpool_limits(data.design.spec.threads or sensible_threads(train), user_api="openmp"):
        estimator.fit(_inputs(train, codes), train.label, X_val=_inputs(validation, codes), y_val=validation.label)
    best = curve.kept()
    predictors = estimator._predictors[: best.epoch]  # noqa: SLF001 (there is no public way; see forest)
    forest = Forest.of_predictors(predictors, estimator._baseline_prediction, codes)  # noqa: SLF001
    return Fitted(forest.to_weights(), curve.epochs, best)


def _inputs(rows: Rows, codes: Sequence[Array]) -> Array:
    return tree_inputs(rows.numeric, rows.categorical, codes)


def _estimator(data: Prepared, options: "BoostingOptions", categories: int) -> Any:
    model = data.design.model
    classes = model.task in ("binary", "multiclass")
    return (HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor)(
        learning_rate=options.shrinkage,
        max_iter=options.rounds,
        max_leaf_nodes=options.leaves,
        max_depth=options.depth,
        min_samples_leaf=options.minimum_leaf_rows,
        l2_regularization=options.l2,
        max_features=options.column_share,
        max_bins=max(options.bins, categories),  # each category needs one
        categorical_features=np.arange(len(model.columns)) < len(model.categorical),
        early_stopping=True,
        n_iter_no_change=options.rounds + 1,
        random_state=data.design.spec.seed,
    )


def sensible_threads(rows: Rows) -> int:
    """The threads that pay: one unless the table is large, then all cores.

    With 100,000 rows of 23 columns one thread took 4 s for 100 rounds. OpenMP's threads wait for each other busily: two
    of them took eighteen times as long where other processes used the two cores too.
    """
    return len(os.sched_getaffinity(0)) if rows.numeric.size + rows.categorical.size > LARGE else 1
