"""The rules on imports that import-linter cannot express, because they are about where in a file an import stands."""

import ast
import sys
from pathlib import Path

import pytest

import fairlead

LIBRARY = Path(fairlead.__file__).parent
SERVING = LIBRARY.parents[1] / "kserve" / "fairlead_serving"
CONTRACTS = sorted(LIBRARY.glob("*/*/component.py"))
TASKS = sorted(LIBRARY.glob("*/*/task.py"))
PACKAGES = sorted(LIBRARY.glob("*/**/__init__.py"))
HEAVY = {"torch", "feast", "mlflow", "sklearn", "pandas", "onnx", "onnxruntime", "matplotlib", "duckdb", "optuna"}


def identify(path: Path) -> str:
    """A test's name for a file."""
    return str(path.relative_to(LIBRARY))


def imported(node: ast.stmt) -> list[str]:
    """The top-level names that an import statement brings, or none."""
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    return [(node.module or "").split(".")[0]] if isinstance(node, ast.ImportFrom) else []


def parse(path: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", CONTRACTS, ids=identify)
def test_contract_imports_only_kfp_the_standard_library_and_the_image(path: Path) -> None:
    """At module level a contract needs nothing that a machine which only composes pipelines lacks."""
    for node in parse(path).body:
        for name in imported(node):
            own = isinstance(node, ast.ImportFrom) and node.module == "fairlead" and node.names[0].name == "image"
            assert name in {"kfp"} | sys.stdlib_module_names or own, f"{path}:{node.lineno} imports {name}"


@pytest.mark.parametrize("path", CONTRACTS, ids=identify)
def test_contract_keeps_the_annotations_that_kfp_reads(path: Path) -> None:
    """KFP evaluates annotations as objects in a namespace of its own: no postponed ones, and NamedTuple by name."""
    tree = parse(path)
    futures = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    assert not futures
    assert "typing.NamedTuple" not in ast.unparse(tree)


@pytest.mark.parametrize("path", PACKAGES, ids=identify)
def test_packages_import_no_contract(path: Path) -> None:
    """A step that imports its task imports the packages above it, where kfp.dsl has no component."""
    assert "component" not in " ".join(ast.unparse(node) for node in parse(path).body if imported(node))


@pytest.mark.parametrize("path", TASKS, ids=identify)
def test_tasks_import_no_kfp_and_nothing_heavy_at_once(path: Path) -> None:
    """A task never imports kfp, and loads a heavy library only in the function that uses it."""
    tree = parse(path)
    assert "kfp" not in [name for node in ast.walk(tree) if isinstance(node, ast.stmt) for name in imported(node)]
    assert [name for node in tree.body for name in imported(node) if name in HEAVY] == []


def test_serving_never_names_fairlead() -> None:
    """What runs in the serving image knows nothing of the library, not even inside functions."""
    for path in SERVING.rglob("*.py"):
        names = [name for node in ast.walk(parse(path)) if isinstance(node, ast.stmt) for name in imported(node)]
        assert "fairlead" not in names, path
