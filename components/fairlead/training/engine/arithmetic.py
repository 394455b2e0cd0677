"""How to compute: device, precision, threads, determinism."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from fairlead.errors import ConfigurationError
from fairlead.training.engine.learnable import Learnable
from fairlead.training.engine.processes import World
from fairlead.training.spec import TrainSpec

MUCH_ARITHMETIC = 200_000_000  # multiplications of one part's forward pass
TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def find_device(spec: TrainSpec) -> torch.device:
    """The device to compute on; that of this process where there are several.

    Raises:
        ConfigurationError: A GPU is asked for and there is none, or it cannot compute with the precision.
    """
    available = torch.cuda.is_available()
    if spec.device == "gpu" and not available:
        raise ConfigurationError("train.device=gpu, but torch finds no CUDA device here; set train.device to auto")
    on_gpu = available and spec.device != "cpu"
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if on_gpu else torch.device("cpu")
    check_precision(spec.precision, device)
    return device


def check_precision(precision: str, device: torch.device) -> None:
    """Checks that a device can compute with a precision.

    Raises:
        ConfigurationError: It cannot, or only so slowly that it makes no sense.
    """
    if precision == "fp16" and device.type == "cpu":
        raise ConfigurationError(
            "train.precision=fp16 needs a GPU: a CPU has no fp16 arithmetic, so it would only lose digits and time; "
            "set train.precision to bf16 (same range as fp32) or fp32"
        )
    if precision == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        raise ConfigurationError("train.precision=bf16 is not supported by this GPU; set train.precision to fp16")


def autocast(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Lower precision where it is named, for forward passes."""
    if precision not in TYPES:
        return nullcontext()
    return torch.autocast(device.type, dtype=TYPES[precision], cache_enabled=False)


def seed_chance(seed: int, device: torch.device) -> None:
    """Seeds the generator that dropout draws from; cheaper than torch.manual_seed, which asks every kind of device."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


@contextmanager
def computing(learnable: Learnable, spec: TrainSpec, world: World) -> Iterator[None]:
    """Lets torch use as many threads as pay; puts back afterwards what training changes in torch."""
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    flags: Any = torch.utils.deterministic
    state, fill = torch.get_rng_state(), flags.fill_uninitialized_memory
    flags.fill_uninitialized_memory = False  # filling what is then overwritten costs a tenth of a step
    torch.set_num_threads(spec.threads or sensible_threads(learnable, spec, world))
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(state)
        flags.fill_uninitialized_memory = fill
        if torch.are_deterministic_algorithms_enabled() != strict:
            torch.use_deterministic_algorithms(strict)


def sensible_threads(learnable: Learnable, spec: TrainSpec, world: World) -> int:
    """The threads that pay: one unless a step has much arithmetic, then this process's share of the cores.

    With 1,024 rows a step and layers of 128 and 64, two threads were no faster than one on two free cores, and ten
    times slower when other processes used the cores too: each of torch's many small operations waits for both.
    """
    cores = len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if cores <= 1:
        return 1
    rows = min(learnable.train_size, spec.batch_size // (world.size * spec.accumulate))
    return cores if multiplications(learnable, rows) > MUCH_ARITHMETIC else 1


def multiplications(learnable: Learnable, rows: int) -> int:
    """Counts those of a forward pass over some examples, in its linear and convolution layers."""
    counted, sample = 0, min(rows, 8)

    def count(layer: nn.Module, _inputs: Any, output: Any) -> None:
        nonlocal counted
        counted += output.numel() * layer.weight[0].numel()  # type: ignore[index]

    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    layers = [layer for layer in learnable.module.modules() if isinstance(layer, kinds)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    batch = learnable.batch(torch.arange(sample), torch.Generator())
    learnable.module.eval()  # in which nothing of the module changes
    with torch.no_grad():
        learnable.loss(learnable.module, batch)
    learnable.module.train()
    for hook in hooks:
        hook.remove()
    return counted * rows // sample
