"""A small thing to learn, with dropout and noise, for the tests of the engine.

from unit.training.toy_learnable import Toy
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from fairlead.training.engine.learnable import Phase
from fairlead.training.recipes.protocol import Epoch, Fitted, Objective
from fairlead.training.spec import TrainSpec

HEAD_THEN_ALL = (Phase("head", 2, 0.05, lambda name: not name.startswith("0")), Phase("all", 3, 0.02))


class Toy:
    """Whether the first two of six numbers add up to more than nothing."""

    def __init__(
        self, size: int = 300, chance: float = 0.2, phases: Sequence[Phase] = (), seed: int = 7, width: int = 16
    ) -> None:
        """Makes examples and a fresh module; `chance` is dropout, and the deviation of the noise."""
        torch.manual_seed(seed)
        self.module: nn.Module = nn.Sequential(
            nn.Linear(6, width), nn.BatchNorm1d(width), nn.Dropout(chance), nn.Linear(width, 1)
        )
        drawn = torch.Generator().manual_seed(1)
        self.inputs = torch.randn(size + 200, 6, generator=drawn)
        noise = 0.3 * torch.randn(size + 200, generator=drawn)
        self.label = (self.inputs[:, :2].sum(1) + noise > 0).float()
        self.train_size, self.chance, self.phases = size, chance, phases
        self.objective = Objective("validation_log_loss")

    def without_batch_norm(self) -> "Toy":
        """The same, with a module whose result does not depend on how a batch is cut."""
        self.module = nn.Sequential(
            *(layer for layer in self.module.children() if not isinstance(layer, nn.BatchNorm1d))
        )
        return self

    def batch(self, indices: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """Some examples, with noise."""
        inputs = self.inputs[indices]
        noise = self.chance * torch.randn(inputs.shape, generator=generator) if self.chance else 0.0
        return inputs + noise, self.label[indices]

    def loss(self, module: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        """Cross-entropy."""
        return nn.functional.binary_cross_entropy_with_logits(module(batch[0]).squeeze(1).float(), batch[1])

    def score(self, module: nn.Module) -> dict[str, float]:
        """On the last examples."""
        rest = self.inputs[self.train_size :], self.label[self.train_size :]
        return {"validation_log_loss": float(self.loss(module, rest)), "validation_brier": 0.25}


def toy_spec(**changes: Any) -> TrainSpec:
    """How toys are trained: 4 epochs of 10 steps."""
    values = {"epochs": 4, "batch_size": 32, "learning_rate": 0.05, "clip_norm": 1.0, "threads": 1, **changes}
    return TrainSpec.parse(values, "train")


def ignore(_done: float, _epoch: Epoch | None) -> None:
    """An observer that tells nothing."""


def same_bits(one: Fitted, other: Fitted) -> bool:
    """Whether two trainings agree in every weight and every figure."""
    if one.epochs != other.epochs or one.weights.keys() != other.weights.keys():
        return False
    return all(one.weights[name].tobytes() == value.tobytes() for name, value in other.weights.items())


def write_fitted(fitted: Fitted, path: Path) -> None:
    """Keeps what a process of its own has trained."""
    import json
    from dataclasses import asdict

    from safetensors.numpy import save_file

    path.mkdir(parents=True)
    save_file(fitted.weights, path / "weights.safetensors")
    (path / "epochs.json").write_text(json.dumps([asdict(epoch) for epoch in fitted.epochs]))


def read_fitted(path: Path) -> Fitted:
    """Reads it back."""
    import json

    from safetensors.numpy import load_file

    epochs = [Epoch(**values) for values in json.loads((path / "epochs.json").read_text())]
    best = min(epochs, key=lambda epoch: epoch.validation["validation_log_loss"])
    return Fitted(dict(load_file(path / "weights.safetensors")), epochs, best)
