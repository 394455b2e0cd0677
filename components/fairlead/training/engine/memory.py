"""The fewest parts of a step with which a process stays below a memory ceiling.

What a part needs is counted, not tried: the tensors that torch keeps for the backward pass grow in a line with the
examples, so two small passes say it all. Nothing can run out of memory, and the answer is the same on every run, as
reproducible weights need; the resident size of a process, which an allocator decides, would not be.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from fairlead.errors import ConfigurationError
from fairlead.training.engine.arithmetic import autocast
from fairlead.training.engine.learnable import Learnable
from fairlead.training.engine.training import Training

GIB = 1 << 30
COPIES = 4  # of each trained weight: itself, its gradient, two moments of AdamW
SMALL, LARGE = 2, 4  # examples of the two passes; one alone would be too few for batch normalisation


@dataclass(frozen=True)
class Need:
    """The memory of one process's training, in bytes.

    Attributes:
        fixed: Weights, gradients, the optimiser's state, and what a pass keeps whatever its size.
        per_example: What each example of a part adds.
    """

    fixed: float
    per_example: float

    def of(self, rows: int) -> float:
        """With so many examples in a part."""
        return self.fixed + self.per_example * rows


def settle_parts(training: Training, device: torch.device) -> None:
    """Raises a training's number of parts until its memory stays below `train.memory_gib`, where that is set.

    A training that goes on from a snapshot keeps the number that it had.

    Raises:
        ConfigurationError: One example at once is too much already.
    """
    ceiling = training.spec.memory_gib
    if ceiling is not None and not training.position.steps:
        need = training.world.from_first(lambda: measure(training.learnable, training.spec.precision, device))
        share = math.ceil(training.spec.batch_size / training.world.size)
        training.accumulate = fewest_parts(need, share, training.spec.accumulate, ceiling)


def fewest_parts(need: Need, share: int, least: int, ceiling_gib: float) -> int:
    """The fewest parts in which a process computes its share of a step.

    Args:
        need: The memory.
        share: Examples of one step that are this process's.
        least: Parts to begin with.
        ceiling_gib: The memory that it may take.

    Raises:
        ConfigurationError: One example at once is too much already.
    """
    for parts in range(least, share + 1):
        if need.of(math.ceil(share / parts)) <= ceiling_gib * GIB:
            return parts
    raise ConfigurationError(
        f"train.memory_gib={ceiling_gib:g} is too little: one example at a time takes {need.of(1) / GIB:.3g} GiB, of "
        f"which weights, gradients and AdamW's state take {need.fixed / GIB:.3g}; raise it, or shard with strategy fsdp"
    )


def measure(learnable: Learnable, precision: str, device: torch.device) -> Need:
    """Counts what training holds: beside data and libraries, which are there anyway."""
    module = learnable.module.to(device).train()
    buffers = {name: value.clone() for name, value in module.named_buffers()}
    small, large = (_pass_bytes(learnable, rows, precision, device) for rows in (SMALL, LARGE))
    for name, value in module.named_buffers():
        value.copy_(buffers[name])
    each = (large - small) / (LARGE - SMALL)
    fixed = max(0.0, small - each * SMALL) + sum(_own_bytes(module)) + sum(_size(value) for value in buffers.values())
    return Need(fixed, each)


def _own_bytes(module: nn.Module) -> list[int]:
    return [_size(parameter) * COPIES for parameter in module.parameters()]


def _pass_bytes(learnable: Learnable, rows: int, precision: str, device: torch.device) -> int:
    """The bytes that a forward pass keeps for the backward pass, and a copy of the largest of them for its gradient."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    own = {value.untyped_storage().data_ptr() for value in learnable.module.state_dict().values()}
    indices = torch.arange(rows) % learnable.train_size
    batch = tuple(tensor.to(device) for tensor in learnable.batch(indices, torch.Generator()))
    with saved_tensors_hooks(keep, lambda tensor: tensor), autocast(precision, device):
        loss = learnable.loss(learnable.module, batch)
    sizes = [size for place, size in kept.items() if place not in own]
    del loss
    return sum(sizes) + max(sizes, default=0) + sum(_size(tensor) for tensor in batch)


def _size(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
