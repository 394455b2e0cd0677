"""Runs on this machine: they resume, tell a failed task's own error, and stop what they started."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from kfp.compiler import Compiler

from fairlead.errors import StateError
from fairlead.platform.runner import local, specification

TOY = Path(__file__).with_name("toy.py")
RUN = """
import sys
from pathlib import Path
from fairlead.platform.runner import local, specification
import json
local.CODE = ()
local.run_pipeline(specification.read_package(Path(sys.argv[1])), json.loads(sys.argv[2]))
"""


@dataclass
class Toy:
    """The toy pipeline, compiled, with its log and gate."""

    package: Path
    log: Path
    gate: Path

    def run(self, **arguments: object) -> local.Run:
        """Runs it here."""
        return local.run_pipeline(specification.read_package(self.package), arguments)

    def ran(self) -> list[str]:
        """What ran, in order."""
        return self.log.read_text().split() if self.log.exists() else []


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    """The toy pipeline in a state folder of its own."""
    monkeypatch.setenv("FAIRLEAD_HOME", str(tmp_path / "home"))
    spec = importlib.util.spec_from_file_location("toy", TOY)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    Compiler().compile(module.pipeline, str(tmp_path / "toy.yaml"))
    (tmp_path / "gate").write_text("open")
    monkeypatch.setattr(local, "CODE", ())  # the library's own code is not what is tested here
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("TOY_GATE", str(tmp_path / "gate"))
    return Toy(tmp_path / "toy.yaml", tmp_path / "log", tmp_path / "gate")


def states(run: local.Run) -> list[str]:
    """The tasks' states."""
    return [task.state for task in run.tasks.values()]


def test_a_run_tells_what_its_tasks_gave(toy: Toy) -> None:
    """Outputs, states and the whole run are in run.json."""
    run = toy.run(number=5)
    assert run.state == "succeeded"
    assert sorted(states(run)) == ["succeeded", "succeeded"]
    assert run.output("Output") == "5"
    told = json.loads((run.directory / "run.json").read_text())
    assert told["state"] == "succeeded"
    assert told["tasks"][0]["name"] in {"write-number", "judge-number"}


def test_a_failed_task_shows_its_own_error_and_the_next_run_goes_on_behind_it(toy: Toy) -> None:
    """The error is the task's text alone; the finished step is not repeated."""
    toy.gate.write_text("fail")
    failed = toy.run()
    assert failed.state == "failed"
    assert failed.tasks["judge-number"].error == "the number is bad\n- give another one"
    toy.gate.write_text("open")
    again = toy.run()
    assert again.state == "succeeded"
    assert (again.resumed, again.run_id) == (True, failed.run_id)
    assert toy.ran() == ["write", "judge", "judge"]


def test_a_step_that_acts_outside_runs_once_in_every_new_run(toy: Toy) -> None:
    """A cached step is reused by the next run; an uncached one is not."""
    toy.run()
    second = toy.run()
    assert not second.resumed
    assert toy.ran() == ["write", "judge", "judge"]
    assert second.tasks["write-number"].state == "cached"


def test_a_changed_source_file_is_read_again(toy: Toy, tmp_path: Path) -> None:
    """The path is the same argument, but the file behind it is another."""
    source = tmp_path / "data.csv"
    source.write_text("1")
    toy.run(source=str(source))
    toy.run(source=str(source))
    assert toy.ran().count("write") == 1
    source.write_text("22")
    toy.run(source=str(source))
    assert toy.ran().count("write") == 2


def test_after_a_kill_the_same_command_goes_on(toy: Toy) -> None:
    """SIGKILL ends the run and its tasks; the next one repeats only what was not finished."""
    toy.gate.write_text("wait")
    process = _start(toy)
    _wait_until(lambda: toy.ran() == ["write", "judge"])
    process.send_signal(signal.SIGKILL)
    process.wait()
    toy.gate.write_text("open")
    run = toy.run()
    assert run.state == "succeeded"
    assert run.resumed
    assert toy.ran() == ["write", "judge", "judge"]


def test_two_runs_on_one_state_are_refused(toy: Toy) -> None:
    """The second says which process holds the state; the first is not disturbed."""
    toy.gate.write_text("wait")
    process = _start(toy)
    _wait_until(lambda: "judge" in toy.ran())
    with pytest.raises(StateError, match=f"process {process.pid}"):
        toy.run()
    toy.gate.write_text("open")
    assert process.wait(timeout=20) == 0


def test_ctrl_c_stops_everything_it_started(toy: Toy) -> None:
    """After SIGINT no process of the run is left, and the run is told as interrupted."""
    toy.gate.write_text("wait")
    process = _start(toy)
    _wait_until(lambda: "judge" in toy.ran())
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)
    _wait_until(lambda: not _processes_naming(str(toy.package.parent)))
    [run] = (toy.package.parent / "home" / "runs" / "toy").glob("*/run.json")
    assert json.loads(run.read_text())["state"] == "interrupted"


def test_what_is_no_package_is_told(tmp_path: Path) -> None:
    """A YAML that is no compiled pipeline is refused."""
    (tmp_path / "x.yaml").write_text("a: 1")
    with pytest.raises(Exception, match="compile it first"):
        specification.read_package(tmp_path / "x.yaml")


def _start(toy: Toy) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", RUN, str(toy.package), "{}"])


def _wait_until(condition: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def _processes_naming(text: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if text in line and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found
