"""The compiled packages in the tree are what the pipelines compile to now.

They are golden files and product at once: what a user uploads to Kubeflow is what these tests have seen. After a
wanted change: `make golden`, and review the difference.
"""

import difflib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead_pipelines import catalog

LONGEST_DIFFERENCE = 40


def body(package: str) -> list[str]:
    """A package's lines without KFP's head comment, which repeats the defaults in an order that varies."""
    return [line for line in package.splitlines() if not line.startswith("#")]


@pytest.fixture(scope="module", params=catalog.names())
def name(request: pytest.FixtureRequest) -> str:
    """A pipeline that comes with fairlead."""
    return str(request.param)


@pytest.fixture(scope="module")
def compiled(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pipeline's package, compiled now."""
    target = tmp_path_factory.mktemp("compiled") / f"{name}.yaml"
    catalog.compile_package(catalog.find(name), target)
    return target


def test_package_is_the_golden_one(name: str, compiled: Path, pytestconfig: pytest.Config) -> None:
    """A fresh compile equals the package in the tree, line by line; a missing golden file fails."""
    golden = catalog.COMPILED / f"{name}.yaml"
    fresh = compiled.read_text(encoding="utf-8")
    held = golden.read_text(encoding="utf-8") if golden.exists() else ""
    if pytestconfig.getoption("--regenerate-golden") and body(held) != body(fresh):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(fresh, encoding="utf-8")
        held = fresh
    assert held, f"{golden} is missing: make it by `make golden` and review it"
    difference = list(difflib.unified_diff(body(held), body(fresh), "golden", "now"))[:LONGEST_DIFFERENCE]
    assert not difference, "\n".join(["the package has changed; if that is wanted: `make golden`", *difference])


def test_no_golden_file_is_an_orphan() -> None:
    """Every package in the tree belongs to a pipeline that exists."""
    assert sorted(path.stem for path in catalog.COMPILED.glob("*.yaml")) == catalog.names()


@pytest.mark.parametrize("seed", ["0", "1"])
def test_compiling_is_deterministic(name: str, compiled: Path, tmp_path: Path, seed: str) -> None:
    """Another process with another hash seed compiles the same, so a difference always means a change."""
    code = "import sys; from fairlead_pipelines.command.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "compile", name, "--output", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": seed})
    assert body((tmp_path / f"{name}.yaml").read_text(encoding="utf-8")) == body(compiled.read_text(encoding="utf-8"))


def test_package_needs_no_network_at_run_time(compiled: Path) -> None:
    """No step installs anything: every executor runs its image as it is."""
    package, *_ = yaml.safe_load_all(compiled.read_text(encoding="utf-8"))
    executors: dict[str, Any] = package["deploymentSpec"]["executors"]
    assert executors
    for executor in executors.values():
        assert "pip install" not in str(executor), executor


def test_package_holds_no_path_of_this_machine(compiled: Path, repository: Path) -> None:
    """A package compiled here runs elsewhere: no absolute path of the machine that compiled it is inside."""
    text = compiled.read_text(encoding="utf-8")
    assert str(repository) not in text
    assert str(Path.home()) + "/" not in text
