"""Scores after each epoch, keeps the best weights, says when to stop."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from fairlead.errors import DataError
from fairlead.training.engine.learnable import Learnable
from fairlead.training.engine.optimizer import whole
from fairlead.training.engine.processes import World
from fairlead.training.recipes.protocol import Epoch, Fitted, Observer
from fairlead.training.spec import TrainSpec


class Keeper:
    """The learning curve of one training, and the weights of its best epoch."""

    def __init__(self, learnable: Learnable, spec: TrainSpec, observe: Observer, world: World) -> None:
        """Makes the keeper of one training."""
        self.learnable, self.spec, self.observe, self.world = learnable, spec, observe, world
        self.losses: list[Tensor] = []  # this process's share of the last steps' losses
        self.known = torch.zeros(0)  # the losses of this epoch's steps before, over all processes
        self.epochs: list[Epoch] = []
        self.best: Epoch | None = None
        self.weights: dict[str, Tensor] = {}

    def end_step(self, loss: Tensor, epochs_done: float) -> None:
        """Remembers a step's loss, and tells how far training is."""
        self.losses.append(loss)
        self.observe(epochs_done, None)

    def step_losses(self) -> Tensor:
        """The loss of each step of this epoch so far, over all processes, float32 (steps,), on the CPU."""
        if self.losses:
            new = self.world.mean(torch.stack(self.losses).float()).cpu()
            self.known = torch.cat([self.known, new])
            self.losses.clear()
        return self.known

    def end_epoch(self, module: nn.Module) -> Epoch:
        """Scores the module as it is at the epoch's end, and keeps it if it is the best so far.

        Raises:
            DataError: A loss is not finite.
        """
        number, train_loss = len(self.epochs) + 1, float(self.step_losses().mean())
        self.known = torch.zeros(0)
        self._check(number, {"train_loss": train_loss})
        epoch = Epoch(number, train_loss, self._score(module))
        self._check(number, {self.learnable.objective.metric: self.learnable.objective.value(epoch)})
        self.epochs.append(epoch)
        objective = self.learnable.objective
        if self.best is None or objective.is_better(objective.value(epoch), objective.value(self.best)):
            self.best = epoch
            weights = ((name, whole(value)) for name, value in module.state_dict().items())
            self.weights = {name: value.cpu().clone() for name, value in weights if self.world.rank == 0}
        self.observe(float(epoch.epoch), epoch)
        return epoch

    def stale_epochs(self, since: int) -> int:
        """Epochs without a better one, counted from epoch `since` at the earliest."""
        return len(self.epochs) - max(since, self.best.epoch if self.best else 0)

    def _score(self, module: nn.Module) -> dict[str, float]:
        module.eval()
        with torch.no_grad():
            figures = self.world.from_first(lambda: self.learnable.score(module), together=self.world.sharded)
        module.train()
        return figures

    def _check(self, number: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            if not math.isfinite(value):
                raise DataError(
                    f"{name.replace('_', ' ')} was not finite in epoch {number} ({value}); "
                    f"lower train.learning_rate={self.spec.learning_rate:g}, or set train.clip_norm"
                )

    def facts(self) -> dict[str, Any]:
        """The learning curve as JSON values."""
        return {"epochs": [asdict(epoch) for epoch in self.epochs], "best": self.best.epoch if self.best else 0}

    def restore(self, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Puts back the curve, the best weights (`best/…`) and the losses of the epoch that was under way."""
        self.epochs = [Epoch(**values) for values in facts["epochs"]]
        self.best = next((epoch for epoch in self.epochs if epoch.epoch == facts["best"]), None)
        self.weights = {name[5:]: value for name, value in tensors.items() if name.startswith("best/")}
        self.known = tensors["losses"]

    def fitted(self) -> Fitted:
        """The best epoch's weights, and the learning curve.

        Raises:
            DataError: No epoch ended.
        """
        if self.best is None:
            raise DataError("training ended before its first epoch did; were the rows or train.epochs changed?")
        return Fitted({name: value.numpy() for name, value in self.weights.items()}, self.epochs, self.best)
