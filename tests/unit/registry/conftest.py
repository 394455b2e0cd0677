"""Packages of the registry's tests, a database that MLflow made once for all of them, and no network."""

import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
from models import tiny_package

from fairlead.registry import client


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package."""
    return tiny_package(tmp_path / "package", lineage={"recipe": "tiny", "data": {"digest": "sha256:1", "rows": 9}})


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another package, with another digest."""
    return tiny_package(tmp_path / "other", bias=0.3)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry as MLflow makes it, which takes seconds."""
    file = tmp_path_factory.mktemp("registry") / "mlflow.db"
    client._make(file)
    assert [left.name for left in file.parent.iterdir()] == ["mlflow.db"]
    return file


@pytest.fixture(autouse=True)
def made_once(empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test that registers something a copy of the database."""
    monkeypatch.setattr(client, "_make", lambda file: shutil.copyfile(empty_database, file))


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every look-up of another host: MLflow must not try the network."""
    look_up = socket.getaddrinfo

    def refuse(host: Any, *others: Any, **options: Any) -> Any:
        assert host == "127.0.0.1", f"MLflow asked for the host {host}"
        return look_up(host, *others, **options)

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
