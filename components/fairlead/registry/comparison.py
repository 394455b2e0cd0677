"""Two versions of a model side by side: figures of their verdicts, digests, and what differs in how they were made."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from fairlead.errors import ConfigurationError
from fairlead.registry import store
from fairlead.registry.records import Registered

Value = TypeVar("Value")
Absent = TypeVar("Absent")
Pair = tuple[str, str]
Figures = tuple[float | None, float | None]


@dataclass(frozen=True)
class Comparison:
    """Two versions side by side; the first of each pair is the first version's.

    Attributes:
        first: One version.
        second: The other.
        verdicts: Outcomes by judge; empty where a judge did not judge.
        figures: By judge and name (`evaluation.roc_auc`); None where a version has none.
        lineage: What differs in how they were made, by dotted key; empty where it is not told.
    """

    first: Registered
    second: Registered
    verdicts: dict[str, Pair]
    figures: dict[str, Figures]
    lineage: dict[str, Pair]

    @property
    def same(self) -> bool:
        """Whether both are one package."""
        return self.first.digest == self.second.digest


def compare_versions(first: Registered, second: Registered) -> Comparison:
    """Puts two versions side by side.

    Raises:
        VerdictError: A kept verdict cannot be read.
        StateError: The registry cannot be read.
    """
    judged = [{verdict.judge: verdict for verdict in store.verdicts(v.name, v.digest)} for v in (first, second)]
    outcomes = [{judge: str(verdict.outcome) for judge, verdict in found.items()} for found in judged]
    figures = [
        {f"{judge}.{figure}": value for judge, verdict in found.items() for figure, value in verdict.figures.items()}
        for found in judged
    ]
    lineage = _pair(first.lineage, second.lineage, "")
    return Comparison(
        first,
        second,
        _pair(outcomes[0], outcomes[1], ""),
        _pair(figures[0], figures[1], None),
        {key: pair for key, pair in lineage.items() if pair[0] != pair[1]},
    )


def _pair(
    first: Mapping[str, Value], second: Mapping[str, Value], absent: Absent
) -> dict[str, tuple[Value | Absent, Value | Absent]]:
    return {key: (first.get(key, absent), second.get(key, absent)) for key in sorted({**first, **second})}


def find_one(name: str, which: str) -> Registered:
    """Finds a version of a model by number, alias or digest.

    Raises:
        ConfigurationError: There is none.
        StateError: The registry cannot be read.
    """
    for known in store.versions(name):
        if which in {known.version, known.digest, *known.aliases}:
            return known
    raise ConfigurationError(f"{name} has no version {which!r} in the registry; `fairlead models {name}` lists them")
