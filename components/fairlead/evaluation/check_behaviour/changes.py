"""Changed copies of rows."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fairlead.errors import ConfigurationError, nearest
from fairlead.evaluation.behaviour_spec import IMAGE_CHANGES, BehaviourTestSpec, ChangeSpec
from fairlead.evaluation.check_behaviour.image_changes import change_images
from fairlead.evaluation.grouping import said
from fairlead_serving.package import ModelInput

Columns = Mapping[str, np.ndarray]
"""Inputs by name: numbers float64 (N,) with NaN for missing, categories object (N,) of text and None, pictures uint8
(N, height, width, channels)."""

_OF_NUMBERS = ("add", "multiply")


def check_changes(test: BehaviourTestSpec, inputs: Mapping[str, ModelInput]) -> None:
    """Makes sure that a test's changes are possible for a model.

    Args:
        test: The test.
        inputs: The model's, by name.

    Raises:
        ConfigurationError: A column is none of the model's, or of another kind than the change.
    """
    for change in test.change:
        for column in filter(None, (change.column, change.swap)):
            if column not in inputs:
                hint = nearest(column, inputs)
                raise ConfigurationError(
                    f"behaviour test {test.name!r} changes {column!r}, which is no input of the model; {hint}"
                )
        kind = inputs[change.column].kind
        if change.swap and (kind != inputs[change.swap].kind or change.swap == change.column):
            raise ConfigurationError(
                f"behaviour test {test.name!r} swaps {change.column!r} ({kind}) and {change.swap!r} "
                f"({inputs[change.swap].kind}); two inputs of one kind can be swapped"
            )
        allowed = _allowed(kind)
        if change.name not in allowed:
            raise ConfigurationError(
                f"behaviour test {test.name!r} does {change.name!r} to {change.column!r}, which is {kind}; it "
                f"can be changed by {', '.join(allowed)}"
            )
        _check_values(test, change, kind)


def _allowed(kind: str) -> tuple[str, ...]:
    if kind == "image":
        return (*IMAGE_CHANGES, "shuffle")
    return (*(("set", *_OF_NUMBERS) if kind == "numeric" else ("set",)), "swap", "shuffle", "missing")


def _check_values(test: BehaviourTestSpec, change: ChangeSpec, kind: str) -> None:
    if kind == "numeric" and change.name == "set":
        wrong = [value for value in change.amounts if isinstance(value, str) or not np.isscalar(value)]
        if wrong:
            raise ConfigurationError(
                f"behaviour test {test.name!r} sets {change.column!r} to {wrong[0]!r}; it is numeric: set a number"
            )


def stages(test: BehaviourTestSpec, base: Columns, seed: tuple[int, ...]) -> list[Columns]:
    """Makes the changed copies of rows, one for each amount of a sequence.

    Args:
        test: The test.
        base: The rows.
        seed: Of shuffles and noise.

    Returns:
        As many copies as there are amounts; none where the test changes nothing.
    """
    count = max((len(change.amounts) for change in test.change), default=0)
    return [{**base, **_stage(test, base, number, seed)} for number in range(count)]


def _stage(test: BehaviourTestSpec, base: Columns, number: int, seed: tuple[int, ...]) -> dict[str, np.ndarray]:
    changed: dict[str, np.ndarray] = {}
    for position, change in enumerate(test.change):
        amount = change.amounts[number if change.is_sequence else 0]
        # The same draw at each stage: a growing amount then changes nothing but the amount.
        rng = np.random.default_rng((*seed, position))
        if change.name == "swap":
            changed |= {change.column: base[change.swap], change.swap: base[change.column]}
        else:
            changed[change.column] = _changed(change, amount, base[change.column], rng)
    return changed


def _changed(change: ChangeSpec, amount: Any, values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if change.name == "shuffle":
        return values[rng.permutation(len(values))]
    if change.name in IMAGE_CHANGES:
        return change_images(change.name, amount, values, change.fill, rng)
    is_number = values.dtype != object
    if change.name == "missing":
        return np.full(len(values), np.nan) if is_number else np.full(len(values), None, dtype=object)
    if change.name == "add":
        return np.asarray(values + float(amount))
    if change.name == "multiply":
        return np.asarray(values * float(amount))
    return np.full(len(values), float(amount)) if is_number else np.full(len(values), said(amount), dtype=object)


def differs(base: Columns, changed: Columns) -> np.ndarray:
    """Which rows a change has changed: (N,) bool."""
    found = np.zeros(len(next(iter(base.values()))), dtype=bool)
    for column, values in changed.items():
        before = base[column]
        if values is before:
            continue
        if values.ndim > 1:
            found |= (values != before).reshape(len(values), -1).any(axis=1)
        elif values.dtype == object:
            found |= np.fromiter((a != b for a, b in zip(before, values, strict=True)), bool, len(values))
        else:
            found |= (values != before) & ~(np.isnan(values) & np.isnan(before))
    return found
