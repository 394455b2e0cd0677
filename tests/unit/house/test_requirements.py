"""setup.py asks for every library that the code imports, in the extra of the place where that code runs."""

import ast
import importlib.metadata
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]
Asked = dict[str, list[Requirement]]
OWN = {"fairlead", "fairlead_pipelines", "fairlead_serving", "fairlead_feature_repo"}
ROOTS = {
    "components/fairlead": "laptop",
    "pipelines/fairlead_pipelines": "laptop",
    "kserve/fairlead_serving": "serving",
}
COMES_WITH = {
    "cycler": "matplotlib",
    "ibis-framework": "feast",
    "kfp-server-api": "kfp",
    "protobuf": "feast",
    "redis": "feast",
    "typeguard": "feast",
    "urllib3": "requests",
}


def imported(folder: Path) -> dict[str, str]:
    """Each top-level module that the Python files of a folder import, with one file that does."""
    found = {}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found.update({name.split(".")[0]: str(path) for name in names})
    return {name: path for name, path in found.items() if name not in sys.stdlib_module_names | OWN}


@pytest.mark.parametrize(("folder", "extra"), ROOTS.items())
def test_imports_are_declared(folder: str, extra: str, asked: Asked) -> None:
    """No module rests on a library that is only there because another library wants it."""
    distributions = importlib.metadata.packages_distributions()
    known = {canonicalize_name(line.name) for line in [*asked[""], *asked[extra]]}
    for module, path in imported(ROOT / folder).items():
        names: set[str] = {canonicalize_name(name) for name in distributions.get(module, [module])}
        names |= {COMES_WITH[name] for name in (module, *names) if name in COMES_WITH}
        assert names & known, f"{path} imports {module}; add it to setup.py's {extra} extra and run `make lock`"


def test_composing_asks_for_nothing_heavy(asked: Asked) -> None:
    """The base requirements are those of a machine that composes and compiles pipelines."""
    kubeflow = {"kfp", "kfp-kubernetes", "kubernetes"}
    assert {line.name for line in asked[""]} == {*kubeflow, "pydantic", "pydantic-settings", "pyyaml", "rich", "click"}


def test_every_requirement_has_a_bound(asked: Asked) -> None:
    """Each direct requirement says from which version on it works."""
    assert [str(line) for lines in asked.values() for line in lines if not line.specifier] == []
