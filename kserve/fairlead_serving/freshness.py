"""How old an online feature may be. Feast does not enforce a view's ttl online; this does.

A feature's age is the prediction time minus its event time. Older than allowed it is stale; with an event time after
the prediction time it is from the future, which is as wrong (a replayed request must not see what was not yet known).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairlead_serving.errors import StartupError

FALLBACKS = ("missing", "refuse", "flag")
WITHOUT_STORE = ("refuse", "missing")
FRESH, STALE, FUTURE, MISSING, UNAVAILABLE = "fresh", "stale", "future", "missing", "unavailable"
KEYS = frozenset({"maximum_age_seconds", "fallback", "views", "unavailable"})


@dataclass(frozen=True)
class FreshnessRules:
    """The `freshness` of a package's request specification.

    Attributes:
        maximum_age_seconds: The greatest age that is fresh; None where any age is.
        fallback: What becomes of a feature that is not fresh: `missing` (the model sees a missing value, as training
            did), `refuse` (the request is answered with 422) or `flag` (it is used). The prediction log names it.
        views: Greatest ages of single feature views.
        unavailable: What is done where the online store does not answer: `refuse` (503) or `missing` (the model sees
            missing values, and the prediction log names them).
    """

    maximum_age_seconds: float | None = None
    fallback: str = "missing"
    views: Mapping[str, float] | None = None
    unavailable: str = "refuse"

    @classmethod
    def from_manifest(cls, content: Mapping[str, Any] | None) -> "FreshnessRules":
        """Reads the specification.

        Raises:
            StartupError: A key or a choice is unknown.
        """
        given = dict(content or {})
        if unknown := given.keys() - KEYS:
            raise StartupError(f"the package's freshness has the key {min(unknown)!r}; keys: {', '.join(sorted(KEYS))}")
        for key, choices in (("fallback", FALLBACKS), ("unavailable", WITHOUT_STORE)):
            if given.get(key, choices[0]) not in choices:
                raise StartupError(
                    f"the package's freshness has the {key} {given[key]!r}; choose one of {', '.join(choices)}"
                )
        return cls(**given)

    def maximum_age(self, view: str) -> float:
        """The greatest fresh age of a view's features, in seconds; infinite where none is set."""
        age = (self.views or {}).get(view, self.maximum_age_seconds)
        return float("inf") if age is None else float(age)


@dataclass(slots=True)
class ViewFreshness:
    """How fresh one view was for N rows.

    Attributes:
        outcomes: fresh, stale, future or missing, per row.
        ages: The ages in seconds of the rows that were found.
    """

    outcomes: Sequence[str]
    ages: Sequence[float]

    @property
    def tally(self) -> Counter[str]:
        """Rows by outcome."""
        return Counter(self.outcomes)


def judge(event_times: Sequence[int], moments: np.ndarray, maximum_age: float) -> ViewFreshness:
    """Judges one view's rows.

    Args:
        event_times: Seconds since 1970 of each row's features; 0 where the entity is unknown.
        moments: (N,) float64: each row's prediction time in seconds since 1970.
        maximum_age: The greatest fresh age in seconds.

    Returns:
        The outcome of each row, and the ages.
    """
    outcomes, ages = [], []
    for event_time, moment in zip(event_times, moments.tolist(), strict=True):
        if not event_time:
            outcomes.append(MISSING)
            continue
        age = moment - event_time
        ages.append(age)
        outcomes.append(FUTURE if age < 0 else STALE if age > maximum_age else FRESH)
    return ViewFreshness(outcomes, ages)
