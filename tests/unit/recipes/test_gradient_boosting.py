"""gradient-boosting: scikit-learn's trees without its pickles."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from unit.recipes.recipe_rows import LABELS, TASKS, fit_recipe, mixed_table, task_model, write_pair

from fairlead.errors import ConfigurationError, SourceError
from fairlead.training.recipes.boosting import LARGE, sensible_threads
from fairlead.training.recipes.forest import Forest, tree_inputs
from fairlead.training.recipes.forest_graph import round_down
from fairlead.training.recipes.protocol import Epoch
from fairlead.training.recipes.registry import find_recipe
from fairlead.training.spec import TrainSpec
from fairlead.training.tabular import Rows

TREES: dict[str, Any] = {"recipe": "gradient-boosting", "options": {"rounds": 40, "stop_after": 5}}


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Training and validation rows."""
    return write_pair(tmp_path_factory.mktemp("rows"), mixed_table(600), mixed_table(300, 1))


@pytest.mark.parametrize("task", TASKS)
def test_stored_trees_predict_what_the_estimator_does(paths: tuple[Path, Path], task: str) -> None:
    """The arrays of a checkpoint are the whole model: an estimator of as many rounds says the same."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    data, fitted = fit_recipe(paths, task_model(task), TREES, LABELS[task])
    forest = Forest.from_weights(fitted.weights, 5)
    kind = HistGradientBoostingRegressor if task in ("regression", "ranking") else HistGradientBoostingClassifier
    codes = [np.unique(data.train.categorical[:, i]) for i in range(2)]
    estimator = kind(
        max_iter=fitted.best.epoch,
        early_stopping=False,
        random_state=7,
        categorical_features=[True, True, *[False] * 3],
    )
    train = tree_inputs(data.train.numeric, data.train.categorical, codes)
    rows = tree_inputs(data.validation.numeric, data.validation.categorical, codes)
    with threadpool_limits(1, user_api="openmp"):
        estimator.fit(train, data.train.label)
        classes = kind is HistGradientBoostingClassifier
        expected = estimator.decision_function(rows) if classes else estimator.predict(rows)
    raw = forest.raw_scores(data.validation.numeric, data.validation.categorical)
    assert raw.reshape(expected.shape) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("task", TASKS)
def test_the_validation_rows_stop_it(paths: tuple[Path, Path], task: str) -> None:
    """Its own curve over the given rows decides the round, which is kept, and when to stop."""
    data, fitted = fit_recipe(
        paths, task_model(task), {**TREES, "options": {"rounds": 200, "stop_after": 5}}, LABELS[task]
    )
    objective = find_recipe("gradient-boosting").objective(data.design.model)
    values = [objective.value(epoch) for epoch in fitted.epochs]
    best = (min if objective.direction == "minimize" else max)(values)
    assert fitted.best == fitted.epochs[values.index(best)]
    assert len(fitted.epochs) == fitted.best.epoch + 5 < 200
    trees = fitted.best.epoch * (3 if task == "multiclass" else 1)
    assert len(fitted.weights["tree_nodes"]) == trees


def test_the_curve_is_that_of_the_kept_trees(paths: tuple[Path, Path]) -> None:
    """The figure of the best round is what the kept trees give on the validation rows."""
    from fairlead.training.scores import validation_figures

    data, fitted = fit_recipe(paths, task_model("multiclass"), TREES, "kind")
    raw = Forest.from_weights(fitted.weights, 5).raw_scores(data.validation.numeric, data.validation.categorical)
    again = validation_figures("multiclass", data.validation.label, raw)
    assert again == pytest.approx(fitted.best.validation, abs=1e-9)


def test_equal_seeds_and_any_threads_give_equal_trees(paths: tuple[Path, Path]) -> None:
    """Bit by bit."""
    ours, theirs = (
        fit_recipe(paths, task_model("binary"), {**TREES, "threads": threads, "options": {"rounds": 3}}, "yes")[
            1
        ].weights
        for threads in (1, 2)
    )
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_only_frequent_words_of_a_wide_column_keep_names(tmp_path: Path) -> None:
    """Of more than 253 words the others count as unknown, in training as in serving, and bins make room for them."""
    rng = np.random.default_rng(0)
    number = rng.zipf(1.3, 4000) % 400
    table = mixed_table(4000).set_column(0, "word", pa.array([f"word {n}" for n in number]))
    paths = write_pair(tmp_path, table, table.slice(0, 500))
    data, fitted = fit_recipe(paths, task_model("binary"), {**TREES, "options": {"rounds": 5, "bins": 16}}, "yes")
    words = data.design.vocabularies["word"]
    assert len(words) == 253
    assert "word 1" in words
    assert sorted(words) == words
    assert (data.train.categorical[:, 0] == 1).any()
    assert len(fitted.weights["codes.0"]) <= 255


def test_it_tells_each_round_and_can_be_stopped(paths: tuple[Path, Path]) -> None:
    """An observer that raises ends the training: a search prunes so."""
    told: list[Epoch | None] = []

    def observe(done: float, epoch: Epoch | None) -> None:
        told.append(epoch)
        if done == 3:
            raise InterruptedError

    recipe = find_recipe("gradient-boosting")
    data = recipe.prepare(*paths, task_model("binary"), TrainSpec.parse(TREES, "train"), "yes")
    with pytest.raises(InterruptedError):
        recipe.fit_trial(data, observe)
    assert [epoch.epoch for epoch in told if epoch] == [1, 2, 3]
    assert recipe.length(data.design.spec) == 40


@pytest.mark.parametrize(
    ("train", "words"),
    [
        ({"learning_rate": 0.1}, "set train.options.shrinkage"),
        ({"epochs": 100}, "set train.options.rounds"),
        ({"options": {"round": 3}}, "did you mean 'rounds'"),
        ({"options": {"leaves": 1}}, "leaves"),
    ],
)
def test_what_means_nothing_is_refused(paths: tuple[Path, Path], train: dict[str, Any], words: str) -> None:
    """Hyperparameters of networks, and unknown ones, are named with what to set in their place."""
    with pytest.raises(ConfigurationError, match=words):
        fit_recipe(paths, task_model("binary"), {"recipe": "gradient-boosting", **train}, "yes")


def test_a_search_over_what_means_nothing_is_refused(paths: tuple[Path, Path]) -> None:
    """A trial's hyperparameters come after the rows were read; they are looked at too."""
    recipe = find_recipe("gradient-boosting")
    data = recipe.prepare(*paths, task_model("binary"), TrainSpec.parse(TREES, "train"), "yes")
    tuned = data.design.spec.with_hyperparameters({"learning_rate": 0.2})
    with pytest.raises(ConfigurationError, match="shrinkage"):
        recipe.fit_trial(data.with_spec(tuned), lambda *_: None)


def test_pictures_are_refused(paths: tuple[Path, Path]) -> None:
    """Trees take tables."""
    model = task_model("binary", categorical=[], numeric=[], image="picture")
    with pytest.raises(ConfigurationError, match="use image-classifier"):
        fit_recipe(paths, model, TREES, "yes")


@pytest.mark.parametrize("change", ["absent", "short", "foreign"])
def test_weights_that_do_not_fit_are_refused(paths: tuple[Path, Path], change: str) -> None:
    """A checkpoint of another model, or a part of one, is no forest."""
    data, fitted = fit_recipe(paths, task_model("binary"), TREES, "yes")
    weights = dict(fitted.weights)
    if change == "absent":
        del weights["bitsets"]
    elif change == "short":
        weights["nodes.value"] = weights["nodes.value"][:-1]
    else:
        weights["nodes.feature_idx"] = weights["nodes.feature_idx"] + 9
    with pytest.raises(SourceError, match="train again"):
        find_recipe("gradient-boosting").graph(weights, data.design)


def test_a_tree_without_a_split_is_a_constant(tmp_path: Path) -> None:
    """Where nothing can be learnt the graph says the baseline, and ONNX Runtime agrees."""
    from fairlead.optimization.export_model.task import export

    table = mixed_table(60)
    paths = write_pair(tmp_path, table, table)
    fit_recipe(paths, task_model("regression"), {**TREES, "options": {"rounds": 3}}, "amount", tmp_path / "checkpoint")
    done = export(
        tmp_path / "checkpoint", paths[0], tmp_path / "p", name="m", label="amount", request={}, feature_service=""
    )
    assert done.metrics["largest_difference"] < 1e-5


@pytest.mark.parametrize("threshold", [0.1, -0.1, 1 / 3, 1e-40, 1e300, float("inf"), 16777217.0, 0.0])
def test_thresholds_are_rounded_down(threshold: float) -> None:
    """The rounded threshold lets through the same 32-bit floats."""
    rounded = np.float32(round_down(threshold))
    assert float(rounded) <= threshold
    with np.errstate(over="ignore"):
        assert np.isinf(rounded) or float(np.nextafter(rounded, np.float32(np.inf))) > threshold


def test_small_tables_use_one_thread() -> None:
    """OpenMP's threads pay for large tables only."""
    import os

    def rows(count: int) -> Rows:
        return Rows(np.broadcast_to(np.float32(0), (count, 10)), np.zeros((count, 0), np.int64), np.zeros(count))

    assert sensible_threads(rows(1000)) == 1
    assert sensible_threads(rows(LARGE // 10 + 1)) == len(os.sched_getaffinity(0))
