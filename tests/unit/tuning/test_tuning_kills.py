"""A search is killed with signals, at moments that nobody chose, and goes on as if nothing had happened."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from unit.training.late_rows import MODEL, late_table, write_table
from unit.tuning.toy_recipe import NAME

from fairlead.datasets import read_table
from fairlead.tuning.spec import TuneSpec
from fairlead.tuning.study import FILE, open_study

TUNING: dict[str, Any] = {
    "objective": {"type": "minimize", "objectiveMetricName": "validation_log_loss"},
    "algorithm": {"algorithmName": "random", "algorithmSettings": {"random_state": "3"}},
    "maxTrialCount": 12,
    "parameters": [
        {"name": "log10_learning_rate", "parameterType": "double", "feasibleSpace": {"min": "-4", "max": "-1"}}
    ],
}
CODE = """
import json, sys
from fairlead.tuning.tune_model.task import tune
kwargs = json.loads(sys.argv[1])
out = kwargs.pop("out")
tune(kwargs.pop("train"), kwargs.pop("validation"), out + "/best.json", out + "/trials", out + "/report.html", **kwargs)
"""


class Searcher:
    """A process that tunes, and what its trainings have written."""

    def __init__(self, folder: Path, parallel: int) -> None:
        write_table(folder / "train", late_table(40, seed=1), name="train")
        write_table(folder / "validation", late_table(40, seed=2), name="validation")
        self.folder, self.log = folder, folder / "log"
        self.log.touch()
        self.tuning = {**TUNING, "parallelTrialCount": parallel}
        train_spec = {"recipe": NAME, "epochs": 2, "options": {"pause": 0.04}}
        self.arguments = json.dumps(
            {
                "out": str(folder), "train": str(folder / "train"), "validation": str(folder / "validation"),
                "model": MODEL, "train_spec": train_spec, "tuning": self.tuning, "label": "late",
            }
        )  # fmt: skip

    def start(self) -> subprocess.Popen[bytes]:
        """Starts the process."""
        path = os.pathsep.join(path for path in sys.path if path)
        environment = {**os.environ, "TOY_LOG": str(self.log), "PYTHONPATH": path, "FAIRLEAD_HOME": str(self.folder)}
        return subprocess.Popen([sys.executable, "-c", CODE, self.arguments], env=environment, stderr=subprocess.PIPE)

    def notes(self, word: str) -> list[str]:
        """What trainings began or ended: their learning rates, as texts."""
        return [line.split()[1] for line in self.log.read_text().splitlines() if line.startswith(word)]

    def finished(self) -> dict[int, str]:
        """The finished trials' places and learning rates, as the study has them."""
        found = list((self.folder / "work" / "tuning").glob(f"*/{FILE}"))
        if not found:
            return {}
        with open_study(found[0].parent, TuneSpec.parse(self.tuning, "tuning")) as study:
            return {r.number: repr(10.0 ** r.values["log10_learning_rate"]) for r in study.records()}

    def workers(self) -> set[int]:
        """The processes that ever trained."""
        return {int(line.split()[-1]) for line in self.log.read_text().splitlines()}

    def wait_for(self, lines: int) -> None:
        """Waits until trainings have written so many more lines."""
        until, before = time.monotonic() + 60, len(self.log.read_text().splitlines())
        while len(self.log.read_text().splitlines()) < before + lines:
            assert time.monotonic() < until, "the search does not get on"
            time.sleep(0.005)


def alive(process: int) -> bool:
    """Whether a process runs; one that only waits to be buried does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


@pytest.mark.parametrize("parallel", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_killed_search_loses_and_repeats_nothing(tmp_path: Path, parallel: int) -> None:
    """After six kills at random moments every trial is there, none ran again that had ended, and no worker is left."""
    searcher, rng = Searcher(tmp_path, parallel), random.Random(parallel)
    kept: dict[int, str] = {}
    for lines in (0, 1, 3, 5, 4, 5):
        begun = len(searcher.notes("begin"))
        process = searcher.start()
        if lines:
            searcher.wait_for(lines)
        time.sleep(rng.uniform(0, 0.15 if lines else 1.5))
        process.kill()
        process.communicate()
        until = time.monotonic() + 10
        while any(alive(worker) for worker in searcher.workers()):
            assert time.monotonic() < until, "a worker outlives the search"
            time.sleep(0.02)
        assert not set(kept.values()) & set(searcher.notes("begin")[begun:])
        finished = searcher.finished()
        assert kept.items() <= finished.items()
        kept = finished
    begun = len(searcher.notes("begin"))
    process = searcher.start()
    _, said = process.communicate()
    assert process.returncode == 0, said.decode()
    assert not set(kept.values()) & set(searcher.notes("begin")[begun:])
    assert len(kept) >= 4
    table = read_table(tmp_path / "trials").to_pylist()
    assert [row["trial"] for row in table] == list(range(12))
    assert {row["state"] for row in table} == {"succeeded"}
    assert kept.items() <= {row["trial"]: repr(10.0 ** row["log10_learning_rate"]) for row in table}.items()


@pytest.mark.parametrize("parallel", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_an_interrupted_search_says_how_to_go_on(tmp_path: Path, parallel: int) -> None:
    """After ctrl-C the workers are gone, the log says what to do, and the next run does only the rest."""
    searcher = Searcher(tmp_path, parallel)
    process = searcher.start()
    searcher.wait_for(7)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "run it again to go on" in said.decode()
    assert not any(alive(worker) for worker in searcher.workers())
    kept = searcher.finished()
    begun = len(searcher.notes("begin"))
    again = searcher.start()
    _, said = again.communicate(timeout=60)
    assert again.returncode == 0, said.decode()
    assert len(searcher.notes("begin")) - begun == 12 - len(kept)
