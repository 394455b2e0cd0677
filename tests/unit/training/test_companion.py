"""What goes on beside a training: energy, cost, budget, the tracking run; none of it may harm the training."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from unit.training.late_rows import MODEL, TRAIN, late_table, write_table

from fairlead.errors import BudgetError
from fairlead.training.beside import beside
from fairlead.training.engine.trace import FILE
from fairlead.training.progress import Spending, check_budget, cost_of
from fairlead.training.spec import BudgetSpec
from fairlead.training.tracking import Tracked, thin
from fairlead.training.train_model.task import Training, train


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the datasets `train` and `validation`."""
    folder = tmp_path_factory.mktemp("data")
    write_table(folder / "train", late_table(500, seed=1), name="late_rows")
    write_table(folder / "validation", late_table(200, seed=2), name="validation")
    return folder


def run(data: Path, out: Path, **changes: Any) -> Training:
    """Trains; the outputs lie in `out`."""
    return train(
        data / "train", data / "validation", out / "checkpoint", out / "report.html",
        model=MODEL, train_spec={**TRAIN, **changes}, label="late",
    )  # fmt: skip


def run_in_mlflow(uri: str) -> Any:
    """The only run of the only experiment that is not MLflow's own."""
    from fairlead.registry.mlflow_client import reading

    with reading(uri) as client:
        experiments = [e for e in client.search_experiments() if e.name != "Default"]
        runs = client.search_runs([e.experiment_id for e in experiments])
        assert len(runs) == 1
        return client, experiments[0], runs[0]


def test_a_training_is_measured_and_tracked(
    data: Path, tmp_path: Path, own_state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Energy and cost are figures; MLflow has parameters, steps, epochs, system metrics and artifacts."""
    for name in ("FAIRLEAD_TRACKING", "FAIRLEAD_ENERGY"):
        monkeypatch.setenv(name, "true")
    prices = {"price_per_hour": 3.6, "price_per_kilowatt_hour": 0.3, "country": "FRA"}
    metrics = run(data, tmp_path, budget=prices).metrics
    assert metrics["kilowatt_hours"] > 0
    assert metrics["cost"] == pytest.approx(metrics["seconds"] / 1000 + 0.3 * metrics["kilowatt_hours"], rel=0.01)
    resources = json.loads((tmp_path / "checkpoint" / "resources.json").read_text())
    assert resources["country"] == "FRA"
    assert "kilowatt" in (tmp_path / "report.html").read_text().lower()
    assert "grams_co2" not in (tmp_path / "checkpoint" / "checkpoint.json").read_text()
    client, experiment, tracked = run_in_mlflow(f"sqlite:///{own_state / 'registry' / 'mlflow.db'}")
    assert (experiment.name, tracked.info.status) == ("late_rows", "FINISHED")
    assert tracked.data.params["options.hidden"] == "[16]"
    assert tracked.data.tags["train_digest"].startswith("sha256:")
    assert tracked.data.metrics["final_kilowatt_hours"] == metrics["kilowatt_hours"]
    assert len(client.get_metric_history(tracked.info.run_id, "train_loss_step")) == 3 * 8
    assert len(client.get_metric_history(tracked.info.run_id, "validation_log_loss")) == 3
    assert any(name.startswith("system/") for name in tracked.data.metrics)
    assert {file.path for file in client.list_artifacts(tracked.info.run_id)} == {
        "checkpoint.json", "report.html", "resources.json",
    }  # fmt: skip
    assert not list(own_state.glob("work/training-*"))


@pytest.mark.slow
def test_a_tracking_server_that_is_down_costs_a_warning(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Training ends as if there were none."""
    monkeypatch.setenv("FAIRLEAD_TRACKING", "true")
    monkeypatch.setenv("FAIRLEAD_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert run(data, tmp_path, epochs=1).metrics["epochs"] == 1
    assert "not tracked in MLflow" in capfd.readouterr().err


def test_a_companion_that_dies_costs_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Kill -9 of it: there is no energy, and nothing else is lost."""
    with caplog.at_level(logging.WARNING), beside(tmp_path, None, "DEU") as companion:
        assert companion.process is not None
        companion.process.kill()
        companion.process.wait()
        companion.begin()
        assert companion.end(1.0) == {}
    assert "ended early" in caplog.text


def test_without_energy_and_tracking_there_is_no_companion(data: Path, tmp_path: Path) -> None:
    """Both switched off: no process is started, and the report says that energy was not measured."""
    result = run(data, tmp_path, epochs=1)
    assert "kilowatt_hours" not in result.metrics
    assert "Energy was not measured" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
def test_a_killed_training_s_run_goes_on(tmp_path: Path) -> None:
    """Its run is marked as killed; the next attempt goes on with the same run and sends each step once."""
    work, uri = tmp_path / "work", f"sqlite:///{tmp_path / 'mlflow.db'}"
    work.mkdir()
    tracked = Tracked(uri, str(tmp_path), "toy", "run", {"seed": 7}, {"revision": "abc"})
    (work / FILE).write_text("".join(_line(step) for step in range(1, 6)))
    with beside(work, tracked, "") as companion:
        assert companion.process is not None
        assert companion.process.stdin is not None
        companion.process.stdin.close()  # as when the kernel closes it for a killed training
        companion.process.wait(60)
        companion.closed, companion.process = True, None
    assert run_in_mlflow(uri)[2].info.status == "KILLED"
    (work / FILE).write_text("".join(_line(step) for step in range(1, 9)))
    with beside(work, tracked, ""):
        pass
    client, _, tracked_run = run_in_mlflow(uri)
    assert tracked_run.info.status == "FINISHED"
    history = client.get_metric_history(tracked_run.info.run_id, "train_loss_step")
    assert [metric.step for metric in history] == list(range(1, 9))


def _line(step: int) -> str:
    return json.dumps({"step": step, "time": 1.0, "train_loss_step": 0.5, "learning_rate": 0.1}) + "\n"


def test_long_traces_are_thinned_evenly() -> None:
    """A server gets at most some hundred steps at once, and every epoch."""
    lines: list[dict[str, Any]] = [{"step": step, "time": 0.0, "learning_rate": 0.1} for step in range(1, 5001)]
    lines.append({"step": 5000, "time": 0.0, "epoch": 1, "train_loss": 0.5})
    kept = thin(lines)
    assert len(kept) == 501
    assert kept[-1]["epoch"] == 1
    assert {kept[i + 1]["step"] - kept[i]["step"] for i in range(499)} == {10}


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ({"seconds": 1e-6}, r"seconds .* allows 1e-06"),
        ({"cost": 1e-9, "price_per_hour": 2}, "cost .* allows 1e-09"),
    ],
)
def test_a_budget_stops_training(data: Path, tmp_path: Path, budget: dict[str, float], words: str) -> None:
    """As soon as time or its cost is above it; there is no checkpoint, and the text says what to do."""
    with pytest.raises(BudgetError, match=words):
        run(data, tmp_path, budget=budget)
    assert not (tmp_path / "checkpoint").exists()


def test_energy_above_the_budget_is_refused() -> None:
    """It is known at the end only; its price is part of the cost."""
    budget = BudgetSpec(kilowatt_hours=0.5, cost=10, price_per_hour=1, price_per_kilowatt_hour=4)
    check_budget(budget, 3600, 0.4)
    with pytest.raises(BudgetError, match=r"kilowatt_hours 0\.6"):
        check_budget(budget, 3600, 0.6)
    assert cost_of(budget, 7200, 0.5, machines=2) == 2 * 2 + 2
    with pytest.raises(BudgetError, match="cost"):
        check_budget(budget, 9 * 3600, 0.4)


def test_a_raised_budget_goes_on_where_it_stopped(data: Path, tmp_path: Path, own_state: Path) -> None:
    """The time of the first attempt counts; the steps are not done again."""
    with pytest.raises(BudgetError):
        run(data, tmp_path, budget={"seconds": 1e-6}, save_every_seconds=0)
    assert run(data, tmp_path, save_every_seconds=0).metrics["epochs"] == 3
    assert not list(own_state.glob("work/training-*"))


def test_time_counts_over_attempts(tmp_path: Path) -> None:
    """What a killed attempt took is kept every few seconds."""
    spending = Spending(tmp_path, BudgetSpec())
    spending.started -= 100
    spending.note(now=True)
    again = Spending(tmp_path, BudgetSpec(seconds=101))
    assert 100 <= again.seconds < 101
    again.started -= 2
    with pytest.raises(BudgetError, match="allows 101"):
        again.note()


@pytest.mark.slow
def test_a_killed_task_goes_on_where_it_was(data: Path, tmp_path: Path) -> None:
    """Kill -9 of the task, in the middle; the same call again does the rest, and the checkpoint's bits agree."""

    def attempt(out: Path) -> None:
        run(data, out, epochs=6, patience=6, save_every_seconds=0)

    attempt(tmp_path / "whole")
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        attempt(tmp_path / "out")
        os._exit(0)
    snapshots, deadline = tmp_path / ".fairlead" / "work", time.monotonic() + 60
    while len(list(snapshots.glob("training-*/snapshots/0*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not (tmp_path / "out" / "checkpoint").exists()
    attempt(tmp_path / "out")
    for name in ("weights.safetensors", "checkpoint.json"):
        whole, resumed = (tmp_path / folder / "checkpoint" / name for folder in ("whole", "out"))
        assert whole.read_bytes() == resumed.read_bytes()
    assert not list(snapshots.glob("training-*"))


def test_naming_train_model_s_task_imports_nothing_slow() -> None:
    """Neither MLflow nor codecarbon nor torch: they belong to the companion, and to the training itself."""
    script = (
        "import sys, fairlead.training.train_model.task; "
        "found = {'mlflow', 'codecarbon', 'torch', 'httpx', 'matplotlib.pyplot'} & sys.modules.keys(); "
        "assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
