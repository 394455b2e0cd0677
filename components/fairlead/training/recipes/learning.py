"""What the recipes on torch give to the engine: rows or pictures in memory, the loss and the figures of a task.

Rows lie in memory and are cut into batches by index: a DataLoader's workers would cost more than the arithmetic.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from fairlead.training.engine.learnable import Phase
from fairlead.training.images import Pictures
from fairlead.training.recipes.protocol import Design, Objective, Prepared
from fairlead.training.scores import OBJECTIVES, Array, validation_figures
from fairlead.training.tabular import Rows

TABLE_BATCH, IMAGE_BATCH = 16_384, 512  # rows that are scored at once

Inputs = tuple[Tensor, ...]
Augment = Callable[[Inputs, Generator], Inputs]


def input_tensors(examples: Rows | Pictures) -> Inputs:
    """Gives rows as tensors that share their memory.

    Returns:
        numeric float32 (N, F) and categorical int64 (N, C); or pixels uint8 (N, H, W, channels).
    """
    if isinstance(examples, Pictures):
        return (torch.from_numpy(examples.pixels),)
    return torch.from_numpy(examples.numeric), torch.from_numpy(examples.categorical)


class Rescaled(nn.Module):
    """A module whose output is brought to the label's unit, so that it has only to learn deviations."""

    center: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, center: float = 0.0, scale: float = 1.0) -> None:
        """Wraps a module whose outputs are about standard normal."""
        super().__init__()
        self.network = network
        self.register_buffer("center", torch.tensor(center))
        self.register_buffer("scale", torch.tensor(scale))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Computes predictions in the label's unit, (N,)."""
        return self.network(*inputs) * self.scale + self.center  # type: ignore[no-any-return]


def for_task(network: nn.Module, design: Design, label: Array | None = None) -> nn.Module:
    """Wraps the network of a regression or a ranking; `label` are the training rows', None where weights follow."""
    if design.model.task not in ("regression", "ranking"):
        return network
    if label is None:
        return Rescaled(network)
    return Rescaled(network, float(label.mean(dtype=np.float64)), float(label.std(dtype=np.float64)) or 1.0)


class TaskLearnable:
    """A module that learns a task from examples in memory; see `fairlead.training.engine.learnable.Learnable`."""

    module: nn.Module
    train_size: int
    objective: Objective
    phases: Sequence[Phase]

    def __init__(
        self, module: nn.Module, data: Prepared, augment: Augment | None = None, phases: Sequence[Phase] = ()
    ) -> None:
        """Makes the learnable of one training.

        Args:
            module: With fresh weights; called with the input tensors, it gives raw scores (N,) or (N, K).
            data: From the recipe's `prepare`.
            augment: Changes the inputs of a training batch; all chance from its generator.
            phases: One after another; empty for one.
        """
        self.module, self.augment, self.phases = module, augment, phases
        self.task, self.objective = data.design.model.task, OBJECTIVES[data.design.model.task]
        self.train_size, self.validation = len(data.train), data.validation
        self.inputs, self.label = input_tensors(data.train), torch.from_numpy(data.train.label)
        self.scoring_batch = IMAGE_BATCH if isinstance(data.train, Pictures) else TABLE_BATCH
        self.scale = float(module.scale) if isinstance(module, Rescaled) else 1.0

    def batch(self, indices: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """Gathers examples; see `Learnable.batch`."""
        if len(indices) == 1:  # batch norm has no variance of one row; twice the same row has the same mean loss
            indices = indices.repeat(2)
        inputs = tuple(tensor[indices] for tensor in self.inputs)
        if self.augment is not None:
            inputs = self.augment(inputs, generator)
        return (*inputs, self.label[indices])

    def loss(self, module: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        """The mean loss: cross-entropy in nats, or the squared error in the label's variances."""
        *inputs, label = batch
        raw = module(*inputs).float()
        if self.task == "binary":
            return binary_cross_entropy_with_logits(raw, label)
        if self.task == "multiclass":
            return cross_entropy(raw, label)
        return mse_loss(raw / self.scale, label / self.scale)

    def score(self, module: nn.Module) -> dict[str, float]:
        """The task's validation figures; see `Learnable.score`."""
        group = self.validation.group if isinstance(self.validation, Rows) else None
        raw = raw_scores(module, input_tensors(self.validation), self.scoring_batch)
        return validation_figures(self.task, self.validation.label, raw, group)


@torch.no_grad()
def raw_scores(module: nn.Module, inputs: Inputs, batch: int) -> Array:
    """What a module says of rows, part by part.

    Args:
        module: In evaluation mode.
        inputs: Its input tensors.
        batch: Rows of a part.

    Returns:
        float32 (N,) or (N, K).
    """
    device = next((tensor.device for tensor in module.state_dict().values()), torch.device("cpu"))
    parts = zip(*(torch.split(tensor, batch) for tensor in inputs), strict=True)
    return np.asarray(torch.cat([module(*(t.to(device) for t in part)).float().cpu() for part in parts]).numpy())
