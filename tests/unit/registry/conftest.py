"""Packages and verdicts of the registry's tests."""

from pathlib import Path

import pytest
from models import tiny_package


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package."""
    return tiny_package(tmp_path / "package", lineage={"recipe": "tiny", "data": {"digest": "sha256:1", "rows": 9}})


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another package, with another digest."""
    return tiny_package(tmp_path / "other", bias=0.3)
