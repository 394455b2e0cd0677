"""The wheel, in a clean environment that holds the base lock alone: what a user who composes pipelines installs."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

import fairlead

SOURCES = ("components", "pipelines", "kserve", "feature_repo")
FILES = ("setup.py", "pyproject.toml", "README.md", "LICENSE")
LIBRARY = Path(fairlead.__file__).parent
UNITS = sorted(".".join(path.parent.relative_to(LIBRARY).parts) for path in LIBRARY.glob("*/*/component.py"))
TASKS = sorted(".".join(path.parent.relative_to(LIBRARY).parts) for path in LIBRARY.glob("*/*/task.py"))


def call(*command: str | Path, folder: Path | None = None, **environment: str) -> str:
    """Run a program, with nothing of this environment's Python in it; its output, or the test fails with all of it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [str(part) for part in command], cwd=folder, env={**inherited, **environment},
        capture_output=True, text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


def uv(*arguments: str | Path, folder: Path | None = None) -> str:
    """Run the uv of this environment."""
    return call(sys.executable, "-m", "uv", *arguments, folder=folder)


def load(package: Path) -> Any:
    """A compiled package as data."""
    return yaml.safe_load(package.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources so that the tree stays clean."""
    copy = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        shutil.copytree(repository / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in FILES:
        shutil.copy(repository / name, copy / name)
    out = tmp_path_factory.mktemp("wheel")
    uv("build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", out, folder=copy)
    (built,) = out.glob("fairlead-*.whl")
    return built


@pytest.fixture(scope="module")
def clean(wheel: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment with the base lock and the wheel, nothing else."""
    environment = tmp_path_factory.mktemp("clean") / "venv"
    uv("venv", "--quiet", "--python", sys.executable, environment)
    install = ("pip", "install", "--quiet", "--python", environment / "bin" / "python", "--no-deps")
    uv(*install, "--require-hashes", "-r", repository / "requirements" / "base.lock")
    uv(*install, wheel)
    return environment / "bin"


def test_wheel_holds_the_data_that_the_code_reads(wheel: Path, repository: Path) -> None:
    """Problems, queries, compiled packages, feature declarations and type markers travel; tests do not."""
    names = set(zipfile.ZipFile(wheel).namelist())
    pipelines = repository / "pipelines"
    data = [path for pattern in ("*.yaml", "*.sql", "py.typed") for path in pipelines.rglob(pattern)]
    assert {str(path.relative_to(pipelines)) for path in data} <= names
    declared = {f"fairlead_feature_repo/{path.name}" for path in (repository / "feature_repo").glob("*.py")}
    assert declared
    assert declared <= names
    assert {"fairlead/py.typed", "fairlead_serving/py.typed"} <= names
    assert not [name for name in names if name.startswith(("tests", "build")) or "__pycache__" in name]


def test_wheel_holds_every_module(wheel: Path, repository: Path) -> None:
    """No package is forgotten by setup.py: each Python file of the three source roots is in the wheel."""
    roots = (repository / "components", repository / "pipelines", repository / "kserve")
    modules = {str(path.relative_to(root)) for root in roots for path in root.rglob("*.py")}
    assert modules <= set(zipfile.ZipFile(wheel).namelist())


def test_catalog_and_every_contract_import_from_the_wheel(clean: Path, tmp_path: Path) -> None:
    """The flat catalog and each unit's contract import with the base requirements alone."""
    modules = ["fairlead.components", *(f"fairlead.{unit}.component" for unit in UNITS)]
    code = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]; import fairlead; "
    where = call(clean / "python", "-c", code + "print(fairlead.__file__)", *modules, folder=tmp_path)
    assert str(clean.parent) in where


def test_command_answers_from_the_wheel(clean: Path, tmp_path: Path) -> None:
    """The installed command shows its help, its version and the catalog."""
    assert "Usage" in call(clean / "fairlead", "--help", folder=tmp_path)
    assert fairlead.__version__ in call(clean / "fairlead", "--version", folder=tmp_path)
    listed = call(clean / "fairlead", "components", folder=tmp_path)
    assert all(unit.rpartition(".")[2] in listed for unit in UNITS)


def test_pipelines_compile_from_the_wheel(clean: Path, repository: Path, tmp_path: Path) -> None:
    """Compiling needs the base requirements alone, and gives the packages that are in the tree."""
    call(clean / "fairlead", "compile", "--output", tmp_path, folder=tmp_path)
    golden = repository / "pipelines" / "fairlead_pipelines" / "compiled"
    made, held = ({path.name: load(path) for path in folder.glob("*.yaml")} for folder in (tmp_path, golden))
    assert made == held


def test_feature_repository_is_found_from_the_wheel(clean: Path, tmp_path: Path) -> None:
    """The Feast declarations are data of an importable namespace, so that a problem can name them."""
    code = "import importlib.resources as r; print(*(f.name for f in r.files('fairlead_feature_repo').iterdir()))"
    assert ".py" in call(clean / "python", "-c", code, folder=tmp_path)


def test_every_task_imports_where_steps_run(tmp_path: Path) -> None:
    """In the full environment, as KFP starts a step, each task imports; none reaches kfp's component decorator."""
    code = "import importlib, sys; [importlib.import_module(f'fairlead.{unit}.task') for unit in sys.argv[1:]]"
    assert TASKS == UNITS
    call(
        sys.executable,
        "-W",
        "error::DeprecationWarning:fairlead",
        "-c",
        code,
        *TASKS,
        folder=tmp_path,
        _KFP_RUNTIME="true",
    )


def test_feature_repository_is_found_in_this_installation(repository: Path, tmp_path: Path) -> None:
    """The editable installation finds the declarations where they are, whatever the working folder is."""
    code = "import fairlead_feature_repo as repository; print(*repository.__path__)"
    assert str(repository / "feature_repo") in call(sys.executable, "-c", code, folder=tmp_path).split()
