"""The recipe `gradient-boosting`: scikit-learn's histogram gradient boosting, for tables; no torch anywhere."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import cast

from pydantic import Field

from fairlead.errors import ConfigurationError
from fairlead.sections import Section
from fairlead.training import tabular
from fairlead.training.labels import fit_classes
from fairlead.training.recipes.protocol import Design, Fitted, Graph, Objective, Observer, Prepared, Weights
from fairlead.training.recipes.torch_recipe import check_fit
from fairlead.training.scores import OBJECTIVES
from fairlead.training.spec import ModelSpec, TrainSpec

MOST_CATEGORIES = 255  # that scikit-learn can split by; two of them stand for missing and unknown values
OTHER_NAMES = {
    "epochs": "rounds", "learning_rate": "shrinkage", "weight_decay": "l2", "patience": "stop_after",
}  # fmt: skip


class BoostingOptions(Section):
    """The options of `gradient-boosting`.

    Attributes:
        rounds: Trees, at most (for K classes, K trees a round).
        shrinkage: What each tree adds is multiplied by it; scikit-learn's learning_rate.
        leaves: Of a tree, at most.
        depth: Of a tree, at most; None for no limit beside `leaves`.
        minimum_leaf_rows: Training rows in a leaf, at least.
        l2: Penalty on what leaves say.
        bins: Values that a numeric column is told apart by; at least as many as a categorical column has.
        column_share: Of the columns, those that each split may choose from, drawn anew each time.
        stop_after: Rounds without a better validation figure after which training stops.
    """

    rounds: int = Field(default=300, ge=1)
    shrinkage: float = Field(default=0.1, gt=0, le=1)
    leaves: int = Field(default=31, ge=2)
    depth: int | None = Field(default=None, ge=1)
    minimum_leaf_rows: int = Field(default=20, ge=1)
    l2: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    bins: int = Field(default=255, ge=2, le=255)
    column_share: float = Field(default=1.0, gt=0, le=1)
    stop_after: int = Field(default=20, ge=1)


class GradientBoostingRecipe:
    """Trees on columns as they are: categories are split by sets, missing values go where they fit best."""

    options: type[Section] = BoostingOptions
    tasks: Sequence[str] = ("binary", "multiclass", "regression", "ranking")

    def objective(self, model: ModelSpec) -> Objective:
        """The task's usual objective; see `Recipe.objective`."""
        return OBJECTIVES[model.task]

    def length(self, spec: TrainSpec) -> int:
        """The rounds; see `Recipe.length`."""
        return self._options(spec).rounds

    def load(self, *, trial: bool = False) -> None:
        """Imports scikit-learn; see `Recipe.load`."""
        del trial
        import_module("fairlead.training.recipes.boosting")

    def prepare(
        self,
        train_path: Path | str,
        validation_path: Path | str,
        model: ModelSpec,
        spec: TrainSpec,
        label: str,
        *,
        latest: int | None = None,
    ) -> Prepared:
        """Reads tables; see `Recipe.prepare`.

        Of a categorical column with more than 253 values the most frequent keep names; the others count as unknown.
        """
        check_fit(spec.recipe, model, self.tasks, ("tables",))
        self._options(spec)
        _refuse_foreign(spec)
        table = tabular.read_rows(train_path, model, label, latest=latest)
        words = tabular.fit_vocabularies(table, model.categorical, MOST_CATEGORIES - 2)
        classes = fit_classes(table[label]) if model.task == "multiclass" else ()
        train = tabular.encode(table, model, words, label, classes)
        validation = tabular.encode(tabular.read_rows(validation_path, model, label), model, words, label, classes)
        return Prepared(train, validation, Design(model, spec, words, classes), tabular.describe_numbers(train, model))

    def fit(self, data: Prepared, observe: Observer, work: Path | None = None) -> Fitted:
        """Fits trees; see `Recipe.fit`. It is short, so nothing is kept in `work`: a killed training starts anew."""
        from fairlead.training.recipes.boosting import fit_trees

        del work
        _refuse_foreign(data.design.spec)
        return fit_trees(data, self._options(data.design.spec), self.objective(data.design.model), observe)

    def fit_trial(self, data: Prepared, observe: Observer) -> Fitted:
        """Fits trees; see `Recipe.fit_trial`."""
        return self.fit(data, observe)

    def graph(self, weights: Weights, design: Design) -> Graph:
        """Makes the trees again; see `Recipe.graph`."""
        from fairlead.training.recipes.forest import Forest
        from fairlead.training.recipes.forest_graph import ForestGraph

        return ForestGraph(Forest.from_weights(weights, len(design.model.columns)), design)

    def _options(self, spec: TrainSpec) -> BoostingOptions:
        return cast("BoostingOptions", self.options.parse(spec.options, "train.options"))


def _refuse_foreign(spec: TrainSpec) -> None:
    """Refuses hyperparameters of networks, which would otherwise be ignored in silence.

    Raises:
        ConfigurationError: One was set.
    """
    for name, ours in OTHER_NAMES.items():
        if getattr(spec, name) != TrainSpec.model_fields[name].default:
            raise ConfigurationError(
                f"train.{name} is of networks and does nothing for {spec.recipe!r}; set train.options.{ours}"
            )
