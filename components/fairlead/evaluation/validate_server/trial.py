"""A server on trial, and what was found."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from fairlead.errors import PlatformError
from fairlead.evaluation.serving_spec import ServerSpec
from fairlead.evaluation.serving_trial.asking import Asker
from fairlead.evaluation.serving_trial.plain_http import ConnectionLostError
from fairlead.evaluation.serving_trial.process import ServerProcess
from fairlead.evaluation.serving_trial.rows import TrialRows

Result = Literal["passed", "failed", "unclear", "skipped"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        result: How it came out.
        demanded: What was demanded.
        measured: What was found.
    """

    name: str
    result: Result
    demanded: str
    measured: str


@dataclass(frozen=True)
class Refusal:
    """What became of one malformed request.

    Attributes:
        protocol: `REST` or `gRPC`.
        name: What is wrong with it.
        status: The answer's status; `none` where none came.
        text: The answer's words.
        objection: Why the answer will not do; empty where it will.
    """

    protocol: str
    name: str
    status: str
    text: str
    objection: str


@dataclass
class Findings:
    """All that was found.

    Attributes:
        checks: In the order in which they were made.
        figures: Figure by name.
        refusals: What became of each malformed request.
        latencies: (N,) seconds, of the bounded load; empty where there was none.
        memory: Seconds and bytes, from the start of the memory measurement.
        phases: Seconds that each part took.
    """

    checks: list[Check] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    latencies: np.ndarray = field(default_factory=lambda: np.zeros(0))
    memory: list[tuple[float, float]] = field(default_factory=list)
    phases: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, result: "bool | Result", demanded: str, measured: str) -> None:
        """Adds a check."""
        word: Result = ("passed" if result else "failed") if isinstance(result, bool) else result
        self.checks.append(Check(name, word, demanded, measured))


@dataclass
class Trial:
    """What the checks work on.

    Attributes:
        server: The running server.
        asker: Predictions from it.
        rows: Real rows, with the package's own answers.
        spec: What is demanded.
        findings: What was found so far.
    """

    server: ServerProcess
    asker: Asker
    rows: TrialRows
    spec: ServerSpec
    findings: Findings

    def attempt(
        self, name: str, demanded: str, check: "Callable[[Trial], tuple[bool | Result, str]]", *, ends: bool = False
    ) -> None:
        """Makes one check; where the server cannot be asked, that is a failure of it.

        Args:
            name: What is looked at.
            demanded: What is demanded.
            check: Gives the result and what was measured.
            ends: Whether the server may have ended, by this or before.
        """
        if name in self.spec.skip:
            self.findings.add(name, "skipped", demanded, "left out, as the problem says")
            return
        if not (ends or self.server.alive):
            self.findings.add(name, "failed", demanded, "the server is no more")
            return
        try:
            result, measured = check(self)
        except (PlatformError, ConnectionLostError) as error:
            result, measured = False, str(error)
        if not (ends or self.server.alive) and result:
            result, measured = False, f"{measured}; but the server died (status {self.server.process.returncode})"
        self.findings.add(name, result, demanded, measured)
