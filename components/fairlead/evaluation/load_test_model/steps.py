"""One rate after the other: what the server made of each, and whether the client could tell."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fairlead.evaluation.serving_spec import LoadSpec
from fairlead.evaluation.serving_trial.latencies import Objective, quantile
from fairlead.evaluation.serving_trial.open_loop import Load, Target, constant, poisson, send_at, send_in_turn
from fairlead.progress import Step as Progress

CLIENTS = 4

Result = Literal["met", "missed", "unclear"]


@dataclass(frozen=True)
class RateStep:
    """One rate.

    Attributes:
        rate: Requests per second that were due.
        load: What became of them.
        result: Whether the objective was met; unclear where the client itself fell behind, or chance may explain it.
        reason: Why it was not met, or why it is unclear.
    """

    rate: float
    load: Load
    result: Result
    reason: str = ""

    @property
    def answered_per_second(self) -> float:
        """Answers of 2xx per second."""
        return float((~self.load.failed).sum()) / self.load.seconds


def objective_of(spec: LoadSpec) -> Objective:
    """The objective of a section `load`."""
    return Objective(spec.p99_seconds, 0.99, spec.error_share)


def run_steps(target: Target, spec: LoadSpec, progress: Progress) -> list[RateStep]:
    """Loads a server at ascending rates.

    Args:
        target: The server, and the requests that it gets.
        spec: Rates and objective.
        progress: Is advanced with each rate.

    Returns:
        One step for each rate that was tried.
    """
    if spec.warm_up_requests:
        send_in_turn(target, spec.warm_up_requests, clients=CLIENTS, at_most_seconds=spec.ready_timeout_seconds)
    steps: list[RateStep] = []
    for rate in spec.rates:
        load = send_at(target, _due(rate, spec), timeout_seconds=spec.timeout_seconds)
        steps.append(conclude(rate, load, spec))
        progress.advance()
        if spec.stop_at_miss and steps[-1].result != "met":
            break
    return steps


def _due(rate: float, spec: LoadSpec) -> np.ndarray:
    seconds = max(spec.seconds, spec.minimum_requests / rate)
    return constant(rate, seconds) if spec.arrivals == "constant" else poisson(rate, seconds, spec.seed)


def conclude(rate: float, load: Load, spec: LoadSpec) -> RateStep:
    """Says whether a rate met the objective.

    What the client itself was late is part of every latency, so an objective that is met is met all the same; one that
    is missed may be the client's fault.

    Args:
        rate: Requests per second that were due.
        load: What became of them.
        spec: The objective.
    """
    objective = objective_of(spec)
    if objective.met(load.latencies):
        return RateStep(rate, load, "met")
    missed = _missed(load, spec)
    lag = quantile(load.lags, objective.share)
    if objective.blames_client(load.latencies, load.lags, load.client_share):
        return RateStep(
            rate, load, "unclear",
            f"{missed}; but the client could not keep up ({load.client_share:.0%} of a core, {lag * 1000:.1f} ms late "
            "for 1 of 100 requests), so it may be the client's fault: run it on a machine with cores to spare",
        )  # fmt: skip
    if not objective.surely_missed(load.latencies):
        return RateStep(rate, load, "unclear", f"{missed}; that may be chance: let each step last longer")
    return RateStep(rate, load, "missed", missed)


def _missed(load: Load, spec: LoadSpec) -> str:
    p99, failed = quantile(load.latencies, 0.99), float(load.failed.mean())
    parts = []
    if p99 > spec.p99_seconds:
        shown = f"{p99 * 1000:.1f} ms" if np.isfinite(p99) else "no answer at all"
        parts.append(f"{shown} for 99 of 100 requests")
    if failed > spec.error_share:
        parts.append(f"{failed:.2%} failed ({_kinds(load)})")
    return " and ".join(parts)


def _kinds(load: Load) -> str:
    names = {0: "connection lost or refused", -1: "no answer in time"}
    kinds, counts = np.unique(load.statuses[load.failed], return_counts=True)
    listed = zip(kinds.tolist(), counts.tolist(), strict=True)
    return ", ".join(f"{count} x {names.get(kind, f'status {kind}')}" for kind, count in listed)
