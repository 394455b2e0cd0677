"""Stand-ins for the outside, held to the same contract tests as the real thing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fairlead.errors import PlatformError
from fairlead.platform.target import Cursor, ObservedSplit, VersionMetrics, Window

BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0)


@dataclass
class Behaviour:
    """How a simulated version answers.

    Attributes:
        failure_rate: The share of attempts that fail.
        seconds: The latency of all answers, one of BUCKETS.
        probability: What it predicts; the outcome is 1 with chance 0.3.
    """

    failure_rate: float = 0.0
    seconds: float = 0.01
    probability: float = 0.3


@dataclass
class SimulatedTarget:
    """A rollout target without processes: every reading draws what one look's traffic would have done.

    Attributes:
        stable: How the stable version behaves; None where there is none.
        canary: How the canary behaves.
        requests: Requests per reading.
        actual_percent: The split that really happens, where it is not the one that was asked for.
        dies_after: The reading at which the canary dies.
        fails_after: The reading at which the platform stops answering.
        answers_after: The reading from which on it answers again.
        killed_after: The reading at which the process that reads is killed.
        logs: Whether the canary logs what it predicts.
        log: The verbs that were called.
    """

    stable: Behaviour | None = field(default_factory=Behaviour)
    canary: Behaviour = field(default_factory=Behaviour)
    requests: int = 100
    actual_percent: float | None = None
    dies_after: int | None = None
    fails_after: int | None = None
    answers_after: float = float("inf")
    killed_after: int | None = None
    logs: bool = True
    seed: int = 0
    log: list[str] = field(default_factory=list)
    percent: float = 0.0
    shadow: float = 0.0
    readings: int = 0
    sent: list[int] = field(default_factory=lambda: [0, 0])
    gone: bool = False

    def __post_init__(self) -> None:
        self._generator = np.random.default_rng(self.seed)

    @property
    def has_stable(self) -> bool:
        """Whether another version serves now."""
        return self.stable is not None

    def apply_split(self, canary_percent: float, shadow_percent: float = 0.0) -> None:
        """Notes the split."""
        self.log.append(f"shadow {shadow_percent:g}" if shadow_percent else f"split {canary_percent:g}")
        self.percent, self.shadow, self.sent = canary_percent, shadow_percent, [0, 0]

    def observe_split(self) -> ObservedSplit:
        """Gives what was drawn since the split was applied."""
        return ObservedSplit(stable=self.sent[0], canary=self.sent[1])

    def read_metrics(self, since: Cursor | None) -> Window:
        """Draws one look's traffic."""
        cursor: Mapping[str, Any] = {"reading": self.readings}
        if since is None:
            past = VersionMetrics(200, 0, self._latencies(self.stable, 200)) if self.stable else VersionMetrics()
            return Window(past, VersionMetrics(), cursor)
        json.dumps(since)
        self.readings += 1
        if self.killed_after is not None and self.readings > self.killed_after:
            raise SystemExit("the process was killed")
        if self.fails_after is not None and self.fails_after < self.readings <= self.answers_after:
            raise PlatformError("the simulated platform went away")
        share = (self.percent if self.actual_percent is None else self.actual_percent) / 100
        canary = int(self._generator.binomial(self.requests, share))
        self.sent = [self.sent[0] + self.requests - canary, self.sent[1] + canary]
        dead = self.dies_after is not None and self.readings > self.dies_after
        trouble = "the canary's server died" if dead else ""
        stable = self._draw(self.stable, self.requests - canary) if self.stable else VersionMetrics()
        copies = int(self._generator.binomial(self.requests, self.shadow / 100))
        pairs = [(self._score(self.canary), self._score(self.stable)) for _ in range(copies) if self.stable]
        return Window(stable, self._draw(self.canary, canary), {"reading": self.readings}, trouble, tuple(pairs))

    def promote(self) -> None:
        """Notes the promotion."""
        self.log.append("promote")
        self.stable, self.percent = self.canary, 100.0

    def roll_back(self) -> None:
        """Notes the rollback."""
        self.log.append("roll back")
        self.percent, self.gone = 0.0, True

    def _draw(self, behaviour: Behaviour, attempts: int) -> VersionMetrics:
        failed = int(self._generator.binomial(attempts, behaviour.failure_rate))
        outcomes = (self._generator.random(attempts - failed) < 0.3).astype(int).tolist()
        return VersionMetrics(
            succeeded=attempts - failed, failed=failed, seconds=self._latencies(behaviour, attempts - failed),
            outcomes=tuple((behaviour.probability, outcome) for outcome in outcomes),
            scores=tuple(self._score(behaviour) for _ in range(attempts - failed if self.logged(behaviour) else 0)),
        )  # fmt: skip

    def logged(self, behaviour: Behaviour) -> bool:
        """Whether a version's predictions come into the log."""
        return self.logs or behaviour is not self.canary

    def _score(self, behaviour: Behaviour) -> float:
        return float(np.clip(behaviour.probability + self._generator.normal(0, 0.03), 0, 1))

    @staticmethod
    def _latencies(behaviour: Behaviour, count: int) -> dict[float, int]:
        return {bound: count if bound == behaviour.seconds else 0 for bound in BUCKETS}
