"""docs/registry.md is followed to the letter, with MLflow and with Kubeflow Model Registry."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from model_registry_server import serve
from models import tiny_package

from fairlead.registry import store
from fairlead.verdicts import Verdict
from fairlead_serving.package import package_digest

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(params=[pytest.param("mlflow", marks=pytest.mark.slow), "kubeflow"])
def registered(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Three versions of the guide's model."""
    with serve() if request.param == "kubeflow" else nullcontext() as server:
        if server is not None:
            monkeypatch.setenv("FAIRLEAD_REGISTRY_URI", server.registry_uri)
        for number in range(3):
            train = {"name": "tumours-train", "digest": f"sha256:{number}" + "a" * 63, "rows": 341}
            package = tiny_package(tmp_path / str(number), bias=number / 10, lineage={"train": train})
            verdict = Verdict("evaluation", package_digest(package), "approved", {"roc_auc": 0.9 + number / 100})
            store.register(package, "tumours", [verdict], ["evaluation"], documents={"model_card": "# Tumours"})
        store.set_alias("tumours", "2", "champion")
        yield request.param


def test_a_stranger_can_follow_it(repository: Path, tmp_path: Path, registered: str) -> None:
    """Every block of shell and Python succeeds in order, and says what the text around it promises."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    said = []
    for kind, content in BLOCK.findall((repository / "docs" / "registry.md").read_text()):
        if kind in {"sh", "python"}:
            command = ["bash", "-eu", "-c"] if kind == "sh" else [sys.executable, "-c"]
            ended = subprocess.run(
                [*command, content], cwd=tmp_path, env={**os.environ, "PATH": path, "COLUMNS": "200"}, text=True,
                capture_output=True, timeout=200, check=False,
            )  # fmt: skip
            assert ended.returncode == 0, f"{content}\n{ended.stdout}\n{ended.stderr}"
            said.append(ended.stdout)
    listed, audited, lineage, garbage = said
    assert re.search(r"tumours +3 +2 +3 +-", listed)
    assert re.search(r"evaluation\.roc_auc +0\.9 +0\.91 +\+0\.01", listed)
    assert audited.startswith("1 sha256:")
    assert "['model_card']" in audited
    assert "tumours version 2" in lineage
    assert "tumours version 1 (audited): train tumours-train sha256:0aaaaaaaaaaa, 341 rows" in lineage
    assert garbage.count("Nothing to remove.") == 2  # the latest, the champion, and the one that is audited
