"""The training engine on Lightning: one process or many, on CPUs or GPUs, in full or in mixed precision.

Lightning computes (device, precision, accumulation, distribution); order, schedule, early stopping and resuming are
`fairlead.training.engine.training`'s. Under torchrun every process calls `fit`, and the first one gets the weights.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from fairlead.training.engine.arithmetic import computing, find_device, seed_chance
from fairlead.training.engine.learnable import Learnable
from fairlead.training.engine.memory import settle_parts
from fairlead.training.engine.optimizer import Stateful, clip_gradients
from fairlead.training.engine.order import Part
from fairlead.training.engine.processes import environment_world
from fairlead.training.engine.strategy import find_plugins, find_strategy, shard
from fairlead.training.engine.training import Training
from fairlead.training.recipes.protocol import Fitted, Observer
from fairlead.training.spec import TrainSpec

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)  # it advertises and lists the absent accelerators


class Learner(pl.LightningModule):
    """The training step of a phase, and its optimiser."""

    def __init__(self, training: Training) -> None:
        """Wraps a training at the start of a phase."""
        super().__init__()
        self.training_state, self.module = training, training.learnable.module
        self.trained = [parameter for parameter in self.module.parameters() if parameter.requires_grad]

    def configure_model(self) -> None:
        """Shards the module where the strategy says so."""
        if self.training_state.world.sharded:
            shard(self.module, self.device_mesh, self.training_state.spec)
            self.trained = [parameter for parameter in self.module.parameters() if parameter.requires_grad]

    def training_step(self, item: tuple[tuple[Tensor, ...], Part], batch_index: int) -> Tensor:
        """Computes the loss of one part, scaled to its share of the step."""
        del batch_index
        batch, part = item
        seed_chance(part.chance_seed, self.device)
        loss = self.training_state.learnable.loss(self.module, batch)
        loss = loss * part.scale if part.scale != 1 else loss
        self.loss = loss.detach()
        return loss

    def transfer_batch_to_device(self, item: Any, device: torch.device, dataloader_index: int) -> Any:
        """Moves a part's tensors; faster than Lightning's walk through whatever a batch may hold."""
        del dataloader_index
        if device.type == "cpu":
            return item
        batch, part = item
        return tuple(tensor.to(device, non_blocking=True) for tensor in batch), part

    def configure_optimizers(self) -> Any:
        """AdamW, fused unless the state is sharded or a scaler must see the gradients before the step."""
        state = self.training_state
        fused = not state.world.sharded and state.spec.precision != "fp16"
        return torch.optim.AdamW(self.trained, lr=1.0, weight_decay=state.spec.weight_decay, fused=fused)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clips, after a scaler has brought the gradients back, and sets the step's learning rate."""
        state = self.training_state
        clip_gradients(self.trained, state.spec.clip_norm)
        optimizer.param_groups[0]["lr"] = state.rate(state.position.step)

    def on_train_batch_end(self, outputs: Any, item: Any, batch_index: int) -> None:
        """Counts the part."""
        del outputs, batch_index  # Lightning's loss is divided by the number of parts
        self.training_state.end_part(self.module, self.adam, self.loss, item[1])

    def on_train_epoch_end(self) -> None:
        """Scores, keeps, and maybe stops."""
        self.trainer.should_stop = self.training_state.end_epoch(self.module, self.adam)

    def on_fit_start(self) -> None:
        """Puts the phase's weights, and the optimiser's state, in place."""
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        self.training_state.scaler = scaler
        self.training_state.begin(self.module, self.adam)

    @property
    def adam(self) -> Stateful:
        """The optimiser without Lightning's wrapper."""
        optimizer: Stateful = self.trainer.optimizers[0]
        return optimizer


class Parts:
    """The parts that are left of each epoch, for Lightning, which need not know how many."""

    def __init__(self, training: Training) -> None:
        """Wraps a training."""
        self.training = training

    def __iter__(self) -> Iterator[Any]:
        return self.training.parts()


def fit(learnable: Learnable, spec: TrainSpec, observe: Observer, work: Path | None = None) -> Fitted:
    """Trains.

    Args:
        learnable: With a fresh module, which training changes.
        spec: How.
        observe: See `fairlead.training.recipes.protocol.Observer`; in the first process it is told.
        work: A folder that outlives a kill: training goes on from what it holds, and keeps snapshots there.

    Returns:
        The best epoch's weights (in the first process only), and the learning curve.

    Raises:
        ConfigurationError: Device, precision and strategy do not go together here.
        DataError: The loss is not finite.
    """
    device, strategy = find_device(spec), find_strategy(spec)
    world = environment_world(sharded=strategy.sharded)
    strategy.join(device)
    with _quiet(), computing(learnable, spec, world):
        training = Training(learnable, spec, observe, work, world)
        settle_parts(training, device)
        while not training.done:
            training.choose_parameters(learnable.module)
            learner = Learner(training)
            make_trainer(training, device).fit(learner, Parts(training))
        return training.fitted({**training.facts, "device": device.type, "strategy": strategy.name})


def make_trainer(training: Training, device: torch.device) -> pl.Trainer:
    """A trainer without logger, checkpoints, bars or sanity checks: they would cost more than a step of a small net."""
    spec, world = training.spec, training.world
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return pl.Trainer(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=local,
        num_nodes=max(1, world.size // local),
        strategy=find_strategy(spec).make(device, world),
        plugins=find_plugins(spec.precision, device),
        max_epochs=-1,  # `Training` says when to stop
        accumulate_grad_batches=training.accumulate,
        deterministic=spec.deterministic,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
    )


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)  # Lightning 2.6, torch 2.13
        warnings.filterwarnings("ignore", message=".*does not have many workers")
        yield
