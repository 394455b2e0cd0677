"""docs/kubeflow-pipelines.md is followed to the letter, against a stand-in for Kubeflow Pipelines."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kfp_backend import kfp_backend
from kfp_life import Plan

from fairlead_pipelines.packages.checks import defects
from fairlead_pipelines.packages.families import OUTWARD
from fairlead_pipelines.packages.overlay import Options
from fairlead_pipelines.packages.package import read

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_a_stranger_can_follow_it(repository: Path, tmp_path: Path) -> None:
    """Every command of the page succeeds in order, and does what the text around it says."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    said = []
    with kfp_backend(plan=Plan(steps_a_look=50)) as backend:
        environment = {**os.environ, "PATH": path, "FAIRLEAD_HOME": str(tmp_path / ".fairlead"), "COLUMNS": "200"}
        environment |= {"FAIRLEAD_KFP_URI": backend.uri}
        for kind, content in BLOCK.findall((repository / "docs" / "kubeflow-pipelines.md").read_text()):
            if kind == "yaml":
                (tmp_path / "overlay.yaml").write_text(content)
                continue
            ended = subprocess.run(
                ["bash", "-eu", "-c", content], cwd=tmp_path, env=environment, text=True, capture_output=True,
                timeout=300, check=False,
            )  # fmt: skip
            assert ended.returncode == 0, f"{content}\n{ended.stdout}\n{ended.stderr}"
            said.append(ended.stdout)
        august, _, _, own, _, recurring = said
        assert "flights succeeded" in august
        assert "report.html" in august
        assert "(uploaded)" in own
        assert recurring.count("nightly: created") == recurring.count("nightly: unchanged") == 1
        assert "nightly is deleted" in recurring
        assert not backend.store.recurring
        accounts = [run["service_account"] for run in backend.store.runs]
        assert accounts == ["pipeline-runner", "fairlead-run", "pipeline-runner"]
    package = read(tmp_path / "build" / "flights.yaml")
    assert defects(package) == []
    assert {e.spec.image.rpartition("/")[0] for e in package.executors()} == {"registry.example.org/team"}


def test_tables_are_whole(repository: Path) -> None:
    """The page names every option of an overlay, and every component whose results are never reused."""
    page = (repository / "docs" / "kubeflow-pipelines.md").read_text()
    for name in (*Options.model_fields, *OUTWARD):
        assert f"`{name}`" in page, name
    (overlay,) = [content for kind, content in BLOCK.findall(page) if kind == "yaml"]
    assert set(yaml.safe_load(overlay)) == {"registry", "service_accounts", "components"}
