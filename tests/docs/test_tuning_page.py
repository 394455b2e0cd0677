"""docs/tuning.md is followed to the letter."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fairlead.tuning.trial_job import TrialJob

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(words: list[str], folder: Path) -> str:
    """Runs a command as a reader would who has fairlead's environment on the PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "FAIRLEAD_HOME": str(folder / ".fairlead")}
    ended = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert ended.returncode == 0, f"{words}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


@pytest.mark.slow
def test_the_tuning_page_can_be_followed(repository: Path, tmp_path: Path) -> None:
    """The search runs in two processes, goes on when more trials are asked for, and becomes an Experiment."""
    blocks = BLOCK.findall((repository / "docs" / "tuning.md").read_text())
    problem, (pipeline, experiment) = (
        next(text for kind, text in blocks if kind == "yaml"),
        [text for kind, text in blocks if kind == "python"],
    )
    pods = [yaml.safe_load(text)["tuning"]["pod"] for kind, text in blocks if kind == "yaml" and "pod:" in text]
    assert [TrialJob.parse(pod, "pod").s3_secret for pod in pods] == ["fairlead-s3"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "problem.yaml").write_text(problem)
    (tmp_path / "mine" / "pipeline.py").write_text(pipeline)
    for shell in (text for kind, text in blocks if kind == "sh"):
        run(["bash", "-eu", "-c", shell], tmp_path)
    bests = [json.loads(p.read_text()) for p in (tmp_path / ".fairlead").rglob("best") if p.is_file()]
    assert {frozenset(best["hyperparameters"]) for best in bests} == {frozenset({"learning_rate", "dropout", "hidden"})}
    assert len(list((tmp_path / ".fairlead" / "work" / "tuning").iterdir())) == 1
    run([sys.executable, "-c", experiment], tmp_path)
    sent = yaml.safe_load((tmp_path / "mine" / "experiment.yaml").read_text())
    assert sent["spec"]["maxTrialCount"] == 12
    assert [parameter["name"] for parameter in sent["spec"]["parameters"]] == [
        parameter["name"] for parameter in yaml.safe_load(problem)["tuning"]["parameters"]
    ]
