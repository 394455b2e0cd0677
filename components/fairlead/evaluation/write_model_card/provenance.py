"""The last chapter of a model card: what the model was made from, with what, and at what cost."""

from collections.abc import Iterable, Mapping
from typing import Any

from fairlead.evaluation.documents import Block, Chapter, Facts, Table
from fairlead.evaluation.write_model_card.facts import ENERGY, CardFacts
from fairlead.values import limit, number, title

_ELSEWHERE = {
    "train", "validation", "reference", "statistics", "versions", "hyperparameters", "tuned", "revision", "seed",
    "recipe", "precision",
}  # fmt: skip
_MOST_ROWS = 80


def provenance(facts: CardFacts) -> Chapter:
    """The chapter; what the lineage holds beside what is told elsewhere is told here, whatever it is."""
    lineage = facts.lineage
    rest = {key: value for key, value in lineage.items() if key not in _ELSEWHERE}
    tables = [
        Table(("training", "measured"), [(title(name), value) for name, value in facts.training.items()]),
        _settings("setting of the training", lineage.get("hyperparameters")),
        _settings("found by tuning", lineage.get("tuned")),
        _settings("recorded besides", rest),
        _settings("library", lineage.get("versions")),
    ]
    known = {"digest": facts.digest, "git revision": lineage.get("revision"), "seed": lineage.get("seed")}
    blocks: list[Block] = [Facts({**known, "energy of the training": _energy(facts.training)})]
    return Chapter("Provenance", [*blocks, *(table for table in tables if table.rows)])


def _energy(training: Mapping[str, Any]) -> str | None:
    used = training.get(ENERGY)
    if not isinstance(used, int | float):
        return None
    grams = training.get("grams_co2")
    return f"{number(used)} kWh" + (f", {number(grams)} g CO2" if isinstance(grams, int | float) else "")


def _settings(name: str, values: Any) -> Table:
    rows = list(_flat(values, "")) if isinstance(values, Mapping) else []
    left = len(rows) - _MOST_ROWS
    caption = f"The first {_MOST_ROWS}; {left} more are in lineage.json" if left > 0 else ""
    return Table((name, "value"), rows[:_MOST_ROWS], caption)


def _flat(values: Mapping[str, Any], above: str) -> Iterable[tuple[str, Any]]:
    """Single values by dotted key; those that were not set are left out."""
    for key, value in values.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        elif isinstance(value, list | tuple):
            yield name, ", ".join(map(str, value))
        elif value is not None and value != "":
            yield name, limit(value) if isinstance(value, float) else value
