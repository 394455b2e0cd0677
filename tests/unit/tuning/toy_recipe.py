"""A recipe in plain Python whose trainings take as long and end as badly as a test wants.

It learns nothing: the figure after an epoch is a formula of the hyperparameters. With TOY_LOG in the environment each
training appends a line when it begins and one when it ends.
"""

import math
import os
import time
from pathlib import Path
from typing import Any

from fairlead.errors import DataError
from fairlead.sections import Section
from fairlead.training.recipes.protocol import Design, Epoch, Fitted, Graph, Objective, Observer, Prepared
from fairlead.training.spec import ModelSpec, TrainSpec

NAME = "unit.tuning.toy_recipe:ToyRecipe"


class ToyOptions(Section):
    """What the tests play with.

    Attributes:
        width: Any whole number.
        mood: `good`; `bad` raises, `nan` gives no number, `dead` kills its own process, `slow` sleeps ten times longer.
        pause: Seconds of each epoch.
    """

    width: int = 8
    mood: str = "good"
    pause: float = 0.0


class ToyRecipe:
    """A formula in place of a model."""

    options = ToyOptions

    def objective(self, model: ModelSpec) -> Objective:
        """Less loss is better."""
        return Objective("validation_log_loss")

    def length(self, spec: TrainSpec) -> int:
        """As many epochs as the section says."""
        return spec.epochs

    def load(self, *, trial: bool = False) -> None:
        """Imports nothing."""

    def prepare(
        self, train_path: Path | str, validation_path: Path | str, model: ModelSpec, spec: TrainSpec, label: str, *,
        latest: int | None = None,
    ) -> Prepared:  # fmt: skip
        """Reads nothing; refuses a label that is not `late`."""
        if label != "late":
            raise DataError(f"there is no label {label!r}")
        return Prepared([], [], Design(model, spec))

    def fit(self, data: Prepared, observe: Observer, work: Path | None = None) -> Fitted:
        """As a trial."""
        return self.fit_trial(data, observe)

    def fit_trial(self, data: Prepared, observe: Observer) -> Fitted:
        """Walks down a curve whose end is best at learning_rate 0.01 and width 8."""
        spec = data.design.spec
        options = self.options.parse(spec.options, "train.options")
        note(f"begin {spec.learning_rate!r} {options.width} {options.mood} {os.getpid()}")
        epochs = []
        for number in range(1, spec.epochs + 1):
            time.sleep(options.pause * (10 if options.mood == "slow" else 1))
            act(options.mood)
            epochs.append(Epoch(number, 1.0, figures(spec, options, number)))
            observe(float(number), epochs[-1])
        note(f"end {spec.learning_rate!r} {options.width} {options.mood} {os.getpid()}")
        return Fitted({}, epochs, min(epochs, key=lambda epoch: epoch.validation["validation_log_loss"]))

    def graph(self, weights: dict[str, Any], design: Design) -> Graph:
        """There is none."""
        raise DataError("a toy is not exported")


def figures(spec: TrainSpec, options: ToyOptions, epoch: int) -> dict[str, float]:
    """The formula."""
    loss = abs(math.log10(spec.learning_rate) + 2) + abs(options.width - 8) / 10 + 1 / epoch
    return {"validation_log_loss": math.nan if options.mood == "nan" else loss, "validation_roc_auc": 1 / (1 + loss)}


def act(mood: str) -> None:
    """Fails as the mood says."""
    if mood == "bad":
        raise ValueError("in a bad mood")
    if mood == "dead":
        os.kill(os.getpid(), 9)


def note(text: str) -> None:
    """Appends a line to the log that the environment names."""
    if os.environ.get("TOY_LOG"):
        with Path(os.environ["TOY_LOG"]).open("a", encoding="utf-8") as file:
            file.write(text + "\n")
