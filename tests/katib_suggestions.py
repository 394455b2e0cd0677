"""What Katib's suggestion services do, by Optuna itself and not by fairlead's use of it: texts in, texts out."""

import itertools
import math
import warnings
from collections.abc import Mapping
from typing import Any


class SuggestionError(Exception):
    """The service has failed."""


class Suggester:
    """The suggestions of one Experiment."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        """Reads the Experiment's parameters and algorithm."""
        import optuna

        self.parameters = spec["parameters"]
        self.algorithm = spec["algorithm"]["algorithmName"]
        settings = {s["name"]: s["value"] for s in spec["algorithm"].get("algorithmSettings") or []}
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.study = optuna.create_study(direction=spec["objective"]["type"], sampler=self._sampler(settings))
        self.trials: dict[str, Any] = {}
        self.grid = iter(self._combinations()) if self.algorithm == "grid" else None
        if self.algorithm == "grid" and spec["maxTrialCount"] > len(self._combinations()):
            count = len(self._combinations())
            raise SuggestionError(
                f"Max Trial Count: {spec['maxTrialCount']} > all possible search combinations: {count}"
            )

    def ask(self, name: str) -> dict[str, str]:
        """The values of a trial."""
        if self.grid is not None:
            point = next(self.grid, None)
            if point is None:
                raise SuggestionError("Chocolate db is exhausted, increase Search Space or decrease maxTrialCount!")
            return point
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = self.trials[name] = self.study.ask()
            return {p["name"]: str(self._suggest(trial, p)) for p in self.parameters}

    def tell(self, name: str, value: float | None) -> None:
        """What became of a trial; None where it has no value."""
        import optuna

        trial = self.trials.pop(name, None)
        if trial is None:
            return
        if value is None or not math.isfinite(value):
            self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            self.study.tell(trial, value)

    def _sampler(self, settings: Mapping[str, str]) -> Any:
        import optuna

        seed = int(settings.get("random_state", "0"))
        if self.algorithm in ("tpe", "multivariate-tpe"):
            multivariate = self.algorithm == "multivariate-tpe"
            return optuna.samplers.TPESampler(seed=seed, multivariate=multivariate, constant_liar=True)
        return optuna.samplers.RandomSampler(seed=seed)

    @staticmethod
    def _suggest(trial: Any, parameter: Mapping[str, Any]) -> Any:
        space, name, kind = parameter["feasibleSpace"], parameter["name"], parameter["parameterType"]
        log = space.get("distribution") == "logUniform"
        if kind == "int":
            return trial.suggest_int(
                name, int(space["min"]), int(space["max"]), step=int(space.get("step") or 1), log=log
            )
        if kind == "double":
            step = float(space["step"]) if space.get("step") else None
            return trial.suggest_float(name, float(space["min"]), float(space["max"]), step=step, log=log)
        return trial.suggest_categorical(name, space["list"])

    def _combinations(self) -> list[dict[str, str]]:
        names = [parameter["name"] for parameter in self.parameters]
        points = itertools.product(*(self._points(parameter) for parameter in self.parameters))
        return [dict(zip(names, point, strict=True)) for point in points]

    @staticmethod
    def _points(parameter: Mapping[str, Any]) -> list[str]:
        space = parameter["feasibleSpace"]
        if parameter["parameterType"] in ("categorical", "discrete"):
            return [str(value) for value in space["list"]]
        if not space.get("step") and parameter["parameterType"] == "double":
            text = f"Param {parameter['name']} step is nil; For discrete search space, all parameters must include step"
            raise SuggestionError(text)
        number = int if parameter["parameterType"] == "int" else float
        low, high, step = number(space["min"]), number(space["max"]), number(space.get("step") or 1)
        count = math.floor((high - low) / step + 1e-9) + 1
        return [str(low + index * step) for index in range(count)]
