"""Trains in a plain loop, to the very weights that Lightning's engine gives.

A search's trials are short, and each search is a process of its own: there the import of Lightning (5 s of processor
time on top of torch's 2) would cost more than all trials. A test holds both ways to the same bits.
"""

from pathlib import Path

import torch

from fairlead.errors import ConfigurationError
from fairlead.training.engine.arithmetic import autocast, computing, find_device, seed_chance
from fairlead.training.engine.learnable import Learnable
from fairlead.training.engine.memory import settle_parts
from fairlead.training.engine.optimizer import FunctionalAdamW, clip_gradients
from fairlead.training.engine.processes import World
from fairlead.training.engine.training import Training
from fairlead.training.recipes.protocol import Fitted, Observer
from fairlead.training.spec import TrainSpec


def fit_plain(learnable: Learnable, spec: TrainSpec, observe: Observer, work: Path | None = None) -> Fitted:
    """Trains in one process; see `fairlead.training.engine.lightning.fit`, whose parameters and errors these are.

    It refuses no operation that is not deterministic; the final training of the same module does.
    """
    device = find_device(spec)
    if spec.precision == "fp16":
        raise ConfigurationError(
            "train.precision=fp16 needs a gradient scaler, which a trial has not; use bf16 or fp32"
        )
    with computing(learnable, spec, World()):
        training = Training(learnable, spec, observe, work, World())
        settle_parts(training, device)
        learnable.module.to(device)
        while not training.done:
            _run_phase(training, device)
        return training.fitted({**training.facts, "device": device.type, "strategy": "single"})


def _run_phase(training: Training, device: torch.device) -> None:
    module = training.learnable.module
    training.choose_parameters(module)
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = FunctionalAdamW(trained, training.spec.weight_decay)
    training.begin(module, optimizer)
    over = False
    while not over:
        _run_epoch(training, optimizer, device)
        over = training.end_epoch(module, optimizer)


def _run_epoch(training: Training, optimizer: FunctionalAdamW, device: torch.device) -> None:
    learnable, spec = training.learnable, training.spec
    module = learnable.module
    for batch, part in training.parts():
        seed_chance(part.chance_seed, device)
        with autocast(spec.precision, device):
            loss = learnable.loss(module, tuple(tensor.to(device) for tensor in batch))
        loss = loss * part.scale if part.scale != 1 else loss
        (loss / training.accumulate if training.accumulate > 1 else loss).backward()  # type: ignore[no-untyped-call]
        if part.last:
            clip_gradients(module.parameters(), spec.clip_norm)
            optimizer.step(training.rate(training.position.step))
        training.end_part(module, optimizer, loss, part)
