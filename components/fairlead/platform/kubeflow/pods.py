"""Pods of model servers: what state they are in, and what is wrong with one that does not come up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairlead.platform.kubeflow.api import Cluster, Manifest, RefusedError
from fairlead.platform.kubeflow.kinds import POD

# reasons of a waiting container that waiting longer does not mend
HOPELESS = (
    "CrashLoopBackOff", "ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName",
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
)  # fmt: skip
_LOG_LINES = 12
_EVENTS = 4
_QUIET_EVENTS = ("Scheduled", "Pulled", "Created", "Started", "Pulling", "Killing", "SuccessfulCreate")


@dataclass(frozen=True)
class Container:
    """One container of a pod.

    Attributes:
        name: Its name.
        ready: Whether it passes its probe.
        restarts: How often it was started again.
        waiting: Why it does not run (Kubernetes' reason); empty where it does.
        message: What is said about that.
        ended: How it ended the last time; empty where it never did.
    """

    name: str
    ready: bool
    restarts: int
    waiting: str = ""
    message: str = ""
    ended: str = ""


@dataclass(frozen=True)
class Pod:
    """One pod.

    Attributes:
        name: Its name.
        uid: What names it for good.
        ip: Its address; empty before it has one.
        ready: Whether it takes requests.
        leaving: Whether it is being ended.
        phase: Kubernetes' phase.
        pending: Why it is not on a node; empty where it is.
        containers: Its containers, those that run first included.
    """

    name: str
    uid: str
    ip: str
    ready: bool
    leaving: bool
    phase: str
    pending: str
    containers: tuple[Container, ...]

    @property
    def restarts(self) -> int:
        """How often its containers were started again."""
        return sum(container.restarts for container in self.containers)

    @property
    def hopeless(self) -> str:
        """What waiting longer will not mend; empty if nothing is known."""
        for one in self.containers:
            if one.waiting in HOPELESS:
                ended = f"; it {one.ended}" if one.ended else ""
                return f"{self.name}, container {one.name}: {one.waiting} ({one.message or 'no message'}){ended}"
        return ""


def read_pod(manifest: Manifest) -> Pod:
    """Reads a pod as the API server tells it."""
    metadata, status = manifest["metadata"], manifest.get("status", {})
    conditions = {c["type"]: c for c in status.get("conditions", [])}
    scheduled = conditions.get("PodScheduled", {})
    told = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    return Pod(
        name=metadata["name"], uid=metadata["uid"], ip=status.get("podIP", ""),
        ready=conditions.get("Ready", {}).get("status") == "True" and "deletionTimestamp" not in metadata,
        leaving="deletionTimestamp" in metadata, phase=status.get("phase", ""),
        pending=scheduled.get("message", "") if scheduled.get("status") == "False" else "",
        containers=tuple(_container(one) for one in told),
    )  # fmt: skip


def _container(status: Mapping[str, Any]) -> Container:
    state, last = status.get("state", {}), status.get("lastState", {})
    waiting = state.get("waiting", {})
    ended = state.get("terminated") or last.get("terminated") or {}
    how = ""
    if ended and (ended.get("exitCode") or ended.get("signal") or ended.get("reason") != "Completed"):
        how = f"ended with status {ended.get('exitCode')} ({ended.get('reason', '')})"
    return Container(
        status["name"], bool(status.get("ready")), int(status.get("restartCount", 0)), waiting.get("reason", ""),
        waiting.get("message", ""), how,
    )  # fmt: skip


def list_pods(cluster: Cluster, labels: Mapping[str, str]) -> list[Pod]:
    """The pods that carry the labels, those that are ending included, by name."""
    return sorted((read_pod(one) for one in cluster.list(POD, labels)), key=lambda pod: pod.name)


def explain_pods(cluster: Cluster, pods: Sequence[Pod]) -> str:
    """What the pods that are not ready say: states, events, the last lines of their logs."""
    parts = []
    for pod in pods:
        if not pod.ready:
            parts += _explain_pod(cluster, pod)
    return "\n".join(parts)


def _explain_pod(cluster: Cluster, pod: Pod) -> list[str]:
    parts = [f"pod {pod.name}: {pod.phase}" + (f", not on a node: {pod.pending}" if pod.pending else "")]
    parts += [f"  {line}" for line in _told_events(cluster, "Pod", pod.name)]
    for one in pod.containers:
        if one.ready and not one.restarts:
            continue
        state = ": ".join(filter(None, (one.waiting, one.message))) or one.ended or "not ready"
        parts.append(f"  container {one.name}: {state}" + (f"; {one.restarts} restarts" if one.restarts else ""))
        if log := _tail(cluster, pod, one):
            parts.append("    its log ends:\n" + "\n".join(f"      {line}" for line in log.splitlines()))
    return parts


def _told_events(cluster: Cluster, kind: str, name: str) -> list[str]:
    try:
        events = list(dict.fromkeys(cluster.events(kind, name)))
    except RefusedError as error:
        return [f"(its events cannot be read: {error})"]
    return [line for line in events if line.partition(":")[0] not in _QUIET_EVENTS][-_EVENTS:]


def _tail(cluster: Cluster, pod: Pod, container: Container) -> str:
    if container.waiting and not container.restarts and container.waiting != "CrashLoopBackOff":
        return ""  # it has never run
    try:
        now = cluster.logs(pod.name, container.name, _LOG_LINES)
        return now.strip() or cluster.logs(pod.name, container.name, _LOG_LINES, previous=True).strip()
    except RefusedError as error:
        return f"(it cannot be read: {error})"
