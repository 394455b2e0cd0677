"""What became of a Katib Experiment, read from its objects: pure functions, for whoever follows it in a cluster."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from fairlead.errors import DataError, PlatformError
from fairlead.tuning.sampling import Values
from fairlead.tuning.space import as_number
from fairlead.tuning.spec import Objective, TuneSpec
from fairlead.tuning.study import FAILED, STOPPED, SUCCEEDED, TrialRecord

Phase = Literal["created", "running", "succeeded", "failed"]

_STATES = {"Succeeded": SUCCEEDED, "EarlyStopped": STOPPED, "Failed": FAILED, "MetricsUnavailable": FAILED,
           "Killed": FAILED}  # fmt: skip


@dataclass(frozen=True)
class ExperimentState:
    """How far an Experiment is.

    Attributes:
        phase: created (no trial yet), running, succeeded, failed.
        reason: Katib's word for how it ended.
        message: Katib's sentence.
        ended: Trials that have ended, in whatever way.
        failed: Those of them that failed, or told no metric.
    """

    phase: Phase
    reason: str = ""
    message: str = ""
    ended: int = 0
    failed: int = 0

    @property
    def over(self) -> bool:
        """Whether no trial is to come any more."""
        return self.phase in ("succeeded", "failed")


def read_state(experiment: Mapping[str, Any]) -> ExperimentState:
    """Reads how far an Experiment is; in its first moments it has no status at all.

    Args:
        experiment: The object, as the cluster's API gives it.

    Returns:
        The state by the newest condition that is true.
    """
    status = experiment.get("status") or {}
    failed = status.get("trialsFailed", 0) + status.get("trialMetricsUnavailable", 0)
    ended = failed + status.get("trialsSucceeded", 0) + status.get("trialsEarlyStopped", 0)
    phases: dict[str, Phase] = {
        "Created": "created", "Running": "running", "Restarting": "running", "Succeeded": "succeeded",
        "Failed": "failed",
    }  # fmt: skip
    for condition in reversed(status.get("conditions") or []):
        if condition.get("status") == "True" and condition.get("type") in phases:
            phase = phases[condition["type"]]
            return ExperimentState(phase, condition.get("reason", ""), condition.get("message", ""), ended, failed)
    return ExperimentState("created", ended=ended, failed=failed)


def in_order(trials: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Trial objects in the order of creation: the place in it is a trial's number."""
    return sorted(trials, key=lambda t: (t["metadata"].get("creationTimestamp", ""), t["metadata"]["name"]))


def read_trials(trials: Sequence[Mapping[str, Any]], spec: TuneSpec) -> list[TrialRecord]:
    """Reads the trials that have ended.

    Args:
        trials: The Trial objects of one Experiment.
        spec: The search.

    Returns:
        Their records in the order of creation; values have the parameters' own types.
    """
    found = [(trial, _ended(trial)) for trial in in_order(trials)]
    return [_record(number, trial, end, spec) for number, (trial, end) in enumerate(found) if end is not None]


def conclude(
    experiment: Mapping[str, Any], trials: Sequence[Mapping[str, Any]], spec: TuneSpec,
    records: list[TrialRecord] | None = None,
) -> list[TrialRecord]:  # fmt: skip
    """Gives the trials of an Experiment that is over, unless it came to nothing.

    Katib says Succeeded also where all trials failed; that a trial succeeded is required here.

    Args:
        experiment: The object.
        trials: Its Trial objects.
        spec: The search.
        records: The trials, where more is known of them than the objects tell.

    Returns:
        The records of its trials.

    Raises:
        PlatformError: It is not over yet, or its suggestions failed.
        DataError: Too many trials failed, or none succeeded.
    """
    state, records = read_state(experiment), read_trials(trials, spec) if records is None else records
    name = experiment["metadata"]["name"]
    if not state.over:
        raise PlatformError(f"the Experiment {name} is {state.phase}, not over; wait for it")
    errors = "\n".join(f"- {record.values}: {record.error}" for record in records if record.state == FAILED)
    if state.phase == "failed" and "uggestion" in state.message:
        raise PlatformError(f"the Experiment {name}: {state.message}; its Suggestion {name} says why: kubectl describe")
    if state.phase == "failed":
        raise DataError(f"the Experiment {name} failed ({state.message}):\n{errors}")
    if not any(record.succeeded for record in records):
        raise DataError(f"no trial of the Experiment {name} succeeded, although Katib calls it so:\n{errors}")
    return records


def _ended(trial: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The condition by which a trial has ended."""
    for condition in reversed((trial.get("status") or {}).get("conditions") or []):
        if condition.get("status") == "True" and condition.get("type") in _STATES:
            return dict(condition)
    return None


def _record(number: int, trial: Mapping[str, Any], end: Mapping[str, Any], spec: TuneSpec) -> TrialRecord:
    status, objective = trial.get("status") or {}, spec.objective
    state, error = _STATES[end["type"]], ""
    figures = _figures(status.get("observation") or {}, objective)
    if state == SUCCEEDED and set(figures) != set(objective.metrics):
        state, error = FAILED, "Katib calls it succeeded, but a metric has no value: it printed none, or no number"
    elif state == FAILED:
        error = f"{end.get('reason', '')}: {end.get('message', '')}"
    started, finished = _moment(status.get("startTime")), _moment(status.get("completionTime"))
    seconds = (finished - started).total_seconds() if started and finished else 0.0
    return TrialRecord(
        number, _values(trial["spec"]["parameterAssignments"], spec), state,
        None if state == FAILED else figures.get(objective.metric), seconds, started or datetime.now(UTC), error,
        figures={} if state == FAILED else figures,
    )  # fmt: skip


def _figures(observation: Mapping[str, Any], objective: Objective) -> dict[str, float]:
    """The metrics' values by their strategies; Katib writes "unavailable", or nothing, where there is no number."""
    told = {metric["name"]: metric.get(objective.strategy(metric["name"])) for metric in observation.get("metrics", [])}
    numbers = {name: _number(value) for name, value in told.items() if name in objective.metrics}
    return {name: value for name, value in numbers.items() if value is not None}


def _number(text: Any) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) else None


def _values(assignments: Sequence[Mapping[str, str]], spec: TuneSpec) -> Values:
    texts = {assignment["name"]: assignment["value"] for assignment in assignments}
    return {p.name: _typed(texts[p.name], p.kind) for p in spec.parameters if p.name in texts}


def _typed(text: str, kind: str) -> Any:
    if kind == "categorical":
        return text
    number = as_number(text)
    whole = number == number.to_integral_value()
    return int(number) if kind == "int" or (kind == "discrete" and whole) else float(number)


def _moment(text: Any) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if isinstance(text, str) and text else None
