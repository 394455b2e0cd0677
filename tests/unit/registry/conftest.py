"""Packages of the registry's tests, the backends that they run against, and no network but loopback."""

import importlib.util
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from memory_registry import MemoryRegistry, use
from mlflow_server import run_mlflow_server
from model_registry_server import serve
from models import tiny_package

from fairlead.registry import mlflow_client
from fairlead.registry.packages import FolderPackages
from fairlead.settings import settings

MLFLOW_PYTHON = os.environ.get("TEST_MLFLOW_PYTHON", sys.executable)
REAL_MODEL_REGISTRY = os.environ.get("TEST_MODEL_REGISTRY_URI", "")
_LACKS = [name for name in ("flask", "flask_cors", "graphene", "huey") if importlib.util.find_spec(name) is None]

NO_MLFLOW_SERVER = pytest.mark.skipif(
    bool(_LACKS) and sys.executable == MLFLOW_PYTHON,
    reason=f"an MLflow server needs {', '.join(_LACKS)}, which mlflow-skinny leaves out; name the Python of an "
    "environment with all of MLflow: TEST_MLFLOW_PYTHON=…/bin/python",
)
NO_MODEL_REGISTRY = pytest.mark.skipif(
    not REAL_MODEL_REGISTRY, reason="name a real Kubeflow Model Registry: TEST_MODEL_REGISTRY_URI=http://127.0.0.1:8080"
)
BACKENDS = [
    "memory",
    "mlflow",
    "kubeflow",
    pytest.param("mlflow-server", marks=[pytest.mark.slow, NO_MLFLOW_SERVER]),
    pytest.param("kubeflow-server", marks=[pytest.mark.slow, NO_MODEL_REGISTRY]),
]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package."""
    return tiny_package(tmp_path / "package", lineage={"recipe": "tiny", "data": {"digest": "sha256:1", "rows": 9}})


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another package, with another digest."""
    return tiny_package(tmp_path / "other", bias=0.3)


@pytest.fixture
def model() -> str:
    """A name that no earlier test has used: real servers keep what tests leave."""
    return f"flights-{uuid4().hex[:8]}"


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each registry that there is, in the settings."""
    if request.param == "memory":
        use(MemoryRegistry(), FolderPackages(settings().registry_home / "packages"), monkeypatch)
    if request.param == "kubeflow":
        with serve(token="open sesame") as server:
            monkeypatch.setenv("FAIRLEAD_REGISTRY_URI", server.registry_uri)
            monkeypatch.setenv("FAIRLEAD_REGISTRY_TOKEN", "open sesame")
            yield request.param
        return
    if request.param == "mlflow-server":
        monkeypatch.setenv("FAIRLEAD_REGISTRY_URI", request.getfixturevalue("mlflow_server"))
    if request.param == "kubeflow-server":
        monkeypatch.setenv("FAIRLEAD_REGISTRY_URI", f"model-registry+{REAL_MODEL_REGISTRY}")
    yield request.param


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real MLflow server."""
    with run_mlflow_server(tmp_path_factory.mktemp("mlflow-server"), MLFLOW_PYTHON) as address:
        yield address


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry as MLflow makes it, which takes seconds."""
    file = tmp_path_factory.mktemp("registry") / "mlflow.db"
    mlflow_client._make(file)
    assert [left.name for left in file.parent.iterdir()] == ["mlflow.db"]
    return file


@pytest.fixture(autouse=True)
def made_once(empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test that registers something a copy of the database."""
    monkeypatch.setattr(mlflow_client, "_make", lambda file: shutil.copyfile(empty_database, file))


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every look-up of another host: MLflow must not try the network."""
    look_up = socket.getaddrinfo

    def refuse(host: Any, *others: Any, **options: Any) -> Any:
        assert host in {"127.0.0.1", "localhost"}, f"the registry asked for the host {host}"
        return look_up(host, *others, **options)

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr("mlflow.utils.plugins.get_entry_points", lambda _: [])  # Feast's imports all of Feast: 8 s
