"""What the engine trains: a torch module with its data, loss and score. Recipes on torch give one to the engine.

Nothing here imports torch, so that a recipe's module stays cheap to import.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from fairlead.training.recipes.protocol import Objective

    Batch = tuple[Tensor, ...]


def everything(name: str) -> bool:
    """Says that every parameter is trained, whatever its name."""
    del name
    return True


@dataclass(frozen=True)
class Phase:
    """A stretch of a training with its own optimiser, schedule and trainable parameters.

    Attributes:
        name: For people: `head`, `all`.
        epochs: Passes over the examples, at most; patience counts from the phase's first epoch.
        learning_rate: The highest of the phase's schedule; None takes `train.learning_rate`.
        trainable: Whether the parameter of a name (as `module.named_parameters` has it) is trained.
    """

    name: str
    epochs: int
    learning_rate: float | None = None
    trainable: Callable[[str], bool] = everything


class Learnable(Protocol):
    """A module about to be trained.

    Attributes:
        module: With fresh weights, made after `torch.manual_seed(spec.seed)`.
        train_size: Examples to learn from.
        objective: The validation figure that chooses the epoch.
        phases: One after another; an empty sequence stands for one phase of `train.epochs` over all parameters.
    """

    module: "nn.Module"
    train_size: int
    objective: "Objective"
    phases: Sequence[Phase]

    def batch(self, indices: "Tensor", generator: "Generator") -> "Batch":
        """Gathers examples.

        Args:
            indices: int64 (N,), of examples.
            generator: The only source of chance (augmentation, noise); the engine seeds it anew for every batch, so
                that a resumed training, and one on several processes, draw what they would have drawn.

        Returns:
            Tensors on the CPU, each with N examples first.
        """
        ...

    def loss(self, module: "nn.Module", batch: "Batch") -> "Tensor":
        """Computes the mean loss over a batch, a scalar.

        Args:
            module: To be called, and no other: under distribution it is the wrapped one.
            batch: What `batch` gave, on the module's device.
        """
        ...

    def score(self, module: "nn.Module") -> dict[str, float]:
        """Computes the validation figures by name: `validation_log_loss`, ….

        The engine calls it in evaluation mode without gradients; on several processes every process calls it.
        """
        ...
