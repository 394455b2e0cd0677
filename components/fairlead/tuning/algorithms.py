"""How the next trial is chosen, and when a trial is stopped early: Katib's algorithms, settings and their limits."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import Field, field_validator, model_validator

from fairlead.errors import nearest
from fairlead.sections import Section
from fairlead.tuning.space import Text, as_number, as_whole

LARGEST_SEED = 2**31  # the least of what Katib's services and Optuna take


def _natural(text: str) -> None:
    if as_whole(text) < 0:
        raise ValueError(f"it must be a whole number from 0, got {text!r}")


def _positive(text: str) -> None:
    if as_whole(text) < 1:
        raise ValueError(f"it must be a whole number from 1, got {text!r}")


def _seed(text: str) -> None:
    if not 0 <= as_whole(text) < LARGEST_SEED:
        raise ValueError(f"it must be a whole number from 0 below 2**31, got {text!r}")


def _above_zero(text: str) -> None:
    if as_number(text) <= 0:
        raise ValueError(f"it must be above 0, got {text!r}")


def _base(text: str) -> None:
    if as_whole(text) <= 1:
        raise ValueError(f"it must be a whole number from 2, got {text!r}")


def _name(text: str) -> None:
    if not text.isidentifier():
        raise ValueError(f"it must name a parameter, got {text!r}")


Check = Callable[[str], None]

_SEED: dict[str, Check] = {"random_state": _seed}
_TPE: dict[str, Check] = {**_SEED, "n_startup_trials": _natural, "n_ei_candidates": _positive}
ALGORITHMS: dict[str, dict[str, Check]] = {
    "random": _SEED,
    "grid": _SEED,
    "tpe": {**_TPE, "n_EI_candidates": _positive},  # hyperopt's spelling; Katib's tpe runs on hyperopt by default
    "multivariate-tpe": _TPE,
    "cmaes": {**_SEED, "sigma": _above_zero},
    "sobol": _SEED,
    "bayesianoptimization": {**_SEED, "n_initial_points": _positive},
    "hyperband": {"r_l": _positive, "eta": _base, "resource_name": _name},
}
ELSEWHERE = {
    "enas": "searches architectures, not hyperparameters",
    "darts": "searches architectures, not hyperparameters",
    "pbt": "copies checkpoints between trials over a shared volume, which a laptop's trials do not have",
}
STOPPING: dict[str, dict[str, Check]] = {"medianstop": {"min_trials_required": _positive, "start_step": _positive}}


def _settings(value: Any) -> Any:
    """Katib writes settings as a list of names and values; a mapping is the same."""
    if not isinstance(value, list):
        return value
    if not all(isinstance(entry, Mapping) and set(entry) == {"name", "value"} for entry in value):
        raise ValueError("each setting has a name and a value, and nothing else")
    names = [entry["name"] for entry in value]
    if len(set(names)) < len(names):
        raise ValueError(f"a setting is given twice in {names}")
    return {entry["name"]: entry["value"] for entry in value}


def _check_settings(algorithm: str, settings: Mapping[str, str], allowed: Mapping[str, Check]) -> None:
    for key, value in settings.items():
        if key not in allowed:
            raise ValueError(f"{algorithm} has no setting {key!r}; {nearest(key, allowed)}")
        try:
            allowed[key](value)
        except ValueError as error:
            raise ValueError(f"setting {key}: {error}") from None


class Algorithm(Section):
    """How the next trial is chosen.

    Attributes:
        name: A key of `ALGORITHMS`.
        settings: Its settings; Katib's list of names and values is taken too.
    """

    name: str = Field(alias="algorithmName")
    settings: dict[str, Text] = Field(default_factory=dict, alias="algorithmSettings")

    _from_list = field_validator("settings", mode="before")(_settings)

    @model_validator(mode="after")
    def _check(self) -> "Algorithm":
        if self.name in ELSEWHERE:
            raise ValueError(f"{self.name} {ELSEWHERE[self.name]}; take one of {', '.join(sorted(ALGORITHMS))}")
        if self.name not in ALGORITHMS:
            raise ValueError(f"there is no algorithm {self.name!r}; {nearest(self.name, ALGORITHMS)}")
        _check_settings(self.name, self.settings, ALGORITHMS[self.name])
        if self.name == "hyperband" and not {"r_l", "resource_name"} <= set(self.settings):
            raise ValueError('hyperband needs the settings r_l, its largest resource, and resource_name, "epochs"')
        return self

    @property
    def seed(self) -> int:
        """The setting random_state, or 0."""
        return int(self.settings.get("random_state", "0"))

    @property
    def resource(self) -> str | None:
        """The parameter that hyperband sets itself; None for every other algorithm."""
        return self.settings["resource_name"] if self.name == "hyperband" else None

    @property
    def largest_resource(self) -> int:
        """Of hyperband: the epochs of a trial that is never stopped."""
        return int(self.settings["r_l"])

    @property
    def eta(self) -> int:
        """Of hyperband: one trial in so many goes on."""
        return int(self.settings.get("eta", "3"))

    @property
    def brackets(self) -> int:
        """Of hyperband: the number of its brackets."""
        return round_down_log(self.largest_resource, self.eta) + 1


class EarlyStopping(Section):
    """When a trial that goes badly is stopped.

    Attributes:
        name: medianstop: a trial whose best value after start_step epochs is worse than the mean, over the trials that
            succeeded before it began, of their own means over so many epochs.
        settings: min_trials_required (3) and start_step (4).
    """

    name: str = Field(alias="algorithmName")
    settings: dict[str, Text] = Field(default_factory=dict, alias="algorithmSettings")

    _from_list = field_validator("settings", mode="before")(_settings)

    @model_validator(mode="after")
    def _check(self) -> "EarlyStopping":
        if self.name not in STOPPING:
            raise ValueError(f"there is no early stopping {self.name!r}; {nearest(self.name, STOPPING)}")
        _check_settings(self.name, self.settings, STOPPING[self.name])
        return self

    @property
    def trials_required(self) -> int:
        """So many trials must have succeeded before any is stopped."""
        return int(self.settings.get("min_trials_required", "3"))

    @property
    def start_step(self) -> int:
        """The epoch after which a trial is judged."""
        return int(self.settings.get("start_step", "4"))


def round_down_log(value: int, base: int) -> int:
    """The greatest whole exponent with which the base stays at or below a value of 1 or more."""
    exponent = round(math.log(value, base))
    return exponent if base**exponent <= value else exponent - 1
