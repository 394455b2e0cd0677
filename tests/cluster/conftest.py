"""What tests on a real cluster share: the cluster, a namespace of their own, images, and an object store.

They take any KUBECONFIG. What they cannot know of a cluster comes from the environment:

    FAIRLEAD_TEST_IMAGE_BUILD    how an image is built: words with {reference}, {context} and {file}; docker by default
    FAIRLEAD_TEST_IMAGE_LOAD     how it comes onto the nodes: words with {reference}; kind by default, empty for nothing
    FAIRLEAD_TEST_S3_ENDPOINT    an S3 server as this machine reaches it; ..._INSIDE as pods reach it, ..._USER and
                                 ..._PASSWORD its keys
    FAIRLEAD_TEST_GATEWAY_URL    where this machine reaches the Gateway of KServe's Standard mode
    FAIRLEAD_TEST_KNATIVE_URL    where it reaches Knative's

A test whose part is missing is skipped, and says what is missing.
"""

import os
import shlex
import subprocess
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fairlead import __version__
from fairlead.errors import PlatformError
from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.api import Cluster
from fairlead.settings import settings

BUILD = "docker build --tag {reference} --file {file} {context}"
LOAD = "kind load docker-image {reference}"
PARTS = {
    "kserve": kinds.INFERENCE_SERVICE,
    "knative": kinds.KNATIVE_SERVICE,
    "gateway": kinds.HTTP_ROUTE,
    "trainer": kinds.TRAIN_JOB,
}
ENVIRONMENT = {name: value for name, value in os.environ.items() if name.startswith("FAIRLEAD_TEST_")}


@dataclass(frozen=True)
class S3Server:
    """An S3 server that both this machine and pods reach.

    Attributes:
        endpoint: As this machine reaches it.
        inside: As pods reach it.
        user: Its access key.
        password: Its secret key.
    """

    endpoint: str
    inside: str
    user: str
    password: str


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster that KUBECONFIG leads to."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("set KUBECONFIG to a cluster that these tests may use")
    try:
        found = Cluster.connect(settings())
        found.read("/version")
    except PlatformError as error:
        pytest.skip(f"the cluster does not answer: {error}")
    return found


@pytest.fixture
def namespace(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A fresh namespace under Pod Security `restricted`; fairlead's settings name it."""
    name = f"fairlead-test-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "app.kubernetes.io/part-of": "fairlead-tests"}
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    monkeypatch.setenv("FAIRLEAD_NAMESPACE", name)
    yield name
    cluster.delete(kinds.NAMESPACE, name)


@pytest.fixture(scope="session")
def require(cluster: Cluster) -> Callable[[str], None]:
    """Skips the test where the cluster lacks a part."""

    def check(part: str) -> None:
        if not cluster.has(PARTS[part]):
            pytest.skip(f"the cluster has no {PARTS[part].kind} ({PARTS[part].group}); install {part}")

    return check


@pytest.fixture(scope="session")
def s3() -> S3Server:
    """The object store that the environment names."""
    endpoint = ENVIRONMENT.get("FAIRLEAD_TEST_S3_ENDPOINT", "")
    if not endpoint.partition("://")[2]:
        pytest.skip("set FAIRLEAD_TEST_S3_ENDPOINT (and _INSIDE, _USER, _PASSWORD) to an S3 server")
    inside = ENVIRONMENT.get("FAIRLEAD_TEST_S3_ENDPOINT_INSIDE") or endpoint
    user, password = (ENVIRONMENT.get(f"FAIRLEAD_TEST_S3_{part}", "") for part in ("USER", "PASSWORD"))
    return S3Server(endpoint, inside, user, password)


@pytest.fixture(scope="session")
def images(repository: Path) -> Callable[[str], str]:
    """Builds and loads one of the project's images on demand, once a session; gives its reference."""
    made: dict[str, str] = {}

    def make(name: str) -> str:
        if name not in made:
            reference = f"fairlead-{name}:{__version__}"
            words = {
                "reference": reference, "context": str(repository),
                "file": str(repository / "images" / name / "Containerfile"),
            }  # fmt: skip
            for variable, default in (("FAIRLEAD_TEST_IMAGE_BUILD", BUILD), ("FAIRLEAD_TEST_IMAGE_LOAD", LOAD)):
                _run(ENVIRONMENT.get(variable, default), words)
            made[name] = reference
        return made[name]

    return make


@pytest.fixture
def gateway_url() -> str:
    """Where this machine reaches the Gateway of KServe's Standard mode."""
    return _address("FAIRLEAD_TEST_GATEWAY_URL")


@pytest.fixture
def knative_url() -> str:
    """Where this machine reaches Knative's gateway."""
    return _address("FAIRLEAD_TEST_KNATIVE_URL")


def _address(variable: str) -> str:
    found = ENVIRONMENT.get(variable, "")
    if not found:
        pytest.skip(f"set {variable} to http://HOST:PORT")
    return found


def _run(command: str, words: dict[str, str]) -> None:
    arguments = [part.format(**words) for part in shlex.split(command)]
    if not arguments:
        return
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip(f"there is no {arguments[0]}; set FAIRLEAD_TEST_IMAGE_BUILD and FAIRLEAD_TEST_IMAGE_LOAD")
    assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
