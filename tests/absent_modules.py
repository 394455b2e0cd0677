"""Processes in which some modules cannot be imported, as if they were not installed."""

from collections.abc import Iterable
from pathlib import Path

_START = """
import sys

ABSENT = {names!r}

class Absent:
    def find_spec(self, name, path=None, target=None):
        if any(name == absent or name.startswith(absent + ".") for absent in ABSENT):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


def write_absent(folder: Path, names: Iterable[str]) -> None:
    """Writes what Python runs first in a process that has the folder in PYTHONPATH."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_START.format(names=sorted(names)), encoding="utf-8")
