"""The memory of a search: an Optuna study in one SQLite file, which a kill at any moment leaves usable.

Every trial has a place, from 0. A place that was cut off is tried again with the same values; what ended there keeps
it. All that is known of an ended trial is written before the one transaction that ends it.
"""

import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.errors import StateError
from fairlead.tuning.sampling import Values, choose_values, make_sampler, planned_values
from fairlead.tuning.spec import TuneSpec

if TYPE_CHECKING:
    import optuna

    AnyTrial = optuna.Trial | optuna.trial.FrozenTrial

FILE = "study.sqlite"
MOST_DEATHS = 5
SUCCEEDED, FAILED, STOPPED = "succeeded", "failed", "early_stopped"

_NAME = "search"
_INTERRUPTED = "interrupted"
_PLACE, _ATTEMPT, _CUT, _TOLD = "place", "attempt", "cut", "told"


@dataclass(frozen=True)
class TrialRecord:
    """One trial that has ended.

    Attributes:
        number: Its place in the search, from 0.
        values: The parameters' values.
        state: succeeded, failed or early_stopped.
        metric: The objective's value; None where it failed; of a stopped trial that of its last epoch.
        figures: The objective's metric and the additional ones, as far as there are any.
        curve: The objective's metric after each epoch.
        seconds: How long it took.
        started_at: When, with a zone.
        worker: Which process ran it, from 0.
        error: Why it failed; empty where it did not.
    """

    number: int
    values: Values
    state: str
    metric: float | None
    seconds: float
    started_at: datetime
    error: str = ""
    worker: int = 0
    figures: Mapping[str, float] = field(default_factory=dict)
    curve: Sequence[float] = ()

    @property
    def succeeded(self) -> bool:
        """Whether it ran to its end, so that it may be the best."""
        return self.state == SUCCEEDED


@dataclass(frozen=True)
class Report:
    """What is told of a trial at its end; see `TrialRecord`."""

    state: str
    values: Values
    seconds: float
    elapsed: float
    worker: int = 0
    metric: float | None = None
    error: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    curve: Sequence[float] = ()


@contextmanager
def open_study(folder: Path, spec: TuneSpec) -> Iterator["Study"]:
    """Opens the study of a folder, or makes it; one process at a time, others wait.

    Args:
        folder: Where it lies.
        spec: The search.

    Yields:
        The study; trials that a killed run left unfinished wait to be tried again.

    Raises:
        StateError: The file is no such database.
    """
    import optuna
    from filelock import FileLock
    from optuna.exceptions import OptunaError
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / FILE
    with FileLock(folder / "lock"):
        try:
            if not file.exists():
                _create(file, spec)
            storage = optuna.storages.RDBStorage(  # made whole by this version of Optuna: no need to look
                f"sqlite:///{file}", skip_compatibility_check=True, skip_table_creation=True
            )
            study = Study(optuna.load_study(study_name=_NAME, storage=storage, sampler=make_sampler(spec, 0)), spec)
            study.take_up(blame=not (folder / _INTERRUPTED).exists())
            (folder / _INTERRUPTED).unlink(missing_ok=True)
        except (SQLAlchemyError, OptunaError, RuntimeError, KeyError) as error:
            raise StateError(f"the tuning state {file} cannot be read ({error}); delete it and tune again") from None
        try:
            yield study
        except KeyboardInterrupt:  # maybe amid a transaction: the database is left to whoever opens it next
            (folder / _INTERRUPTED).touch()
            raise
        finally:
            storage.engine.dispose()


def _create(file: Path, spec: TuneSpec) -> None:
    """Makes the study beside its place and moves it there: a kill within would leave half a database."""
    import optuna

    handle, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    os.close(handle)
    try:
        storage = optuna.storages.RDBStorage(f"sqlite:///{temporary}")
        optuna.create_study(storage=storage, study_name=_NAME, direction=spec.objective.type)
        storage.engine.dispose()
        Path(temporary).replace(file)
    except BaseException:
        with suppress(OSError):
            Path(temporary).unlink()
        raise


@dataclass(frozen=True)
class Asked:
    """A trial that has just begun.

    Attributes:
        place: Its place in the search.
        values: The parameters' values.
        attempt: 1, or more where the process of an earlier attempt died.
        trial: Optuna's side of it.
    """

    place: int
    values: Values
    attempt: int
    trial: "AnyTrial"


class Study:
    """An Optuna study in which each trial has a place."""

    def __init__(self, study: "optuna.Study", spec: TuneSpec) -> None:
        """Wraps a study; see `open_study`."""
        self.optuna, self.spec = study, spec

    def take_up(self, *, blame: bool = True) -> None:
        """Queues again what a run was at when it was cut off.

        Args:
            blame: It was killed, for which a trial may be the cause: one that was at hand so often has failed.
        """
        from optuna.trial import TrialState

        trials = self.optuna.get_trials(deepcopy=False)
        waiting = {t.user_attrs.get(_PLACE) for t in trials if t.state == TrialState.WAITING}
        for trial in (t for t in trials if t.state == TrialState.RUNNING):
            place, attempt = trial.user_attrs.get(_PLACE), trial.user_attrs.get(_ATTEMPT, 1)
            if _TOLD in trial.user_attrs:  # killed within `tell`: nothing but the last transaction is missing
                self._end(trial, trial.user_attrs[_TOLD])
            elif place is None or place in waiting or len(trial.params) < len(self.spec.parameters):
                self._cut(trial)
            elif blame and attempt >= MOST_DEATHS:
                values = {p.name: p.snap(trial.params[p.name]) for p in self.spec.parameters}
                error = f"the search was killed {attempt} times while this trial ran; it may be the cause"
                self.tell(Asked(place, values, attempt, trial), Report(FAILED, values, 0, self.elapsed(), error=error))
            else:
                self._queue(place, trial.params, attempt + blame)
                self._cut(trial)

    def ask(self) -> Asked:
        """Begins a trial: one that waits to be tried again, or the next."""
        from optuna.trial import TrialState

        states = (TrialState.WAITING,)
        if not self.optuna.get_trials(deepcopy=False, states=states):
            place = self._free_place()
            self._queue(place, planned_values(self.spec, place), 1)
        first = self.optuna.get_trials(deepcopy=False, states=states)[0]
        place, attempt = first.user_attrs[_PLACE], first.user_attrs.get(_ATTEMPT, 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna calls several of Katib's algorithms experimental
            self.optuna.sampler = make_sampler(self.spec, place)
            trial = self.optuna.ask()
            values = choose_values(trial, self.spec)
        return Asked(place, values, attempt, trial)

    def tell(self, asked: Asked, report: Report) -> None:
        """Ends a trial; what is told is there from then on, whatever happens."""
        told = {name: getattr(report, name) for name in Report.__dataclass_fields__}
        told |= {"figures": dict(report.figures), "curve": list(report.curve)}
        self.optuna._storage.set_trial_user_attr(asked.trial._trial_id, _TOLD, told)  # noqa: SLF001 (as in `_end`)
        self._end(asked.trial, told)

    def try_again(self, asked: Asked) -> None:
        """Queues a trial whose process died for another attempt."""
        self._queue(asked.place, asked.trial.params, asked.attempt + 1)
        self._cut(asked.trial)

    def records(self) -> list[TrialRecord]:
        """The trials that have ended, by place; not the attempts that were cut off."""
        trials = [t for t in self.optuna.get_trials(deepcopy=False) if t.state.is_finished() and _TOLD in t.user_attrs]
        return sorted((_record(trial) for trial in trials if _CUT not in trial.user_attrs), key=lambda r: r.number)

    def elapsed(self) -> float:
        """The seconds that the search had taken when its last trial ended."""
        told = [t.user_attrs.get(_TOLD) for t in self.optuna.get_trials(deepcopy=False) if t.state.is_finished()]
        return max((entry["elapsed"] for entry in told if entry), default=0.0)

    def _free_place(self) -> int:
        taken = {
            trial.user_attrs.get(_PLACE)
            for trial in self.optuna.get_trials(deepcopy=False)
            if _CUT not in trial.user_attrs
        }
        return next(place for place in range(len(taken) + 1) if place not in taken)

    def _queue(self, place: int, params: Mapping[str, Any], attempt: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.optuna.enqueue_trial(dict(params), user_attrs={_PLACE: place, _ATTEMPT: attempt})

    def _end(self, trial: "AnyTrial", told: Mapping[str, Any]) -> None:
        from optuna.trial import TrialState

        if told["state"] == SUCCEEDED:
            self.optuna.tell(trial.number, told["metric"])
            return
        if told["state"] == STOPPED:  # samplers rank stopped trials by their last value
            storage = self.optuna._storage  # noqa: SLF001 (there is no public way for a trial of a killed run)
            storage.set_trial_intermediate_value(trial._trial_id, len(told["curve"]), told["metric"])  # noqa: SLF001
        self.optuna.tell(trial.number, state=TrialState.PRUNED if told["state"] == STOPPED else TrialState.FAIL)

    def _cut(self, trial: "AnyTrial") -> None:
        from optuna.trial import TrialState

        self.optuna._storage.set_trial_user_attr(trial._trial_id, _CUT, value=True)  # noqa: SLF001 (as in `_end`)
        self.optuna.tell(trial.number, state=TrialState.FAIL)


def _record(trial: "optuna.trial.FrozenTrial") -> TrialRecord:
    told = trial.user_attrs[_TOLD]
    started = (trial.datetime_start or datetime.now(UTC)).astimezone(UTC)
    return TrialRecord(
        number=trial.user_attrs[_PLACE], values=told["values"], state=told["state"], metric=told["metric"],
        seconds=told["seconds"], started_at=started, error=told["error"], worker=told["worker"],
        figures=told["figures"], curve=told["curve"],
    )  # fmt: skip
