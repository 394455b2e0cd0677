"""Tests, changes and values in words."""

from typing import Any

import numpy as np

from fairlead.evaluation.behaviour_spec import BehaviourTestSpec, ChangeSpec, FilterSpec
from fairlead.evaluation.grouping import said
from fairlead.values import limit, percent
from fairlead_serving.package import OUTPUTS, Manifest

DIRECTIONS = {"up": "must go up", "down": "must go down", "not_up": "must not go up", "not_down": "must not go down"}


def described(test: BehaviourTestSpec, manifest: Manifest) -> str:
    """What a test does and demands, in a sentence or two."""
    rows = f"{len(test.rows)} given rows" if test.rows else "rows" if test.where else "all kinds of rows"
    where = " and ".join(_filter(column, wanted) for column, wanted in test.where.items())
    subject = f"On {rows}{f' where {where}' if where else ''}"
    changes = _changes(test)
    allowed = f" At most {percent(test.allowed_failures)} of the rows may fail." if test.allowed_failures else ""
    advisory = "" if test.required else " No verdict depends on this test."
    return f"{subject}{f', {changes}' if changes else ''}: {_demand(test, manifest)}.{allowed}{advisory}"


def watched(test: BehaviourTestSpec, manifest: Manifest) -> str:
    """The name of the number that is looked at."""
    output = OUTPUTS[manifest.task]
    if manifest.task != "multiclass":
        return f"the {output}"
    return {"answer": "the probability of the answer", "label": "the probability of the truth"}.get(
        test.of, f"the probability of {test.of}"
    )


def _demand(test: BehaviourTestSpec, manifest: Manifest) -> str:
    subject = watched(test, manifest)
    if test.kind == "invariance":
        parts = ["the answer must not change"] if test.same_answer or test.tolerance is None else []
        what = "no probability" if manifest.task == "multiclass" else subject
        moves = "may move" if manifest.task == "multiclass" else "must not move"
        parts += [f"{what} {moves} by more than {limit(test.tolerance)}"] if test.tolerance is not None else []
        return " and ".join(parts)
    if test.kind == "directional":
        least = f" by at least {limit(test.by)}" if test.by else ""
        back = f" (a step may go back by {limit(test.tolerance)})" if test.tolerance else ""
        return f"{subject} {DIRECTIONS[str(test.direction)]}{least}{back}"
    expect = test.expect
    assert expect is not None  # noqa: S101 - BehaviourTestSpec demands it
    bounds = {"at least": expect.at_least, "at most": expect.at_most}
    parts = [f"{subject} must be {word} {limit(bound)}" for word, bound in bounds.items() if bound is not None]
    for answer, word in ((expect.answer, "must be"), (expect.not_answer, "must not be")):
        if answer is not None:
            parts.append(f"the answer {word} {'the truth' if answer == 'label' else said(answer)}")
    return " and ".join(parts)


def _filter(column: str, wanted: FilterSpec) -> str:
    parts = []
    if wanted.one_of:
        parts.append(f"is {' or '.join(said(value) for value in wanted.one_of)}")
    if wanted.none_of:
        parts.append(f"is not {' or '.join(said(value) for value in wanted.none_of)}")
    if wanted.at_least is not None:
        parts.append(f"is {limit(wanted.at_least)} or more")
    if wanted.at_most is not None:
        parts.append(f"is {limit(wanted.at_most)} or less")
    if wanted.missing is not None:
        parts.append("is missing" if wanted.missing else "is there")
    return f"{column} {' and '.join(parts)}"


def _changes(test: BehaviourTestSpec) -> str:
    if len(test.change) > 1 and all(change.missing for change in test.change):
        *first, last = [change.column for change in test.change]
        return f"with {', '.join(first)} and {last} missing"
    return ", and ".join(_change(change, " then " if test.kind == "directional" else " or ") for change in test.change)


def _change(change: ChangeSpec, between: str) -> str:
    amounts = between.join(_amount(amount) for amount in change.amounts)
    return {
        "set": f"with {change.column} set to {amounts}",
        "add": f"with {amounts} added to {change.column}",
        "multiply": f"with {change.column} multiplied by {amounts}",
        "swap": f"with {change.column} and {change.swap} swapped",
        "shuffle": f"with {change.column} dealt out anew among the rows",
        "missing": f"with {change.column} missing",
        "shift": f"with the picture shifted by {amounts} pixels (right, down)",
        "rotate": f"with the picture turned by {amounts} degrees",
        "brightness": f"with the brightness multiplied by {amounts}",
        "noise": f"with noise of {amounts}",
        "blur": f"with the picture blurred by {amounts} pixels",
        "crop": f"with {amounts} pixels cut off at each edge",
        "invert": "with dark and bright exchanged",
    }[change.name]


def _amount(amount: Any) -> str:
    if isinstance(amount, tuple):
        return f"({', '.join(map(_amount, amount))})"
    return limit(amount) if isinstance(amount, int | float) else said(amount)


def value(of: Any) -> str:
    """A value of a row in words."""
    if of is None or (isinstance(of, float) and np.isnan(of)):
        return "missing"
    return limit(float(of)) if isinstance(of, int | float | np.number) and not isinstance(of, bool) else said(of)
