"""The recipe `tabular-network`: a small network for tables, trained by Lightning."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fairlead.errors import SourceError
from fairlead.training.recipes.protocol import Design, Fitted, Observer, Weights
from fairlead.training.tabular import Codes, Floats, Rows

if TYPE_CHECKING:
    from fairlead.training.recipes.network import Statistics, TabularNetwork

MUCH_ARITHMETIC = 200_000_000  # multiplications of one step's forward pass


class TabularNetworkRecipe:
    """Embeddings for categories, imputed and standardised numbers, an MLP, binary cross-entropy, early stopping."""

    def load(self, *, trial: bool = False) -> None:
        """Imports torch, and Lightning unless for trials; see `Recipe.load`."""
        import_module(f"fairlead.training.recipes.{'trial' if trial else 'fitting'}")

    def fit(self, train: Rows, validation: Rows, design: Design, observe: Observer) -> Fitted:
        """Fits weights with Lightning; see `Recipe.fit`."""
        from fairlead.training.recipes.fitting import fit_network

        with _fresh_network(train, design) as network:
            return fit_network(network, train, validation, design.spec, observe)

    def fit_trial(self, train: Rows, validation: Rows, design: Design, observe: Observer) -> Fitted:
        """Fits the same weights without Lightning; see `Recipe.fit_trial`."""
        from fairlead.training.recipes.trial import fit_trial

        with _fresh_network(train, design) as network:
            return fit_trial(network, train, validation, design.spec, observe)

    def graph(self, weights: Weights, design: Design) -> "NetworkGraph":
        """Makes the network again; see `Recipe.graph`."""
        import torch

        from fairlead.training.recipes.network import Statistics

        network = _network(Statistics.blank(len(design.model.numeric)), design)
        try:
            network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
        except RuntimeError as error:
            raise SourceError(
                f"the checkpoint's weights do not fit its own description: {error}; train again"
            ) from None
        return NetworkGraph(network.eval())


class NetworkGraph:
    """A trained network, about to leave torch."""

    def __init__(self, network: "TabularNetwork") -> None:
        """Wraps a network in evaluation mode."""
        self.network = network

    def probabilities(self, numeric: Floats, categorical: Codes) -> Floats:
        """Predicts with torch; see `Graph.probabilities`."""
        import torch

        with torch.no_grad():
            logits = self.network(torch.from_numpy(numeric), torch.from_numpy(categorical))
        return np.asarray(torch.sigmoid(logits).numpy(), dtype=np.float32)

    def write_onnx(self, path: Path) -> None:
        """Writes the ONNX graph; see `Graph.write_onnx`."""
        from fairlead.training.recipes.onnx_graph import write_onnx

        write_onnx(self.network, path)


def _network(statistics: "Statistics", design: Design) -> "TabularNetwork":
    from fairlead.training.recipes.network import TabularNetwork

    return TabularNetwork(statistics, design.vocabulary_sizes, design.spec.hidden, design.spec.dropout)


@contextmanager
def _fresh_network(train: Rows, design: Design) -> "Iterator[TabularNetwork]":
    """Makes the network that training starts from, and lets torch use as many threads as pay."""
    import torch

    from fairlead.training.recipes.network import Statistics

    with _threads(design.spec.threads or sensible_threads(design)):
        torch.manual_seed(design.spec.seed)
        yield _network(Statistics.of(train.numeric), design)


def sensible_threads(design: Design) -> int:
    """The threads that pay: one unless a step has much arithmetic, then all cores.

    With 1,024 rows a step and layers of 128 and 64, two threads were no faster than one on two free cores, and ten
    times slower when other processes used the cores too: each of torch's many small operations waits for both.
    """
    widths = [10 * len(design.model.numeric) + 8 * len(design.model.categorical), *design.spec.hidden, 1]
    products = design.spec.batch_size * sum(a * b for a, b in pairwise(widths))
    return len(os.sched_getaffinity(0)) if products > MUCH_ARITHMETIC else 1


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Lets torch use so many threads for a while."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
