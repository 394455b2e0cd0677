"""Every component of the catalog keeps the contract that pipelines, the command and Kubeflow's pages rely on."""

import ast
import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler

from fairlead import __version__, components, image

LIBRARY = Path(inspect.getfile(components)).parent
CONTRACTS = sorted(LIBRARY.glob("*/*/component.py"))
IMAGES = {image.BASE, image.TRAINING, image.SERVING}
LONGEST_BODY = 10


def compiled(name: str, folder: Path) -> dict[str, Any]:
    """The one component of the package that compiling `name` alone gives, with its executor's container."""
    target = folder / f"{name}.yaml"
    compiler.Compiler().compile(getattr(components, name), str(target))
    package = yaml.safe_load(target.read_text(encoding="utf-8"))
    (component,) = (value for key, value in package["components"].items() if key == f"comp-{name.replace('_', '-')}")
    (executor,) = package["deploymentSpec"]["executors"].values()
    return {**component, "container": executor["container"]}


def described(component: dict[str, Any], side: str) -> dict[str, str]:
    """The description of each artifact and parameter among a compiled component's inputs or outputs."""
    definitions = component.get(f"{side}Definitions", {})
    return {
        name: spec.get("description", "")
        for kind in ("artifacts", "parameters")
        for name, spec in definitions.get(kind, {}).items()
    }


def contract(name: str) -> tuple[Path, ast.FunctionDef]:
    """The file of a component's contract and its function."""
    path = Path(inspect.getfile(getattr(components, name).python_func))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    (function,) = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    return path, function


def body(function: ast.FunctionDef) -> list[ast.stmt]:
    """A function's statements without its docstring."""
    return function.body[1:] if ast.get_docstring(function) else function.body


every_component = pytest.mark.parametrize("name", components.__all__)


def test_catalog_holds_every_contract_once() -> None:
    """Each component.py of the tree is in the flat catalog under its folder's name, and nothing else is."""
    assert sorted(components.__all__) == sorted(path.parent.name for path in CONTRACTS)
    assert components.__all__ == sorted(set(components.__all__))


def test_catalog_exports_exactly_all() -> None:
    """The catalog's public names are those of __all__: what is imported is exported, what is exported exists."""
    public = {name for name in vars(components) if not name.startswith("_")}
    assert public == set(components.__all__)


def test_catalog_is_importable_without_the_heavy_libraries() -> None:
    """Composing pipelines needs kfp alone: no torch, feast, mlflow or pandas is loaded by the import."""
    code = (
        "import sys; import fairlead.components; "
        "print(*{'torch','feast','mlflow','pandas','pyarrow','sklearn','duckdb','onnxruntime'} & set(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert loaded.stdout.strip() == ""


@every_component
def test_component_describes_every_input_and_output(name: str, tmp_path: Path) -> None:
    """The docstring's summary, each input and each output reach the compiled package, where the pages show them."""
    component = compiled(name, tmp_path)
    for side in ("input", "output"):
        undescribed = [key for key, text in described(component, side).items() if not text.strip()]
        assert not undescribed, f"{name}: no description of {side} {', '.join(undescribed)}"
    assert inspect.getdoc(getattr(components, name).python_func)


@every_component
def test_component_describes_nothing_that_it_lacks(name: str, tmp_path: Path) -> None:
    """Each name under Args and Returns is an input or output of the compiled component: no stale lines."""
    component = compiled(name, tmp_path)
    known = described(component, "input") | described(component, "output")
    lines = inspect.cleandoc(inspect.getdoc(getattr(components, name).python_func) or "").splitlines()
    inside = False
    for line in lines:
        if line.rstrip() in {"Args:", "Returns:"}:
            inside = True
        elif line and not line.startswith(" "):
            inside = False
        elif inside and line.startswith("    ") and not line.startswith("     ") and ":" in line:
            assert line.split(":")[0].split("(")[0].strip() in known, f"{name}: {line.strip()}"


@every_component
def test_component_names_a_versioned_image_and_runs_no_pip(name: str, tmp_path: Path) -> None:
    """The image is one of fairlead's, tagged with the version, and nothing is installed when the step runs."""
    container = compiled(name, tmp_path)["container"]
    assert container["image"] in IMAGES
    assert container["image"].endswith(f":{__version__}")
    assert "pip" not in " ".join(container["command"]).replace("pipeline", "").split()


@every_component
def test_component_body_is_a_call_of_its_task(name: str) -> None:
    """The body has at most ten lines, imports the work inside, and that work is the one task beside it."""
    path, function = contract(name)
    statements = body(function)
    lines = sum((node.end_lineno or node.lineno) - node.lineno + 1 for node in statements)
    assert lines <= LONGEST_BODY, f"{path}: {lines} lines"
    called = {
        name
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom)
        for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
    }
    task = f"fairlead.{path.parts[-3]}.{path.parts[-2]}.task"
    assert task in called, f"{path}: it does not call {task}"
    assert importlib.util.find_spec(task)


@every_component
def test_component_stands_alone_in_its_file(name: str) -> None:
    """A contract's file defines that one function and nothing else that a pod could not see."""
    path, function = contract(name)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.Expr)
    assert [type(node).__name__ for node in tree.body if not isinstance(node, allowed)] == []
    assert function.name == name == path.parent.name


@every_component
def test_component_has_one_implementation(name: str) -> None:
    """No other module of the library defines a function of the component's name as a component."""
    decorated = [
        path
        for path in LIBRARY.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        and node.name == name
        and any("component" in ast.unparse(decorator) for decorator in node.decorator_list)
    ]
    assert len(decorated) == 1, decorated
