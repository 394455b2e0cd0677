"""tune_model trains trials and leaves the best values, a table and a page; parallel trials are processes."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from unit.training.late_rows import MODEL, TRAIN, late_table, write_table
from unit.tuning.toy_recipe import NAME

from fairlead.datasets import read_table
from fairlead.errors import ConfigurationError, DataError, PlatformError
from fairlead.settings import settings
from fairlead.training.train_model.task import read_hyperparameters
from fairlead.tuning.tune_model.task import KEPT_STUDIES, Tuning, forget_old, tune

TOY: dict[str, Any] = {"recipe": NAME, "epochs": 2}
RATE = {"name": "log10_learning_rate", "parameterType": "double", "feasibleSpace": {"min": "-4", "max": "-1"}}
WIDTH = {"name": "width", "parameterType": "int", "feasibleSpace": {"min": "4", "max": "12", "step": "4"}}
TUNING: dict[str, Any] = {
    "objective": {
        "type": "minimize", "objectiveMetricName": "validation_log_loss",
        "additionalMetricNames": ["validation_roc_auc"],
    },
    "algorithm": {"algorithmName": "tpe", "algorithmSettings": {"random_state": "7"}},
    "maxTrialCount": 3,
    "maximum_rows": 500,
    "parameters": [RATE, WIDTH],
}  # fmt: skip


def moods(*moods: str) -> dict[str, Any]:
    """A grid over moods of the toy."""
    parameter = {"name": "mood", "parameterType": "categorical", "feasibleSpace": {"list": list(moods)}}
    return {"parameters": [parameter], "algorithm": {"algorithmName": "grid"}, "maxTrialCount": len(moods)}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the datasets `train` and `validation`."""
    folder = tmp_path_factory.mktemp("data")
    write_table(folder / "train", late_table(2000, seed=1), name="train")
    write_table(folder / "validation", late_table(400, seed=2), name="validation")
    return folder


@pytest.fixture
def trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file to which the toy's trainings write."""
    log = tmp_path / "trainings"
    log.touch()
    monkeypatch.setenv("TOY_LOG", str(log))
    return log


def run(data: Path, out: Path, train: dict[str, Any] = TOY, label: str = "late", **changes: Any) -> Tuning:
    """Tunes with keys of the section changed."""
    return tune(
        data / "train", data / "validation", out / "best.json", out / "trials", out / "report.html",
        model=MODEL, train_spec=train, tuning={**TUNING, **changes}, label=label,
    )  # fmt: skip


def test_the_best_trial_is_left(data: Path, tmp_path: Path, trainings: Path) -> None:
    """The best values, all trials and a page; a second run trains nothing; more trials train only these."""
    tuned = run(data, tmp_path)
    assert tuned.best.metric == min(trial.metric or 9 for trial in tuned.trials)
    best = json.loads((tmp_path / "best.json").read_text())
    assert best["metric"] == tuned.best.metric
    rate = 10 ** tuned.best.values["log10_learning_rate"]
    assert read_hyperparameters(tmp_path / "best.json") == {"learning_rate": rate, "width": tuned.best.values["width"]}
    table = read_table(tmp_path / "trials")
    assert table["state"].to_pylist() == ["succeeded"] * 3
    assert table["width"].to_pylist() == [trial.values["width"] for trial in tuned.trials]
    assert table["epochs"].to_pylist() == [2, 2, 2]
    assert table["worker"].to_pylist() == [0, 0, 0]
    assert "validation_roc_auc" in table.column_names
    assert tuned.metrics["best_validation_roc_auc"] == pytest.approx(1 / (1 + (tuned.best.metric or 0)))
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 1
    assert "3 trials: all to their end" in page
    again = run(data, tmp_path / "again")
    assert again.best == tuned.best
    assert len(run(data, tmp_path / "more", maxTrialCount=5).trials) == 5
    assert len(trainings.read_text().splitlines()) == 2 * 5


def test_the_page_of_a_longer_search_tells_importance(data: Path, tmp_path: Path) -> None:
    """From ten trials on the page shows what each parameter matters, and all trials side by side."""
    run(data, tmp_path, algorithm={"algorithmName": "random"}, maxTrialCount=12)
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 4
    assert "fANOVA, from 12 trials" in page


def test_another_search_starts_anew(data: Path, tmp_path: Path, trainings: Path) -> None:
    """Other data or another section is another study."""
    run(data, tmp_path / "a", maxTrialCount=1)
    run(data, tmp_path / "b", maxTrialCount=1, maximum_rows=400)
    assert len(trainings.read_text().splitlines()) == 4


def test_parallel_trials_are_processes(data: Path, tmp_path: Path, trainings: Path) -> None:
    """With parallelTrialCount 2 two processes take trials, and each training happens once; the values stay Katib's."""
    tuned = run(data, tmp_path, maxTrialCount=6, parallelTrialCount=2, train={**TOY, "options": {"pause": 0.1}})
    assert {trial.worker for trial in tuned.trials} == {0, 1}
    assert [trial.number for trial in tuned.trials] == [0, 1, 2, 3, 4, 5]
    assert {trial.values["width"] for trial in tuned.trials} <= {4, 8, 12}
    lines = trainings.read_text().splitlines()
    assert len(lines) == len(set(lines)) == 12
    assert len({line.split()[-1] for line in lines}) == 2  # the same two from the first trial to the last
    assert "6 trials, in 2 processes" in (tmp_path / "report.html").read_text()


def test_parallel_trials_give_the_figures_of_one_process(data: Path, tmp_path: Path) -> None:
    """A trial's figures depend on its values only, not on where it ran."""
    grid: dict[str, Any] = {"algorithm": {"algorithmName": "grid"}, "parameters": [WIDTH], "maxTrialCount": 3}
    one = run(data, tmp_path / "one", **grid)
    two = run(data, tmp_path / "two", **grid, parallelTrialCount=2, maximum_rows=501)
    assert [(t.values, t.metric, t.curve) for t in one.trials] == [(t.values, t.metric, t.curve) for t in two.trials]


@pytest.mark.parametrize("parallel", [1, 2])
def test_failed_trials_are_accounted_for(data: Path, tmp_path: Path, parallel: int, trainings: Path) -> None:
    """Some failures are in the table with their reasons; too many end the search, and the next run starts anew."""
    section = {**moods("good", "bad", "nan"), "parallelTrialCount": parallel}
    tuned = run(data, tmp_path, **section)
    assert tuned.metrics["trials_failed"] == 2
    table = read_table(tmp_path / "trials").to_pylist()
    errors = {row["mood"]: row["error"] for row in table}
    assert errors["bad"] == "ValueError: in a bad mood"
    assert "not finite" in errors["nan"]
    assert errors["good"] == ""
    section = {**moods("bad", "nan"), "parallelTrialCount": parallel, "maxFailedTrialCount": 2}
    for _ in range(2):
        with pytest.raises(DataError, match=r"(?s)2 of 2 trials failed.*in a bad mood"):
            run(data, tmp_path, **section)
    assert trainings.read_text().count("begin") == 3 + 2 * 2


def test_a_trial_that_kills_its_process_is_tried_again_once(data: Path, tmp_path: Path, trainings: Path) -> None:
    """What runs out of memory twice has failed; the other trials go on in a new process."""
    tuned = run(data, tmp_path, **moods("dead", "good"), parallelTrialCount=2)
    dead = next(trial for trial in tuned.trials if trial.state == "failed")
    assert dead.values == {"mood": "dead"}
    assert dead.error == "its process died (exit code -9), 2 times"
    assert trainings.read_text().count("begin 0.003 8 dead") == 2
    assert tuned.best.values == {"mood": "good"}


@pytest.mark.parametrize("parallel", [1, 2])
def test_a_slow_trial_has_failed(data: Path, tmp_path: Path, parallel: int) -> None:
    """A trial that takes longer than trial_seconds has failed, with what to change."""
    tuned = run(
        data, tmp_path, **moods("slow", "good"), parallelTrialCount=parallel, trial_seconds=1,
        train={**TOY, "options": {"pause": 0.12}},
    )  # fmt: skip
    assert next(t.error for t in tuned.trials if t.values["mood"] == "slow").startswith("DataError: the trial took")


def test_medianstop_stops_processes_too(data: Path, tmp_path: Path) -> None:
    """What is judged to go badly ends early, in the table as such; it cannot be the best."""
    stopping = {"algorithmName": "medianstop", "algorithmSettings": {"min_trials_required": "1", "start_step": "2"}}
    widths = {"name": "width", "parameterType": "discrete", "feasibleSpace": {"list": ["8", "9", "50", "60", "70"]}}
    tuned = run(
        data, tmp_path, parameters=[widths], algorithm={"algorithmName": "grid", "algorithmSettings": {}},
        maxTrialCount=5, parallelTrialCount=2, earlyStopping=stopping, maximum_epochs=4, train={**TOY, "epochs": 4},
    )  # fmt: skip
    assert tuned.best.values["width"] == 8
    stopped = [trial for trial in tuned.trials if trial.state == "early_stopped"]
    assert stopped
    assert {len(trial.curve) for trial in stopped} == {2}
    assert "stopped early" in (tmp_path / "report.html").read_text()


def test_what_a_worker_refuses_is_the_error_of_the_task(data: Path, tmp_path: Path) -> None:
    """Data that will not do is refused with the same error and text as in one process."""
    for parallel in (1, 2):
        with pytest.raises(DataError, match="there is no label 'early'"):
            run(data, tmp_path, label="early", parallelTrialCount=parallel)


def test_workers_that_cannot_start_are_named(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that dies before it is ready ends the search: to start it again would not help."""
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(PlatformError, match="before it was ready"):
        run(data, tmp_path, parallelTrialCount=2)


def test_a_search_without_success_is_refused(data: Path, tmp_path: Path) -> None:
    """Where no trial ends in time there is no best one."""
    with pytest.raises(DataError, match=r"(?s)failed.*took longer than trial_seconds"):
        run(data, tmp_path, **moods("slow"), trial_seconds=1, train={**TOY, "options": {"pause": 0.12}})


def test_an_unknown_parameter_is_refused_before_data_is_read(tmp_path: Path) -> None:
    """A parameter that the recipe does not have is an error of configuration."""
    wrong = [{"name": "widht", "parameterType": "double", "feasibleSpace": {"min": "0", "max": "1"}}]
    with pytest.raises(ConfigurationError, match="did you mean 'width'"):
        run(tmp_path, tmp_path, parameters=wrong)


def test_old_studies_are_forgotten(tmp_path: Path) -> None:
    """Only the latest studies are kept; the one in use always is."""
    for index in range(KEPT_STUDIES + 5):
        (tmp_path / f"study-{index}").mkdir()
    forget_old(tmp_path, "study-0")
    assert len(list(tmp_path.iterdir())) == KEPT_STUDIES
    assert (tmp_path / "study-0").is_dir()


def test_the_contract_logs_metrics(data: Path, tmp_path: Path) -> None:
    """The component calls the task with KFP's floats; state lies under the settings' home."""
    from fairlead.tuning.tune_model.component import tune_model

    logged: dict[str, float] = {}
    out = {name: SimpleNamespace(path=str(tmp_path / name), metadata={}) for name in ("best", "trials", "report")}
    tune_model.python_func(
        train=SimpleNamespace(path=str(data / "train")), validation=SimpleNamespace(path=str(data / "validation")),
        metrics=SimpleNamespace(log_metric=logged.__setitem__), model=MODEL, train_spec=TOY,
        tuning={**TUNING, "maxTrialCount": 1.0, "parallelTrialCount": 1.0}, label="late", **out,
    )  # fmt: skip
    assert logged["trials_succeeded"] == 1
    assert out["best"].metadata == {"trial": 0, "trials": 1}
    assert len(list((settings().home / "work" / "tuning").iterdir())) == 1


@pytest.mark.filterwarnings("ignore:The pynvml package is deprecated:FutureWarning")
def test_trials_train_the_recipe_of_the_problem(data: Path, tmp_path: Path) -> None:
    """A short search over a real recipe's own options, on the latest rows, for few epochs."""
    hidden = {"name": "hidden", "parameterType": "categorical", "feasibleSpace": {"list": ["[8]", "[16, 8]"]}}
    tuned = run(data, tmp_path, train=TRAIN, parameters=[RATE, hidden], maxTrialCount=2, maximum_epochs=1)
    assert [len(trial.curve) for trial in tuned.trials] == [1, 1]
    assert 0.3 < (tuned.best.metric or 0) < 0.9
