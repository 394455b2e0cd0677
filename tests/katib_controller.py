"""A small Katib: the controller that tests run where the real one cannot be installed, on any API server.

It does what Katib 0.19 was seen to do, item by item:

- Suggestions come from Optuna (random, tpe, multivariate-tpe) or are walked through (grid); texts, doubles with the
  noise of binary steps, assignments in no fixed order. A grid without steps fails in the Suggestion's condition, and
  the Experiment says only that its suggestion has failed. The same `random_state` gives the same values.
- Created → Running when the first trials exist → Succeeded | Failed; conditions newest last; Running=False at the end;
  no status at first. Counts are absent when 0; `trialMetricsUnavailable` has no s; `currentOptimalTrial` is
  `{"observation": {}}` until a trial has succeeded.
- Succeeded also where all trials failed. Failed at maxFailedTrialCount failures, for which MetricsUnavailable counts;
  what runs then runs on, and the counts may stay stale. MetricsUnavailable trials are not counted when new ones are
  made. A goal ends the making of trials; running ones finish and are counted later.
- Trials are `<experiment>-<8 characters>`, their Jobs have the same name; `${trialParameters.…}` and `${trialSpec.…}`
  are filled in as text. A value with a double quote makes no JSON: an event says so, and the Experiment stays Created.
- The trial's container becomes `sh -c "<command and args joined, unquoted> 1>LOG 2>&1 && echo completed > $$.pid"`,
  where `sh -c` of its own is taken over; pods share their processes, and the collector (tests/katib/collector.py) reads
  the log beside it: too short a trial fails, `name=value` counts, nan is no value, and no line at all is
  MetricsUnavailable. min, max and latest are texts.
- medianstop's rule is set when a trial is made: the best of `start_step` values against the mean of the succeeded
  trials' means; the collector terminates the trial's only child, and the trial is EarlyStopped, without observation.
- A primaryContainerName that is no container: no pod is ever made, and only an event of the Job says why.
- Jobs and pods of trials that have ended are deleted unless `retain`; deleting the Experiment deletes all.

What differs: suggestions are computed here, so that no pod is started for them; the wrapping happens where Jobs are
made instead of in a pod webhook; metrics come from the collector's log instead of a database; the collector runs in
the trial's image, under the same restrictions (Katib's stock collector has none); webhook refusals are the API
server's own policies (tests/katib/admission.yaml), or those of `tiny_kubernetes`.
"""

import logging
import random
import string
import threading
import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any, Self

import katib_objects as katib
from katib_objects import ENDS, condition, newest, now
from katib_suggestions import Suggester, SuggestionError

from fairlead.errors import PlatformError
from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.api import Cluster, ConflictError, Manifest, NotServedError

logger = logging.getLogger(__name__)


class KatibController:
    """Reconciles the Experiments of one namespace, in a thread."""

    def __init__(self, cluster: Cluster, *, start_seconds: float = 0.5, poll_seconds: float = 0.2) -> None:
        """Prepares; `start_seconds` pass before the first trials, as while a suggestion service starts."""
        self.cluster, self.start_seconds, self.poll_seconds = cluster, start_seconds, poll_seconds
        self.suggesters: dict[str, Suggester] = {}
        self.curves: dict[str, list[float]] = {}
        self.errors: list[str] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="katib", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stopping.wait(self.poll_seconds):
            try:
                for experiment in self.cluster.list(kinds.EXPERIMENT):
                    if not experiment["metadata"].get("deletionTimestamp"):
                        self.reconcile(experiment)
            except (ConflictError, NotServedError):
                continue  # it was deleted or changed meanwhile
            except PlatformError as error:
                self.errors.append(str(error))
                logger.warning("the test controller: %s", error)

    def reconcile(self, experiment: Manifest) -> None:
        """Moves one Experiment on."""
        name, status = experiment["metadata"]["name"], experiment.get("status") or {}
        if not status.get("conditions"):
            created = condition("Created", "ExperimentCreated", "Experiment is created")
            self.set_status(
                kinds.EXPERIMENT,
                name,
                {"conditions": [created], "startTime": now(), "currentOptimalTrial": {"observation": {}}},
            )
            self.cluster.create(self._owned(experiment, kinds.SUGGESTION, name, {"requests": 0}))
            return
        age = datetime.now(UTC) - datetime.fromisoformat(experiment["metadata"]["creationTimestamp"])
        if age.total_seconds() < self.start_seconds:
            return
        trials = self.cluster.list(kinds.TRIAL, {"katib.kubeflow.org/experiment": name})
        for trial in trials:
            if newest(trial) not in ENDS:
                self.follow(experiment, trial)
        trials = self.cluster.list(kinds.TRIAL, {"katib.kubeflow.org/experiment": name})
        if newest(experiment) in ("Succeeded", "Failed"):
            if newest(experiment) == "Succeeded":
                self.set_status(kinds.EXPERIMENT, name, katib.summary(experiment, trials))
            return
        self._advance(experiment, trials)

    def _advance(self, experiment: Manifest, trials: Sequence[Manifest]) -> None:
        name, spec = experiment["metadata"]["name"], experiment["spec"]
        ended = self._ending(spec, trials)
        if ended:
            conditions = [*self._conditions(experiment, running=False), condition(*ended)]
            self.set_status(
                kinds.EXPERIMENT,
                name,
                {**katib.summary(experiment, trials), "conditions": conditions, "completionTime": now()},
            )
            return
        active = [trial for trial in trials if newest(trial) not in ENDS]
        counted = [trial for trial in trials if newest(trial) != "MetricsUnavailable"]
        wanted = min(spec.get("parallelTrialCount", 3) - len(active), spec["maxTrialCount"] - len(counted))
        try:
            made = [self.make_trial(experiment) for _ in range(max(0, wanted))]
        except SuggestionError as error:
            self._fail_suggestion(experiment, str(error))
            return
        except ValueError as error:  # what was filled in is no JSON any more
            text = f"failed to convert string to unstructured: {error}"
            self.event("Experiment", name, "ReconcileError", text, once=True)
            return
        if trials or made:
            self.set_status(
                kinds.EXPERIMENT,
                name,
                {
                    **katib.summary(experiment, [*trials, *made]),
                    "conditions": self._conditions(experiment, running=True),
                },
            )

    def _ending(self, spec: Manifest, trials: Sequence[Manifest]) -> tuple[str, str, str] | None:
        states = [newest(trial) for trial in trials]
        failed = states.count("Failed") + states.count("MetricsUnavailable")
        done = sum(state in ENDS for state in states)
        goal, best = spec["objective"].get("goal"), katib.best_of(spec, trials)
        if goal is not None and best is not None:
            value = katib.value_of(spec, best)
            if value is not None and (value <= goal if spec["objective"]["type"] == "minimize" else value >= goal):
                return (
                    "Succeeded", "ExperimentGoalReached", "Experiment has succeeded because Objective goal has reached",
                )  # fmt: skip
        if spec.get("maxFailedTrialCount") is not None and failed >= max(1, spec["maxFailedTrialCount"]):
            return "Failed", "ExperimentFailed", "Experiment has failed because max failed count has reached"
        if done >= spec["maxTrialCount"]:
            text = "Experiment has succeeded because max trial count has reached"
            return "Succeeded", "ExperimentMaxTrialsReached", text
        return None

    def make_trial(self, experiment: Manifest) -> Manifest:
        """Makes the next Trial and its Job."""
        name, spec = experiment["metadata"]["name"], experiment["spec"]
        suggester = self.suggesters.setdefault(name, Suggester(spec))
        trial_name = f"{name}-{''.join(random.choices(string.ascii_lowercase + string.digits, k=8))}"
        values = suggester.ask(trial_name)
        assignments = [{"name": key, "value": value} for key, value in values.items()]
        random.shuffle(assignments)
        job = katib.fill(spec["trialTemplate"], values, trial_name, self.cluster.namespace)
        rules = katib.stop_rules(name, spec, self.curves)
        body = {
            "objective": spec["objective"], "parameterAssignments": assignments, "runSpec": job,
            "primaryContainerName": spec["trialTemplate"].get("primaryContainerName"),
            "retainRun": spec["trialTemplate"].get("retain", False),
            "metricsCollector": {"collector": {"kind": "StdOut"}},
            **({"earlyStoppingRules": rules} if rules else {}),
        }  # fmt: skip
        trial = self.cluster.create(self._owned(experiment, kinds.TRIAL, trial_name, body))
        self.follow(experiment, trial)
        return trial

    def _make_job(self, trial: Manifest, job: Manifest, rules: Sequence[Mapping[str, Any]]) -> None:
        name, primary = trial["metadata"]["name"], trial["spec"]["primaryContainerName"]
        pod = job["spec"]["template"]["spec"]
        found = [container for container in pod["containers"] if container["name"] == primary]
        if found:
            katib.wrap(pod, found[0], trial["spec"]["objective"], rules)
        else:  # the pods' webhook refuses every pod: the Job's controller retries for ever
            pod["serviceAccountName"] = "refused-by-webhook"
            text = f"Error creating: admission webhook denied the request: Unable to find primary container {primary}"
            self.event("Job", name, "FailedCreate", text)
        owner = self._owned(trial, kinds.JOB, name, {})["metadata"]["ownerReferences"]
        template = job["spec"]["template"]
        template.setdefault("metadata", {}).setdefault("labels", {})["katib.kubeflow.org/trial"] = name
        self.cluster.create({**job, "metadata": {**job["metadata"], "ownerReferences": owner}})

    def follow(self, experiment: Manifest, trial: Manifest) -> None:
        """Reads what became of a trial's Job."""
        name = trial["metadata"]["name"]
        if not (trial.get("status") or {}).get("conditions"):
            made = condition("Created", "TrialCreated", "Trial is created")
            trial |= self.set_status(kinds.TRIAL, name, {"conditions": [made], "startTime": now()})
        job = self.cluster.get(kinds.JOB, name)
        if job is None:
            rules = trial["spec"].get("earlyStoppingRules", [])
            self._make_job(trial, deepcopy(trial["spec"]["runSpec"]), rules)
            return
        status = job.get("status") or {}
        ended = {c["type"]: c for c in status.get("conditions") or [] if c["status"] == "True"}
        said = self._log(name) if ended or trial["spec"].get("earlyStoppingRules") else ""
        if said.rstrip().endswith("katib: early-stopped"):
            self._end(experiment, trial, condition("EarlyStopped", "TrialEarlyStopped", "Trial is early stopped"), None)
        elif "Failed" in ended:
            why = ended["Failed"]
            text = f"Trial has failed. Job message: {why.get('message')}, Job reason: {why.get('reason')}"
            self._end(experiment, trial, condition("Failed", "TrialFailed", text), None)
        elif "Complete" in ended:
            self._succeed(experiment, trial, said)
        elif status.get("active") and newest(trial) != "Running":
            running = condition("Running", "TrialRunning", "Trial is running")
            self.set_status(kinds.TRIAL, name, {"conditions": [*trial["status"]["conditions"], running]})

    def _succeed(self, experiment: Manifest, trial: Manifest, said: str) -> None:
        objective = experiment["spec"]["objective"]
        names = [objective["objectiveMetricName"], *objective.get("additionalMetricNames", [])]
        told: dict[str, list[str]] = {name: [] for name in names}
        for name, value, *_ in katib.FILTER.findall(said):
            if name in told:
                told[name].append(value)
        if not told[names[0]]:
            text = "Trial metrics are unavailable"
            self._end(experiment, trial, condition("MetricsUnavailable", "MetricsUnavailable", text), None)
            return
        self.curves[trial["metadata"]["name"]] = [float(value) for value in told[names[0]] if value]
        observation = {"metrics": [katib.observed(name, told[name]) for name in names if told[name]]}
        text = "Trial has succeeded"
        self._end(experiment, trial, condition("Succeeded", "TrialSucceeded", text), observation)

    def _end(self, experiment: Manifest, trial: Manifest, end: dict[str, str], observation: Manifest | None) -> None:
        name = trial["metadata"]["name"]
        before = [
            c for c in trial["status"]["conditions"] if c["type"] != "Running"
        ] + [condition("Running", "TrialRunning", "Trial is running", true=False)]  # fmt: skip
        change = {"conditions": [*before, end], "completionTime": now(), "observation": observation}
        ended = self.set_status(kinds.TRIAL, name, change)
        value = katib.value_of(experiment["spec"], ended) if end["type"] == "Succeeded" else None
        self.suggesters[experiment["metadata"]["name"]].tell(name, value)
        if not trial["spec"].get("retainRun"):
            self.cluster.delete(kinds.JOB, name)

    def _fail_suggestion(self, experiment: Manifest, text: str) -> None:
        name = experiment["metadata"]["name"]
        self.set_status(kinds.SUGGESTION, name, {"conditions": [condition("Failed", "SuggestionFailed", text)]})
        failed = condition("Failed", "ExperimentFailed", "Suggestion has failed")
        conditions = [*self._conditions(experiment, running=False), failed]
        self.set_status(kinds.EXPERIMENT, name, {"conditions": conditions, "completionTime": now()})

    def _conditions(self, experiment: Manifest, *, running: bool) -> list[dict[str, str]]:
        kept = [c for c in experiment["status"]["conditions"] if c["type"] != "Running"]
        return [*kept, condition("Running", "ExperimentRunning", "Experiment is running", true=running)]

    def _log(self, job: str) -> str:
        """What the collector passed on; empty while there is no pod."""
        pods = self.cluster.list(kinds.POD, {"batch.kubernetes.io/job-name": job})
        return "".join(self.cluster.logs(pod["metadata"]["name"], katib.COLLECTOR, 100_000) for pod in pods)

    def _owned(self, owner: Manifest, kind: kinds.Kind, name: str, spec: Manifest) -> Manifest:
        reference = {
            "apiVersion": owner.get("apiVersion", "kubeflow.org/v1beta1"), "kind": owner["kind"],
            "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"], "controller": True,
            "blockOwnerDeletion": False,
        }  # fmt: skip
        experiment = owner["metadata"].get("labels", {}).get("katib.kubeflow.org/experiment", owner["metadata"]["name"])
        return {
            "apiVersion": kind.api_version, "kind": kind.kind, "spec": spec,
            "metadata": {
                "name": name, "namespace": self.cluster.namespace, "ownerReferences": [reference],
                "labels": {"katib.kubeflow.org/experiment": experiment},
            },
        }  # fmt: skip

    def set_status(self, kind: kinds.Kind, name: str, change: Mapping[str, Any]) -> Manifest:
        """Merges a change into an object's status."""
        path = kind.path(self.cluster.namespace, name, "status")
        return self.cluster._json("PATCH", path, body={"status": change}, content="application/merge-patch+json")

    def event(self, kind: str, name: str, reason: str, message: str, *, once: bool = False) -> None:
        """Notes an event of an object."""
        if once and any(message in event for event in self.cluster.events(kind, name)):
            return
        space = self.cluster.namespace
        self.cluster.create(
            {
                "apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": reason, "message": message,
                "metadata": {"name": f"{name}.{time.time_ns():x}", "namespace": space},
                "involvedObject": {"kind": kind, "name": name, "namespace": space},
                "firstTimestamp": now(), "lastTimestamp": now(), "count": 1, "source": {"component": "katib-tests"},
            }
        )  # fmt: skip
