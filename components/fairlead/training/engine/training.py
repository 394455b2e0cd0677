"""A training under way, whoever turns the crank: where it stands, what it keeps, how it goes on after a kill.

`lightning.fit` and `plain.fit_plain` compute losses and gradients; all that decides what the weights become is here and
in `order`, so that both ways, and a training that was killed and resumed, give the same bits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from fairlead.errors import ConfigurationError
from fairlead.training.engine.keeper import Keeper
from fairlead.training.engine.learnable import Learnable, Phase
from fairlead.training.engine.optimizer import Stateful, capture, load_weights, restore
from fairlead.training.engine.order import Order, Part
from fairlead.training.engine.processes import World
from fairlead.training.engine.schedule import rate_at
from fairlead.training.engine.snapshots import Clock, Snapshot, SnapshotFolder
from fairlead.training.engine.trace import Trace
from fairlead.training.recipes.protocol import Fitted, Observer
from fairlead.training.spec import TrainSpec


class Scaler(Protocol):
    """What of a gradient scaler (fp16) a snapshot must hold."""

    def state_dict(self) -> dict[str, Any]:
        """Its state, as JSON values."""
        ...

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Puts it back."""
        ...


@dataclass(frozen=True)
class Position:
    """How far a training is; all counts are from 0.

    Attributes:
        phase: Its number.
        phase_epoch: Epochs of the phase that are done.
        epoch: Epochs of the training that are done.
        step: Steps of the epoch that are done.
        steps: Steps of the training that are done.
    """

    phase: int = 0
    phase_epoch: int = 0
    epoch: int = 0
    step: int = 0
    steps: int = 0

    @property
    def begins_phase(self) -> bool:
        """Whether nothing of the phase is done."""
        return self.phase_epoch == self.step == 0


class Training:
    """One training under way."""

    def __init__(
        self, learnable: Learnable, spec: TrainSpec, observe: Observer, work: Path | None, world: World
    ) -> None:
        """Starts a training, or goes on with the one whose snapshots lie in `work`."""
        self.learnable, self.spec, self.world = learnable, spec, world
        self.phases: Sequence[Phase] = learnable.phases or (Phase("all", spec.epochs),)
        self.folder = SnapshotFolder(work / "snapshots", spec.keep_snapshots) if work is not None else None
        self.trace = Trace(work if world.rank == 0 else None)
        self.keeper = Keeper(learnable, spec, observe, world)
        self.position, self.accumulate = Position(), spec.accumulate
        self.scaler: Scaler | None = None
        self.resumed = world.from_first(self.folder.newest) if self.folder is not None else None
        if self.resumed is not None:
            self._go_on(self.resumed)
        self.clock = Clock(spec.save_every_seconds, self.position.steps)
        self._losses: list[Tensor] = []  # of the parts of the step under way

    def _go_on(self, snapshot: Snapshot) -> None:
        self.position = Position(**snapshot.facts["position"])
        self.accumulate = int(snapshot.facts["accumulate"])
        self.keeper.restore(snapshot.facts["keeper"], snapshot.tensors)
        self.trace.resume(self.position.steps)

    @property
    def done(self) -> bool:
        """Whether all phases are over."""
        return self.position.phase >= len(self.phases)

    @property
    def phase(self) -> Phase:
        """The phase under way."""
        return self.phases[self.position.phase]

    @property
    def order(self) -> Order:
        """The order of the examples."""
        spec = self.spec
        size, world = self.learnable.train_size, self.world
        return Order(size, spec.batch_size, spec.seed, self.accumulate, world.rank, world.size)

    @property
    def facts(self) -> dict[str, Any]:
        """What beside the spec decides the bits."""
        return {
            "order": "torch.randperm, seeded by blake2b of seed and epoch",
            "processes": self.world.size,
            "accumulate": self.accumulate,
            "threads": torch.get_num_threads(),
        }

    def choose_parameters(self, module: nn.Module) -> None:
        """Says which parameters the phase trains; to be called before its optimiser is made.

        Raises:
            ConfigurationError: It trains none.
        """
        module.train()
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(self.phase.trainable(name))
        if not any(parameter.requires_grad for parameter in module.parameters()):
            names = ", ".join(name for name, _ in module.named_parameters())
            raise ConfigurationError(f"phase {self.phase.name!r} trains none of the module's parameters: {names}")

    def begin(self, module: nn.Module, optimizer: Stateful) -> None:
        """Begins a phase from the best weights so far, or goes on in the middle of one, from the snapshot."""
        snapshot, self.resumed = self.resumed, None
        if snapshot is not None and not self.position.begins_phase:
            restore(module, optimizer, snapshot.tensors)
        elif self.position.phase:
            load_weights(module, self.world.broadcast(self.keeper.weights))
        if snapshot is not None and self.scaler is not None:
            self.scaler.load_state_dict(snapshot.facts["scaler"])

    def rate(self, step: int) -> float:
        """The learning rate of a step of the epoch under way."""
        highest, steps = self.phase.learning_rate or self.spec.learning_rate, self.order.steps
        done = self.position.phase_epoch * steps + step
        return highest * rate_at(done, self.phase.epochs * steps, self.spec.schedule, self.spec.warm_up)

    def parts(self) -> Iterator[tuple[tuple[Tensor, ...], Part]]:
        """Gives the rest of the epoch, part by part, as this process computes it."""
        generator = torch.Generator()
        for part in self.order.parts(self.position.epoch, self.position.step):
            generator.manual_seed(part.data_seed)
            yield self.learnable.batch(part.indices, generator), part

    def end_part(self, module: nn.Module, optimizer: Stateful, loss: Tensor, part: Part) -> None:
        """Counts a part; with the last one of a step, after the optimiser's move, the step.

        Args:
            module: As the step left it.
            optimizer: Its optimiser.
            loss: The part's mean loss times its scale, a scalar.
            part: Which one.
        """
        self._losses.append(loss.detach())
        if part.last:
            total = self._losses[0] if len(self._losses) == 1 else torch.stack(self._losses).mean()
            self._losses.clear()
            at = self.position
            self.position = replace(at, step=at.step + 1, steps=at.steps + 1)
            self.keeper.end_step(total, at.epoch + (at.step + 1) / self.order.steps)
            if self.position.step < self.order.steps:
                self._save_if_due(module, optimizer)

    def end_epoch(self, module: nn.Module, optimizer: Stateful) -> bool:
        """Scores, keeps, and moves on.

        Returns:
            Whether the phase is over.

        Raises:
            DataError: A loss is not finite.
        """
        self._tell_steps()
        epoch = self.keeper.end_epoch(module)
        self.trace.tell_epoch(
            self.position.steps, epoch.epoch, {"train_loss": epoch.train_loss, **epoch.validation}
        )  # fmt: skip
        at = self.position
        at = replace(at, epoch=at.epoch + 1, phase_epoch=at.phase_epoch + 1, step=0)
        stale = self.keeper.stale_epochs(since=at.epoch - at.phase_epoch) >= self.spec.patience
        over = stale or at.phase_epoch >= self.phase.epochs
        self.position = replace(at, phase=at.phase + 1, phase_epoch=0) if over else at
        self._save_if_due(module, optimizer)
        return over

    def _tell_steps(self) -> None:
        losses = self.keeper.step_losses().tolist()
        first = self.position.steps - len(losses) + 1
        self.trace.tell_steps(first, losses, [self.rate(step) for step in range(len(losses))])

    def _save_if_due(self, module: nn.Module, optimizer: Stateful) -> None:
        steps = self.position.steps
        if self.folder is None or steps < self.clock.ask_at:
            return
        due, self.clock.ask_at = self.world.from_first(lambda: self.clock.ask(steps))
        if due:
            self._save(self.folder, module, optimizer)

    def _save(self, folder: SnapshotFolder, module: nn.Module, optimizer: Stateful) -> None:
        tensors, losses = capture(module, optimizer), self.keeper.step_losses()
        if self.world.rank:
            return
        if not self.done and len(losses):
            self._tell_steps()
        best = {f"best/{name}": value for name, value in self.keeper.weights.items()}
        facts = {
            "position": asdict(self.position),
            "accumulate": self.accumulate,
            "keeper": self.keeper.facts(),
            "scaler": self.scaler.state_dict() if self.scaler is not None else {},
        }
        folder.write(Snapshot(self.position.steps, {**tensors, **best, "losses": losses}, facts))

    def fitted(self, facts: dict[str, Any]) -> Fitted:
        """What the training leaves, with facts about how it was computed."""
        return replace(self.keeper.fitted(), facts=facts)
