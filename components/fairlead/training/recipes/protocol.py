"""What a recipe is: it fits weights on encoded rows, and gives the finished model as a graph.

A recipe is a class without arguments. It sees arrays and specs, never paths or components, and leaves only named
arrays behind, so that nothing of it is ever pickled.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fairlead.training.spec import ModelSpec, TrainSpec
from fairlead.training.tabular import Codes, Floats, Rows

Weights = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Epoch:
    """How far training was after one epoch.

    Attributes:
        epoch: Its number, from 1.
        train_log_loss: The mean loss over its steps, with dropout, in nats.
        validation_log_loss: In nats.
        validation_roc_auc: From 0 to 1; 0.5 knows nothing.
    """

    epoch: int
    train_log_loss: float
    validation_log_loss: float
    validation_roc_auc: float

    def figures(self) -> dict[str, float]:
        """What a search may aim at, by the names that its objective uses."""
        return {"validation_log_loss": self.validation_log_loss, "validation_roc_auc": self.validation_roc_auc}


Observer = Callable[[float, Epoch | None], None]


@dataclass(frozen=True)
class Fitted:
    """What fitting leaves.

    Attributes:
        weights: Named arrays: all that the recipe needs to make the model again.
        epochs: The learning curve.
        best: The epoch whose weights were kept.
    """

    weights: Weights
    epochs: list[Epoch]
    best: Epoch


@dataclass(frozen=True)
class Design:
    """All that, with the weights, makes a model again.

    Attributes:
        model: Its inputs.
        spec: How it was trained.
        vocabularies: The words of each categorical column.
    """

    model: ModelSpec
    spec: TrainSpec
    vocabularies: Mapping[str, Sequence[str]]

    @property
    def vocabulary_sizes(self) -> list[int]:
        """The number of words of each categorical column, in the model's order."""
        return [len(self.vocabularies[name]) for name in self.model.categorical]


class Graph(Protocol):
    """A finished model, about to leave its framework."""

    def probabilities(self, numeric: Floats, categorical: Codes) -> Floats:
        """The framework's own predictions, the measure of every exported form.

        Args:
            numeric: float32 (N, F).
            categorical: int64 (N, C).

        Returns:
            The probability that the label is 1, float32 (N,).
        """
        ...

    def write_onnx(self, path: Path) -> None:
        """Writes the ONNX graph: inputs `numeric`, `categorical` (those that have columns), output `probability`."""
        ...


class Recipe(Protocol):
    """A way to train."""

    def load(self, *, trial: bool = False) -> None:
        """Imports its libraries, which takes seconds, so that what is timed afterwards is training.

        Args:
            trial: Those of `fit_trial`; otherwise those of `fit`.
        """
        ...

    def fit(self, train: Rows, validation: Rows, design: Design, observe: Observer) -> Fitted:
        """Fits weights.

        Args:
            train: The rows to learn from.
            validation: The rows that choose the epoch.
            design: Inputs, hyperparameters and vocabularies.
            observe: Called with the epochs done so far, a fraction within one, and with the epoch that has just ended.

        Returns:
            The weights of the best epoch, and the learning curve.

        Raises:
            DataError: The loss is not finite: the data or the learning rate will not do.
        """
        ...

    def fit_trial(self, train: Rows, validation: Rows, design: Design, observe: Observer) -> Fitted:
        """Fits weights as `fit` does, by the shortest way there is: a search has many short trials."""
        ...

    def graph(self, weights: Weights, design: Design) -> Graph:
        """Makes the model again.

        Raises:
            SourceError: The weights are not those of this design.
        """
        ...
