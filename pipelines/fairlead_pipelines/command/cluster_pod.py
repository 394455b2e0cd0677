"""A pod that the doctor makes for a moment, as tasks are made: same account, same environment, same restrictions."""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.api import Cluster, Manifest

PULL_SECRET = "fairlead-images"  # noqa: S105 (a Secret's name)
_EVERY_SECONDS = 0.5
_STUCK = {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError"}


@contextmanager
def pod(cluster: Cluster, containers: Sequence[Mapping[str, Any]], account: str = "") -> Iterator[str]:
    """Makes a pod while the block lasts.

    Args:
        cluster: The cluster and namespace.
        containers: Name, image and command of each; restrictions are added.
        account: The service account; the namespace's default where empty.

    Yields:
        Its name.

    Raises:
        RefusedError: This user may not make pods here, or admission refuses it.
    """
    name = f"fairlead-doctor-{uuid.uuid4().hex[:8]}"
    cluster.create(manifest(name, containers, account))
    try:
        yield name
    finally:
        cluster.delete(kinds.POD, name, grace_seconds=0)


def manifest(name: str, containers: Sequence[Mapping[str, Any]], account: str = "") -> Manifest:
    """The pod, as a namespace under Pod Security `restricted` takes it.

    Args:
        name: Its name.
        containers: Name, image and command of each.
        account: The service account.
    """
    spec: dict[str, Any] = {
        "restartPolicy": "Never", "automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0,
        "imagePullSecrets": [{"name": PULL_SECRET}], "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_restricted(container) for container in containers],
        "volumes": [{"name": "scratch", "emptyDir": {"sizeLimit": "64Mi"}}],
        "activeDeadlineSeconds": 300,
    }  # fmt: skip
    if account:
        spec["serviceAccountName"] = account
    labels = {
        "app.kubernetes.io/part-of": "fairlead", "app.kubernetes.io/component": "pipeline",
        "pipelines.kubeflow.org/v2_component": "true",  # network policies know tasks by it
    }  # fmt: skip
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def _restricted(container: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}},
        "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
        **container,
    }  # fmt: skip


def wait(cluster: Cluster, name: str, seconds: float) -> dict[str, Manifest]:
    """Waits until each container has run to its end or is stuck; what is known of them then.

    Args:
        cluster: The cluster and namespace.
        name: The pod's.
        seconds: How long.

    Returns:
        The containers' states by name, such as `{"waiting": {"reason": …, "message": …}}`.
    """
    end = time.monotonic() + seconds
    while True:
        found = cluster.get(kinds.POD, name) or {}
        statuses = found.get("status", {}).get("containerStatuses", [])
        states = {str(status["name"]): status.get("state", {}) for status in statuses}
        if states and all(map(_over, states.values())):
            return states
        if time.monotonic() > end:
            return states
        time.sleep(_EVERY_SECONDS)


def _over(state: Manifest) -> bool:
    return "terminated" in state or state.get("waiting", {}).get("reason") in _STUCK
