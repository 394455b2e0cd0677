"""Which values a trial tries: Katib's algorithms by Optuna's samplers; each value is in the space, on its step."""

import math
import random
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fairlead.tuning.space import Parameter
from fairlead.tuning.spec import TuneSpec

if TYPE_CHECKING:
    import optuna

Values = dict[str, Any]


def choose_values(trial: "optuna.Trial", spec: TuneSpec) -> Values:
    """Asks for all values of a trial.

    Args:
        trial: The trial, just asked for.
        spec: The search.

    Returns:
        A value for each parameter: an int, a float, or a text of the list.
    """
    return {parameter.name: parameter.snap(suggest(trial, parameter)) for parameter in spec.parameters}


def suggest(trial: "optuna.Trial", parameter: Parameter) -> Any:
    """Asks for one parameter's value, as Optuna gives it: doubles may be beside their step by a binary fraction."""
    if not parameter.ranged:
        return trial.suggest_categorical(parameter.name, parameter.choices)
    low, high, step = parameter.low, parameter.high, parameter.step
    if parameter.kind == "int":
        return trial.suggest_int(parameter.name, int(low), int(high), step=int(step or 1), log=parameter.log)
    return trial.suggest_float(
        parameter.name, float(low), float(high), step=None if step is None else float(step), log=parameter.log
    )


def planned_values(spec: TuneSpec, place: int) -> Values:
    """The values that are settled before the search: all of a grid or a sequence, and hyperband's resource.

    Args:
        spec: The search.
        place: The trial's place in it, from 0.

    Returns:
        Values by parameter; none of those that the sampler is to choose.
    """
    match spec.algorithm.name:
        case "grid":
            return grid_point(spec, place)
        case "sobol":
            return sobol_point(spec, place)
        case "hyperband":
            return {str(spec.algorithm.resource): spec.algorithm.largest_resource}
        case _:
            return {}


def grid_point(spec: TuneSpec, place: int) -> Values:
    """One combination of the grid; the seed decides their order, so that few trials still spread over it."""
    left, values = _shuffled(spec.combinations, spec.algorithm.seed)[place], {}
    for parameter in spec.parameters:
        left, index = divmod(left, parameter.count or 1)
        values[parameter.name] = parameter.nth(index)
    return values


@lru_cache(maxsize=1)
def _shuffled(count: int, seed: int) -> list[int]:
    order = list(range(count))
    random.Random(seed).shuffle(order)  # noqa: S311 (no secret)
    return order


def sobol_point(spec: TuneSpec, place: int) -> Values:
    """One point of a scrambled Sobol sequence.

    Optuna's QMCSampler begins its sequence only when a trial has ended and moves on with trials that were cut off, so
    that parallel and resumed searches would skip or repeat points.
    """
    from scipy.stats.qmc import Sobol

    sequence = Sobol(len(spec.parameters), scramble=True, rng=spec.algorithm.seed)
    point = (sequence.fast_forward(place) if place else sequence).random(1)[0]  # SciPy cannot skip no point
    return {p.name: at_share(p, float(share)) for p, share in zip(spec.parameters, point, strict=True)}


def at_share(parameter: Parameter, share: float) -> Any:
    """The value at a share, from 0 to below 1, of a parameter's range or list."""
    if parameter.log:
        low, high = math.log(float(parameter.low)), math.log(float(parameter.high))
        return parameter.snap(math.exp(low + share * (high - low)))
    if parameter.count is None:
        return parameter.snap(float(parameter.low) + share * float(parameter.high - parameter.low))
    return parameter.nth(min(int(share * parameter.count), parameter.count - 1))


def make_sampler(spec: TuneSpec, place: int) -> "optuna.samplers.BaseSampler":
    """The algorithm, fresh for one trial.

    What it knows lies in the study. Its randomness depends on the seed and on the trial's place only, so that a
    search that was killed and goes on tries the same values as one that was not.

    Args:
        spec: The search.
        place: The trial's place in it, from 0.

    Returns:
        The sampler.
    """
    from optuna import samplers

    seed = (spec.algorithm.seed * 1_000_003 + place) % 2**32
    makers: dict[str, Callable[[], samplers.BaseSampler]] = {
        "tpe": lambda: _tpe(spec, seed, multivariate=False),
        "multivariate-tpe": lambda: _tpe(spec, seed, multivariate=True),
        "cmaes": lambda: _cmaes(spec, seed),
        "bayesianoptimization": lambda: samplers.GPSampler(
            seed=seed, n_startup_trials=int(spec.algorithm.settings.get("n_initial_points", "10"))
        ),
    }
    return makers.get(spec.algorithm.name, lambda: samplers.RandomSampler(seed=seed))()


def _tpe(spec: TuneSpec, seed: int, *, multivariate: bool) -> "optuna.samplers.BaseSampler":
    from optuna.samplers import TPESampler

    settings = spec.algorithm.settings
    candidates = settings.get("n_ei_candidates", settings.get("n_EI_candidates", "24"))
    return TPESampler(
        seed=seed, constant_liar=True, multivariate=multivariate, n_ei_candidates=int(candidates),
        n_startup_trials=int(settings.get("n_startup_trials", "10")),
    )  # fmt: skip


def _cmaes(spec: TuneSpec, seed: int) -> "optuna.samplers.BaseSampler":
    from optuna.samplers import CmaEsSampler

    sigma = spec.algorithm.settings.get("sigma")
    return CmaEsSampler(seed=seed, sigma0=float(sigma) if sigma else None, warn_independent_sampling=False)
