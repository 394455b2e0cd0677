"""A small transformer that learns to predict the next of some made-up symbols: what the training benchmarks train."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy

from fairlead.training.engine.learnable import Phase
from fairlead.training.recipes.protocol import Objective

SYMBOLS, LENGTH = 64, 64


class Transformer(nn.Module):
    """Two layers, four heads, 128 wide: 0.4 million weights."""

    def __init__(self, width: int = 128) -> None:
        """Makes one with fresh weights."""
        super().__init__()
        self.symbols, self.places = nn.Embedding(SYMBOLS, width), nn.Embedding(LENGTH, width)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.1, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, SYMBOLS)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(LENGTH))

    def forward(self, text: Tensor) -> Tensor:
        """Computes logits of the next symbol, (N, LENGTH, SYMBOLS), of symbols int64 (N, LENGTH)."""
        embedded = self.symbols(text) + self.places.weight  # (N, LENGTH, width)
        logits: Tensor = self.head(self.layers(embedded, mask=self.mask, is_causal=True))
        return logits


class NextSymbol:
    """The transformer with its data and loss; see `fairlead.training.engine.learnable.Learnable`."""

    module: nn.Module
    objective = Objective("validation_loss")
    phases: Sequence[Phase] = ()

    def __init__(self, size: int, width: int = 128) -> None:
        """Makes so many texts, and a fresh module."""
        torch.manual_seed(7)
        self.module, self.train_size = Transformer(width), size
        steps = torch.randint(1, 4, (size, LENGTH + 1), generator=torch.Generator().manual_seed(1))
        self.text = steps.cumsum(1) % SYMBOLS

    def batch(self, indices: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """Texts and their next symbols."""
        del generator
        chosen = self.text[indices]
        return chosen[:, :-1], chosen[:, 1:]

    def loss(self, module: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        """Cross-entropy in nats."""
        text, following = batch
        return cross_entropy(module(text).flatten(0, 1), following.flatten())

    def score(self, module: nn.Module) -> dict[str, float]:
        """Nothing is validated: it would not be part of a bare loop."""
        del module
        return {"validation_loss": 0.0}
