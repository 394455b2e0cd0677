"""One trial: a short training with the values that a search suggests, the same in every place where trials run."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from fairlead.errors import ConfigurationError, DataError, nearest
from fairlead.training.recipes.protocol import Epoch, Fitted, Prepared
from fairlead.training.recipes.registry import find_recipe
from fairlead.training.spec import ModelSpec, TrainSpec
from fairlead.tuning.sampling import Values
from fairlead.tuning.spec import TuneSpec

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Inputs:
    """What a search looks at.

    Attributes:
        train_path: The dataset to learn from.
        validation_path: The dataset that scores.
        model: The model's task and inputs.
        train: The hyperparameters that are not searched.
        tuning: The search.
        label: The column to predict.
    """

    train_path: Path
    validation_path: Path
    model: ModelSpec
    train: TrainSpec
    tuning: TuneSpec
    label: str

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Reads what `as_json` wrote, or the same keys with a problem's own sections.

        Raises:
            ConfigurationError: A key is absent, unknown or not allowed.
        """
        keys = {"train_path", "validation_path", "model", "train", "tuning", "label"}
        for name in values:
            if name not in keys:
                raise ConfigurationError(f"a trial's inputs have no key {name!r}; {nearest(name, keys)}")
        absent = sorted(keys - set(values))
        if absent:
            raise ConfigurationError(
                f"a trial's inputs lack {', '.join(absent)}; give all of {', '.join(sorted(keys))}"
            )
        inputs = cls(
            Path(values["train_path"]), Path(values["validation_path"]), ModelSpec.parse(values["model"], "model"),
            TrainSpec.parse(values["train"], "train"), TuneSpec.parse(values["tuning"], "tuning"), values["label"],
        )  # fmt: skip
        inputs.check_names()
        return inputs

    def as_json(self) -> str:
        """All of it as one line of JSON: what a worker and a trial's pod get."""
        names = ("model", "train", "tuning")
        sections = {name: getattr(self, name).model_dump(by_alias=True, exclude={"pod"}) for name in names}
        paths = {"train_path": str(self.train_path), "validation_path": str(self.validation_path)}
        return json.dumps({**paths, **sections, "label": self.label})

    def check_names(self) -> None:
        """Refuses parameters that neither the `train` section nor the recipe has.

        Raises:
            ConfigurationError: A name is unknown (the nearest is named), or the recipe is.
        """
        known = self.train.tunable()
        for parameter in self.tuning.parameters:
            if parameter.target not in known:
                hint = nearest(parameter.target, known)
                raise ConfigurationError(f"tuning.parameters: {parameter.name!r} cannot be tuned; {hint}")

    def spec_of(self, values: Values) -> TrainSpec:
        """The `train` section with a trial's values.

        Raises:
            ConfigurationError: A value is not allowed.
        """
        spec = self.train.with_hyperparameters(self.tuning.hyperparameters(values))
        return spec.model_copy(update={"epochs": min(spec.epochs, self.tuning.maximum_epochs)})


class Trainer:
    """Trains trials; reads the data and imports the recipe's libraries before the first is timed."""

    def __init__(self, inputs: Inputs) -> None:
        """Reads the rows that trials see; see `Recipe.prepare` for what it raises."""
        self.inputs, self.recipe = inputs, find_recipe(inputs.train.recipe)
        self.data = self.recipe.prepare(
            inputs.train_path, inputs.validation_path, inputs.model, inputs.train, inputs.label,
            latest=inputs.tuning.maximum_rows,
        )  # fmt: skip
        self.recipe.load(trial=True)

    def __call__(self, values: Values, hear: Callable[[Figures], None]) -> Figures:
        """The figures of the epoch whose weights are kept; see `fit`."""
        return self.fit(values, hear).fitted.best.validation

    def fit(self, values: Values, hear: Callable[[Figures], None]) -> "Trained":
        """Trains with a trial's values.

        Args:
            values: By the parameters' names.
            hear: Called after each epoch with its figures; may raise to stop.

        Returns:
            The weights, the learning curve, and what makes the model again.

        Raises:
            ConfigurationError: A value is not allowed.
            DataError: The loss is not finite, or the trial took too long.
        """
        spec, started, limit = self.inputs.spec_of(values), time.monotonic(), self.inputs.tuning.trial_seconds

        def observe(done: float, epoch: Epoch | None) -> None:
            if time.monotonic() - started > limit:
                text = f"the trial took longer than trial_seconds {limit}, {done:.1f} epochs of it done"
                raise DataError(f"{text}; raise it, or lower maximum_rows")
            if epoch is not None:
                hear(epoch.validation)

        data = self.data.with_spec(spec)
        return Trained(self.recipe.fit_trial(data, observe), data)


@dataclass(frozen=True)
class Trained:
    """What a trial leaves.

    Attributes:
        fitted: Weights and learning curve.
        data: What it was trained on, with the trial's own hyperparameters.
    """

    fitted: Fitted
    data: Prepared
