"""train_model learns, keeps the best epoch, is deterministic, and leaves no code behind."""

import hashlib
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from unit.training.late_rows import MODEL, TRAIN, late_table, write_table

from fairlead import datasets
from fairlead.errors import ConfigurationError, DataError, SourceError
from fairlead.training.checkpoint import Checkpoint
from fairlead.training.progress import nothing
from fairlead.training.recipes.registry import find_recipe
from fairlead.training.spec import ModelSpec, TrainSpec
from fairlead.training.train_model.task import Training, train


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the datasets `train` and `validation`."""
    folder = tmp_path_factory.mktemp("data")
    write_table(folder / "train", late_table(2000, seed=1), name="train")
    write_table(folder / "validation", late_table(800, seed=2), name="validation")
    return folder


def run(data: Path, out: Path, **changes: Any) -> Training:
    """Trains with some hyperparameters changed; the outputs lie in `out`."""
    best = changes.pop("best_path", None)
    return train(
        data / "train", data / "validation", out / "checkpoint", out / "report.html",
        model=MODEL, train_spec={**TRAIN, **changes}, label="late", best_path=best,
    )  # fmt: skip


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Training]:
    """A finished training: its folder and what it returned."""
    out = tmp_path_factory.mktemp("trained")
    return out, run(data, out)


def digests(folder: Path) -> dict[str, str]:
    """The digest of each file of a folder."""
    files = [file for file in folder.iterdir() if file.name != "resources.json"]  # what it took is never the same
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_it_learns(trained: tuple[Path, Training]) -> None:
    """The network ranks unseen rows far better than chance and says so in its metrics."""
    metrics = trained[1].metrics
    assert metrics["validation_roc_auc"] > 0.8
    assert metrics["validation_log_loss"] < 0.55
    assert (metrics["train_rows"], metrics["validation_rows"]) == (2000, 800)
    assert metrics["rows_per_second"] > 0


def test_the_checkpoint_is_numbers_and_json(trained: tuple[Path, Training]) -> None:
    """It holds safetensors and JSON: recipe, spec, vocabularies, statistics, curve, lineage; nothing pickled."""
    folder = trained[0] / "checkpoint"
    assert sorted(file.name for file in folder.iterdir()) == [
        "checkpoint.json",
        "resources.json",
        "weights.safetensors",
    ]
    content = json.loads((folder / "checkpoint.json").read_text())
    assert content["recipe"] == "tabular-network"
    assert content["vocabularies"]["carrier"] == ["AA", "B6", "DL", "UA"]
    assert content["statistics"]["wind"]["missing_share"] > 0
    assert [epoch["epoch"] for epoch in content["learning_curve"]] == [1, 2, 3]
    assert content["lineage"]["train"]["rows"] == 2000
    assert content["lineage"]["train"]["digest"].startswith("sha256:")
    assert content["lineage"]["computed"]["processes"] == 1
    assert "blake2b" in content["lineage"]["computed"]["order"]
    assert content["lineage"]["versions"].keys() >= {"python", "torch", "pytorch-lightning"}


def test_the_same_seed_gives_the_same_bytes(data: Path, trained: tuple[Path, Training], tmp_path: Path) -> None:
    """Two trainings agree in every bit of every weight; another seed does not."""
    run(data, tmp_path / "again")
    run(data, tmp_path / "other", seed=8)
    assert digests(tmp_path / "again" / "checkpoint") == digests(trained[0] / "checkpoint")
    other = digests(tmp_path / "other" / "checkpoint")
    assert other["weights.safetensors"] != digests(trained[0] / "checkpoint")["weights.safetensors"]


def test_a_trial_gives_the_weights_of_a_training(data: Path, tmp_path: Path) -> None:
    """The plain loop of a search's trials and Lightning agree in every bit, so a search tunes what is trained."""
    model, spec = ModelSpec.parse(MODEL, "model"), TrainSpec.parse({**TRAIN, "clip_norm": 0.5}, "train")
    recipe = find_recipe(spec.recipe)
    rows = recipe.prepare(data / "train", data / "validation", model, spec, "late")
    whole, trial = recipe.fit(rows, nothing, tmp_path), recipe.fit_trial(rows, nothing)
    assert trial.epochs == whole.epochs
    assert all(np.array_equal(trial.weights[name], value) for name, value in whole.weights.items())


def test_the_best_epoch_is_kept(data: Path, tmp_path: Path) -> None:
    """The weights are those of the epoch with the lowest validation log loss, and patience ends training."""
    options = {"hidden": [64, 64], "dropout": 0.0}
    run(data, tmp_path, epochs=30, learning_rate=0.1, weight_decay=0.0, options=options, patience=2)
    checkpoint = Checkpoint.read(tmp_path / "checkpoint")
    curve = [epoch.validation["validation_log_loss"] for epoch in checkpoint.fitted.epochs]
    best, design = checkpoint.fitted.best, checkpoint.design
    assert best.validation["validation_log_loss"] == min(curve)
    assert len(curve) == best.epoch + 2 < 30
    table = datasets.read_table(data / "validation")
    probability = find_recipe(design.spec.recipe).graph(checkpoint.fitted.weights, design).predict(table)["probability"]
    label = table["late"].to_numpy()
    loss = -np.log(np.where(label == 1, probability, 1 - probability)).mean()
    assert loss == pytest.approx(min(curve), abs=1e-6)


def test_tuned_hyperparameters_replace_the_given(data: Path, tmp_path: Path) -> None:
    """What tune_model found is used, and the report says where each value is from."""
    (tmp_path / "best.json").write_text(json.dumps({"hyperparameters": {"hidden": "[8]", "epochs": 1}, "metric": 0.4}))
    run(data, tmp_path, best_path=tmp_path / "best.json")
    checkpoint = Checkpoint.read(tmp_path / "checkpoint")
    assert (checkpoint.design.spec.options["hidden"], len(checkpoint.fitted.epochs)) == ([8], 1)
    assert "tuning" in (tmp_path / "report.html").read_text()


def test_an_unreadable_best_is_refused(data: Path, tmp_path: Path) -> None:
    """A file that tune_model did not write is named."""
    (tmp_path / "best.json").write_text("[]")
    with pytest.raises(SourceError, match="holds no hyperparameters"):
        run(data, tmp_path, best_path=tmp_path / "best.json")


def test_the_report_shows_the_curve(trained: tuple[Path, Training]) -> None:
    """The page has the learning curve as SVG and warns of the column that never varies."""
    page = (trained[0] / "report.html").read_text()
    assert "<svg" in page
    assert re.search(r"never vary.*always", page)


def test_progress_tells_rate_and_figures(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each epoch's figures and the rate of rows reach the events."""
    monkeypatch.setenv("FAIRLEAD_EVENTS", str(tmp_path / "events"))
    run(data, tmp_path, epochs=1)
    last = json.loads((tmp_path / "events").read_text().splitlines()[-1])
    assert (last["step"], last["done"], last["total"]) == ("training", 1, 1)
    assert last["figures"].keys() >= {"rows_per_second", "seconds_left", "log_loss", "roc_auc"}


def test_a_loss_that_is_not_finite_is_an_error(data: Path, tmp_path: Path) -> None:
    """An absurd learning rate ends with advice and leaves no checkpoint."""
    with pytest.raises(DataError, match=r"lower train\.learning_rate"):
        run(data, tmp_path, learning_rate=1e38, epochs=2)
    assert not (tmp_path / "checkpoint").exists()


def test_wild_numbers_do_not_harm(data: Path, tmp_path: Path) -> None:
    """Infinities count as missing, and a column without any value says nothing."""
    table = late_table(300)
    wild = np.where(np.arange(300) % 7 == 0, np.inf, 1e37 * (np.arange(300) % 3))
    columns = {"wind": pa.array(wild), "always": pa.nulls(300, pa.float32())}
    for name, values in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, values)
    write_table(tmp_path / "train", table)
    (tmp_path / "validation").symlink_to(data / "validation")
    assert run(tmp_path, tmp_path, epochs=1).metrics["validation_roc_auc"] > 0.4


def test_one_kind_of_input_is_enough(data: Path, tmp_path: Path) -> None:
    """A model may have only numbers, or only categories, and no hidden layer."""
    for kind in ("numeric", "categorical"):
        out = tmp_path / kind
        train(
            data / "train", data / "validation", out / "checkpoint", out / "report.html",
            model={kind: MODEL[kind]}, train_spec={**TRAIN, "epochs": 1, "options": {"hidden": []}}, label="late",
        )  # fmt: skip
        assert Checkpoint.read(out / "checkpoint").design.model.columns == MODEL[kind]


def test_a_damaged_checkpoint_is_refused(trained: tuple[Path, Training], tmp_path: Path) -> None:
    """Truncated weights, weights of another shape, a broken or absent description: each has a clear error."""
    checkpoint = Checkpoint.read(trained[0] / "checkpoint")
    with pytest.raises(SourceError, match=r"checkpoint\.json is missing"):
        Checkpoint.read(tmp_path)
    checkpoint.write(tmp_path / "c")
    weights = tmp_path / "c" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(SourceError, match="cannot be read"):
        Checkpoint.read(tmp_path / "c")
    wrong = {name: value[..., :1].copy() for name, value in checkpoint.fitted.weights.items()}
    with pytest.raises(SourceError, match="do not fit"):
        find_recipe("tabular-network").graph(wrong, checkpoint.design)


def test_the_contract_fills_metadata_and_metrics(data: Path, tmp_path: Path) -> None:
    """The component calls the task, and its artifacts carry flat facts."""
    from fairlead.training.train_model.component import train_model

    logged: dict[str, float] = {}
    artifact = {name: SimpleNamespace(path=str(tmp_path / name), metadata={}) for name in ("checkpoint", "report")}
    train_model.python_func(
        train=SimpleNamespace(path=str(data / "train")), validation=SimpleNamespace(path=str(data / "validation")),
        checkpoint=artifact["checkpoint"], report=artifact["report"],
        metrics=SimpleNamespace(log_metric=logged.__setitem__),
        model=MODEL, train_spec={**TRAIN, "epochs": 1.0}, label="late",
    )  # fmt: skip
    assert logged["best_epoch"] == 1
    assert artifact["checkpoint"].metadata["recipe"] == "tabular-network"
    assert all(isinstance(value, str | int | float) for value in artifact["checkpoint"].metadata.values())


def test_an_unknown_recipe_is_refused_before_data_is_read(tmp_path: Path) -> None:
    """A wrong recipe is an error of configuration, even without data."""
    with pytest.raises(ConfigurationError, match="there is no recipe"):
        run(tmp_path, tmp_path, recipe="tabular-netwrk")
