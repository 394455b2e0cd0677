"""AdamW without its class, and what both ways to train do with gradients and the optimiser's state."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class Stateful(Protocol):
    """What `torch.optim.AdamW` and `FunctionalAdamW` have in common: a state by parameter."""

    state: Any


class FunctionalAdamW:
    """AdamW by torch's function for it, to the bits of `torch.optim.AdamW(fused=True)`.

    The class imports torch's compiler when one is made: 2 s for what is never compiled.
    """

    def __init__(self, parameters: Iterable[Tensor], weight_decay: float) -> None:
        """Makes the optimiser; a parameter's state is made at its first step."""
        self.parameters, self.weight_decay = list(parameters), weight_decay
        self.state: dict[Tensor, dict[str, Tensor]] = {}

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Moves the parameters that have gradients, and forgets these."""
        moved = [p for p in self.parameters if p.grad is not None]
        states = [self._state(p) for p in moved]
        adamw(
            moved, [p.grad for p in moved if p.grad is not None], [s["exp_avg"] for s in states],
            [s["exp_avg_sq"] for s in states], [], [s["step"] for s in states],
            fused=True, amsgrad=False, beta1=0.9, beta2=0.999, lr=rate, weight_decay=self.weight_decay, eps=1e-8,
            maximize=False,
        )  # fmt: skip
        for parameter in self.parameters:
            parameter.grad = None

    def _state(self, parameter: Tensor) -> dict[str, Tensor]:
        if parameter not in self.state:
            step = torch.zeros((), dtype=torch.float32, device=parameter.device)
            moments = {name: torch.zeros_like(parameter) for name in MOMENTS[1:]}
            self.state[parameter] = {"step": step, **moments}
        return self.state[parameter]


def clip_gradients(parameters: Iterable[nn.Parameter], norm: float | None) -> None:
    """Scales all gradients down together where their Euclidean norm is above `norm`; sharded ones too."""
    if norm is not None:
        torch.nn.utils.clip_grad_norm_(list(parameters), norm)


def whole(tensor: Tensor) -> Tensor:
    """Gives a tensor in one piece: that of a sharded parameter is gathered from all processes, which all must ask."""
    gather = getattr(tensor, "full_tensor", None)
    return tensor.detach() if gather is None else gather().detach()


def capture(module: nn.Module, optimizer: Stateful) -> dict[str, Tensor]:
    """Copies weights, buffers and the optimiser's state to the CPU, by name: `weight/…`, `exp_avg/…`."""
    tensors = {f"weight/{name}": _copy(value) for name, value in module.state_dict().items()}
    for name, parameter in module.named_parameters():
        state = optimizer.state.get(parameter, {})
        tensors |= {f"{moment}/{name}": _copy(state[moment]) for moment in MOMENTS if moment in state}
    return tensors


def restore(module: nn.Module, optimizer: Stateful, tensors: Mapping[str, Tensor]) -> None:
    """Puts back what `capture` copied."""
    load_weights(module, {name[7:]: value for name, value in tensors.items() if name.startswith("weight/")})
    for name, parameter in module.named_parameters():
        if f"step/{name}" in tensors:
            moments = {moment: like(tensors[f"{moment}/{name}"], parameter) for moment in MOMENTS[1:]}
            step = tensors[f"step/{name}"].clone().to(parameter.device)
            optimizer.state[parameter] = {"step": step, **moments}


@torch.no_grad()
def load_weights(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Overwrites weights and buffers in place, sharded ones too."""
    for name, value in module.state_dict().items():
        value.copy_(like(weights[name], value))


def like(tensor: Tensor, model: Tensor) -> Tensor:
    """Copies a whole tensor to where another one is: its device, and its shards."""
    moved = tensor.clone().to(model.device)
    mesh = getattr(model, "device_mesh", None)
    if mesh is None:
        return moved
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(moved, mesh, model.placements)  # type: ignore[attr-defined]


def _copy(tensor: Tensor) -> Tensor:
    return whole(tensor).cpu().clone()
