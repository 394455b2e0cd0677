"""A search as a Katib Experiment, from the data's way into the object store to the table of trials.

The Experiment's name comes from all that decides the search, so that a run that was killed finds it again, running or
finished. What it came to is copied into the object store before the Experiment is deleted: to run again reads it there.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from fairlead import image
from fairlead.errors import FairleadError, PlatformError
from fairlead.objects import Objects
from fairlead.platform.kubeflow.api import Cluster
from fairlead.platform.kubeflow.experiments import ExperimentClient, Seen
from fairlead.platform.kubeflow.followed import GoneError
from fairlead.platform.kubeflow.interruption import interruptible, undisturbed
from fairlead.platform.kubeflow.kinds import EXPERIMENT
from fairlead.platform.kubeflow.pod_section import SCRATCH
from fairlead.settings import Settings
from fairlead.training.stored_data import send_dataset
from fairlead.tuning.experiment import TrialSource, build_experiment
from fairlead.tuning.outcome import conclude, in_order, read_state, read_trials
from fairlead.tuning.spec import TuneSpec
from fairlead.tuning.study import FAILED, STOPPED, TrialRecord
from fairlead.tuning.trial_job import TrialJob
from fairlead.tuning.trial_store import CHECKPOINT, Note, read_note
from fairlead.tuning.trials import Inputs
from fairlead.tuning.tune_model.following import Follower, StuckError

RESULT = "result.json"
_FORMAT = 1
_DATA = Path(SCRATCH) / "fairlead-data"

Choose = Callable[[Sequence[TrialRecord], TuneSpec], TrialRecord]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """What a search in a cluster came to.

    Attributes:
        trials: The trials that have ended.
        checkpoint: Where the best trial's model lies: s3://…, a checkpoint as train_model leaves one.
    """

    trials: list[TrialRecord]
    checkpoint: str


def find_katib(place: Settings) -> Cluster | None:
    """The cluster on which a search runs; None where it runs in this process, which the log then says.

    Raises:
        PlatformError: The cluster cannot be reached.
    """
    if place.platform != "kubeflow":
        return None
    if not place.object_store:
        logger.warning("no object_store is set (FAIRLEAD_OBJECT_STORE), so trials run in this pod, without Katib")
        return None
    cluster = Cluster.connect(place)
    if not cluster.has(EXPERIMENT):
        logger.warning("the cluster %s has no Katib (%s), so trials run in this pod", cluster.where, EXPERIMENT.group)
        return None
    return cluster


class ClusterSearch:
    """One search on one cluster."""

    def __init__(self, inputs: Inputs, cluster: Cluster, place: Settings, study: str, choose: Choose) -> None:
        """Prepares.

        Args:
            inputs: What the search looks at.
            cluster: Where it runs.
            place: The settings: the object store, the images' registry.
            study: The digest of the data, the sections and the code.
            choose: Gives the best of the trials.
        """
        self.inputs, self.cluster, self.choose = inputs, cluster, choose
        self.objects, self.place, self.job = Objects.connect(place), place, trial_job(inputs.tuning.pod, place)
        self.name = experiment_name(inputs.tuning, study, self.job.image)
        self.store = f"{place.object_store.rstrip('/')}/tuning/{self.name}"
        self.client = ExperimentClient(cluster, self.name)
        self.follower = Follower(self.client, inputs.tuning, self._best)

    def run(self) -> Found:
        """Searches, or goes on where an earlier run was, or reads what it left.

        Raises:
            ConfigurationError: Katib refuses the search, or would misread it.
            DataError: Too many trials failed, or none succeeded.
            PlatformError: The Experiment hangs, or the cluster is out of reach.
        """
        earlier = self._read_result()
        if earlier is not None:
            logger.info("%s was searched before; its trials are read from %s", self.name, self.store)
            return earlier
        with interruptible():
            try:
                found = self._search()
            except GoneError:
                earlier = self._read_result()  # another run has followed it too, and was sooner
                if earlier is None:
                    raise
                return earlier
            except (FairleadError, KeyboardInterrupt) as error:
                if not isinstance(error, PlatformError) or isinstance(error, StuckError):
                    self._withdraw(error)  # otherwise it may be well: the next run goes on following it
                raise
            with undisturbed():
                self._write_result(found)
                self._remove_others(found)
                self._delete()
        return found

    def manifest(self) -> dict[str, Any]:
        """The Experiment, as it is sent; the datasets are stored first."""
        paths = {"train": self.inputs.train_path, "validation": self.inputs.validation_path}
        data = {role: send_dataset(self.objects, self.place.object_store, path) for role, path in paths.items()}
        source = TrialSource(data, self.store, self.job.store_environment(self.place))
        inputs = replace(self.inputs, train_path=_DATA / "train", validation_path=_DATA / "validation")
        made = build_experiment(inputs, self.name, self.cluster.namespace, self.job, source).to_dict()
        labels = {"app.kubernetes.io/part-of": "fairlead", "app.kubernetes.io/component": "tuning"}
        return {**made, "metadata": {**made["metadata"], "labels": labels}}

    def _search(self) -> Found:
        self._start()
        seen = self.follower.follow()
        names = [trial["metadata"]["name"] for trial in in_order(seen.trials)]
        records = self._records(seen, names)
        best = self.choose(records, self.inputs.tuning)
        return Found(records, f"{self.store}/{names[best.number]}/{CHECKPOINT}")

    def _start(self) -> None:
        """Goes on with an Experiment that is there; makes one where there is none, or one that came to nothing."""
        seen = self.client.find()
        if seen is not None and read_state(seen.experiment).phase != "failed":
            logger.info("the Experiment %s is there already; following it", self.name)
            return
        if seen is not None:
            logger.info("an Experiment %s that failed was kept; it is replaced", self.name)
            self.client.delete()
        self.client.create(self.manifest())
        logger.info("the Experiment %s was created in namespace %s", self.name, self.cluster.namespace)

    def _records(self, seen: Seen, names: Sequence[str]) -> list[TrialRecord]:
        """The trials that have ended, with what they told of themselves."""
        spec = self.inputs.tuning
        records = [self._enrich(record, names[record.number]) for record in read_trials(seen.trials, spec)]
        if not read_state(seen.experiment).over:  # its time is up
            return records
        try:
            return conclude(seen.experiment, seen.trials, spec, records)
        except PlatformError as error:
            said = "\n".join(f"- {line}" for line in self.client.explain())
            self._delete()
            raise PlatformError(f"{error}\n{said}") from None

    def _enrich(self, record: TrialRecord, name: str) -> TrialRecord:
        note = read_note(self.objects, f"{self.store}/{name}")
        if note is not None:
            record = _with_note(record, note, self.inputs.tuning)
        reasons = self.follower.reasons.get(name) or []
        if record.state == FAILED and reasons and not (note and note.error):
            record = replace(record, error="; ".join([record.error, *reasons]))
        return record

    def _best(self, records: Sequence[TrialRecord]) -> dict[str, float]:
        if not any(record.succeeded for record in records):
            return {}
        return {"best": self.choose(records, self.inputs.tuning).metric or 0.0}

    def _withdraw(self, error: BaseException) -> None:
        """Ends on the cluster what has come to nothing, or was called off."""
        if isinstance(error, KeyboardInterrupt) and self.job.keep:
            logger.warning("stopped; the Experiment %s goes on (tuning.pod.keep): run again to follow it", self.name)
            return
        try:
            with undisturbed():
                self._delete()
        except FairleadError as cause:
            logger.warning("the Experiment %s may still be there: %s", self.name, cause)

    def _delete(self) -> None:
        if self.job.keep:
            logger.info("the Experiment %s is kept (tuning.pod.keep)", self.name)
            return
        self.client.delete()

    def _read_result(self) -> Found | None:
        version = self.objects.find_version(f"{self.store}/{RESULT}")
        if version is None:
            return None
        content = json.loads(version.content)
        if content.get("format") != _FORMAT:
            return None
        made = [{**entry, "started_at": datetime.fromisoformat(entry["started_at"])} for entry in content["trials"]]
        return Found([TrialRecord(**entry) for entry in made], content["checkpoint"])

    def _write_result(self, found: Found) -> None:
        trials = [{**asdict(record), "started_at": record.started_at.isoformat()} for record in found.trials]
        content = {"format": _FORMAT, "trials": trials, "checkpoint": found.checkpoint}
        self.objects.write_bytes(f"{self.store}/{RESULT}", json.dumps(content).encode())

    def _remove_others(self, found: Found) -> None:
        """Removes the models that were not the best; their notes are small, and stay."""
        best = found.checkpoint.removesuffix(f"/{CHECKPOINT}").rpartition("/")[2]
        found_names = {
            one.uri.removeprefix(f"{self.store}/").partition("/")[0] for one in self.objects.list(self.store)
        }
        for name in sorted(found_names - {best, RESULT}):
            self.objects.remove_folder(f"{self.store}/{name}/{CHECKPOINT}")


def trial_job(job: TrialJob, place: Settings) -> TrialJob:
    """The trials' pods, with the images' registry before the name of fairlead's own image."""
    if job.image != image.TRAINING or not place.image_registry:
        return job
    return job.model_copy(update={"image": f"{place.image_registry}/{image.TRAINING}"})


def experiment_name(tuning: TuneSpec, study: str, trial_image: str) -> str:
    """The name of a search: the same for the same data, sections, code, limits and image; at most 40 characters."""
    limits = tuning.model_dump(
        include={
            "max_trials", "parallel_trials", "max_failed_trials", "maximum_seconds", "trial_seconds", "resume_policy",
        }
    )  # fmt: skip
    content = [study, limits, tuning.objective.goal, trial_image]
    return f"tune-{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]}"


def _with_note(record: TrialRecord, note: Note, tuning: TuneSpec) -> TrialRecord:
    """A record as a laptop would have it: Katib knows no curve, and of a stopped trial no figure at all."""
    told: Mapping[str, Any] = {
        "curve": note.curve,
        "seconds": note.seconds or record.seconds,
        "started_at": datetime.fromisoformat(note.started_at),
    }
    record = replace(record, **told)
    if record.state == FAILED:
        return replace(record, error=note.error or record.error)
    if record.state == STOPPED and set(note.figures) == set(tuning.objective.metrics):
        return replace(record, figures=note.figures, metric=note.figures[tuning.objective.metric])
    return record
