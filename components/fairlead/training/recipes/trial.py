"""Fits the tabular network in a plain loop, to the very weights that Lightning's fit gives.

A search's trials are short, and each search is a process of its own: there the import of Lightning (5 s of processor
time on top of torch's 2) would cost more than all trials. A test holds both ways to the same bits.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from fairlead.training.recipes.learning import Batches, Keeper, batch_loss
from fairlead.training.recipes.network import TabularNetwork
from fairlead.training.recipes.protocol import Fitted, Observer
from fairlead.training.recipes.schedule import rate_at
from fairlead.training.spec import TrainSpec
from fairlead.training.tabular import Rows


class FunctionalAdamW:
    """AdamW by torch's function for it, with the defaults of `torch.optim.AdamW`.

    The class `torch.optim.AdamW` imports torch's compiler when one is made: 2 s for what is never compiled.
    """

    def __init__(self, parameters: Iterable[Tensor], weight_decay: float) -> None:
        """Makes the state of the parameters."""
        self.parameters, self.weight_decay = list(parameters), weight_decay
        self.steps = [torch.tensor(0.0) for _ in self.parameters]
        self.means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in self.parameters]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Moves the parameters by their gradients, and forgets these."""
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in self.parameters]
        adamw(
            self.parameters, gradients, self.means, self.squares, [], self.steps,
            fused=True, amsgrad=False, beta1=0.9, beta2=0.999, lr=rate, weight_decay=self.weight_decay, eps=1e-8,
            maximize=False,
        )  # fmt: skip
        for parameter in self.parameters:
            parameter.grad = None


def fit_trial(network: TabularNetwork, train: Rows, validation: Rows, spec: TrainSpec, observe: Observer) -> Fitted:
    """Trains a network; see `fitting.fit_network`, whose parameters, result and errors these are.

    It refuses no operation that is not deterministic; the final training of the same network does.
    """
    batches = Batches(train, spec.batch_size, spec.seed)
    keeper, steps = Keeper(validation, spec, observe), len(batches) * spec.epochs
    optimizer = FunctionalAdamW(network.parameters(), spec.weight_decay)
    for epoch in range(spec.epochs):
        for index, batch in enumerate(batches):
            loss = batch_loss(network, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step(spec.learning_rate * rate_at(epoch * len(batches) + index, steps))
            keeper.end_batch(loss, epoch + (index + 1) / len(batches))
        if keeper.end_epoch(network):
            break
    return keeper.fitted()
