"""Katib Experiments on a cluster: made once, followed whatever happens to the follower, explained, removed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from fairlead.errors import ConfigurationError, PlatformError
from fairlead.platform.kubeflow.api import Manifest, NotServedError
from fairlead.platform.kubeflow.diagnosis import describe_pods, pods_of_job, unusual_events
from fairlead.platform.kubeflow.followed import FollowedObject, GoneError
from fairlead.platform.kubeflow.kinds import EXPERIMENT, SUGGESTION, TRIAL, Kind

OF_EXPERIMENT = "katib.kubeflow.org/experiment"
OF_JOB = "batch.kubernetes.io/job-name"
INJECTION = "katib.kubeflow.org/metrics-collector-injection"
_MOST_TRIALS = 3  # of those that run, in an explanation


@dataclass(frozen=True)
class Seen:
    """An Experiment at one moment.

    Attributes:
        experiment: The object.
        trials: Its Trials.
    """

    experiment: Manifest
    trials: list[Manifest]

    @property
    def age_seconds(self) -> float:
        """Since it was created."""
        made = datetime.fromisoformat(self.experiment["metadata"]["creationTimestamp"])
        return (datetime.now(UTC) - made).total_seconds()

    @property
    def fingerprint(self) -> str:
        """Changes whenever something has happened: a trial more, a trial's condition, a count."""
        status = self.experiment.get("status") or {}
        told = [status.get("conditions"), *[(t["metadata"]["name"], (t.get("status") or {}).get("conditions"))
                                            for t in self.trials]]  # fmt: skip
        return repr(told)


class ExperimentClient(FollowedObject):
    """One Experiment, by name, in the cluster's namespace."""

    kind: ClassVar[Kind] = EXPERIMENT

    def find(self) -> Seen | None:
        """Looks at it; None where there is none, or it is on its way out."""
        experiment = self.read()
        return Seen(experiment, self.cluster.list(TRIAL, {OF_EXPERIMENT: self.name})) if experiment else None

    def look(self) -> Seen | None:
        """As `find`, while the API server may be out of reach for some minutes: None means nothing new.

        Raises:
            PlatformError: It has been out of reach for too long.
            GoneError: The Experiment was deleted by somebody else.
            RefusedError: It may not be read.
        """
        return self.patience.ask(self._find_still)

    def explain(self) -> list[str]:
        """Why it does not go on: what the cluster noted of it, of its suggestions, trials and pods.

        Katib says much of this nowhere but in events.
        """
        try:
            lines = [f"Experiment: {event}" for event in unusual_events(self.cluster, "Experiment", self.name)]
            lines += [*self._suggestion(), *self._trials()]
        except PlatformError as error:
            return [f"the cluster could not be asked why: {error}"]
        return list(dict.fromkeys(lines))

    def explain_trial(self, name: str) -> list[str]:
        """What the cluster noted of one trial, its Job and its pod."""
        try:
            lines = [f"{kind} {name}: {event}" for kind in ("Trial", "Job")
                     for event in unusual_events(self.cluster, kind, name)]  # fmt: skip
            return [*lines, *describe_pods(self.cluster, {OF_JOB: name}, deleted=pods_of_job(self.cluster, name))]
        except PlatformError as error:
            return [f"the cluster could not be asked why: {error}"]

    def _suggestion(self) -> list[str]:
        """Where suggestions fail, the Experiment says only that they did; their own condition says why."""
        suggestion = self.cluster.get(SUGGESTION, self.name) or {}
        failed = [
            f"Suggestion: {condition.get('reason', '')} {condition.get('message', '')}"
            for condition in (suggestion.get("status") or {}).get("conditions") or []
            if condition.get("type") == "Failed" and condition.get("status") == "True"
        ]
        events = [f"Suggestion: {event}" for event in unusual_events(self.cluster, "Suggestion", self.name)]
        return [*failed, *events]

    def _trials(self) -> list[str]:
        lines: list[str] = []
        under_way = [t for t in self.cluster.list(TRIAL, {OF_EXPERIMENT: self.name}) if not is_over(t)]
        for trial in under_way[:_MOST_TRIALS]:
            lines += self.explain_trial(trial["metadata"]["name"])
        return lines

    def _find_still(self) -> Seen:
        seen = self.find()
        if seen is None:
            raise GoneError(f"the Experiment {self.name} was deleted while it was followed; run again to start it anew")
        return seen

    def explain_refusal(self, error: PlatformError, manifest: Mapping[str, Any]) -> Exception:
        """What Katib's webhook says, with what to do."""
        del manifest
        text = str(error)
        if INJECTION in text:
            space = self.cluster.namespace
            return ConfigurationError(f"{text}; label it: kubectl label namespace {space} {INJECTION}=enabled")
        if isinstance(error, NotServedError):
            return PlatformError(f"{text}; is there such a namespace, and is Katib installed?")
        if "admission webhook" in text or "denied request" in text or "(status 4" in text:
            return ConfigurationError(f"Katib refuses this search: {text}; change the tuning section")
        return error


def is_over(trial: Mapping[str, Any]) -> bool:
    """Whether a Trial has ended, in whatever way."""
    ends = ("Succeeded", "Failed", "EarlyStopped", "MetricsUnavailable", "Killed")
    conditions = (trial.get("status") or {}).get("conditions") or []
    return any(c.get("type") in ends and c.get("status") == "True" for c in conditions)
