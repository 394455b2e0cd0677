"""Does the server stay within its memory and its time under a load that is bounded?"""

import threading
import time
from typing import Self

import numpy as np

from fairlead.evaluation.serving_trial.latencies import Objective, chance_of_at_least, quantile
from fairlead.evaluation.serving_trial.open_loop import Load, Target, constant, send_at, send_in_turn, wire
from fairlead.evaluation.serving_trial.payloads import WRITERS, path_of
from fairlead.evaluation.serving_trial.process import HOST
from fairlead.evaluation.validate_server.trial import Result, Trial
from fairlead.values import number

MEGABYTE = 1e6
CLIENTS = 4
MEMORY_SECONDS = 2.0
CONNECTIONS = 64
ROWS_IN_TURN = 64
LOOK_SECONDS = 0.05
LEAST_GROWTH_MEGABYTES = 5.0  # less may be the allocator's, and tells nothing of what more requests would do


def check_budgets(trial: Trial) -> None:
    """Measures memory, then latency; latency comes second so that the server is warm."""
    spec = trial.spec
    memory = f"at most {spec.maximum_memory_megabytes:g} MB, growth at most {spec.maximum_growth_megabytes:g} MB"
    trial.attempt("memory", memory, _memory)
    latency = f"99 of 100 requests within {spec.maximum_p99_seconds * 1000:g} ms at {spec.rate:g}/s"
    trial.attempt("latency", latency, _latency)


def target(trial: Trial) -> Target:
    """Requests of one row each, over the first HTTP protocol that the server is asked over."""
    protocol = next((p for p in trial.spec.asked if p != "grpc"), "v2")
    path, rows = path_of(protocol, trial.server.name), trial.rows
    requests = [WRITERS[protocol](trial.asker.fields, rows.take([row])) for row in range(min(rows.count, ROWS_IN_TURN))]
    wires = [wire(HOST, trial.server.port, path, request) for request in requests]
    return Target(HOST, trial.server.port, wires, connections=CONNECTIONS)


def _memory(trial: Trial) -> tuple[bool | Result, str]:
    asked, figures = target(trial), trial.findings.figures
    loaded = trial.server.memory_bytes()
    with _Watch(trial) as watch:
        warm = _ask_many(trial, asked)
        before = trial.server.memory_bytes()
        load = _ask_many(trial, asked)
        after = trial.server.memory_bytes()
    trial.findings.memory = watch.seen
    highest = max([loaded, after, *(bytes_ for _, bytes_ in watch.seen)])
    figures["memory_megabytes"] = highest / MEGABYTE
    figures["memory_growth_megabytes"] = growth = max(0.0, after - before) / MEGABYTE
    failed = int(warm.failed.sum() + load.failed.sum())
    figures["requests_per_second_of_4_clients"] = load.due.size / load.seconds
    text = (
        f"{highest / MEGABYTE:.0f} MB, {growth:.1f} MB more after {load.due.size:,} requests; "
        f"{load.due.size / load.seconds:,.0f} requests/s from {CLIENTS} clients"
    )
    if failed:
        text += f"; {failed} requests failed"
    spec = trial.spec
    fits = highest / MEGABYTE <= spec.maximum_memory_megabytes and growth <= spec.maximum_growth_megabytes
    expected = growth * spec.memory_requests / max(load.due.size, 1)
    if fits and not failed and expected > spec.maximum_growth_megabytes and growth > LEAST_GROWTH_MEGABYTES:
        return "unclear", f"{text}; at this pace it would be {expected:.0f} MB after {spec.memory_requests:,}"
    return fits and not failed, text


def _ask_many(trial: Trial, asked: Target) -> Load:
    return send_in_turn(asked, trial.spec.memory_requests, clients=CLIENTS, at_most_seconds=MEMORY_SECONDS)


class _Watch(threading.Thread):
    """Looks at the server's memory while it works."""

    def __init__(self, trial: Trial) -> None:
        super().__init__(name="memory", daemon=True)
        self.seen: list[tuple[float, float]] = []
        self._trial, self._stop_asked = trial, threading.Event()

    def run(self) -> None:
        started = time.perf_counter()
        while not self._stop_asked.wait(LOOK_SECONDS):
            self.seen.append((time.perf_counter() - started, float(self._trial.server.memory_bytes())))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop_asked.set()
        self.join()


def _latency(trial: Trial) -> tuple[bool | Result, str]:
    spec, asked, tried = trial.spec, target(trial), []
    objective = Objective(spec.maximum_p99_seconds)
    for _ in range(spec.attempts):
        due = constant(spec.rate, spec.load_seconds)
        load = send_at(asked, due, timeout_seconds=max(2.0, 4 * spec.maximum_p99_seconds))
        tried.append(load)
        if objective.met(load.latencies):
            break
    best = min(tried, key=lambda load: quantile(load.latencies, 0.99))
    trial.findings.latencies = best.latencies
    figures = {f"p{name}_seconds": quantile(best.latencies, share) for name, share in (("50", 0.5), ("99", 0.99))}
    trial.findings.figures |= {name: value for name, value in figures.items() if np.isfinite(value)}
    text = (
        f"{figures['p50_seconds'] * 1000:.1f} ms for half of them, {figures['p99_seconds'] * 1000:.1f} ms for 99 of "
        f"100, {best.due.size} requests"
    )
    if best.failed.any():
        text += f"; {int(best.failed.sum())} failed"
    if len(tried) > 1:
        text += f"; the best of {len(tried)} runs"
    return _concluded(best, objective, text)


def _concluded(best: Load, objective: Objective, text: str) -> tuple[bool | Result, str]:
    if objective.met(best.latencies):
        return True, text
    lag = quantile(best.lags, objective.share)
    if objective.blames_client(best.latencies, best.lags, best.client_share):
        return "unclear", f"{text}; but this client itself was {number(lag * 1000)} ms late, so it cannot tell"
    late = int((best.latencies > objective.seconds).sum())
    if not best.failed.any() and chance_of_at_least(late, best.due.size, 1 - objective.share) > 0.05:  # noqa: PLR2004
        return "unclear", f"{text}; {late} late ones may be chance"
    return False, text
