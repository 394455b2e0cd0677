"""TrainJobs of Kubeflow Trainer 2 on a cluster: made once, looked at, explained, removed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fairlead.errors import ConfigurationError, PlatformError
from fairlead.platform.kubeflow.api import Manifest
from fairlead.platform.kubeflow.diagnosis import describe_pods, last_words, unusual_events
from fairlead.platform.kubeflow.followed import FollowedObject
from fairlead.platform.kubeflow.kinds import POD, TRAIN_JOB, Kind

OF_JOB_SET = "jobset.sigs.k8s.io/jobset-name"
CONTAINER = "node"


@dataclass(frozen=True)
class TrainJobState:
    """How a TrainJob is.

    Attributes:
        phase: running, complete, failed, suspended, or gone.
        message: What Trainer says of it.
        pods: The pods and their phases, which change when one is killed.
    """

    phase: str
    message: str = ""
    pods: tuple[tuple[str, str], ...] = ()


class TrainJobClient(FollowedObject):
    """One TrainJob, by name, in the cluster's namespace."""

    kind: ClassVar[Kind] = TRAIN_JOB

    def find(self) -> TrainJobState:
        """Looks at it."""
        job = self.read()
        if job is None:
            return TrainJobState("gone")
        pods = tuple((p["metadata"]["name"], p.get("status", {}).get("phase", "")) for p in self._pods())
        return TrainJobState(*read_phase(job), pods)

    def look(self) -> TrainJobState | None:
        """As `find`, while the API server may be out of reach for some minutes: None means nothing new.

        Raises:
            PlatformError: It has been out of reach for too long.
            RefusedError: It may not be read.
        """
        return self.patience.ask(self.find)

    def explain_refusal(self, error: PlatformError, manifest: Mapping[str, Any]) -> Exception:
        """What Trainer's webhook says: of a missing TrainingRuntime, for instance, with what to do."""
        text = str(error)
        if "runtime" in text.lower() and "created before" in text:
            runtime = manifest["spec"]["runtimeRef"]["name"]
            return ConfigurationError(
                f"{text}; this namespace needs the TrainingRuntime {runtime}: kubectl apply --namespace "
                f"{self.cluster.namespace} --filename manifests/components/training/runtime.yaml"
            )
        if "admission webhook" in text or "(status 4" in text:
            return ConfigurationError(f"Kubeflow Trainer refuses this training: {text}")
        return error

    def explain(self) -> list[str]:
        """Why it does not go on: what the cluster noted of it and of what it is made of."""
        try:
            lines = [f"{kind}: {event}" for kind in ("TrainJob", "JobSet")
                     for event in unusual_events(self.cluster, kind, self.name)]  # fmt: skip
            job = f"{self.name}-{CONTAINER}-0"
            lines += [f"Job: {event}" for event in unusual_events(self.cluster, "Job", job)]
            lines += describe_pods(self.cluster, {OF_JOB_SET: self.name})
        except PlatformError as error:
            return [f"the cluster could not be asked why: {error}"]
        return list(dict.fromkeys(lines))

    def last_words(self) -> list[str]:
        """The last lines of the pods that are still there."""
        try:
            return last_words(self.cluster, {OF_JOB_SET: self.name}, CONTAINER)
        except PlatformError as error:
            return [f"the pods' logs cannot be read: {error}"]

    def _pods(self) -> list[Manifest]:
        return self.cluster.list(POD, {OF_JOB_SET: self.name})


def read_phase(job: Mapping[str, Any]) -> tuple[str, str]:
    """How far a TrainJob is, and what is said of it; it has no condition while it runs."""
    phases = {"Complete": "complete", "Failed": "failed", "Suspended": "suspended"}
    found = {
        phases[condition["type"]]: str(condition.get("message", ""))
        for condition in (job.get("status") or {}).get("conditions") or []
        if condition.get("status") == "True" and condition.get("type") in phases
    }
    for phase in ("failed", "complete", "suspended"):
        if phase in found:
            return phase, found[phase]
    return "running", ""
