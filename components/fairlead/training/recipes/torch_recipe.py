"""The base of recipes on torch: a subclass says which module, and gets data, training, resume and export.

    class Wide(TorchRecipe):
        def make_module(self, design, train=None):
            return nn.Linear(len(design.model.numeric), design.outputs)

The module is called with `numeric` float32 (N, F) and `categorical` int64 (N, C), or with `pixels` uint8
(N, H, W, channels) where the model has an image, and gives raw scores: (N,), or (N, K) for multiclass. Imputation and
scaling belong into the module, as buffers, so that they leave with it into the ONNX graph. torch is imported by the
methods only, so that naming a recipe costs nothing.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fairlead.errors import ConfigurationError, SourceError
from fairlead.sections import Section
from fairlead.training import images, tabular
from fairlead.training.recipes.protocol import Design, Fitted, Graph, Objective, Observer, Prepared, Weights
from fairlead.training.scores import OBJECTIVES
from fairlead.training.spec import ModelSpec, TrainSpec

if TYPE_CHECKING:
    from torch import Generator, nn

    from fairlead.training.engine.learnable import Learnable, Phase
    from fairlead.training.recipes.learning import Inputs


class NoOptions(Section):
    """The options of a recipe that has none."""


class TorchRecipe:
    """A recipe whose model is a torch module; see `fairlead.training.recipes.protocol.Recipe`.

    Attributes:
        options: The section of `train.options`.
        tasks: The tasks that it can do.
        takes: The kinds of inputs that it can take: `tables`, `images`.
    """

    options: type[Section] = NoOptions
    tasks: Sequence[str] = ("binary", "multiclass", "regression", "ranking")
    takes: Sequence[str] = ("tables", "images")

    def make_module(self, design: Design, train: "tabular.Rows | images.Pictures | None" = None) -> "nn.Module":
        """Makes the module with fresh weights from torch's global random generator.

        Args:
            design: Task, inputs, options (`options_of`), vocabularies, classes.
            train: The training rows, for statistics that become buffers; None where stored weights follow.

        Returns:
            A module that gives raw scores; those of a regression are about standard normal.
        """
        del design, train
        raise ConfigurationError(f"the recipe {type(self).__name__} has no make_module(design, train); write it")

    def phases(self, design: Design) -> "Sequence[Phase]":
        """The phases of training; none for one phase over all parameters."""
        del design
        return ()

    def augment(self, design: Design, inputs: "Inputs", generator: "Generator") -> "Inputs":
        """Changes the inputs of a training batch at random; all chance comes from `generator`."""
        del design, generator
        return inputs

    def objective(self, model: ModelSpec) -> Objective:
        """The task's usual objective; see `Recipe.objective`."""
        return OBJECTIVES[model.task]

    def length(self, spec: TrainSpec) -> int:
        """All epochs of all phases; see `Recipe.length`."""
        return spec.epochs

    def load(self, *, trial: bool = False) -> None:
        """Imports torch, and Lightning unless for trials; see `Recipe.load`."""
        import_module("fairlead.training.recipes.learning")
        import_module(f"fairlead.training.engine.{'plain' if trial else 'lightning'}")

    def options_of(self, spec: TrainSpec) -> Section:
        """The recipe's options.

        Raises:
            ConfigurationError: A key or a value is wrong.
        """
        return self.options.parse(spec.options, "train.options")

    def prepare(
        self,
        train_path: Path | str,
        validation_path: Path | str,
        model: ModelSpec,
        spec: TrainSpec,
        label: str,
        *,
        latest: int | None = None,
    ) -> Prepared:
        """Reads tables, or pictures where the model has an image; see `Recipe.prepare`."""
        check_fit(spec.recipe, model, self.tasks, self.takes)
        self.options_of(spec)
        if model.image:
            return prepare_images(train_path, validation_path, model, spec, label, latest)
        return prepare_tables(train_path, validation_path, model, spec, label, latest)

    def learnable(self, data: Prepared) -> "Learnable":
        """Makes what the engine trains."""
        import torch

        from fairlead.training.recipes.learning import TaskLearnable, for_task

        design = data.design
        torch.manual_seed(design.spec.seed)
        module = for_task(self.make_module(design, data.train), design, data.train.label)
        changes = type(self).augment is not TorchRecipe.augment
        augment = (lambda inputs, generator: self.augment(design, inputs, generator)) if changes else None
        return TaskLearnable(module, data, augment, self.phases(design))

    def fit(self, data: Prepared, observe: Observer, work: Path | None = None) -> Fitted:
        """Fits weights with Lightning; see `Recipe.fit`."""
        from fairlead.training.engine.lightning import fit

        return fit(self.learnable(data), data.design.spec, observe, work)

    def fit_trial(self, data: Prepared, observe: Observer) -> Fitted:
        """Fits the same weights without Lightning; see `Recipe.fit_trial`."""
        from fairlead.training.engine.plain import fit_plain

        return fit_plain(self.learnable(data), data.design.spec, observe)

    def graph(self, weights: Weights, design: Design) -> Graph:
        """Makes the module again; see `Recipe.graph`."""
        import torch

        from fairlead.training.recipes.learning import for_task
        from fairlead.training.recipes.torch_graph import TorchGraph

        module = for_task(self.make_module(design), design)
        try:
            module.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
        except RuntimeError as error:
            raise SourceError(
                f"the checkpoint's weights do not fit its own description: {error}; train again"
            ) from None
        return TorchGraph(module, design)


def check_fit(recipe: str, model: ModelSpec, tasks: Sequence[str], takes: Sequence[str]) -> None:
    """Checks that a recipe can do a task with these inputs.

    Raises:
        ConfigurationError: It cannot; the text says what it can.
    """
    if model.task not in tasks:
        raise ConfigurationError(f"recipe {recipe!r} cannot do task {model.task}; it does {', '.join(tasks)}")
    if model.image and (model.numeric or model.categorical):
        raise ConfigurationError(
            f"recipe {recipe!r} takes an image or columns, not both; drop model.image, or model.categorical and "
            "model.numeric, or write a recipe with a prepare of its own"
        )
    kind = "images" if model.image else "tables"
    if kind not in takes:
        other = "image-classifier" if model.image else "tabular-network or gradient-boosting"
        raise ConfigurationError(f"recipe {recipe!r} takes {' or '.join(takes)}, not {kind}; for these use {other}")


def prepare_tables(
    train_path: Path | str, validation_path: Path | str, model: ModelSpec, spec: TrainSpec, label: str,
    latest: int | None = None,
) -> Prepared:  # fmt: skip
    """Reads tables; see `Recipe.prepare`."""
    train, validation, words, classes = tabular.read_pair(train_path, validation_path, model, label, latest)
    design = Design(model, spec, words, classes)
    return Prepared(train, validation, design, tabular.describe_numbers(train, model))


def prepare_images(
    train_path: Path | str, validation_path: Path | str, model: ModelSpec, spec: TrainSpec, label: str,
    latest: int | None = None,
) -> Prepared:  # fmt: skip
    """Reads pictures; see `Recipe.prepare`."""
    train, validation, classes = images.read_pair(train_path, validation_path, model, label, latest)
    design = Design(model, spec, classes=classes, image_shape=train.pixels.shape[1:])
    return Prepared(train, validation, design, images.describe_pixels(train.pixels))
