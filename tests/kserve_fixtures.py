"""Fixtures over KServe on a real cluster: `pytest_plugins = ("kserve_fixtures",)` in a test module brings them."""

import os
import shlex
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kserve_home import KServeHome
from memory_registry import MemoryRegistry, use

from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.api import Cluster
from fairlead.registry.packages import FolderPackages
from fairlead.settings import settings

STAND_IN = "fairlead-stand-in:1"
FOLDER = Path(__file__).resolve().parent / "stand_in"
BUILD = os.environ.get("FAIRLEAD_TEST_IMAGE_BUILD", "docker build --tag {reference} --file {file} {context}")
LOAD = os.environ.get("FAIRLEAD_TEST_IMAGE_LOAD", "kind load docker-image {reference}")


@pytest.fixture(scope="session")
def stand_in_image(cluster: Cluster) -> str:
    """The image of the server that misbehaves as it is told, built and loaded."""
    del cluster  # nothing is built where there is none
    words = {"reference": STAND_IN, "context": str(FOLDER), "file": str(FOLDER / "Containerfile")}
    for command in (BUILD, LOAD):
        arguments = [part.format(**words) for part in shlex.split(command)]
        if arguments:
            subprocess.run(arguments, check=True, capture_output=True)
    return STAND_IN


@pytest.fixture(scope="module")
def serving_namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace for all tests of a module: each has services of its own in it."""
    name = f"fairlead-k4-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "app.kubernetes.io/part-of": "fairlead-tests"}
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    yield name
    cluster.delete(kinds.NAMESPACE, name)


@pytest.fixture(scope="module")
def package_bucket(s3: Any) -> str:
    """A bucket for a module's packages and prediction logs."""
    from urllib.parse import urlsplit

    from minio import Minio

    address = urlsplit(s3.endpoint)
    client = Minio(address.netloc, s3.user, s3.password, secure=address.scheme == "https")
    name = f"fairlead-k4-{uuid.uuid4().hex[:8]}"
    client.make_bucket(name)
    return name


@pytest.fixture
def make_home(
    cluster: Cluster, serving_namespace: str, package_bucket: str, s3: Any, require: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> Callable[[str, str, str], KServeHome]:  # fmt: skip
    """Makes KServe the home that the settings name: in a mode, behind a gateway, with servers of an image."""
    require("kserve")

    def make(mode: str, url: str, image: str) -> KServeHome:
        require("knative" if mode == "knative" else "gateway")
        values = {
            "PLATFORM": "kubeflow", "NAMESPACE": serving_namespace, "SERVING_MODE": mode, "GATEWAY_URL": url,
            "S3_ENDPOINT": s3.endpoint, "HOME": str(tmp_path / "home"),
            "OBJECT_STORE": f"s3://{package_bucket}",
        }  # fmt: skip
        for name, value in values.items():
            monkeypatch.setenv(f"FAIRLEAD_{name}", value)
        use(MemoryRegistry(), FolderPackages(tmp_path / "packages"), monkeypatch)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.user)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.password)
        return KServeHome(Cluster.connect(settings()), serving_namespace, url, s3, tmp_path, image)

    return make


@pytest.fixture
def standard(make_home: Callable[..., KServeHome], stand_in_image: str, gateway_url: str) -> KServeHome:
    """Standard mode with stand-in servers."""
    return make_home("standard", gateway_url, stand_in_image)


@pytest.fixture
def knative(make_home: Callable[..., KServeHome], stand_in_image: str, knative_url: str) -> KServeHome:
    """Knative mode with stand-in servers."""
    return make_home("knative", knative_url, stand_in_image)


@pytest.fixture(params=["standard", "knative"])
def either(request: pytest.FixtureRequest) -> KServeHome:
    """Both modes, one after the other."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, KServeHome)
    return found


@pytest.fixture
def real_standard(make_home: Callable[..., KServeHome], images: Callable[[str], str], gateway_url: str) -> KServeHome:
    """Standard mode with the project's own serving image."""
    images("serving")
    return make_home("standard", gateway_url, "")


@pytest.fixture
def real_knative(make_home: Callable[..., KServeHome], images: Callable[[str], str], knative_url: str) -> KServeHome:
    """Knative mode with the project's own serving image."""
    images("serving")
    return make_home("knative", knative_url, "")


@pytest.fixture(params=["standard", pytest.param("knative", marks=pytest.mark.slow)])
def real(request: pytest.FixtureRequest) -> KServeHome:
    """Both modes with the project's own serving image; the second one where there is time."""
    found = request.getfixturevalue(f"real_{request.param}")
    assert isinstance(found, KServeHome)
    return found
