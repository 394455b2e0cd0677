"""Fits the tabular network with Lightning.

Rows lie in memory and are cut into batches by index: a DataLoader's workers would cost more than the arithmetic.
"""

import logging
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchmetrics.functional.classification import binary_auroc

from fairlead.errors import DataError
from fairlead.training.recipes.network import TabularNetwork, hide_categories
from fairlead.training.recipes.protocol import Epoch, Fitted
from fairlead.training.recipes.schedule import rate_at
from fairlead.training.spec import TrainSpec
from fairlead.training.tabular import Rows

HIDDEN_CATEGORIES = 0.01  # share of known categories that training hides, to learn what an unknown one means
SCORING_BATCH = 16_384

Observer = Callable[[float, Epoch | None], None]
Batch = tuple[Tensor, Tensor, Tensor]

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)  # it advertises and lists the absent accelerators


def tensors(rows: Rows) -> Batch:
    """Gives rows as tensors that share their memory: numeric (N, F), categorical (N, C), label (N,)."""
    return torch.from_numpy(rows.numeric), torch.from_numpy(rows.categorical), torch.from_numpy(rows.label)


class Batches:
    """Shuffled batches of in-memory rows, in another order each epoch; the last, smaller one counts too."""

    def __init__(self, rows: Rows, size: int, seed: int) -> None:
        """Makes the batches of one training; `seed` decides every order."""
        self.rows, self.size = tensors(rows), size
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return math.ceil(len(self.rows[2]) / self.size)

    def __iter__(self) -> Iterator[Batch]:
        numeric, categorical, label = self.rows
        for chosen in torch.split(torch.randperm(len(label), generator=self.generator), self.size):
            codes = hide_categories(categorical[chosen], HIDDEN_CATEGORIES, self.generator)
            yield numeric[chosen], codes, label[chosen]


class Learner(pl.LightningModule):
    """The training step, the optimiser and its schedule."""

    def __init__(self, network: TabularNetwork, spec: TrainSpec, steps: int) -> None:
        """Makes the learner of a network; `steps` is the length of the whole schedule."""
        super().__init__()
        self.network, self.spec, self.steps = network, spec, steps
        self.losses: list[Tensor] = []

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Computes the mean loss of one batch."""
        del batch_index
        numeric, categorical, label = batch
        loss = binary_cross_entropy_with_logits(self.network(numeric, categorical), label)
        self.losses.append(loss.detach())
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW, with a warm-up and a cosine, changed at every step."""
        spec = self.spec
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay, fused=True
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(step, self.steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Keeper(pl.Callback):
    """Scores the validation rows after each epoch, keeps the best weights, stops when patience ends."""

    def __init__(self, validation: Rows, patience: int, observe: Observer) -> None:
        """Makes the keeper of one training."""
        self.validation, self.patience, self.observe = tensors(validation), patience, observe
        self.epochs: list[Epoch] = []
        self.best: Epoch | None = None
        self.weights: dict[str, Tensor] = {}

    def on_train_batch_end(self, trainer: Any, learner: Any, outputs: Any, batch: Any, batch_index: int) -> None:
        """Tells how far the epoch is."""
        del learner, outputs, batch
        self.observe(trainer.current_epoch + (batch_index + 1) / trainer.num_training_batches, None)

    def on_train_epoch_end(self, trainer: Any, learner: Any) -> None:
        """Scores, keeps, and maybe stops."""
        train_loss = float(torch.stack(learner.losses).mean())
        learner.losses.clear()
        epoch = Epoch(trainer.current_epoch + 1, train_loss, *score(learner.network, self.validation))
        if not math.isfinite(epoch.train_log_loss + epoch.validation_log_loss):
            raise DataError(
                f"the loss was not finite in epoch {epoch.epoch} (train {epoch.train_log_loss}, "
                f"validation {epoch.validation_log_loss}); lower train.learning_rate={learner.spec.learning_rate}"
            )
        self.epochs.append(epoch)
        if self.best is None or epoch.validation_log_loss < self.best.validation_log_loss:
            self.best = epoch
            self.weights = {name: value.detach().clone() for name, value in learner.network.state_dict().items()}
        trainer.should_stop = epoch.epoch - self.best.epoch >= self.patience
        self.observe(float(epoch.epoch), epoch)


@torch.no_grad()
def score(network: TabularNetwork, rows: Batch) -> tuple[float, float]:
    """Log loss (nats) and ROC AUC of a network on rows."""
    network.eval()
    numeric, categorical, label = rows
    parts = zip(torch.split(numeric, SCORING_BATCH), torch.split(categorical, SCORING_BATCH), strict=True)
    logits = torch.cat([network(*part) for part in parts]).double()  # (N,)
    network.train()
    loss = binary_cross_entropy_with_logits(logits, label.double())
    area = binary_auroc(logits.sigmoid(), label.long(), validate_args=False)
    return float(loss), float(area)


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
    keeper = Keeper(validation, spec.patience, observe)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)  # Lightning 2.6 on torch 2.13
        lean_trainer(spec, keeper).fit(Learner(network, spec, len(batches) * spec.epochs), batches)
    if keeper.best is None:
        raise DataError("training ended before its first epoch did; were the rows or train.epochs changed meanwhile?")
    return Fitted({name: value.numpy() for name, value in keeper.weights.items()}, keeper.epochs, keeper.best)


def lean_trainer(spec: TrainSpec, keeper: Keeper) -> pl.Trainer:
    """A trainer without logger, checkpoints, bars or sanity checks: they would cost more than a step of a small net."""
    return pl.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=spec.epochs,
        deterministic=spec.deterministic,
        callbacks=[keeper],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=0,
    )
