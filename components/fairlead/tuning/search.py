"""The search itself: Optuna on SQLite, one trial after another, going on where a killed run stopped."""

import itertools
import logging
import random
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.errors import FairleadError, StateError
from fairlead.tuning.spec import Parameter, TuneSpec, as_number, is_whole

if TYPE_CHECKING:
    import optuna

Values = dict[str, Any]
Figures = Mapping[str, float]
Evaluate = Callable[[Values], Figures]

INTERRUPTED, ERROR, SECONDS = "interrupted", "error", "seconds"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrialRecord:
    """One finished trial.

    Attributes:
        number: Its place in the search, from 0.
        values: The parameters' values.
        metric: The objective's value; None where it failed.
        seconds: How long it took.
        started_at: When, with a zone.
        error: Why it failed; empty where it did not.
    """

    number: int
    values: Values
    metric: float | None
    seconds: float
    started_at: datetime
    error: str = ""


@contextmanager
def open_study(path: Path, name: str, spec: TuneSpec) -> "Iterator[optuna.Study]":
    """Opens a study, or makes it; one process at a time, others wait.

    Args:
        path: The SQLite file.
        name: The study's name.
        spec: The search.

    Yields:
        The study, with trials that a killed run left unfinished marked as interrupted.

    Raises:
        StateError: The file is no such database.
    """
    import optuna
    from filelock import FileLock
    from sqlalchemy.exc import SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        try:
            storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
            direction = spec.objective.type
            study = optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)
            _mark_interrupted(study)
        except (SQLAlchemyError, RuntimeError) as error:
            raise StateError(f"the tuning state {path} cannot be read ({error}); delete it and tune again") from None
        try:
            yield study
        finally:
            storage.engine.dispose()


def _mark_interrupted(study: "optuna.Study") -> None:
    from optuna.trial import TrialState

    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING, TrialState.WAITING)):
        study._storage.set_trial_user_attr(trial._trial_id, INTERRUPTED, value=True)  # noqa: SLF001 (no public way)
        study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)  # noqa: SLF001


def records(study: "optuna.Study") -> list[TrialRecord]:
    """The finished trials in order, without the interrupted ones."""
    trials = [t for t in study.get_trials(deepcopy=False) if t.state.is_finished() and INTERRUPTED not in t.user_attrs]
    return [
        TrialRecord(
            number, dict(t.params), t.value, t.user_attrs.get(SECONDS, 0.0),
            (t.datetime_start or datetime.now(UTC)).astimezone(UTC), t.user_attrs.get(ERROR, ""),
        )
        for number, t in enumerate(trials)
    ]  # fmt: skip


def run_search(
    study: "optuna.Study", spec: TuneSpec, evaluate: Evaluate, tell: Callable[[list[TrialRecord]], None]
) -> None:
    """Runs trials until the search ends.

    Args:
        study: From `open_study`; its finished trials count.
        spec: The search.
        evaluate: Trains with values and gives figures, the objective's metric among them.
        tell: Called with all finished trials, at the start and after each trial.
    """
    done = records(study)
    tell(done)
    while not ended(done, spec):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna calls several of Katib's algorithms experimental
            _run_trial(study, spec, len(done), evaluate)
        done = records(study)
        tell(done)


def ended(done: list[TrialRecord], spec: TuneSpec) -> bool:
    """Whether a search with these trials is over: enough trials, too many failures, or the goal reached."""
    failed = sum(record.metric is None for record in done)
    return len(done) >= spec.max_trials or failed >= (spec.max_failed_trials or spec.max_trials) or _reached(done, spec)


def _reached(done: list[TrialRecord], spec: TuneSpec) -> bool:
    goal, metrics = spec.objective.goal, [record.metric for record in done if record.metric is not None]
    if goal is None or not metrics:
        return False
    return min(metrics) <= goal if spec.objective.type == "minimize" else max(metrics) >= goal


def _run_trial(study: "optuna.Study", spec: TuneSpec, index: int, evaluate: Evaluate) -> None:
    from optuna.trial import TrialState

    study.sampler = make_sampler(spec, index)
    if spec.algorithm.name == "grid":
        study.enqueue_trial(grid_point(spec, index))
    trial = study.ask()
    values = {parameter.name: suggest(trial, parameter) for parameter in spec.parameters}
    started = time.monotonic()
    try:
        figures = dict(evaluate(values))
    except (FairleadError, RuntimeError, ArithmeticError) as error:  # RuntimeError is how torch refuses
        logger.warning("trial %d with %s failed: %s", index, values, error)
        trial.set_user_attr(ERROR, f"{type(error).__name__}: {error}")
        study.tell(trial, state=TrialState.FAIL)
        return
    trial.set_user_attr(SECONDS, time.monotonic() - started)
    study.tell(trial, figures[spec.objective.metric])


def suggest(trial: "optuna.Trial", parameter: Parameter) -> Any:
    """Asks for one parameter's value.

    Args:
        trial: The trial.
        parameter: The dimension.

    Returns:
        An int, a float, or a text of the list.
    """
    space, log = parameter.space, parameter.space.distribution == "logUniform"
    if not parameter.ranged:
        return trial.suggest_categorical(parameter.name, _choices(parameter))
    low, high, step = _bounds(parameter)
    if parameter.kind == "int":
        return trial.suggest_int(parameter.name, int(low), int(high), step=int(step or 1), log=log)
    return trial.suggest_float(parameter.name, low, high, step=step if space.step else None, log=log)


def _bounds(parameter: Parameter) -> tuple[float, float, float | None]:
    """Least and greatest value and step; the greatest is one that steps from the least reach."""
    low, high = as_number(parameter.space.min or "0"), as_number(parameter.space.max or "0")
    if parameter.space.step is None:
        return float(low), float(high), None
    step = as_number(parameter.space.step)
    return float(low), float(low + (high - low) // step * step), float(step)


def _choices(parameter: Parameter) -> list[Any]:
    texts = parameter.space.list or ()
    if parameter.kind == "categorical":
        return list(texts)
    numbers = [as_number(text) for text in texts]
    return [int(number) if is_whole(number) else float(number) for number in numbers]


def grid_point(spec: TuneSpec, index: int) -> Values:
    """One combination of the grid; the seed decides their order, so that few trials still spread over it."""
    axes = [_axis(parameter) for parameter in spec.parameters]
    points = list(itertools.product(*axes))
    random.Random(spec.algorithm.seed).shuffle(points)  # noqa: S311 (no secret)
    return dict(zip((parameter.name for parameter in spec.parameters), points[index], strict=True))


def _axis(parameter: Parameter) -> list[Any]:
    if not parameter.ranged:
        return _choices(parameter)
    low, step = as_number(parameter.space.min or "0"), as_number(parameter.space.step or "1")
    numbers = [low + step * i for i in range(parameter.count or 1)]
    return [int(n) if parameter.kind == "int" else float(n) for n in numbers]


def make_sampler(spec: TuneSpec, index: int) -> "optuna.samplers.BaseSampler":
    """The algorithm, fresh for one trial.

    What it knows lies in the study. Its randomness depends on the seed and on the trial's place only, so that a
    search that was killed and goes on tries the same values as one that was not.

    Args:
        spec: The search.
        index: The number of finished trials.

    Returns:
        The sampler.
    """
    from optuna import samplers

    seed, settings = spec.algorithm.seed, spec.algorithm.settings
    own_seed = (seed * 1_000_003 + index) % 2**32
    match spec.algorithm.name:
        case "tpe" | "multivariate-tpe" as name:
            return samplers.TPESampler(
                seed=own_seed, constant_liar=True, multivariate=name == "multivariate-tpe",
                n_startup_trials=int(settings.get("n_startup_trials", "10")),
                n_ei_candidates=int(settings.get("n_ei_candidates", "24")),
            )  # fmt: skip
        case "cmaes":
            sigma = settings.get("sigma")
            return samplers.CmaEsSampler(seed=own_seed, sigma0=float(sigma) if sigma else None)
        case "sobol":
            return samplers.QMCSampler(qmc_type="sobol", scramble=True, seed=seed)  # its place is in the study
        case "bayesianoptimization":
            return samplers.GPSampler(seed=own_seed, n_startup_trials=int(settings.get("n_initial_points", "10")))
        case _:
            return samplers.RandomSampler(seed=own_seed)
