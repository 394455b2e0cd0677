"""Fits the tabular network with Lightning."""

import logging
import warnings
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from fairlead.training.recipes.learning import Batch, Batches, Keeper, batch_loss
from fairlead.training.recipes.network import TabularNetwork
from fairlead.training.recipes.protocol import Fitted, Observer
from fairlead.training.recipes.schedule import rate_at
from fairlead.training.spec import TrainSpec
from fairlead.training.tabular import Rows

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)  # it advertises and lists the absent accelerators


class Learner(pl.LightningModule):
    """The training step, the optimiser and its schedule."""

    def __init__(self, network: TabularNetwork, spec: TrainSpec, steps: int) -> None:
        """Makes the learner of a network; `steps` is the length of the whole schedule."""
        super().__init__()
        self.network, self.spec, self.steps = network, spec, steps

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Computes the mean loss of one batch."""
        del batch_index
        return batch_loss(self.network, batch)

    def configure_optimizers(self) -> Any:
        """AdamW, with a warm-up and a cosine, changed at every step."""
        spec = self.spec
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(step, self.steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class KeeperCallback(pl.Callback):
    """Tells a keeper what Lightning does."""

    def __init__(self, keeper: Keeper) -> None:
        """Wraps the keeper of one training."""
        self.keeper = keeper

    def on_train_batch_end(self, trainer: Any, learner: Any, outputs: Any, batch: Any, batch_index: int) -> None:
        """Tells the loss, and how far the epoch is."""
        del learner, batch
        done = trainer.current_epoch + (batch_index + 1) / trainer.num_training_batches
        self.keeper.end_batch(outputs["loss"], done)

    def on_train_epoch_end(self, trainer: Any, learner: Any) -> None:
        """Scores, keeps, and maybe stops."""
        trainer.should_stop = self.keeper.end_epoch(learner.network)


def fit_network(network: TabularNetwork, train: Rows, validation: Rows, spec: TrainSpec, observe: Observer) -> Fitted:
    """Trains a network.

    Args:
        network: With fresh weights.
        train: The rows to learn from.
        validation: The rows that choose the epoch.
        spec: The hyperparameters.
        observe: See `Recipe.fit`.

    Returns:
        The best epoch's weights, and the learning curve.

    Raises:
        DataError: The loss is not finite.
    """
    batches = Batches(train, spec.batch_size, spec.seed)
    keeper = Keeper(validation, spec, observe)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)  # Lightning 2.6 on torch 2.13
        lean_trainer(spec, keeper).fit(Learner(network, spec, len(batches) * spec.epochs), batches)
    return keeper.fitted()


def lean_trainer(spec: TrainSpec, keeper: Keeper) -> pl.Trainer:
    """A trainer without logger, checkpoints, bars or sanity checks: they would cost more than a step of a small net."""
    return pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=spec.epochs,
        deterministic=spec.deterministic,
        callbacks=[KeeperCallback(keeper)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
    )
