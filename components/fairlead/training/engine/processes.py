"""The processes of one training: who this one is, and what they tell each other."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """The processes that train together.

    Attributes:
        rank: This process's number; 0 keeps weights, writes files and tells progress.
        size: How many there are.
        sharded: Whether each holds only a part of the weights, so that all must compute whatever one computes.
    """

    rank: int = 0
    size: int = 1
    sharded: bool = False

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean over all processes, which all must ask for; it changes `tensor`."""
        if self.size > 1:
            torch.distributed.all_reduce(tensor)
            tensor /= self.size
        return tensor

    def broadcast(self, value: T) -> T:
        """Gives every process what the first one holds."""
        if self.size == 1:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values, src=0)
        return values[0]

    def from_first(self, compute: Callable[[], T], *, together: bool = False) -> T:
        """Gives every process what the first one computes.

        Args:
            compute: Called in the first process.
            together: Call it in all of them, because it needs them all.
        """
        value = compute() if together or self.rank == 0 else None
        return cast("T", self.broadcast(value))


def environment_world(*, sharded: bool = False) -> World:
    """Who this process is by torchrun's environment; one process where there is none."""
    return World(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")), sharded)
