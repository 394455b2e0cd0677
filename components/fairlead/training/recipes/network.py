"""The tabular network in torch: raw numbers and category codes in, a logit out.

Imputation and scaling are buffers of the module, so that they leave with it into the ONNX graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fairlead.training.tabular import Floats
from fairlead_serving.package import FIRST_KNOWN, MISSING, UNKNOWN

LARGEST = 1e30  # numbers beyond it, infinity among them, are taken for missing
CLIP = 10.0  # standard deviations; a wild reading at serving time cannot drown the other inputs
WIDEST_EMBEDDING = 24


@dataclass(frozen=True)
class Statistics:
    """What the training rows say about the numeric columns, each float32 (F,).

    Attributes:
        median: Stands in for missing values; 0 for a column without any value.
        mean: After imputation.
        inverse_deviation: 1 / standard deviation after imputation; 0 for a constant column, which then says nothing.
        indicated: 1 where values were missing in training, so that missingness may count; else 0.
    """

    median: Floats
    mean: Floats
    inverse_deviation: Floats
    indicated: Floats

    @classmethod
    def of(cls, numeric: Floats) -> "Statistics":
        """Computes the statistics of training rows, float32 (N, F)."""
        known = np.abs(numeric) <= LARGEST
        columns = [_summarise(numeric[:, i], known[:, i]) for i in range(numeric.shape[1])]
        table = np.asarray(columns, dtype=np.float32).reshape(-1, 4)
        return cls(table[:, 0], table[:, 1], table[:, 2], table[:, 3])

    @classmethod
    def blank(cls, count: int) -> "Statistics":
        """Gives statistics of the right shape, to be overwritten by stored weights."""
        zeros = np.zeros(count, dtype=np.float32)
        return cls(zeros, zeros, zeros, zeros)


def _summarise(column: Floats, known: "np.ndarray[Any, np.dtype[np.bool_]]") -> tuple[float, float, float, float]:
    values = column[known].astype(np.float64)
    if not len(values):
        return 0.0, 0.0, 0.0, 1.0
    median = float(np.median(values))
    filled = np.where(known, column, median).astype(np.float64)
    deviation = float(filled.std())
    tiny = 1e-6 * max(1.0, abs(median))  # a constant column's deviation is rounding noise
    return median, float(filled.mean()), 1.0 / deviation if deviation > tiny else 0.0, float(not known.all())


class TabularNetwork(nn.Module):
    """Embeddings of the categories beside standardised numbers and indicators of missing ones, then an MLP."""

    median: Tensor
    mean: Tensor
    inverse_deviation: Tensor
    indicated: Tensor

    def __init__(
        self, statistics: Statistics, vocabulary_sizes: Sequence[int], hidden: Sequence[int], dropout: float
    ) -> None:
        """Makes a network with fresh weights from torch's global random generator.

        Args:
            statistics: Of the F numeric columns.
            vocabulary_sizes: Words of each of the C categorical columns.
            hidden: Widths of the hidden layers.
            dropout: Share of hidden units left out in training.
        """
        super().__init__()
        for name in ("median", "mean", "inverse_deviation", "indicated"):
            self.register_buffer(name, torch.from_numpy(getattr(statistics, name).copy()))
        self.embeddings = nn.ModuleList([_embedding(size) for size in vocabulary_sizes])
        width = 2 * len(statistics.median) + sum(_embedding_width(size) for size in vocabulary_sizes)
        layers: list[nn.Module] = []
        for units in hidden:
            layers += [nn.Linear(width, units), nn.ReLU(), nn.Dropout(dropout)]
            width = units
        self.layers = nn.Sequential(*layers, nn.Linear(width, 1))

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Computes logits.

        Args:
            numeric: float32 (N, F), NaN where missing.
            categorical: int64 (N, C), codes.

        Returns:
            float32 (N,).
        """
        known = numeric.abs() <= LARGEST  # (N, F); false for NaN
        filled = torch.where(known, numeric, self.median)
        scaled = ((filled - self.mean) * self.inverse_deviation).clamp(-CLIP, CLIP)
        missing = (~known).float() * self.indicated
        embedded = [layer(categorical[:, i]) for i, layer in enumerate(self.embeddings)]  # each (N, width)
        return self.layers(torch.cat([scaled, missing, *embedded], dim=1)).squeeze(1)  # type: ignore[no-any-return]


def hide_categories(categorical: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Turns a random share of the known codes into `unknown`, so that its embedding learns what to say.

    Args:
        categorical: int64 (N, C), codes.
        share: From 0 to 1.
        generator: The source of chance.

    Returns:
        int64 (N, C); missing values stay missing.
    """
    hidden = torch.rand(categorical.shape, generator=generator) < share
    return torch.where(hidden & (categorical != MISSING), UNKNOWN, categorical)


def _embedding_width(size: int) -> int:
    """A width that grows slowly with the vocabulary, as in fastai's tabular learner."""
    return min(WIDEST_EMBEDDING, int(1.6 * (size + FIRST_KNOWN) ** 0.56 + 0.5))


def _embedding(size: int) -> nn.Embedding:
    layer = nn.Embedding(size + FIRST_KNOWN, _embedding_width(size))
    with torch.no_grad():
        layer.weight.normal_(0.0, 0.1)
        layer.weight[MISSING] = 0.0  # where training never sees a missing value, it says nothing
    return layer
