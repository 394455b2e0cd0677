"""What several processes share, by the strategy's name: ddp, zero2, fsdp."""

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from fairlead.training.engine.processes import World
from fairlead.training.spec import TrainSpec


@dataclass(frozen=True)
class Strategy:
    """How processes train one model.

    Attributes:
        name: As in `train.strategy`; `single` for one process.
        sharded: Whether each process holds only a part of weights and optimiser state.
    """

    name: str
    sharded: bool

    def join(self, device: torch.device) -> None:
        """Joins the processes for the rest of their lives: gloo between CPUs, nccl between GPUs."""
        if self.name != "single" and not torch.distributed.is_initialized():
            if device.type == "cuda":
                torch.cuda.set_device(device)
            torch.distributed.init_process_group(backend(device))

    def make(self, device: torch.device, world: World) -> Any:
        """Makes Lightning's strategy."""
        from pytorch_lightning.strategies import DDPStrategy, ModelParallelStrategy

        if self.name == "single":
            return "auto"
        if self.sharded:
            return ModelParallelStrategy(data_parallel_size=world.size, tensor_parallel_size=1)
        return DDPStrategy(process_group_backend=backend(device), gradient_as_bucket_view=True)


def find_strategy(spec: TrainSpec) -> Strategy:
    """The strategy of this process: `single` unless torchrun started several."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Strategy("single", sharded=False)
    return Strategy(spec.strategy, sharded=spec.strategy != "ddp")


def backend(device: torch.device) -> str:
    """The library that carries tensors between processes."""
    return "nccl" if device.type == "cuda" else "gloo"


def shard(module: nn.Module, mesh: Any, spec: TrainSpec) -> None:
    """Splits a module's weights over the processes (FSDP2), each direct child on its own; does nothing the second time.

    With fsdp (ZeRO-3) weights are gathered for each use; with zero2 they stay gathered from forward to backward.
    """
    from torch.distributed.fsdp import FSDPModule, fully_shard

    if isinstance(module, FSDPModule):
        return
    keep = {"mesh": mesh["data_parallel"], "reshard_after_forward": spec.strategy == "fsdp"}
    for child in module.children():
        if any(True for _ in child.parameters()) and not isinstance(child, nn.ModuleList | nn.ModuleDict):
            fully_shard(child, **keep)
    fully_shard(module, **keep)


def find_plugins(precision: str, device: torch.device) -> list[Any] | None:
    """Lightning's plugin for a precision; an object, because by name Lightning takes bf16 for fp16 on a CPU."""
    if precision == "fp32":
        return None
    from pytorch_lightning.plugins import MixedPrecision

    return [MixedPrecision("bf16-mixed" if precision == "bf16" else "16-mixed", device.type)]
