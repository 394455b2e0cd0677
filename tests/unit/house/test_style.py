"""The limits of size and the constructs that the house does without."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = ("components", "pipelines", "kserve", "feature_repo", "benchmarks", "tests")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
SOURCES = [path for path in FILES if path.relative_to(ROOT).parts[0] != "tests"]
LONGEST_FUNCTION = 45
LONGEST_PIPELINE = 130  # a pipeline is one list of its steps and their wiring; cutting it up would hide the graph
LONGEST_MODULE = 300
FORBIDDEN_MODULES = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}


def identify(path: Path) -> str:
    """A test's name for a file."""
    return str(path.relative_to(ROOT))


def parse(path: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def limit(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines that a function may have."""
    is_pipeline = any("dsl.pipeline" in ast.unparse(decorator) for decorator in function.decorator_list)
    return LONGEST_PIPELINE if is_pipeline else LONGEST_FUNCTION


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """A function's lines without its docstring's."""
    total = (function.end_lineno or function.lineno) - function.lineno + 1
    return total - len((ast.get_docstring(function) or "").splitlines())


@pytest.mark.parametrize("path", FILES, ids=identify)
def test_modules_and_functions_stay_small(path: Path) -> None:
    """A module has at most 300 lines, and a function 45 without its docstring unless it is a pipeline."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_MODULE
    functions = [node for node in ast.walk(parse(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [(node.name, length(node)) for node in functions if length(node) > limit(node)] == []


@pytest.mark.parametrize("path", SOURCES, ids=identify)
def test_source_uses_no_shell_no_pickle_and_leaves_nothing_undone(path: Path) -> None:
    """No shell strings, no serialisation that runs code on loading, no edits of sys.path, no stubs."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.keyword) and node.arg == "shell":
            assert not getattr(node.value, "value", True), f"{path}:{node.value.lineno} shell=True"
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & FORBIDDEN_MODULES, path
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in FORBIDDEN_MODULES, path
        if isinstance(node, ast.Attribute):
            assert ast.unparse(node) not in {"sys.path.append", "sys.path.insert", "os.system"}, path
        if isinstance(node, ast.Name):
            assert node.id != "NotImplementedError", f"{path}:{node.lineno}"


@pytest.mark.parametrize("path", SOURCES, ids=identify)
def test_no_exception_is_swallowed(path: Path) -> None:
    """A handler of everything re-raises or reports; none passes silently."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.ExceptHandler) and (node.type is None or ast.unparse(node.type) == "Exception"):
            assert not all(isinstance(line, ast.Pass) for line in node.body), f"{path}:{node.lineno}"


def test_test_files_have_unique_names() -> None:
    """Two test files of one name would be one module to mypy and a riddle in reports."""
    names = [path.name for path in FILES if path.name.startswith("test_")]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("path", [path for path in FILES if path.name.startswith("test_")], ids=identify)
def test_every_test_says_what_it_expects(path: Path) -> None:
    """The docstring of a test states the behaviour that it proves."""
    functions = [node for node in ast.walk(parse(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    tests = [node for node in functions if node.name.startswith("test_")]
    assert [node.name for node in tests if not ast.get_docstring(node)] == []
