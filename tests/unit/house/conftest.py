"""What the tests of the house share."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from packaging.requirements import Requirement

Asked = dict[str, list[Requirement]]


@pytest.fixture
def asked(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What setup.py asks for: under "" the base, under each extra's name the extra's own."""
    found: dict[str, list[str]] = {}

    def read(**keywords: Any) -> None:
        found.update({"": keywords["install_requires"], **keywords["extras_require"]})

    file = repository / "setup.py"
    # Not the real one: loaded after a library that uses distutils, setuptools warns.
    monkeypatch.setitem(sys.modules, "setuptools", SimpleNamespace(setup=read))
    code = compile(file.read_text(encoding="utf-8"), str(file), "exec")
    exec(code, {"__file__": str(file), "__name__": "setup"})  # noqa: S102 - our own setup.py, in place of a build
    return {extra: [Requirement(line) for line in lines] for extra, lines in found.items()}
