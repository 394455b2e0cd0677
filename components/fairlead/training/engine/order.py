"""Which examples each step sees: decided by seed, epoch and step alone, so that any step can be done again.

One step of the optimiser takes `train.batch_size` examples. They are cut into parts, one after another: as many as
there are processes times `train.accumulate`. Chance inside a part (augmentation, dropout) comes from a seed of its own,
so two processes draw what one process with two parts a step draws.
"""

import hashlib
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

_ORDER, _DATA, _CHANCE = 0, 1, 2


def derive_seed(*numbers: int) -> int:
    """Makes a seed of 63 bits from whole numbers; near numbers give seeds that have nothing in common."""
    content = struct.pack(f"<{len(numbers)}q", *numbers)
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little") >> 1


@dataclass(frozen=True)
class Part:
    """What one process computes at once.

    Attributes:
        indices: int64 (N,), of examples.
        scale: The factor of its mean loss in the step: 1 where all parts are equally large.
        data_seed: Of augmentation and noise.
        chance_seed: Of torch's own generator: dropout.
        last: Whether the step's last part of this process.
    """

    indices: Tensor
    scale: float
    data_seed: int
    chance_seed: int
    last: bool


@dataclass(frozen=True)
class Order:
    """The order of a training's examples, as one of its processes sees it.

    Attributes:
        size: Examples in an epoch.
        batch_size: Examples in a step, over all processes.
        seed: Of the training.
        accumulate: Parts of a step that one process computes one after another.
        rank: This process's number.
        world: Processes.
    """

    size: int
    batch_size: int
    seed: int
    accumulate: int = 1
    rank: int = 0
    world: int = 1

    @property
    def steps(self) -> int:
        """Steps in an epoch; the last one may be smaller."""
        return math.ceil(self.size / self.batch_size)

    def permutation(self, epoch: int) -> Tensor:
        """All examples in the order of an epoch, int64 (size,)."""
        generator = torch.Generator().manual_seed(derive_seed(self.seed, _ORDER, epoch))
        return torch.randperm(self.size, generator=generator)

    def parts(self, epoch: int, start: int = 0) -> Iterator[Part]:
        """Gives this process's parts of an epoch, `accumulate` for each step, from a step on."""
        order = self.permutation(epoch)
        for step in range(start, self.steps):
            yield from self.step_parts(order[step * self.batch_size : (step + 1) * self.batch_size], epoch, step)

    def step_parts(self, batch: Tensor, epoch: int, step: int) -> Iterator[Part]:
        """Cuts a step's examples; a process without any computes the first one with no weight, to keep in step."""
        count = self.world * self.accumulate
        pieces = torch.tensor_split(batch, count) if count > 1 else (batch,)
        for number in range(self.rank * self.accumulate, (self.rank + 1) * self.accumulate):
            piece = pieces[number]
            scale = len(piece) * count / len(batch)
            data, chance = (derive_seed(self.seed, kind, epoch, step, number) for kind in (_DATA, _CHANCE))
            last = number + 1 == (self.rank + 1) * self.accumulate
            yield Part(piece if len(piece) else batch[:1], scale, data, chance, last)
