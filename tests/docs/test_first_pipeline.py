"""docs/first-pipeline.md is followed to the letter."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """The environment of a reader who has fairlead's environment on the PATH."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    home = str(tmp_path / ".fairlead")
    return {**os.environ, "PATH": path, "FAIRLEAD_HOME": home, "FAIRLEAD_SERVING_PORT": str(port)}


@pytest.mark.slow
def test_a_stranger_can_follow_it(repository: Path, tmp_path: Path, shell: dict[str, str]) -> None:
    """Every shell block succeeds in order, with the files as printed; the model serves in between."""
    text = (repository / "docs" / "first-pipeline.md").read_text()
    blocks = BLOCK.findall(text)
    (tmp_path / "mine").mkdir()
    files = {"yaml": "problem.yaml", "python": "pipeline.py"}
    for kind, content in blocks:
        if kind in files:
            (tmp_path / "mine" / files[kind]).write_text(content)
    said = []
    try:
        for content in (content for kind, content in blocks if kind == "sh"):
            ended = subprocess.run(
                ["bash", "-eu", "-c", content], cwd=tmp_path, env=shell, capture_output=True, text=True, timeout=400,
                check=False,
            )  # fmt: skip
            assert ended.returncode == 0, f"{content}\n{ended.stdout}\n{ended.stderr}"
            said.append(ended.stdout)
    finally:
        subprocess.run(["fairlead", "down"], cwd=tmp_path, env=shell, capture_output=True, check=False)
    assert any("serves at" in text for text in said)
    assert (tmp_path / "mine" / "pipeline.yaml").is_file()


def test_the_readme_shows_the_same_pipeline(repository: Path) -> None:
    """The example on the first page differs only in the caching options that the guide explains."""
    guide, readme = (
        next(c for kind, c in BLOCK.findall((repository / p).read_text()) if kind == "python")
        for p in ("docs/first-pipeline.md", "README.md")
    )
    assert readme.splitlines()[:20] == guide.splitlines()[:20]
