"""Why pods do not start or do not end, in the cluster's own words: states of containers, events, last lines."""

from collections.abc import Mapping, Sequence
from typing import Any

from fairlead.platform.kubeflow.api import Cluster
from fairlead.platform.kubeflow.kinds import POD

_MOST_LINES = 20
_QUIET = ("ContainerCreating", "PodInitializing", "Completed")
_USUAL = ("Scheduled:", "Pulled:", "Created:", "Started:", "SuccessfulCreate:", "Killing:", "Completed:", "Pulling:")


def describe_pods(cluster: Cluster, labels: Mapping[str, str], deleted: Sequence[str] = ()) -> list[str]:
    """What keeps the pods with these labels from running, or ended them; empty where nothing does.

    Args:
        cluster: Where.
        labels: The pods' labels.
        deleted: Names of pods that may be gone: their events outlive them by an hour.
    """
    pods = {pod["metadata"]["name"]: pod for pod in cluster.list(POD, labels)}
    lines: list[str] = []
    for name in dict.fromkeys([*pods, *deleted]):
        found = [*_states(pods.get(name, {})), *unusual_events(cluster, "Pod", name)]
        lines += [f"pod {name}: {line}" for line in dict.fromkeys(found)]
    return lines[-_MOST_LINES:]


def pods_of_job(cluster: Cluster, name: str) -> list[str]:
    """The pods that a Job has had, by its events: also those that are gone."""
    begins = "SuccessfulCreate: Created pod: "
    return [event.removeprefix(begins) for event in cluster.events("Job", name) if event.startswith(begins)]


def unusual_events(cluster: Cluster, kind: str, name: str) -> list[str]:
    """The events of an object that are not of everyday life, each once, the newest last."""
    found = [event for event in cluster.events(kind, name) if not event.startswith(_USUAL)]
    return list(dict.fromkeys(found))


def last_words(cluster: Cluster, labels: Mapping[str, str], container: str, lines: int = 20) -> list[str]:
    """The last lines of the pods' containers, under their names."""
    said: list[str] = []
    for pod in cluster.list(POD, labels):
        text = cluster.logs(pod["metadata"]["name"], container, lines).rstrip()
        said += [f"pod {pod['metadata']['name']}, last lines:", *text.splitlines()] if text else []
    return said


def _states(pod: Mapping[str, Any]) -> Sequence[str]:
    status = pod.get("status") or {}
    lines = [
        f"{condition['reason']}: {condition.get('message', '')}"
        for condition in status.get("conditions") or []
        if condition.get("status") == "False" and condition.get("reason") == "Unschedulable"
    ]
    for container in status.get("containerStatuses") or []:
        name, state = container["name"], container.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
        if waiting and waiting.get("reason") not in _QUIET:
            lines.append(f"container {name} waits: {waiting.get('reason')} {waiting.get('message', '')}".rstrip())
        if ended.get("exitCode"):
            why = f"{ended.get('reason', '')} {ended.get('message', '')}".strip()
            lines.append(f"container {name} ended with {ended['exitCode']} ({why})")
    return lines
