"""A training as a TrainJob: its pods train together, and keep what they need to go on in the object store.

The TrainJob's name comes from all that decides the training. A run that was killed finds it again: running, finished,
or gone, and then a new one goes on from the last snapshot.
"""

import logging
import time
from pathlib import Path
from typing import Any

from fairlead import image, progress
from fairlead.errors import ConfigurationError, FairleadError, PlatformError
from fairlead.objects import Objects
from fairlead.platform.kubeflow.api import Cluster
from fairlead.platform.kubeflow.followed import Patience
from fairlead.platform.kubeflow.interruption import interruptible, undisturbed
from fairlead.platform.kubeflow.kinds import TRAIN_JOB
from fairlead.platform.kubeflow.pod_section import SCRATCH
from fairlead.platform.kubeflow.train_jobs import CONTAINER, TrainJobClient, TrainJobState
from fairlead.settings import Settings
from fairlead.training.checkpoint import Checkpoint
from fairlead.training.job import Job
from fairlead.training.job_store import JobStore
from fairlead.training.stored_data import send_dataset
from fairlead.training.train_pod import STORE, TrainPod

POLL_SECONDS = 2.0
EXPLAIN_SECONDS = 60.0  # without news
_DATA = Path(SCRATCH) / "fairlead-data"

logger = logging.getLogger(__name__)


class StuckError(PlatformError):
    """The training will not come to an end."""


def find_trainer(job: Job, place: Settings) -> Cluster | None:
    """The cluster on which a training runs; None where it runs in this pod or on this machine, which the log says.

    Raises:
        PlatformError: The cluster cannot be reached.
    """
    if place.platform != "kubeflow" or job.spec.nodes * job.spec.processes == 1:
        return None
    if not place.object_store:
        logger.warning("no object_store is set (FAIRLEAD_OBJECT_STORE), so all processes run in this pod")
        return None
    cluster = Cluster.connect(place)
    if not cluster.has(TRAIN_JOB):
        logger.warning("the cluster %s has no Kubeflow Trainer, so all processes run in this pod", cluster.where)
        return None
    return cluster


class ClusterTraining:
    """One training on one cluster."""

    def __init__(self, job: Job, cluster: Cluster, place: Settings, work: Path) -> None:
        """Prepares; `work` gets what the training notes, as if it ran here."""
        self.job, self.cluster, self.place, self.work = job, cluster, place, work
        self.pod = training_pod(job.spec.pod, place)
        self.name = f"train-{job.digest()[:24]}"
        self.store = JobStore(Objects.connect(place), f"{place.object_store.rstrip('/')}/training/{self.name}")
        self.client = TrainJobClient(cluster, self.name)
        self._news = self._explained = time.monotonic()
        self._told: set[str] = set()
        self._patience = Patience()  # with the object store

    def run(self) -> Checkpoint:
        """Trains, or goes on where an earlier run was.

        Returns:
            The checkpoint.

        Raises:
            FairleadError: What one of the processes raised.
            PlatformError: The TrainJob failed or hangs, or the cluster is out of reach.
        """
        with interruptible():
            try:
                found = self.store.fetch_result(self.work) or self._train()
            except (FairleadError, KeyboardInterrupt) as error:
                lost = isinstance(error, PlatformError) and not isinstance(error, StuckError)
                if not lost:
                    self._withdraw(error)  # otherwise it may be well: the next run goes on following it
                raise
            with undisturbed():
                self.store.fetch_notes(self.work)
                self._delete()
        return found

    def forget(self) -> None:
        """Removes what the training kept in the object store."""
        self.store.remove()

    def manifest(self) -> dict[str, Any]:
        """The TrainJob, as it is sent.

        Raises:
            ConfigurationError: It cannot say what `train.pod` does.
        """
        refuse_secrets(self.pod)
        spec, pod = self.job.spec, self.pod
        plain = {**pod.own_environment(), **pod.store_environment(self.place), **pod.environment, STORE: self.store.uri}
        environment = [{"name": name, "value": value.replace("$(", "$$(")} for name, value in plain.items()]
        labels = {"app.kubernetes.io/part-of": "fairlead", "app.kubernetes.io/component": "training"}
        runtime = {"apiGroup": TRAIN_JOB.group, "kind": "TrainingRuntime", "name": pod.runtime}
        trainer = {
            "image": pod.image, "command": ["python", "-m", "fairlead.training.engine.node"],
            "env": [*environment, *pod.s3_environment()],
            "numNodes": spec.nodes, "numProcPerNode": spec.processes, "resourcesPerNode": pod.resources(),
        }  # fmt: skip
        overrides = pod_overrides(pod)
        return {
            "apiVersion": TRAIN_JOB.api_version, "kind": TRAIN_JOB.kind,
            "metadata": {"name": self.name, "namespace": self.cluster.namespace, "labels": labels},
            "spec": {
                "runtimeRef": runtime, "trainer": trainer, "labels": labels,
                **({"podSpecOverrides": [overrides]} if len(overrides) > 1 else {}),
            },
        }  # fmt: skip

    def _train(self) -> Checkpoint:
        self._start()
        with progress.step("training", total=self.job.recipe().length(self.job.spec)) as step:
            before: tuple[Any, ...] = ()
            while True:
                state = self.client.look()
                told = self._look_at_store()
                if state is not None and told is not None:
                    if (state, told.get("time")) != before:
                        before, self._news = (state, told.get("time")), time.monotonic()
                    if told:
                        step.update(told["done"], **told["figures"])
                    found = self._conclude(state)
                    if found is not None:
                        return found
                    self._mind(state)
                time.sleep(POLL_SECONDS)

    def _start(self) -> None:
        """Goes on with a TrainJob that is there; makes one where there is none, or one that failed."""
        state = self.client.find()
        if state.phase in ("running", "complete", "suspended"):
            logger.info("the TrainJob %s is there already; following it", self.name)
            return
        if state.phase == "failed":
            self.client.delete()
        paths = {"train": self.job.train, "validation": self.job.validation}
        data = {role: send_dataset(self.store.objects, self.place.object_store, p) for role, p in paths.items()}
        here = {role: str(_DATA / role) for role in paths}
        self.store.write_job({**self.job.content(), **here, "data": data})
        self.client.create(self.manifest())
        logger.info(
            "the TrainJob %s was created in namespace %s: %d nodes of %d processes",
            self.name, self.cluster.namespace, self.job.spec.nodes, self.job.spec.processes,
        )  # fmt: skip

    def _look_at_store(self) -> dict[str, Any] | None:
        """How far training is, and its trace for whoever tracks it; None while the store is out of reach.

        Raises:
            PlatformError: It has been out of reach for too long.
        """
        return self._patience.ask(self._read_notes)

    def _read_notes(self) -> dict[str, Any]:
        self.store.fetch_notes(self.work)
        return self.store.read_progress()

    def _conclude(self, state: TrainJobState) -> Checkpoint | None:
        """The checkpoint, if training is over.

        Raises:
            FairleadError: It came to nothing.
        """
        error = self.store.read_error() if state.phase != "complete" else None
        if error is not None and (state.phase == "failed" or not isinstance(error, PlatformError)):
            raise error if not isinstance(error, PlatformError) else StuckError(str(error))
        if state.phase == "complete":
            found = self.store.fetch_result(self.work)
            if found is None:
                raise StuckError(f"the TrainJob {self.name} is complete, but left no result; run again to train anew")
            return found
        if state.phase == "gone":
            raise PlatformError(
                f"the TrainJob {self.name} was deleted while it was followed; run again to go on from its last snapshot"
            )
        if state.phase == "failed":
            said = [*self.client.explain(), *self.client.last_words()]
            raise StuckError(
                f"the TrainJob {self.name} failed ({state.message}); run again to go on from its last snapshot. "
                f"The cluster says:\n{_listed(said)}"
            )
        return None

    def _mind(self, state: TrainJobState) -> None:
        """Says what keeps a training that has no news, and gives it up when it has none for too long."""
        silent = time.monotonic() - self._news
        if state.phase == "suspended":  # somebody, or a queue such as Kueue, lets it wait
            self._news = time.monotonic()
            return
        if silent > self.pod.wait_seconds:
            said = [*self.client.explain(), *self.client.last_words()]
            raise StuckError(
                f"the TrainJob {self.name} has given no sign of life for {silent:.0f} s (train.pod.wait_seconds "
                f"{self.pod.wait_seconds}) and is given up; the cluster says:\n{_listed(said)}"
            )
        if silent > EXPLAIN_SECONDS and time.monotonic() - self._explained > EXPLAIN_SECONDS:
            self._explained = time.monotonic()
            new = [line for line in self.client.explain() if line not in self._told]
            self._told.update(new)
            logger.warning("no news of %s for %.0f s:\n%s", self.name, silent, _listed(new))

    def _withdraw(self, error: BaseException) -> None:
        """Ends on the cluster what has come to nothing, or was called off; its snapshots stay."""
        if isinstance(error, KeyboardInterrupt) and self.pod.keep:
            logger.warning("stopped; the TrainJob %s goes on (train.pod.keep): run again to follow it", self.name)
            return
        try:
            with undisturbed():
                self._delete()
        except FairleadError as cause:
            logger.warning("the TrainJob %s may still be there: %s", self.name, cause)

    def _delete(self) -> None:
        if self.pod.keep:
            logger.info("the TrainJob %s is kept (train.pod.keep)", self.name)
            return
        self.client.delete()


def training_pod(pod: TrainPod, place: Settings) -> TrainPod:
    """The training's pods, with the images' registry before the name of fairlead's own image."""
    if pod.image != image.TRAINING or not place.image_registry:
        return pod
    return pod.model_copy(update={"image": f"{place.image_registry}/{image.TRAINING}"})


def refuse_secrets(pod: TrainPod) -> None:
    """Refuses Secrets that a TrainJob cannot express.

    Raises:
        ConfigurationError: There are some.
    """
    if pod.secrets or pod.pull_secrets:
        named = ", ".join([*pod.secrets, *pod.pull_secrets])
        raise ConfigurationError(
            f"train.pod: a TrainJob takes no Secrets as a whole ({named}); write them into the TrainingRuntime "
            f"{pod.runtime}, or name the one with the object store's keys as train.pod.s3_secret"
        )


def pod_overrides(pod: TrainPod) -> dict[str, Any]:
    """What a TrainJob changes in its runtime's pods."""
    container = {"name": CONTAINER, "volumeMounts": pod.mounts}
    changes = {
        "serviceAccountName": pod.service_account, "nodeSelector": pod.node_selector, "tolerations": pod.tolerations,
        "volumes": pod.volumes, "containers": [container] if pod.mounts else [],
    }  # fmt: skip
    return {"targetJobs": [{"name": CONTAINER}], **{key: value for key, value in changes.items() if value}}


def _listed(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines) or "- nothing, in no event and no pod"
