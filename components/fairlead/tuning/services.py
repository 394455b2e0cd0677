"""What Katib's suggestion services make of a search: whatever one of them ignores or chokes on is refused here.

An algorithm runs on the service that the cluster's katib-config names. Some honour a distribution or a step, some
silently do not; a search that would not be the one that was asked for is refused, with one that would.
"""

import math
from collections.abc import Callable, Mapping
from decimal import Decimal

from fairlead.errors import ConfigurationError, nearest
from fairlead.tuning.algorithms import round_down_log
from fairlead.tuning.space import LOG10, Parameter
from fairlead.tuning.spec import TuneSpec

SERVICES = {  # Katib's own katib-config, 0.19
    "random": "hyperopt",
    "tpe": "hyperopt",
    "multivariate-tpe": "optuna",
    "grid": "optuna",
    "cmaes": "goptuna",
    "sobol": "goptuna",
    "bayesianoptimization": "skopt",
    "hyperband": "hyperband",
}
_TPE = frozenset({"random_state", "n_startup_trials", "n_ei_candidates"})
_SEED = frozenset({"random_state"})
SETTINGS: dict[str, dict[str, frozenset[str]]] = {
    "hyperopt": {"random": _SEED, "tpe": frozenset({"random_state", "n_EI_candidates"})},
    "optuna": {
        "random": _SEED, "grid": _SEED, "tpe": _TPE, "multivariate-tpe": _TPE,
        "cmaes": frozenset({"random_state", "sigma"}),
    },
    "goptuna": {"random": _SEED, "tpe": _TPE, "sobol": _SEED, "cmaes": frozenset({"random_state", "sigma"})},
    "skopt": {"bayesianoptimization": frozenset({"random_state", "n_initial_points"})},
    "hyperband": {"hyperband": frozenset({"r_l", "eta", "resource_name"})},
}  # fmt: skip


def refuse_misread(spec: TuneSpec, services: Mapping[str, str]) -> None:
    """Refuses a search that the cluster's service would not carry out as it stands.

    Args:
        spec: The search.
        services: The cluster's service of each algorithm; those of `SERVICES` where it names none.

    Raises:
        ConfigurationError: What would be misread, and what to write instead.
    """
    algorithm = spec.algorithm.name
    service = {**SERVICES, **services}[algorithm]
    if service not in SETTINGS or algorithm not in SETTINGS[service]:
        homes = [name for name, known in SETTINGS.items() if algorithm in known]
        raise ConfigurationError(f"Katib's service {service!r} has no {algorithm}; it runs on {' or '.join(homes)}")
    for name in spec.algorithm.settings:
        if name not in SETTINGS[service][algorithm]:
            hint = nearest(name, SETTINGS[service][algorithm])
            raise ConfigurationError(
                f"Katib's {algorithm} runs on {service} here, which refuses the setting {name!r}; {hint}"
            )
    for parameter in spec.parameters:
        reason = _READERS[service](parameter)
        if reason:
            raise ConfigurationError(f"parameter {parameter.name}: Katib's {algorithm} runs on {service}, {reason}")
    if algorithm == "grid":
        _check_grid(spec)
    if algorithm == "hyperband":
        _check_hyperband(spec)


def _hyperopt(parameter: Parameter) -> str:
    """It rounds to multiples of the step, wherever the range begins."""
    step = parameter.step
    if step is None or (parameter.low % step == 0 and Decimal(parameter.space.max or "0") % step == 0):
        return ""
    return (
        f"which gives multiples of the step {step} and so leaves the range: make min and max multiples of it, or take "
        "multivariate-tpe"
    )


def _optuna(parameter: Parameter) -> str:
    """It reads everything as it stands."""
    del parameter
    return ""


def _goptuna(parameter: Parameter) -> str:
    """It ignores distributions."""
    return _needs_exponents(parameter) if parameter.log else ""


def _skopt(parameter: Parameter) -> str:
    """It draws every double on a log scale, and ignores steps and the distributions of ints."""
    if not parameter.ranged:
        return ""
    if parameter.space.step is not None:
        return "which ignores steps: make it discrete, or leave the step out"
    if parameter.kind == "int":
        return "which ignores the distribution of an int: leave it out" if parameter.log else ""
    if parameter.low <= 0 or not parameter.log:
        return "which draws every double on a log scale: write distribution: logUniform with a min above 0, or take tpe"
    return ""


def _hyperband(parameter: Parameter) -> str:
    """It ignores distributions and steps, and reads lists of numbers as whole ones."""
    if parameter.kind == "discrete" and any(not isinstance(value, int) for value in parameter.choices):
        return "which takes only whole numbers in a list: make it a double, or categorical"
    if parameter.space.step is not None:
        return "which ignores steps: make it discrete, or leave the step out"
    return _needs_exponents(parameter) if parameter.log else ""


_READERS: dict[str, Callable[[Parameter], str]] = {
    "hyperopt": _hyperopt, "optuna": _optuna, "goptuna": _goptuna, "skopt": _skopt, "hyperband": _hyperband,
}  # fmt: skip


def _needs_exponents(parameter: Parameter) -> str:
    low, high = (f"{math.log10(float(value)):.6g}" for value in (parameter.low, parameter.high))
    if parameter.kind == "int":
        return "which ignores logUniform: list its values as a discrete parameter, or take multivariate-tpe"
    return (
        f"which ignores logUniform; the same everywhere is {{name: {LOG10}{parameter.name}, parameterType: double, "
        f'feasibleSpace: {{min: "{low}", max: "{high}"}}}}; or take multivariate-tpe'
    )


def _check_grid(spec: TuneSpec) -> None:
    """Counts as Katib does, whose binary fractions may lose the last value of a range."""
    found = math.prod(_count_as_katib(parameter) for parameter in spec.parameters)
    if spec.max_trials > found:
        raise ConfigurationError(
            f"Katib's grid finds {found} of the {spec.combinations} combinations, because its steps add up with binary "
            f"noise, and fails at maxTrialCount {spec.max_trials}; lower it to {found}, or list the values as discrete"
        )


def _count_as_katib(parameter: Parameter) -> int:
    if parameter.kind != "double":
        return parameter.count or 1
    import numpy as np

    low, high, step = (float(text or "0") for text in (parameter.space.min, parameter.space.max, parameter.space.step))
    values = np.arange(low, high + step, step)
    return len(values) - int(values[-1] > high)


def _check_hyperband(spec: TuneSpec) -> None:
    largest, eta = spec.algorithm.largest_resource, spec.algorithm.eta
    needed = eta ** round_down_log(largest, eta)
    if spec.parallel_trials < needed:
        raise ConfigurationError(
            f"Katib's hyperband with r_l {largest} and eta {eta} starts {needed} trials at once: raise "
            f"parallelTrialCount to {needed}, or lower r_l"
        )
