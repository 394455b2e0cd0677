"""Whether the object store, the online store, the registry and Prometheus answer: from here, and from a pod."""

import json
import os
from collections.abc import Iterator

from fairlead import image
from fairlead.errors import PlatformError
from fairlead.platform.kubeflow.api import Cluster
from fairlead.settings import Settings
from fairlead_pipelines.command import cluster_pod
from fairlead_pipelines.command.checks import Check
from fairlead_pipelines.command.probes import probe

_SECONDS = 120.0
_SECRETS = ("fairlead-s3", "fairlead-redis", "fairlead-registry")


def check_stores(cluster: Cluster, place: Settings, *, deep: bool) -> Iterator[Check]:
    """Yields what each store answers.

    Stores that this machine cannot reach may be there for pods all the same, so that is no more than a warning.

    Args:
        cluster: The cluster and namespace.
        place: The settings of this machine.
        deep: Whether a pod is made that asks with the environment of a task.
    """
    outside = "KUBERNETES_SERVICE_HOST" not in os.environ
    for found in probe(place):
        if found.state == "bad" and outside and not deep:
            finding = f"from this machine: {found.finding}; --deep asks from a pod"
            yield Check(found.name, "warn", finding, found.mend)
        elif not deep or found.state == "good":
            yield found
    if deep:
        yield from _from_pod(cluster, place)


def _from_pod(cluster: Cluster, place: Settings) -> Iterator[Check]:
    """Yields what a pod with a task's environment was answered."""
    sources = [{"configMapRef": {"name": "fairlead-settings", "optional": True}}]
    sources += [{"secretRef": {"name": name, "optional": True}} for name in _SECRETS]
    container = {
        "name": "probe", "image": image.place(image.BASE, place.image_registry), "envFrom": sources,
        "command": ["python", "-m", "fairlead_pipelines.command.probes"],
        "env": [{"name": "FAIRLEAD_HOME", "value": "/scratch/.fairlead"}, {"name": "TMPDIR", "value": "/scratch"}],
        "workingDir": "/scratch",
    }  # fmt: skip
    try:
        with cluster_pod.pod(cluster, [container], "fairlead-pipeline") as pod:
            state = cluster_pod.wait(cluster, pod, _SECONDS).get("probe", {})
            log = cluster.logs(pod, lines=50)
    except PlatformError as error:
        yield Check("stores", "bad", f"no pod can be made: {error}", "kubectl auth can-i create pods")
        return
    findings = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    for found in findings:
        yield Check(found["name"], found["state"], f"from a pod: {found['finding']}", found["mend"])
    if state.get("terminated", {}).get("exitCode") != 0:
        why = " ".join(log.split())[-300:] or json.dumps(state) or "it never started"
        yield Check(
            "stores", "bad", f"the pod that asks could not: {why}", f"kubectl -n {cluster.namespace} get events"
        )
    elif not findings:
        mend = f"kubectl -n {cluster.namespace} edit configmap fairlead-settings"
        yield Check("stores", "warn", "a task's settings name no store", mend)
