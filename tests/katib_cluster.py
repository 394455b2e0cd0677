"""What tests of tuning and training on a real cluster share: Katib's kinds and refusals, an image, keys, a bucket."""

import os
import shlex
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.errors import PlatformError
from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.api import Cluster

FOLDER = Path(__file__).parent / "katib"
IMAGE = "fairlead-test-trial:1"
OURS = {"app.kubernetes.io/part-of": "fairlead-tests"}
_COMMANDS = {
    name: os.environ.get(f"FAIRLEAD_TEST_IMAGE_{name}", default)
    for name, default in (
        ("BUILD", "docker build --tag {reference} --file {file} {context}"),
        ("LOAD", "kind load docker-image {reference}"),
    )
}
_PLURALS = {
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}


def build_trial_image(repository: Path) -> str:
    """Builds and loads the small image; its reference."""
    words = {"reference": IMAGE, "context": str(repository), "file": str(FOLDER / "Containerfile")}
    for command in (_COMMANDS["BUILD"], _COMMANDS["LOAD"]):
        arguments = [part.format(**words) for part in shlex.split(command)]
        if arguments:
            done = subprocess.run(arguments, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    return IMAGE


@contextmanager
def katib_installed(cluster: Cluster) -> Iterator[None]:
    """Has Katib's kinds and refusals for a while; skips where a real Katib is, whose part is played here."""
    found = cluster.get(kinds.CUSTOM_RESOURCE_DEFINITION, "experiments.kubeflow.org")
    if found is not None and not OURS.items() <= (found["metadata"].get("labels") or {}).items():
        pytest.skip("a real Katib is installed here: these tests bring a controller of their own")
    manifests = [
        manifest for file in sorted(FOLDER.glob("*.yaml")) for manifest in yaml.safe_load_all(file.read_text())
    ]
    for manifest in manifests:
        _send(cluster, "PATCH", manifest)
    _wait(lambda: cluster.has(kinds.EXPERIMENT) and cluster.has(kinds.TRIAL) and cluster.has(kinds.SUGGESTION))
    time.sleep(3)  # a policy is in force some moments after it is there
    try:
        yield
    finally:
        for manifest in reversed(manifests):
            with suppress(PlatformError):
                _send(cluster, "DELETE", manifest)


def _send(cluster: Cluster, method: str, manifest: dict[str, Any]) -> None:
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    plural = _PLURALS.get(kind, "customresourcedefinitions")
    path = f"/apis/{manifest['apiVersion']}/{plural}/{name}"
    if method == "DELETE":
        cluster._json(method, path, body={})
        return
    query = {"fieldManager": "fairlead-tests", "force": "true"}
    cluster._json(method, path, query=query, body=manifest, content="application/apply-patch+yaml")


def _wait(found: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def give_keys(cluster: Cluster, namespace: str, user: str, password: str) -> None:
    """Makes the Secret with the object store's keys, and labels the namespace as Katib demands."""
    keys = {"AWS_ACCESS_KEY_ID": user, "AWS_SECRET_ACCESS_KEY": password}
    meta = {"name": "fairlead-s3", "namespace": namespace}
    cluster.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": keys})
    label = {"katib.kubeflow.org/metrics-collector-injection": "enabled"}
    cluster.patch(kinds.NAMESPACE, namespace, {"metadata": {"labels": label}})


@contextmanager
def fresh_bucket(endpoint: str, user: str, password: str) -> Iterator[str]:
    """A bucket that is removed with all that is in it."""
    from minio import Minio
    from minio.deleteobjects import DeleteObject

    scheme, _, host = endpoint.partition("://")
    client = Minio(host, user, password, secure=scheme == "https")
    name = f"fairlead-{uuid.uuid4().hex[:10]}"
    client.make_bucket(name)
    try:
        yield name
    finally:
        names = [DeleteObject(str(one.object_name)) for one in client.list_objects(name, recursive=True)]
        for error in client.remove_objects(name, names):
            raise AssertionError(str(error))
        client.remove_bucket(name)
