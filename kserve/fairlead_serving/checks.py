"""What a package declares of the values that requests may hold: ranges, and whether a value may be missing.

In fairlead/package.json, by the name of a request's field or, where requests hold the model's inputs, of an input:

    "checks": {"distance": {"minimum": 0, "maximum": 6000}, "hour": {"missing": "refuse"}}

What is not declared may be any finite number or null.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairlead_serving.errors import RequestInvalidError, StartupError

KEYS = frozenset({"minimum", "maximum", "missing"})
MISSING = ("allow", "refuse")


@dataclass(frozen=True)
class ValueCheck:
    """What was declared of one field.

    Attributes:
        minimum: The smallest value that is allowed.
        maximum: The largest.
        missing: Whether a value may be null, or NaN in a binary tensor.
    """

    minimum: float = float("-inf")
    maximum: float = float("inf")
    missing: bool = True

    @property
    def ranged(self) -> bool:
        """Whether values are limited at all."""
        return self.minimum > float("-inf") or self.maximum < float("inf")

    def check(self, name: str, values: Sequence[Any]) -> None:
        """Checks a column; missing values are none of its business.

        Raises:
            RequestInvalidError: A value is out of range; the text names the row.
        """
        if not self.ranged:
            return
        for row, value in enumerate(values):
            if value is not None and (value < self.minimum or value > self.maximum):
                raise RequestInvalidError(f"{name!r} of row {row} is {value!r}; {self.text()}")

    def text(self) -> str:
        """What is allowed, in words."""
        parts = [f"at least {self.minimum:g}"] if self.minimum > float("-inf") else []
        parts += [f"at most {self.maximum:g}"] if self.maximum < float("inf") else []
        return f"the model takes {' and '.join(parts)}"


def read_checks(content: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, ValueCheck]:
    """Reads the manifest's checks.

    Args:
        content: By field.
        fields: The fields that there are, and their kinds.

    Raises:
        StartupError: A field or a key is unknown, or a range is declared of what is no number.
    """
    return {name: _read(name, declared, fields) for name, declared in content.items()}


def required_of(checks: Mapping[str, ValueCheck]) -> frozenset[str]:
    """The fields that must be known."""
    return frozenset(name for name, check in checks.items() if not check.missing)


def _read(name: str, declared: Mapping[str, Any], fields: Mapping[str, Any]) -> ValueCheck:
    if name not in fields:
        raise StartupError(f"the package checks {name!r}, which requests do not hold; they hold {_list(fields)}")
    unknown = declared.keys() - KEYS
    missing = declared.get("missing", "allow")
    if unknown or missing not in MISSING:
        what = f"the key {min(unknown)!r}" if unknown else f"missing {missing!r}"
        raise StartupError(f"the package's check of {name!r} has {what}; known: {_list(KEYS)}; {_list(MISSING)}")
    limits = [float(declared[key]) for key in ("minimum", "maximum") if declared.get(key) is not None]
    if limits and fields[name].name not in ("number", "integer"):
        raise StartupError(f"the package limits {name!r}, which holds {fields[name].name} values, not numbers")
    low, high = declared.get("minimum"), declared.get("maximum")
    low, high = float("-inf") if low is None else float(low), float("inf") if high is None else float(high)
    if not low <= high:
        raise StartupError(f"the package's check of {name!r} allows nothing: from {low:g} to {high:g}")
    return ValueCheck(low, high, missing == "allow")


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
