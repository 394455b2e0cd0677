"""The tabular network in torch: raw numbers and category codes in, raw scores out.

Imputation and scaling are buffers of the module, so that they leave with it into the ONNX graph.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fairlead.training.tabular import Floats
from fairlead_serving.package import FIRST_KNOWN, MISSING, UNKNOWN

LARGEST = 1e30  # numbers beyond it, infinity among them, are taken for missing
CLIP = 10.0  # standard deviations; a wild reading at serving time cannot drown the other inputs
WIDEST_EMBEDDING = 24
BINS = 8  # an even number, so that the median is an edge


@dataclass(frozen=True)
class Statistics:
    """What the training rows say about the numeric columns; all float32.

    Attributes:
        median: (F,), stands in for missing values; 0 for a column without any value.
        mean: (F,), after imputation.
        inverse_deviation: (F,), 1 / standard deviation after imputation; 0 for a constant column, which says nothing.
        indicated: (F,), 1 where values were missing in training, so that missingness may count; else 0.
        bin_start: (F, BINS), lower ends of the bins between quantiles.
        bin_scale: (F, BINS), 1 / width of each bin; 0 for a bin without width.
    """

    median: Floats
    mean: Floats
    inverse_deviation: Floats
    indicated: Floats
    bin_start: Floats
    bin_scale: Floats

    @classmethod
    def of(cls, numeric: Floats) -> "Statistics":
        """Computes the statistics of training rows, float32 (N, F)."""
        known = np.abs(numeric) <= LARGEST
        columns = [_summarise(numeric[:, i], known[:, i]) for i in range(numeric.shape[1])]
        table = np.asarray(columns, dtype=np.float32).reshape(-1, 4 + 2 * BINS)
        median, mean, scale, indicated = table[:, :4].T
        return cls(median, mean, scale, indicated, table[:, 4 : 4 + BINS], table[:, 4 + BINS :])

    @classmethod
    def blank(cls, count: int) -> "Statistics":
        """Gives statistics of the right shape, to be overwritten by stored weights."""
        zeros, bins = np.zeros(count, dtype=np.float32), np.zeros((count, BINS), dtype=np.float32)
        return cls(zeros, zeros, zeros, zeros, bins, bins)


def _summarise(column: Floats, known: "np.ndarray[Any, np.dtype[np.bool_]]") -> list[float]:
    """The statistics of one column in the order of `Statistics`."""
    values = column[known].astype(np.float64)
    if not len(values):
        return [0.0, 0.0, 0.0, 1.0, *[0.0] * (2 * BINS)]
    edges = np.quantile(values, np.linspace(0, 1, BINS + 1))
    median = float(edges[BINS // 2])
    filled = np.where(known, column, median).astype(np.float64)
    tiny = 1e-6 * max(1.0, abs(median))  # what varies less is rounding noise
    scales = _inverse(np.append(np.diff(edges), filled.std()), tiny)
    return [median, float(filled.mean()), scales[-1], float(not known.all()), *edges[:-1], *scales[:-1]]


def _inverse(widths: "np.ndarray[Any, np.dtype[np.float64]]", tiny: float) -> list[float]:
    return [1.0 / float(width) if width > tiny else 0.0 for width in widths]


class TabularNetwork(nn.Module):
    """Embeddings of the categories beside encoded numbers and indicators of missing ones, then an MLP.

    A number enters standardised, and as its piecewise linear encoding between quantiles, which lets a network follow
    steps and skewed distributions as trees do (Gorishniy, Rubachev, Babenko: On Embeddings for Numerical Features in
    Tabular Deep Learning, 2022). On the flights problem the mean test ROC AUC of five seeds rose from 0.755 to 0.763.
    """

    median: Tensor
    mean: Tensor
    inverse_deviation: Tensor
    indicated: Tensor
    bin_start: Tensor
    bin_scale: Tensor

    def __init__(
        self,
        statistics: Statistics,
        vocabulary_sizes: Sequence[int],
        hidden: Sequence[int],
        dropout: float,
        outputs: int = 1,
    ) -> None:
        """Makes a network with fresh weights from torch's global random generator.

        Args:
            statistics: Of the F numeric columns.
            vocabulary_sizes: Words of each of the C categorical columns.
            hidden: Widths of the hidden layers.
            dropout: Share of hidden units left out in training.
            outputs: Raw scores of a row: 1, or K classes.
        """
        super().__init__()
        for field in fields(statistics):
            self.register_buffer(field.name, torch.from_numpy(getattr(statistics, field.name).copy()))
        self.embeddings = nn.ModuleList([_embedding(size) for size in vocabulary_sizes])
        width = (2 + BINS) * len(statistics.median) + sum(_embedding_width(size) for size in vocabulary_sizes)
        layers: list[nn.Module] = []
        for units in hidden:
            layers += [nn.Linear(width, units), nn.ReLU(), nn.Dropout(dropout)]
            width = units
        self.layers = nn.Sequential(*layers, nn.Linear(width, outputs))
        self.outputs = outputs

    def forward(self, numeric: Tensor, categorical: Tensor) -> Tensor:
        """Computes raw scores.

        Args:
            numeric: float32 (N, F), NaN where missing.
            categorical: int64 (N, C), codes.

        Returns:
            float32 (N,), or (N, K).
        """
        known = numeric.abs() <= LARGEST  # (N, F); false for NaN
        filled = torch.where(known, numeric, self.median)
        scaled = ((filled - self.mean) * self.inverse_deviation).clamp(-CLIP, CLIP)
        pieces = ((filled.unsqueeze(2) - self.bin_start) * self.bin_scale).clamp(0, 1)  # (N, F, BINS)
        missing = (~known).float() * self.indicated
        embedded = [layer(categorical[:, i]) for i, layer in enumerate(self.embeddings)]  # each (N, width)
        raw: Tensor = self.layers(torch.cat([scaled, pieces.flatten(1), missing, *embedded], dim=1))
        return raw.squeeze(1) if self.outputs == 1 else raw


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
