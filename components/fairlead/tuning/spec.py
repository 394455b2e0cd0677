"""What a problem's `tuning` section says: a Katib Experiment's own names, so that the same search runs there.

Refused here is also what Katib accepts and then fails on, or hangs on for ever.
"""

import re
from math import prod
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from fairlead.errors import nearest
from fairlead.sections import Section
from fairlead.tuning.algorithms import Algorithm, EarlyStopping
from fairlead.tuning.space import Parameter
from fairlead.tuning.trial_job import TrialJob

DIRECTIONS = {
    "validation_log_loss": "minimize",
    "validation_rmse": "minimize",
    "validation_mae": "minimize",
    "validation_roc_auc": "maximize",
    "validation_accuracy": "maximize",
    "validation_ndcg": "maximize",
    "validation_r2": "maximize",
}
RESOURCE = "epochs"
SMALLEST_CMAES_SPACE = 2
LARGEST_GRID = 1_000_000


def _metric_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        text = "Katib's collector would cut it at any other character; take another name"
        raise ValueError(f"the metric {name!r} must be of letters, digits, underscores and dashes: {text}")
    return name


MetricName = Annotated[str, AfterValidator(_metric_name)]


class MetricStrategy(Section):
    """Which of a metric's values over the epochs counts.

    Attributes:
        name: The metric.
        value: `latest`: that of the epoch whose weights are kept; `min` or `max`: over all epochs.
    """

    name: MetricName
    value: Literal["min", "max", "latest"]


class Objective(Section):
    """What is to become best.

    Attributes:
        type: `minimize` or `maximize`.
        metric: A validation figure that the recipe tells, such as validation_log_loss.
        goal: The search ends when it is reached.
        additional: Further figures to keep of every trial.
        strategies: Which value of a metric counts; `latest` where none is given, because that model is what is kept.
    """

    type: Literal["minimize", "maximize"]
    metric: MetricName = Field(alias="objectiveMetricName")
    goal: float | None = Field(default=None, allow_inf_nan=False)
    additional: list[MetricName] = Field(default=[], alias="additionalMetricNames")
    strategies: list[MetricStrategy] = Field(default=[], alias="metricStrategies")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if DIRECTIONS.get(self.metric, self.type) != self.type:
            raise ValueError(f"{self.metric} is better the other way; write type: {DIRECTIONS[self.metric]}")
        if self.metric in self.additional:
            raise ValueError(f"additionalMetricNames repeats the objective {self.metric}; take it out there")
        if len(set(self.additional)) < len(self.additional):
            raise ValueError(f"additionalMetricNames names one twice: {self.additional}")
        names = [strategy.name for strategy in self.strategies]
        if len(set(names)) < len(names):
            raise ValueError(f"metricStrategies names one twice: {names}")
        for name in names:
            if name not in self.metrics:
                raise ValueError(
                    f"metricStrategies: {name!r} is no metric of the objective; {nearest(name, self.metrics)}"
                )
        return self

    @property
    def metrics(self) -> list[str]:
        """The objective's metric, then the additional ones."""
        return [self.metric, *self.additional]

    def strategy(self, name: str) -> str:
        """Which value of a metric counts."""
        return {strategy.name: strategy.value for strategy in self.strategies}.get(name, "latest")

    def is_better(self, value: float, than: float) -> bool:
        """Whether a value is strictly better than another."""
        return value < than if self.type == "minimize" else value > than


class TuneSpec(Section):
    """A search for hyperparameters.

    Attributes:
        objective: What is to become best.
        algorithm: How the next trial is chosen.
        early_stopping: When a trial that goes badly is stopped; never where None.
        max_trials: The search ends after so many trials.
        parallel_trials: Trials that may run at once; on a laptop each is a process, and no more than there are cores.
        max_failed_trials: The search is given up at so many failed trials; never where None.
        resume_policy: What becomes of Katib's suggestions at the end; a laptop's search can always be resumed.
        maximum_rows: A trial sees so many of the latest rows; the final training sees all.
        maximum_epochs: A trial trains so long at most.
        maximum_seconds: No trial starts when the search has taken so long, killed runs of it included.
        trial_seconds: A trial that takes longer has failed.
        parameters: The dimensions of the search.
        pod: In a cluster: how a trial's pod runs.
    """

    objective: Objective
    algorithm: Algorithm
    early_stopping: EarlyStopping | None = Field(default=None, alias="earlyStopping")
    max_trials: int = Field(alias="maxTrialCount", ge=1)
    parallel_trials: int = Field(default=1, alias="parallelTrialCount", ge=1)
    max_failed_trials: int | None = Field(default=None, alias="maxFailedTrialCount", ge=1)
    resume_policy: Literal["Never", "LongRunning", "FromVolume"] = Field(default="Never", alias="resumePolicy")
    maximum_rows: int = Field(default=20_000, ge=1)
    maximum_epochs: int = Field(default=2, ge=1)
    maximum_seconds: int | None = Field(default=None, ge=1)
    trial_seconds: int = Field(default=3600, ge=1)
    parameters: list[Parameter] = Field(min_length=1)
    pod: TrialJob = TrialJob()

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [parameter.target for parameter in self.parameters]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"parameters named twice: {', '.join(twice)}")
        self._check_counts()
        self._check_epochs()
        numbers = sum(parameter.ranged for parameter in self.parameters)
        if self.algorithm.name == "cmaes" and numbers < SMALLEST_CMAES_SPACE:
            raise ValueError(f"cmaes needs two int or double parameters, got {numbers}; take tpe, or add one")
        if self.algorithm.name == "grid":
            self._check_grid()
        return self

    def _check_counts(self) -> None:
        for name, count in (
            ("parallelTrialCount", self.parallel_trials),
            ("maxFailedTrialCount", self.max_failed_trials),
        ):
            if count is not None and count > self.max_trials:
                raise ValueError(f"{name} {count} is above maxTrialCount {self.max_trials}; lower it")

    def _check_epochs(self) -> None:
        """Refuses what the shortness of trials would make a dead letter."""
        most = self.maximum_epochs
        for parameter in self.parameters:
            values = [parameter.high] if parameter.ranged else parameter.choices
            if parameter.name == RESOURCE and parameter.kind != "categorical" and max(values) > most:
                raise ValueError(f"epochs up to {max(values)} are searched, but maximum_epochs is {most}; raise it")
        stopping = self.early_stopping
        if stopping is not None and stopping.start_step > most:
            raise ValueError(
                f"medianstop judges a trial after start_step {stopping.start_step} epochs, which no trial of "
                f"maximum_epochs {most} passes; lower one or raise the other"
            )
        if self.algorithm.resource is not None:
            self._check_hyperband(self.algorithm.resource, most)

    def _check_hyperband(self, resource: str, most: int) -> None:
        found = [p for p in self.parameters if p.name == RESOURCE and p.kind == "int"]
        if resource != RESOURCE or not found:
            raise ValueError(f"hyperband's resource_name must be {RESOURCE!r}, and an int of that name a parameter")
        largest = self.algorithm.largest_resource
        if largest > most:
            raise ValueError(f"hyperband's r_l {largest} is above maximum_epochs {most}; raise it")
        if found[0].high != largest:
            raise ValueError(f"hyperband's r_l {largest} must be the max of epochs, which is {found[0].high}")
        if self.early_stopping is not None:
            raise ValueError("hyperband stops trials itself; take earlyStopping out")

    def _check_grid(self) -> None:
        for parameter in self.parameters:
            if parameter.count is None:
                raise ValueError(f"grid needs a step for {parameter.name}: without one it has no end of values")
            if parameter.log:
                raise ValueError(f"grid walks {parameter.name} in even steps; take logUniform out, or search log10_…")
        if self.combinations > LARGEST_GRID:
            text = f"the grid has {self.combinations} combinations, which Katib would list in memory"
            raise ValueError(f"{text}; make steps larger, or take another algorithm")
        if self.max_trials > self.combinations:
            text = f"the grid has {self.combinations} combinations, maxTrialCount is {self.max_trials}"
            raise ValueError(f"{text}; lower it to {self.combinations}: Katib fails where a grid runs out")

    @property
    def combinations(self) -> int:
        """The points of the grid; a double without step counts as one value."""
        return prod(parameter.count or 1 for parameter in self.parameters)

    @property
    def stops_early(self) -> bool:
        """Whether trials may be stopped before their end."""
        return self.early_stopping is not None or self.algorithm.resource is not None

    def hyperparameters(self, values: dict[str, Any]) -> dict[str, Any]:
        """What a trial's values mean for training: exponents become numbers.

        Args:
            values: By the parameters' names; texts as Katib passes them, or numbers.

        Returns:
            By the hyperparameters' names.
        """
        return {
            parameter.target: values[parameter.name]
            if parameter.name == parameter.target
            else 10.0 ** float(values[parameter.name])
            for parameter in self.parameters
        }
