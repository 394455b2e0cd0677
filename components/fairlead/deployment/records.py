"""What is kept of rollouts: the state of the one under way, who is in charge of it, and the history of all."""

import json
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fairlead.deployment.silence import Silence
from fairlead.errors import StateError
from fairlead.platform.serving import RecordStore

FORMAT = 1
Phase = Literal["stepping", "promoting", "rolling_back", "done"]
Outcome = Literal["", "promoted", "rolled_back", "inconclusive"]
Verb = Literal["promote", "rollback"]


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
        silence: What was answered, and how much of that was logged.
        blind_seconds: For how long the metrics have not been readable.
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
    silence: Silence = Field(default_factory=Silence)
    blind_seconds: float = 0.0
    looks: list[Look] = Field(default_factory=list)
    events: list[Event] = Field(default_factory=list)

    @classmethod
    def parse(cls, content: bytes, where: str) -> Self:
        """Reads a state.

        Args:
            content: JSON.
            where: Where it was, for messages.

        Raises:
            StateError: It is corrupt or of another format.
        """
        try:
            state = cls.model_validate_json(content)
        except ValidationError as error:
            raise StateError(f"{where} is not a rollout's state ({type(error).__name__}); remove it") from None
        if state.format != FORMAT:
            raise StateError(f"{where} has format {state.format}, this version reads {FORMAT}; remove it")
        return state


class Records:
    """What is kept of one service's rollouts.

    Args:
        store: Where it is kept.
    """

    def __init__(self, store: RecordStore) -> None:
        self.store, self.name = store, store.name
        self._told: tuple[Any, ...] = ()

    def charge(self) -> AbstractContextManager[None]:
        """Takes charge of the service's rollouts: one at a time, freed when the one in charge dies.

        Raises:
            InChargeError: Somebody else is in charge.
        """
        return self.store.charge()

    def load(self) -> RolloutState | None:
        """Reads the state of the latest rollout; None where there was none.

        Raises:
            StateError: It is corrupt or of another format.
        """
        content = self.store.read()
        return None if content is None else RolloutState.parse(content, self.store.where)

    def save(self, state: RolloutState) -> None:
        """Keeps the state; at once if it has come further, otherwise when the store sees fit.

        Evidence and the cursor up to which it was read are kept together, so an older state loses none: what came in
        since then is read again.
        """
        told = (state.digest, state.phase, state.outcome, state.step, len(state.events))
        content = json.dumps(state.model_dump(mode="json"))  # pydantic would write infinity as null
        self.store.write(content.encode(), urgent=told != self._told)
        self._told = told

    def command(self, verb: Verb) -> None:
        """Leaves a word for the one in charge."""
        self.store.command(verb)

    def commanded(self) -> Verb | None:
        """Reads the word that was left."""
        word = self.store.commanded()
        return None if not word else "promote" if word == "promote" else "rollback"

    def append(self, record: dict[str, Any]) -> None:
        """Adds one line to the history."""
        line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "name": self.name, **record}
        self.store.append(json.dumps(line, ensure_ascii=False))

    def past(self) -> list[dict[str, Any]]:
        """The history, oldest first."""
        return [json.loads(line) for line in self.store.lines()]
