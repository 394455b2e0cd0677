"""tune_model trains trials on the latest rows and leaves the best values, a table and a page."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from unit.training.late_rows import MODEL, TRAIN, late_table, write_table

from fairlead.datasets import read_table
from fairlead.errors import ConfigurationError, DataError
from fairlead.training.recipes.registry import find_recipe
from fairlead.training.tabular import Rows
from fairlead.training.train_model.task import read_hyperparameters
from fairlead.tuning.tune_model.task import Tuning, tune

TUNING: dict[str, Any] = {
    "objective": {"type": "minimize", "objectiveMetricName": "validation_log_loss"},
    "algorithm": {"algorithmName": "tpe", "algorithmSettings": {"random_state": "7"}},
    "maxTrialCount": 3,
    "parallelTrialCount": 2,
    "maximum_rows": 500,
    "maximum_epochs": 1,
    "parameters": [
        {"name": "learning_rate", "parameterType": "double",
         "feasibleSpace": {"min": "0.003", "max": "0.1", "distribution": "logUniform"}},
        {"name": "hidden", "parameterType": "categorical", "feasibleSpace": {"list": ["[8]", "[16, 8]"]}},
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the datasets `train` and `validation`."""
    folder = tmp_path_factory.mktemp("data")
    write_table(folder / "train", late_table(2000, seed=1), name="train")
    write_table(folder / "validation", late_table(400, seed=2), name="validation")
    return folder


def run(data: Path, out: Path, **changes: Any) -> Tuning:
    """Tunes with keys of the section changed."""
    return tune(
        data / "train", data / "validation", out / "best.json", out / "trials", out / "report.html",
        model=MODEL, train_spec=TRAIN, tuning={**TUNING, **changes}, label="late",
    )  # fmt: skip


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The rows and the epochs of each training of the test."""
    seen: list[tuple[int, int]] = []
    recipe = type(find_recipe("tabular-network"))
    fit = recipe.fit_trial

    def counted(self: Any, train: Rows, validation: Rows, design: Any, observe: Any) -> Any:
        seen.append((len(train), design.spec.epochs))
        return fit(self, train, validation, design, observe)

    monkeypatch.setattr(recipe, "fit_trial", counted)
    return seen


def test_the_best_trial_is_left(data: Path, tmp_path: Path, trainings: list[tuple[int, int]]) -> None:
    """Short trainings on the latest rows; the best values, all trials and a page; a second run trains nothing."""
    tuned = run(data, tmp_path)
    assert trainings == [(500, 1)] * 3
    assert tuned.best.metric == min(trial.metric or 9 for trial in tuned.trials)
    assert read_hyperparameters(tmp_path / "best.json") == tuned.best.values
    assert json.loads((tmp_path / "best.json").read_text())["metric"] == tuned.best.metric
    table = read_table(tmp_path / "trials")
    assert table["state"].to_pylist() == ["succeeded"] * 3
    assert table["hidden"].to_pylist() == [trial.values["hidden"] for trial in tuned.trials]
    page = (tmp_path / "report.html").read_text()
    assert "<svg" in page
    assert "parallelTrialCount is 2" in page
    again = run(data, tmp_path / "again")
    assert len(trainings) == 3
    assert again.best == tuned.best


def test_another_search_starts_anew(data: Path, tmp_path: Path, trainings: list[tuple[int, int]]) -> None:
    """Other data or another section is another study."""
    run(data, tmp_path / "a", maxTrialCount=1, parallelTrialCount=1)
    run(data, tmp_path / "b", maxTrialCount=1, parallelTrialCount=1, maximum_rows=400)
    assert trainings == [(500, 1), (400, 1)]


def test_failed_trials_are_accounted_for(data: Path, tmp_path: Path) -> None:
    """Some failures are in the table; too many end with their reasons, and the next run starts anew."""
    wild = [{"name": "learning_rate", "parameterType": "discrete", "feasibleSpace": {"list": ["0.01", "1e38"]}}]
    grid = {"algorithmName": "grid"}
    tuned = run(data, tmp_path, parameters=wild, algorithm=grid, maxTrialCount=2)
    assert tuned.metrics["trials_failed"] == 1
    assert sorted(read_table(tmp_path / "trials")["state"].to_pylist()) == ["failed", "succeeded"]
    with pytest.raises(DataError, match=r"(?s)1 of [12] trials failed.*lower train\.learning_rate"):
        run(data, tmp_path, parameters=wild, algorithm=grid, maxTrialCount=2, maxFailedTrialCount=1)
    with pytest.raises(DataError, match="of 2 trials failed"):
        run(data, tmp_path, parameters=[{**wild[0], "feasibleSpace": {"list": ["1e37", "1e38"]}}], algorithm=grid,
            maxTrialCount=2)  # fmt: skip


def test_an_unknown_parameter_is_refused_before_data_is_read(tmp_path: Path) -> None:
    """A parameter that the recipe does not have is an error of configuration."""
    wrong = [{"name": "drop_out", "parameterType": "double", "feasibleSpace": {"min": "0", "max": "1"}}]
    with pytest.raises(ConfigurationError, match="did you mean 'dropout'"):
        run(tmp_path, tmp_path, parameters=wrong)


def test_the_contract_logs_metrics(data: Path, tmp_path: Path) -> None:
    """The component calls the task with KFP's floats."""
    from fairlead.tuning.tune_model.component import tune_model

    logged: dict[str, float] = {}
    out = {name: SimpleNamespace(path=str(tmp_path / name), metadata={}) for name in ("best", "trials", "report")}
    tune_model.python_func(
        train=SimpleNamespace(path=str(data / "train")), validation=SimpleNamespace(path=str(data / "validation")),
        metrics=SimpleNamespace(log_metric=logged.__setitem__), model=MODEL, train_spec=TRAIN,
        tuning={**TUNING, "maxTrialCount": 1.0, "parallelTrialCount": 1.0}, label="late", **out,
    )  # fmt: skip
    assert logged["trials_succeeded"] == 1
    assert out["best"].metadata == {"trial": 0, "trials": 1}
