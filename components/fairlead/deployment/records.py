"""What is kept of rollouts: the state of the one under way, its lock, and the history of all."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fairlead import atomic
from fairlead.errors import RolloutError, StateError

FORMAT = 1
Phase = Literal["stepping", "promoting", "rolling_back", "done"]
Outcome = Literal["", "promoted", "rolled_back", "inconclusive"]
Verb = Literal["promote", "rollback"]


class InChargeError(RolloutError):
    """Another process is in charge of the service's rollout."""


class Look(BaseModel):
    """The evidence at one moment.

    Attributes:
        seconds: Since the rollout began.
        percent: The canary's share that was asked for.
        canary: Requests that the canary got in this step.
        stable: Requests that the stable version got in this step.
        checks: By metric: log e-value, difference, its lower and its upper bound.
    """

    model_config = ConfigDict(frozen=True)

    seconds: float
    percent: float
    canary: int
    stable: int
    checks: dict[str, tuple[float, float, float, float]] = {}


class Event(BaseModel):
    """Something that was decided."""

    seconds: float
    percent: float
    what: str


class RolloutState(BaseModel):
    """One rollout: enough to go on with it after a crash.

    Attributes:
        format: Of this file.
        name: The service.
        digest: The version on trial.
        version: Its number in the registry.
        stable: The version that it is compared with, or None for a first version.
        spec: The problem's section `rollout`.
        phase: What is being done.
        outcome: How it ends, once that is decided.
        reasons: Why.
        step: The index of the current step.
        step_seconds: How long this step has taken so far; time in which nobody judged does not count.
        seconds: How long the whole has taken.
        judge: The judge's state.
        cursor: Up to where the target's metrics were read.
        looks: The evidence over time.
        events: The decisions.
    """

    format: int = FORMAT
    name: str
    digest: str
    version: str
    stable: str | None
    spec: dict[str, Any]
    phase: Phase = "stepping"
    outcome: Outcome = ""
    reasons: list[str] = Field(default_factory=list)
    step: int = 0
    step_seconds: float = 0.0
    seconds: float = 0.0
    judge: dict[str, Any] = Field(default_factory=dict)
    cursor: dict[str, Any] | None = None
    looks: list[Look] = Field(default_factory=list)
    events: list[Event] = Field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Reads the state of the latest rollout; None where there was none.

        Raises:
            StateError: It is corrupt or of another format.
        """
        try:
            state = cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise StateError(f"{path} is not a rollout's state ({type(error).__name__}); remove it") from None
        if state.format != FORMAT:
            raise StateError(f"{path} has format {state.format}, this version reads {FORMAT}; remove it")
        return state


class Records:
    """The files of one service's rollouts.

    Args:
        folder: The platform's folder of rollouts.
        name: The service.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        folder.mkdir(parents=True, exist_ok=True)
        self.state, self.history = folder / f"{name}.json", folder / f"{name}.jsonl"
        self._lock, self._command = folder / f"{name}.lock", folder / f"{name}.command"

    @contextmanager
    def charge(self) -> Iterator[None]:
        """Takes charge of the service's rollouts: one process at a time, freed by the kernel if it dies.

        Raises:
            InChargeError: Another process is in charge.
        """
        with self._lock.open("a+") as lock:
            try:
                fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise InChargeError(
                    f"process {lock.read().strip() or '?'} is in charge of {self.name}'s rollout; wait for its end, "
                    f"or tell it to end: fairlead rollback {self.name}"
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            self._command.unlink(missing_ok=True)
            yield

    def save(self, state: RolloutState) -> None:
        """Writes the state, whole or not at all."""
        atomic.write_json(self.state, state.model_dump(mode="json"))

    def command(self, verb: Verb) -> None:
        """Leaves a word for the process in charge."""
        atomic.write_text(self._command, verb)

    def commanded(self) -> Verb | None:
        """Reads the word that was left."""
        try:
            word = self._command.read_text().strip()
        except FileNotFoundError:
            return None
        return "promote" if word == "promote" else "rollback"

    def append(self, record: dict[str, Any]) -> None:
        """Adds one line to the history."""
        line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "name": self.name, **record}
        with self.history.open("a", encoding="utf-8") as file:  # one short line: appended in one write
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def past(self) -> list[dict[str, Any]]:
        """The history, oldest first."""
        if not self.history.exists():
            return []
        return [json.loads(line) for line in self.history.read_text(encoding="utf-8").splitlines() if line.strip()]
