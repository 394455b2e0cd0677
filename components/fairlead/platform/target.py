"""What a rollout acts upon: five verbs, the same at home and in a cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

Cursor = Mapping[str, Any]
"""Up to where metrics were read: plain JSON, opaque to whoever keeps it."""

Answer = float | tuple[float, ...]
"""What a model answered for one row: a probability or a number; of several classes the probability of each."""


@dataclass(frozen=True)
class VersionMetrics:
    """What one version did in a window.

    Attributes:
        succeeded: Attempts that it answered well.
        failed: Attempts that it answered with an error, or not at all, even if the client never noticed.
        seconds: Latencies as clients see them: the upper bounds of buckets in seconds, and the count in each.
        outcomes: (probability, outcome 0 or 1) of predictions whose outcome came in during the window.
        scores: Its predictions, one number a row; of several classes the largest probability.
    """

    succeeded: int = 0
    failed: int = 0
    seconds: Mapping[float, int] = field(default_factory=dict)
    outcomes: tuple[tuple[float, int], ...] = ()
    scores: tuple[float, ...] = ()


@dataclass(frozen=True)
class Window:
    """What came in between two readings.

    Attributes:
        stable: The stable version's part.
        canary: The canary's part.
        cursor: Where the next window begins.
        trouble: What is wrong with the canary's server, such as that it died; empty if nothing is.
        pairs: The canary's and the stable version's answers to the same row: of requests that were shadowed.
    """

    stable: VersionMetrics
    canary: VersionMetrics
    cursor: Cursor
    trouble: str = ""
    pairs: tuple[tuple[Answer, Answer], ...] = ()


@dataclass(frozen=True)
class ObservedSplit:
    """The split that really happened since it was applied.

    Attributes:
        stable: Requests that were sent to the stable version first.
        canary: Requests that were sent to the canary first.
        mismatch: What else contradicts the split that was asked for, such as a digest in an answer; empty if nothing.
        sticky: Whether users are split, not requests: some users send many.
    """

    stable: int
    canary: int
    mismatch: str = ""
    sticky: bool = False


class RolloutTarget(Protocol):
    """One canary beside one stable version, wherever they run.

    Every verb may be repeated: a rollout that was interrupted begins with the verb that it was at.
    """

    @property
    def has_stable(self) -> bool:
        """Whether another version serves now; if none does, there is nothing to compare with."""

    def apply_split(self, canary_percent: float, shadow_percent: float = 0.0) -> None:
        """Gives the canary its share of the traffic; returns when that is in effect.

        Args:
            canary_percent: 0 to 100, to a hundredth.
            shadow_percent: The share of the requests of which the canary also gets a copy; nobody waits for its answer.
        """

    def observe_split(self) -> ObservedSplit:
        """Counts who got the requests since the split was applied by this object."""

    def read_metrics(self, since: Cursor | None) -> Window:
        """Reads what came in since a cursor.

        From None on it gives what is known of the stable version's past (attempts and latencies, which are no
        evidence), nothing of the canary, and a cursor of now.
        Reading also tells the target that somebody still judges the canary.
        """

    def promote(self) -> None:
        """Makes the canary the stable version with all traffic; the old one is drained and removed."""

    def roll_back(self) -> None:
        """Takes the canary's traffic away, then removes it."""
