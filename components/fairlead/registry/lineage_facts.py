"""How a package was made, as flat facts that a registry can show and search: from its lineage.json."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_FILE = "fairlead/lineage.json"
_FIRST = re.compile(r"(^|\.)(digest|revision|run|recipe|seed|name|rows|quantized_from)$")
_LONGEST_LIST, _MOST_CHARACTERS = 8, 500
_NOT_KEPT = ("statistics",)  # one figure per column: many, and in the package anyway


def read_facts(package: Path | str, run: str = "") -> dict[str, str]:
    """Reads how a package was made.

    Args:
        package: Its folder.
        run: The pipeline run that registers it; empty if unknown.

    Returns:
        Single values by dotted key, such as `train.digest`; those first that tell the origin, as registries cut off
        what is too long for them. Empty where the package does not tell.
    """
    try:
        lineage = json.loads((Path(package) / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        lineage = {}  # a package need not tell how it was made
    flat = dict(_flat({**lineage, **({"run": run} if run else {})}, ""))
    facts = {key: value for key, value in flat.items() if key.partition(".")[0] not in _NOT_KEPT}
    return {key: facts[key] for key in sorted(facts, key=lambda key: not _FIRST.search(key))}


def _flat(value: Any, key: str) -> Iterable[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and len(value) <= _LONGEST_LIST and not any(isinstance(v, dict | list) for v in value):
        yield key, ", ".join(map(str, value))[:_MOST_CHARACTERS]
    elif isinstance(value, str | int | float):
        yield key, str(value)[:_MOST_CHARACTERS]
