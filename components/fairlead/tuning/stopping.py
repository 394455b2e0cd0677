"""When a trial is stopped before its end.

Why neither rule is Optuna's: its MedianPruner compares with a median at every epoch, where Katib's medianstop compares
once with a mean of means; and its HyperbandPruner draws a trial's bracket from its number, which a resumed search
counts differently.
"""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

from fairlead.tuning.spec import TuneSpec

Curve = Sequence[float]  # the objective's metric after each epoch, from the first


class Other(Protocol):
    """What the rules look at in another trial."""

    @property
    def number(self) -> int:
        """Its place in the search."""
        ...

    @property
    def succeeded(self) -> bool:
        """Whether it ran to its end."""
        ...

    @property
    def curve(self) -> Curve:
        """The objective's metric after each epoch."""
        ...


Rule = Callable[[Curve], bool]


def make_rule(spec: TuneSpec, place: int, others: Callable[[], Sequence[Other]]) -> Rule:
    """The rule by which a trial that starts now is stopped.

    Args:
        spec: The search.
        place: The trial's place in it.
        others: Gives the other trials as they are at the moment of the call: those that have ended, and those that run.

    Returns:
        A function of the trial's curve so far: whether to stop.
    """
    if spec.early_stopping is not None:
        return _medianstop(spec, others())
    if spec.algorithm.resource is not None:
        return _hyperband(spec, place, others)
    return lambda _curve: False


def _medianstop(spec: TuneSpec, others: Sequence[Other]) -> Rule:
    """Katib's: at the start step, once, the trial's best value against the mean of the others' means up to there."""
    stopping = spec.early_stopping
    curves = [trial.curve for trial in others if trial.succeeded and trial.curve]
    if stopping is None or len(curves) < stopping.trials_required:
        return lambda _curve: False
    step = stopping.start_step
    means = [sum(curve[:step]) / len(curve[:step]) for curve in curves]
    limit = sum(means) / len(means)
    best = min if spec.objective.type == "minimize" else max
    return lambda curve: len(curve) == step and spec.objective.is_better(limit, best(curve))


def _hyperband(spec: TuneSpec, place: int, others: Callable[[], Sequence[Other]]) -> Rule:
    """At each rung of its bracket a trial goes on if it is among the best 1 in eta that have come so far."""
    bracket = bracket_of(spec, place)
    rungs = {rung for rung in rungs_of(spec, bracket) if rung < spec.algorithm.largest_resource}

    def stop(curve: Curve) -> bool:
        rung = len(curve)
        if rung not in rungs:
            return False
        rivals = [other.curve for other in others() if bracket_of(spec, other.number) == bracket]
        reached = [rival[rung - 1] for rival in rivals if len(rival) >= rung]
        better = sum(spec.objective.is_better(value, curve[-1]) for value in reached)
        return better >= math.ceil((len(reached) + 1) / spec.algorithm.eta)

    return stop


def bracket_of(spec: TuneSpec, place: int) -> int:
    """The bracket that a trial belongs to: the one with most rungs first, each as large as hyperband's formula says."""
    eta, most = spec.algorithm.eta, spec.algorithm.brackets - 1
    sizes = [(s, math.ceil((most + 1) * eta**s / (s + 1))) for s in range(most, -1, -1)]
    left = place % sum(size for _, size in sizes)
    for bracket, size in sizes:
        if left < size:
            return bracket
        left -= size
    return 0


def rungs_of(spec: TuneSpec, bracket: int) -> list[int]:
    """The epochs at which a bracket's trials are judged, the last of them the largest resource."""
    largest, eta = spec.algorithm.largest_resource, spec.algorithm.eta
    return sorted({max(1, largest // eta**power) for power in range(bracket + 1)})
