"""docs/platform.md is followed to the letter: on a real cluster, and where a command needs none, without."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from overlay_copies import NEEDED, copy_overlay, kubectl

from fairlead.platform.kubeflow.api import Cluster
from fairlead.platform.kubeflow.permissions import ACCOUNTS, FAMILIES
from fairlead.settings import settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "platform.md"
BLOCK = re.compile(r"^```sh( no-cluster)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(script: str, folder: Path, environment: dict[str, str]) -> None:
    """Runs a block as a user would paste it."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for _ in range(10):
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", script], cwd=folder, text=True, capture_output=True, check=False,
            env={**os.environ, "PATH": path, **environment}, timeout=300,
        )  # fmt: skip
        if "failed calling webhook" not in done.stderr:
            break
        time.sleep(6)  # a busy cluster's controller is being restarted; applying again is what a user would do
    assert done.returncode == 0, f"{script}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"


def test_what_needs_no_cluster_works(repository: Path, tmp_path: Path) -> None:
    """The blocks that only build or explain."""
    if shutil.which("kubectl") is None:
        pytest.skip("install kubectl: the page's commands are its")
    blocks = [script for alone, script in BLOCK.findall(PAGE.read_text()) if alone]
    assert len(blocks) >= 3
    for script in blocks:
        run(script, repository, {"TMPDIR": str(tmp_path)})


@pytest.mark.cluster
def test_an_environment_comes_and_goes(tmp_path: Path) -> None:
    """Every other block, in order, against a real cluster; the environment's name is one that nobody else has."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("set KUBECONFIG to a cluster that these tests may use")
    cluster = Cluster.connect(settings())
    for name, kind in NEEDED.items():
        if not cluster.has(kind):
            pytest.skip(f"the cluster has no {name}, which the overlays make")
    copy = copy_overlay("staging", tmp_path / "tree")
    shared = kubectl("get", "clusterstoragecontainer", "fairlead", "--output", "name").returncode == 0
    try:
        for alone, script in BLOCK.findall(PAGE.read_text()):
            if alone or ("manifests/cluster" in script and shared):
                continue  # what the whole cluster shares is not changed where it is there already
            named = script.replace("fairlead-staging", copy.namespace)
            run(named, tmp_path / "tree", {"TMPDIR": str(tmp_path), "FAIRLEAD_PLATFORM": "kubeflow"})
    finally:
        kubectl("delete", "--ignore-not-found", "--wait=false", "-k", str(copy.folder))


def test_the_table_of_accounts_is_the_real_one() -> None:
    """The page names every service account and what each Role grants."""
    text = PAGE.read_text()
    for account in ACCOUNTS:
        assert f"| `{account}` |" in text
    for family, permissions in FAMILIES.items():
        line = next(line for line in text.splitlines() if line.startswith(f"| `fairlead-{family}` | ") and " for " not in line and "get" in line)  # fmt: skip  # noqa: E501
        for permission in permissions:
            assert permission.resource in line or permission.name in line, f"{family}: {permission}"
