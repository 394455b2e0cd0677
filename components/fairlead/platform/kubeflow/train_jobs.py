"""TrainJobs of Kubeflow Trainer 2 on a cluster: made once, looked at, explained, removed."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fairlead.errors import ConfigurationError, PlatformError
from fairlead.platform.kubeflow.api import AlreadyExistsError, Cluster, Manifest, RefusedError
from fairlead.platform.kubeflow.diagnosis import describe_pods, last_words, unusual_events
from fairlead.platform.kubeflow.kinds import POD, TRAIN_JOB

OF_JOB_SET = "jobset.sigs.k8s.io/jobset-name"
CONTAINER = "node"
PATIENCE_SECONDS = 300.0  # an API server that is being upgraded
_GONE_SECONDS = 120.0
_POLL_SECONDS = 1.0

logger = logging.getLogger(__name__)


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


@dataclass
class TrainJobClient:
    """One TrainJob, by name, in the cluster's namespace.

    Attributes:
        cluster: Where.
        name: Its name.
    """

    cluster: Cluster
    name: str
    _lost_since: float | None = field(default=None, init=False)

    def find(self) -> TrainJobState:
        """Looks at it."""
        job = self.cluster.get(TRAIN_JOB, self.name)
        if job is None or job["metadata"].get("deletionTimestamp"):
            return TrainJobState("gone")
        pods = tuple((p["metadata"]["name"], p.get("status", {}).get("phase", "")) for p in self._pods())
        return TrainJobState(*read_phase(job), pods)

    def look(self) -> TrainJobState | None:
        """As `find`, while the API server may be out of reach for some minutes: None means nothing new.

        Raises:
            PlatformError: It has been out of reach for too long.
            RefusedError: It may not be read.
        """
        try:
            state = self.find()
        except RefusedError:
            raise
        except PlatformError as error:
            now = time.monotonic()
            self._lost_since = self._lost_since or now
            if now - self._lost_since > PATIENCE_SECONDS:
                raise
            logger.warning("%s; trying again", error)
            return None
        self._lost_since = None
        return state

    def create(self, manifest: Mapping[str, Any]) -> None:
        """Creates it; one that another run has just created is the same.

        Raises:
            ConfigurationError: Trainer refuses it: for want of its TrainingRuntime, for instance.
            RefusedError: This user may not create it.
        """
        self._wait_gone()
        try:
            self.cluster.create(manifest)
        except AlreadyExistsError:
            logger.info("the TrainJob %s was created by another run just now", self.name)
        except PlatformError as error:
            text = str(error)
            if "runtime" in text.lower() and "created before" in text:
                runtime = manifest["spec"]["runtimeRef"]["name"]
                raise ConfigurationError(
                    f"{text}; this namespace needs the TrainingRuntime {runtime}: kubectl apply --namespace "
                    f"{self.cluster.namespace} --filename manifests/components/training/runtime.yaml"
                ) from None
            if "admission webhook" in text or "(status 4" in text:
                raise ConfigurationError(f"Kubeflow Trainer refuses this training: {text}") from None
            raise

    def delete(self) -> None:
        """Deletes it, with its JobSet, Jobs and pods."""
        self.cluster.delete(TRAIN_JOB, self.name)

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

    def _wait_gone(self) -> None:
        """Waits until an earlier one of the name has left."""
        deadline = time.monotonic() + _GONE_SECONDS
        while True:
            job = self.cluster.get(TRAIN_JOB, self.name)
            if job is None or not job["metadata"].get("deletionTimestamp"):
                return
            if time.monotonic() > deadline:
                raise PlatformError(
                    f"the TrainJob {self.name} has been on its way out for {_GONE_SECONDS:.0f} s; is its controller up?"
                )
            time.sleep(_POLL_SECONDS)


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
