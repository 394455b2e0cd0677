"""docs/rollout.md is followed to the letter, on a real platform with a canary under way."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import yaml
from laptops import laptop

from fairlead.deployment.spec import Check, RolloutSpec

PAGE = "docs/rollout.md"
SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
YAML = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_commands_do_what_the_page_says(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A canary is reached by header, watched and rolled back by hand; the record says why."""
    script = "\n".join(SHELL.findall((repository / PAGE).read_text()))
    with laptop(tmp_path / "home", monkeypatch) as platform:
        platform.serve("flights", "a")
        platform.deploy("flights", "b", version="2")
        with platform.clients("flights"):
            rollout, _ = platform.rollout("flights", "b", steps=[50], minimum_requests=10**6, step_timeout_seconds=1)
            rollout.run()
        platform.deploy("flights", "c", version="3")
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        ended = subprocess.run(
            ["bash", "-eu", "-c", script.replace(":8080", f":{platform.port}")], cwd=tmp_path, check=False, text=True,
            env={**os.environ, "PATH": path}, capture_output=True, timeout=120,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert "inconclusive" in ended.stdout
        assert "was removed" in ended.stdout
        history = subprocess.run(
            ["fairlead", "rollout", "history", "flights"], env={**os.environ, "PATH": path}, capture_output=True,
            text=True, timeout=60, check=True,
        )  # fmt: skip
    assert "checkout team" in history.stdout


def test_the_page_says_what_there_is(repository: Path) -> None:
    """Its specification is a valid one with every check, and its table describes each of them."""
    text = (repository / PAGE).read_text()
    spec = RolloutSpec.parse(yaml.safe_load(YAML.findall(text)[0])["rollout"], where="rollout")
    every = {get_args(model.model_fields["metric"].annotation)[0] for model in get_args(get_args(Check)[0])}
    assert {check.metric for check in spec.checks} == every
    table = text.split("## What each check compares")[1].split("## ")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == every
