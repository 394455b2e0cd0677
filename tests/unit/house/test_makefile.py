"""The Makefile is the developer's front door: every target is listed, and what CI and the README call exists."""

import re
import subprocess
from pathlib import Path

import pytest

PROMISED = {"help", "setup", "demo", "test", "test-slow", "lint", "lock", "compile", "bench", "clean"}


def targets(repository: Path) -> dict[str, str]:
    """Each documented target and its one line."""
    text = (repository / "Makefile").read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z-]+):.*?## (.+)$", text, re.MULTILINE))


def test_help_lists_every_target(repository: Path) -> None:
    """`make help` and a bare `make` show each target that a person may call, with its line."""
    shown = subprocess.run(["make", "help"], cwd=repository, check=True, capture_output=True, text=True).stdout
    bare = subprocess.run(["make"], cwd=repository, check=True, capture_output=True, text=True).stdout
    assert shown == bare
    for name, line in targets(repository).items():
        assert re.search(rf"^ +make {name} +{re.escape(line)}$", shown, re.MULTILINE)


def test_every_phony_target_is_documented(repository: Path) -> None:
    """No target is hidden, and none that is promised is absent."""
    text = (repository / "Makefile").read_text(encoding="utf-8")
    phony = set(re.findall(r"^\.PHONY: (.+)$", text, re.MULTILINE)[0].split())
    assert phony == set(targets(repository))
    assert phony >= PROMISED


@pytest.mark.parametrize("name", ["demo", "test", "setup"])
def test_target_can_be_planned(name: str, repository: Path) -> None:
    """Make understands the rules of the targets that people call: a dry run ends well."""
    subprocess.run(["make", "--dry-run", name], cwd=repository, check=True, capture_output=True)


def test_wrong_python_is_refused_in_words(repository: Path, tmp_path: Path) -> None:
    """Where no Python 3.11 is found, setting up says which is needed and how to name one."""
    for name in ("Makefile", "requirements"):
        (tmp_path / name).symlink_to(repository / name)
    made = subprocess.run(["make", "setup", "PYTHON="], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert made.returncode != 0
    assert "needs Python 3.11" in made.stderr
    assert "make PYTHON=" in made.stderr


def test_ci_runs_the_demo_and_the_tests(repository: Path) -> None:
    """CI's script is executable, stops at an error, and runs what the README tells."""
    script = repository / ".ci" / "run"
    text = script.read_text(encoding="utf-8")
    assert script.stat().st_mode & 0o111
    assert "set -euo pipefail" in text
    assert text.index("make demo") < text.index("\nmake test")
