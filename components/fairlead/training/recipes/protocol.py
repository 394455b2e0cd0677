"""What a recipe is: it reads datasets, fits weights on them, and gives the finished model as a graph.

A recipe is a class without arguments, named in the problem file: a name of `fairlead.training.recipes.registry`, or
`my_module:MyRecipe`. It leaves only named arrays and JSON behind, so that nothing of it is ever pickled. A recipe on
torch is shortest as a subclass of `fairlead.training.recipes.torch_recipe.TorchRecipe`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np

from fairlead.sections import Section
from fairlead.training.spec import ModelSpec, TrainSpec
from fairlead_serving.package import ModelInput

if TYPE_CHECKING:
    import pyarrow as pa

Weights = dict[str, np.ndarray[Any, Any]]
Tensors = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Epoch:
    """How far training was after one epoch (a round of trees, for boosting).

    Attributes:
        epoch: Its number, from 1.
        train_loss: The mean loss over its steps, with dropout and augmentation where there are any.
        validation: Figures on the validation rows by name, such as validation_log_loss and validation_roc_auc.
    """

    epoch: int
    train_loss: float
    validation: dict[str, float]


Observer = Callable[[float, Epoch | None], None]
"""Called with the epochs done so far, a fraction within one, and with the epoch that has just ended or None. It may
raise to stop training: a search prunes so."""


@dataclass(frozen=True)
class Objective:
    """Which figure of an epoch decides which one is kept.

    Attributes:
        metric: A key of `Epoch.validation`.
        direction: Whether less of it is better, or more.
    """

    metric: str
    direction: Literal["minimize", "maximize"] = "minimize"

    def value(self, epoch: Epoch) -> float:
        """The deciding figure of an epoch."""
        return epoch.validation[self.metric]

    def is_better(self, value: float, than: float) -> bool:
        """Whether one value is strictly better than another."""
        return value < than if self.direction == "minimize" else value > than


@dataclass(frozen=True)
class Fitted:
    """What fitting leaves.

    Attributes:
        weights: Named arrays: all that the recipe needs to make the model again.
        epochs: The learning curve.
        best: The epoch whose weights were kept.
        facts: What beside the spec decided the bits, such as the number of processes and of threads.
    """

    weights: Weights
    epochs: list[Epoch]
    best: Epoch
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Design:
    """All that, with the weights, makes a model again. It is written as JSON.

    Attributes:
        model: The task and the inputs.
        spec: How it was trained.
        vocabularies: The words of each categorical column.
        classes: Of a multiclass model: the values of the label, as texts, in the order of the probabilities.
        image_shape: Height, width and channels of the image column; empty where there is none.
    """

    model: ModelSpec
    spec: TrainSpec
    vocabularies: Mapping[str, Sequence[str]] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    image_shape: tuple[int, ...] = ()

    @property
    def vocabulary_sizes(self) -> list[int]:
        """The number of words of each categorical column, in the model's order."""
        return [len(self.vocabularies[name]) for name in self.model.categorical]

    @property
    def outputs(self) -> int:
        """The numbers that a model gives per row: one per class, or one."""
        return len(self.classes) if self.model.task == "multiclass" else 1


class Examples(Protocol):
    """Encoded rows in memory: `tabular.Rows`, `images.Pictures`, or a recipe's own.

    Attributes:
        label: (N,): float32 for binary (0 or 1), regression and ranking; int64 class numbers for multiclass.
    """

    @property
    def label(self) -> np.ndarray[Any, Any]:
        """The label, (N,)."""
        ...

    def __len__(self) -> int: ...


@dataclass(frozen=True)
class Prepared:
    """What the data module of a recipe gives, ready to be learnt from.

    Attributes:
        train: The rows to learn from.
        validation: The rows that choose the epoch.
        design: Task, inputs, hyperparameters, vocabularies, classes.
        statistics: Of each numeric column (each channel of an image): median, mean, standard_deviation and
            missing_share in the training rows; None where there is no value.
    """

    train: Any  # Examples of the recipe's own kind: only it looks inside
    validation: Any
    design: Design
    statistics: dict[str, dict[str, float | None]] = field(default_factory=dict)

    def with_spec(self, spec: TrainSpec) -> "Prepared":
        """The same rows for other hyperparameters: what `prepare` does depends on none that may be tuned."""
        return replace(self, design=replace(self.design, spec=spec))


class Graph(Protocol):
    """A finished model, about to leave its framework.

    Attributes:
        framework: Its name, for messages: torch, scikit-learn.
        example: Tensors of the graph's inputs, one row: what the input example of the package shows.
    """

    @property
    def framework(self) -> str:
        """The framework's name."""
        ...

    @property
    def example(self) -> Tensors:
        """The graph's inputs by name, a batch of one."""
        ...

    def inputs(self) -> tuple[ModelInput, ...]:
        """The model's input columns, in the order of the package's manifest."""
        ...

    def predict(self, table: "pa.Table") -> Tensors:
        """The framework's own predictions, the measure of every exported form.

        Args:
            table: Raw rows with the input columns: N rows.

        Returns:
            The task's output by its name (`fairlead_serving.package.OUTPUTS`), float32 (N,), or (N, K) for multiclass.
        """
        ...

    def write_onnx(self, path: Path) -> None:
        """Writes the ONNX graph.

        Inputs `numeric` float32 (N, F) and `categorical` int64 (N, C) (those that have columns) and each image under
        its column's name, uint8 (N, H, W, channels); the task's output. Scaling, imputation, sigmoid and softmax are
        inside. The batch dimension is dynamic.
        """
        ...


@runtime_checkable
class Recipe(Protocol):
    """A way to train.

    Attributes:
        options: The section that `train.options` of the problem file is parsed by; its fields may be tuned by name.
    """

    options: type[Section]

    def objective(self, model: ModelSpec) -> Objective:
        """What chooses the epoch that is kept, and what a search aims at by default."""
        ...

    def length(self, spec: TrainSpec) -> int:
        """The most epochs (rounds) that `fit` may take: what an observer's progress counts up to."""
        ...

    def load(self, *, trial: bool = False) -> None:
        """Imports its libraries, which takes seconds, so that what is timed afterwards is training.

        Args:
            trial: Those of `fit_trial`; otherwise those of `fit`.
        """
        ...

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
        """Reads both datasets.

        Args:
            train_path: The dataset to learn from; vocabularies, classes and statistics are its.
            validation_path: The dataset that chooses the epoch.
            model: Task and inputs.
            spec: Hyperparameters; none that may be tuned matters here.
            label: The column to predict.
            latest: Only so many of the latest training rows (a search takes fewer).

        Returns:
            Rows and design.

        Raises:
            ConfigurationError: The recipe cannot do this task or take these inputs, or an option is wrong.
            SchemaError: A column is absent or of a wrong type.
            DataError: Too few rows, or labels that will not do.
        """
        ...

    def fit(self, data: Prepared, observe: Observer, work: Path | None = None) -> Fitted:
        """Fits weights.

        Args:
            data: From `prepare`.
            observe: See `Observer`.
            work: A folder for checkpoints to go on from after a kill; none are kept where None.

        Returns:
            The weights of the best epoch, and the learning curve.

        Raises:
            DataError: The loss is not finite: the data or the learning rate will not do.
        """
        ...

    def fit_trial(self, data: Prepared, observe: Observer) -> Fitted:
        """Fits the same weights as `fit` does, by the shortest way there is: a search has many short trials."""
        ...

    def graph(self, weights: Weights, design: Design) -> Graph:
        """Makes the model again.

        Raises:
            SourceError: The weights are not those of this design.
        """
        ...
