"""What every way to fit the tabular network shares: batches, the score, the epoch that is kept.

Rows lie in memory and are cut into batches by index: a DataLoader's workers would cost more than the arithmetic.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from fairlead.errors import DataError
from fairlead.training.recipes.network import TabularNetwork, hide_categories
from fairlead.training.recipes.protocol import Epoch, Fitted, Observer
from fairlead.training.spec import TrainSpec
from fairlead.training.tabular import Rows, roc_auc

HIDDEN_CATEGORIES = 0.01  # share of known categories that training hides, to learn what an unknown one means
SCORING_BATCH = 16_384

Batch = tuple[Tensor, Tensor, Tensor]


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


def batch_loss(network: TabularNetwork, batch: Batch) -> Tensor:
    """The mean loss of one batch, in nats."""
    numeric, categorical, label = batch
    return binary_cross_entropy_with_logits(network(numeric, categorical), label)


class Keeper:
    """Scores the validation rows after each epoch, keeps the best weights, stops when patience ends."""

    def __init__(self, validation: Rows, spec: TrainSpec, observe: Observer) -> None:
        """Makes the keeper of one training."""
        self.validation, self.spec, self.observe = tensors(validation), spec, observe
        self.losses: list[Tensor] = []
        self.epochs: list[Epoch] = []
        self.best: Epoch | None = None
        self.weights: dict[str, Tensor] = {}

    def end_batch(self, loss: Tensor, epochs_done: float) -> None:
        """Remembers a batch's loss, and tells how far training is."""
        self.losses.append(loss.detach())
        self.observe(epochs_done, None)

    def end_epoch(self, network: TabularNetwork) -> bool:
        """Scores and keeps.

        Returns:
            Whether to stop.

        Raises:
            DataError: A loss is not finite.
        """
        train_loss = float(torch.stack(self.losses).mean())
        self.losses.clear()
        epoch = Epoch(len(self.epochs) + 1, train_loss, *score(network, self.validation))
        if not math.isfinite(epoch.train_log_loss + epoch.validation_log_loss):
            raise DataError(
                f"the loss was not finite in epoch {epoch.epoch} (train {epoch.train_log_loss}, "
                f"validation {epoch.validation_log_loss}); lower train.learning_rate={self.spec.learning_rate}"
            )
        self.epochs.append(epoch)
        if self.best is None or epoch.validation_log_loss < self.best.validation_log_loss:
            self.best = epoch
            self.weights = {name: value.detach().clone() for name, value in network.state_dict().items()}
        self.observe(float(epoch.epoch), epoch)
        return epoch.epoch - self.best.epoch >= self.spec.patience

    def fitted(self) -> Fitted:
        """The best epoch's weights, and the learning curve.

        Raises:
            DataError: No epoch ended.
        """
        if self.best is None:
            raise DataError(
                "training ended before its first epoch did; were the rows or train.epochs changed meanwhile?"
            )
        return Fitted({name: value.numpy() for name, value in self.weights.items()}, self.epochs, self.best)


@torch.no_grad()
def score(network: TabularNetwork, rows: Batch) -> tuple[float, float]:
    """Log loss (nats) and ROC AUC of a network on rows."""
    network.eval()
    numeric, categorical, label = rows
    parts = zip(torch.split(numeric, SCORING_BATCH), torch.split(categorical, SCORING_BATCH), strict=True)
    logits = torch.cat([network(*part) for part in parts]).double()  # (N,)
    network.train()
    loss = binary_cross_entropy_with_logits(logits, label.double())
    return float(loss), roc_auc(label.numpy(), logits.numpy())
