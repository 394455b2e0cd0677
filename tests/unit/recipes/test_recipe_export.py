"""Each recipe and task, from rows to a package that MLflow reads: ONNX Runtime answers what the framework does."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from unit.recipes.recipe_rows import (
    LABELS,
    PICTURES_MODEL,
    TASKS,
    fit_recipe,
    mixed_table,
    picture_table,
    task_model,
    write_pair,
)

from fairlead.datasets import read_table
from fairlead.errors import PackageError
from fairlead.optimization import packaging
from fairlead.optimization.export_model.task import Export, export
from fairlead.optimization.quantize_model.task import quantize
from fairlead.training.checkpoint import Checkpoint
from fairlead.training.recipes.registry import find_recipe
from fairlead.training.spec import ModelSpec
from fairlead_serving.package import OUTPUTS, ModelPackage

RECIPES: dict[str, dict[str, Any]] = {
    "tabular-network": {"epochs": 3, "batch_size": 64, "options": {"hidden": [16]}},
    "gradient-boosting": {"options": {"rounds": 15, "leaves": 8}},
}
IMAGES: dict[str, Any] = {
    "recipe": "image-classifier", "epochs": 3, "batch_size": 16, "learning_rate": 0.01,
    "options": {"widths": [8, 8], "depths": [1, 1], "head": [8], "shift": 1, "rotate": 5, "zoom": 0.1, "flip": False},
}  # fmt: skip
RESNET: dict[str, Any] = {**IMAGES, "options": {**IMAGES["options"], "network": "resnet", "embedding": 8}}


def made(folder: Path, train: dict[str, Any], task: str) -> tuple[Path, Export, Path]:
    """Fits and exports; gives the package, what the export returned, and the sample."""
    if train["recipe"] == "image-classifier":
        paths, label = write_pair(folder, picture_table(120), picture_table(60, 1)), "label"
        model = ModelSpec.parse({**PICTURES_MODEL, "task": task}, "model")
    else:
        paths, label = write_pair(folder, mixed_table(400), mixed_table(200, 1)), LABELS[task]
        model = task_model(task)
    fit_recipe(paths, model, train, label, folder / "checkpoint")
    done = export(
        folder / "checkpoint", paths[1], folder / "package", name="m", label=label, request={}, feature_service=""
    )
    return folder / "package", done, paths[1]


CASES = [
    *(({"recipe": recipe, **RECIPES[recipe]}, task) for recipe in RECIPES for task in TASKS),
    (IMAGES, "multiclass"), (RESNET, "multiclass"),
]  # fmt: skip
NAMES = [f"{case['recipe']}-{case['options'].get('network', 'table')}-{task}" for case, task in CASES]


@pytest.fixture(scope="module", params=CASES, ids=NAMES)
def exported(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Export, Path, str]:
    """One package of each recipe and task."""
    train, task = request.param
    return (*made(tmp_path_factory.mktemp("made"), train, task), task)


def test_parity_on_real_rows(exported: tuple[Path, Export, Path, str]) -> None:
    """The package predicts what the framework does, on every row of the sample."""
    path, done, sample, task = exported
    assert done.metrics["largest_difference"] <= done.metrics["allowed_difference"]
    checkpoint, package = Checkpoint.read(path.parent / "checkpoint"), ModelPackage.open(path, done.digest)
    graph = find_recipe(checkpoint.design.spec.recipe).graph(checkpoint.fitted.weights, checkpoint.design)
    table = read_table(sample)
    columns = packaging.columns_of(table, [entry.name for entry in package.manifest.inputs])
    ((name, answer),) = package.predict(columns).items()
    assert name == OUTPUTS[task] == package.manifest.outputs[0]
    assert answer.dtype == np.float32
    assert answer == pytest.approx(graph.predict(table)[name], abs=1e-5, rel=1e-5)
    assert answer.shape == (
        (table.num_rows, len(package.manifest.classes)) if task == "multiclass" else (table.num_rows,)
    )


def test_a_batch_of_one_is_the_same(exported: tuple[Path, Export, Path, str]) -> None:
    """The batch dimension is dynamic: rows one by one get what they get together."""
    path, _, sample, task = exported
    package = ModelPackage.open(path)
    names = [entry.name for entry in package.manifest.inputs]
    rows = read_table(sample).slice(0, 5)
    together = package.predict(packaging.columns_of(rows, names))[OUTPUTS[task]]
    alone = [package.predict(packaging.columns_of(rows.slice(i, 1), names))[OUTPUTS[task]][0] for i in range(5)]
    assert np.stack(alone) == pytest.approx(together, abs=1e-6, rel=1e-5)


def test_the_reference_sample_is_the_packages_own(exported: tuple[Path, Export, Path, str]) -> None:
    """Inputs, label and answers; classes have a list of probabilities that sum to 1."""
    path, _, _, task = exported
    reference = pq.read_table(path / packaging.REFERENCE)
    package = ModelPackage.open(path)
    names = [entry.name for entry in package.manifest.inputs]
    assert reference.column_names == [*names, package.manifest.label, OUTPUTS[task]]
    kept = np.array(reference[OUTPUTS[task]].to_pylist(), np.float32)
    assert np.array_equal(kept, package.predict(packaging.columns_of(reference, names))[OUTPUTS[task]])
    if task == "multiclass":
        assert kept.sum(axis=1) == pytest.approx(np.ones(len(kept)), abs=1e-5)
        assert set(reference[package.manifest.label].to_pylist()) <= set(package.manifest.classes)


@pytest.mark.filterwarnings("ignore:.*type hint:UserWarning")  # MLflow warns of its own while it is imported
def test_mlflow_reads_and_serves_it(exported: tuple[Path, Export, Path, str]) -> None:
    """The signature names the graph's tensors, and pyfunc answers the input example as the package does."""
    import mlflow.pyfunc
    from mlflow.models import Model

    path, _, _, task = exported
    session = ModelPackage.open(path).load()
    model = Model.load(str(path))
    assert {e.name for e in model.signature.inputs} == {e.name for e in session.get_inputs()}
    kinds = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(uint8)": np.uint8}
    example: Any = model.load_input_example(str(path))
    given = {e.name: np.array(example[e.name], kinds[e.type]) for e in session.get_inputs()}
    served = mlflow.pyfunc.load_model(str(path)).predict(given)[OUTPUTS[task]]
    assert np.array_equal(np.array(served), session.run(None, given)[0])
    assert model.signature.outputs.inputs[0].shape == (-1, *served.shape[1:])


def test_the_same_training_gives_the_same_package(tmp_path: Path) -> None:
    """Nothing in a package depends on when or where it was made, trees and pictures included."""
    for train, task in (
        ({"recipe": "gradient-boosting", **RECIPES["gradient-boosting"]}, "binary"),
        (IMAGES, "multiclass"),
    ):
        digests = {made(tmp_path / f"{train['recipe']}{turn}", train, task)[1].digest for turn in range(2)}
        assert len(digests) == 1


def test_hostile_rows_take_the_same_way_through_trees(tmp_path: Path) -> None:
    """Gaps, infinities, values at a threshold, and words that training never saw: scikit-learn and ONNX agree."""
    path, *_ = made(tmp_path, {"recipe": "gradient-boosting", "options": {"rounds": 30}}, "regression")
    checkpoint, package = Checkpoint.read(tmp_path / "checkpoint"), ModelPackage.open(path)
    weights = checkpoint.fitted.weights
    splits = weights["nodes.num_threshold"][weights["nodes.is_leaf"] == 0]
    edges = [float(np.float32(t)) for t in splits[np.isfinite(splits)][:40]]
    around = [
        f
        for t in edges
        for f in (t, float(np.nextafter(np.float32(t), np.inf)), float(np.nextafter(np.float32(t), -np.inf)))
    ]
    numbers = [None, float("inf"), float("-inf"), 3e38, -3e38, 0.0, *around]
    count = len(numbers)
    words = [None, "never", "w01", "w02"]
    table = pa.table(
        {
            "word": pa.array([words[i % 4] for i in range(count)]),
            "code": pa.array([(None, 99, 1, 3)[i % 4] for i in range(count)], pa.int16()),
            **{name: pa.array(numbers, pa.float64()) for name in ("size", "gap", "same")},
        }
    )
    graph = find_recipe("gradient-boosting").graph(weights, checkpoint.design)
    answer = package.predict(packaging.columns_of(table, table.column_names))["prediction"]
    assert answer == pytest.approx(graph.predict(table)["prediction"], rel=1e-5)


def test_trees_are_not_quantized(tmp_path: Path) -> None:
    """A model without products is handed on with its digest, and the page says why."""
    path, done, sample = made(tmp_path, {"recipe": "gradient-boosting", **RECIPES["gradient-boosting"]}, "binary")
    chosen = quantize(path, sample, tmp_path / "chosen", tmp_path / "page.html", label="yes", tolerance=0.002)
    assert (chosen.kept, chosen.digest) == ("fp32", done.digest)
    assert "nothing to quantize" in (tmp_path / "page.html").read_text()


@pytest.mark.parametrize(("train", "task", "metric"), [
    (IMAGES, "multiclass", "accuracy"),
    ({"recipe": "tabular-network", **RECIPES["tabular-network"]}, "regression", "rmse"),
    ({"recipe": "tabular-network", **RECIPES["tabular-network"]}, "ranking", "rmse"),
    ({"recipe": "tabular-network", **RECIPES["tabular-network"]}, "multiclass", "log_loss"),
])  # fmt: skip
def test_other_tasks_are_quantized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: dict[str, Any], task: str, metric: str
) -> None:
    """INT8 of images and other tasks is a whole package that answers nearly the same, judged by the task's metric."""
    from fairlead.optimization.quantize_model import task as quantizing

    monkeypatch.setattr(quantizing, "choose", lambda *_: ("int8", "INT8 is faster."))
    path, _, sample = made(tmp_path, train, task)
    label = ModelPackage.open(path).manifest.label
    done = quantize(path, sample, tmp_path / "chosen", tmp_path / "page.html", label=label, tolerance=0.002)
    before, after = ModelPackage.open(path), ModelPackage.open(tmp_path / "chosen", done.digest)
    assert after.manifest == before.manifest
    assert done.metrics[f"int8_{metric}"] == pytest.approx(done.metrics[f"fp32_{metric}"], rel=0.2, abs=0.1)
    kinds = {node.op_type for node in onnx.load(str(after.path / "model.onnx")).graph.node}
    assert "DequantizeLinear" in kinds


def test_a_graph_of_another_shape_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A framework and a graph that do not even agree on what an answer is give no package."""
    from fairlead.training.recipes.forest_graph import ForestGraph

    monkeypatch.setattr(ForestGraph, "predict", lambda *_: {"probability": np.zeros((3, 2), np.float32)})
    with pytest.raises(PackageError, match="scikit-learn"):
        made(tmp_path, {"recipe": "gradient-boosting", **RECIPES["gradient-boosting"]}, "binary")
    assert not (tmp_path / "package").exists()
