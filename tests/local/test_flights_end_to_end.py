"""The main job on a slice of the real flights: one command from raw data to a model that answers."""

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import Command

SMALL = (
    "as_of=2013-03-01",
    "expectations.rows.minimum=1000",
    "split.start=2013-01-08",
    "split.train_until=2013-02-10",
    "split.validation_until=2013-02-18",
    "split.test_until=2013-03-01",
    "train.epochs=2",
    "tuning.maxTrialCount=2",
    "tuning.maximum_rows=4000",
    "tuning.maximum_epochs=1",
    "evaluation.baselines=[majority]",
    "evaluation.gates=[{metric: roc_auc, at_least: 0.5}]",
    "comparison.resamples=100",
    "policy.registration=[evaluation, comparison, server]",  # six weeks are too few to behave well in every slice
    "policy.deployment=[evaluation, comparison, server]",
)


def arguments(data: Path, *more: str) -> list[str]:
    """The command line of a small run."""
    sources = (f"data.flights.source={data}/flights.csv", f"data.weather.source={data}/weather.csv")
    return ["run", "flights", *sources, *SMALL, *more]


@pytest.fixture(scope="module")
def told(fairlead: Command, slice_of_flights: Path) -> str:
    """What the command says: killed once in the middle, then given again."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fairlead_pipelines.command.main", *arguments(slice_of_flights)],
        cwd=fairlead.folder, env=fairlead.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 240
    while not _finished(fairlead, "train-model") and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    ended = fairlead(*arguments(slice_of_flights))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def _finished(fairlead: Command, task: str) -> bool:
    runs = list((fairlead.folder / ".fairlead" / "runs" / "flights").glob("*/run.json"))
    tasks = json.loads(runs[0].read_text())["tasks"] if runs else []
    return any(t["name"] == task and t["state"] == "succeeded" for t in tasks)


def test_after_a_kill_it_goes_on_from_the_last_finished_step(told: str, fairlead: Command) -> None:
    """There is one run; the steps finished before the kill are told as reused."""
    assert len(list((fairlead.folder / ".fairlead" / "runs" / "flights").glob("*/run.json"))) == 1
    for step in ("ingest-dataset", "compute-features", "build-training-set", "train-model"):
        assert any(step in line and "reused" in line for line in told.splitlines()), told


def test_the_curl_line_works_as_pasted(told: str) -> None:
    """The line that the command prints asks the served model about a real flight."""
    [line] = [line for line in told.splitlines() if line.startswith("curl ")]
    answer = subprocess.run(shlex.split(line), capture_output=True, text=True, check=True, timeout=30)
    [prediction] = json.loads(answer.stdout)["predictions"]
    assert 0 < prediction["probability"] < 1


def test_the_report_holds_verdicts_and_figures(told: str) -> None:
    """One HTML page without references to other files, with the graph, the verdicts and each step's findings."""
    [line] = [line for line in told.splitlines() if line.startswith("report: ")]
    page = Path(line.removeprefix("report: ")).read_text()
    assert "<script" not in page
    assert "<svg" in page
    for text in ("evaluation", "comparison", "approved", "Calibration"):
        assert text.lower() in page.lower()


def test_status_tells_what_serves(told: str, fairlead: Command) -> None:
    """The service has one version, with all the traffic."""
    assert "serves at" in told
    ended = fairlead("status")
    assert ended.returncode == 0, ended.stderr
    assert "flights" in ended.stdout
    assert "100" in ended.stdout


def test_a_wrong_key_is_answered_before_anything_runs(fairlead: Command) -> None:
    """The nearest right key is named, without a traceback."""
    ended = fairlead("run", "flights", "train.epoch=3")
    assert ended.returncode == 1
    assert "did you mean 'epochs'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_failing_step_shows_its_own_error(fairlead: Command, tmp_path: Path) -> None:
    """A missing file is told as such, not as the runner's error; the served model stays."""
    ended = fairlead("run", "flights", f"data.flights.source={tmp_path}/nothing.csv")
    assert ended.returncode == 1
    assert "ingest-dataset failed" in ended.stdout
    assert "nothing.csv" in ended.stdout
    assert "Traceback" not in ended.stdout


def test_a_model_below_its_gate_reaches_nobody(told: str, fairlead: Command, slice_of_flights: Path) -> None:
    """Registration refuses it with the gate's reason; the served version stays the one that was."""
    del told
    before = fairlead("status").stdout
    ended = fairlead(*arguments(slice_of_flights, "evaluation.gates=[{metric: roc_auc, at_least: 0.999}]"))
    assert ended.returncode == 1
    assert "register-model failed" in ended.stdout
    assert "roc_auc" in ended.stdout
    digest = next(word for word in before.split() if len(word) >= 12 and set(word) <= set("0123456789abcdef"))
    assert digest in fairlead("status").stdout


def test_down_stops_everything(told: str, fairlead: Command) -> None:
    """No process of this state folder is left."""
    del told
    assert fairlead("down").returncode == 0
    left = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert str(fairlead.folder) not in left
    assert (fairlead.folder / ".fairlead" / "registry").exists()
