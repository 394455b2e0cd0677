"""A fault in the middle of a rollout, with a crowd of clients: what tests of faults share."""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from crowd import Crowd, Seen
from laptops import Laptop, digest

from fairlead.deployment.records import Records, RolloutState
from fairlead.platform.laptop.client import connect
from fairlead.platform.laptop.record_files import RecordFiles

CHECKS: list[dict[str, Any]] = [
    {"metric": "success_rate", "margin": 0.005},
    {"metric": "latency", "quantile": 0.95, "factor": 3.0, "floor_seconds": 0.25},
    {"metric": "score_distribution", "margin": 0.15},
]
SPEC: dict[str, Any] = {
    "steps": [50], "minimum_requests": 1_000_000, "step_timeout_seconds": 120, "look_seconds": 0.2, "checks": CHECKS,
}  # fmt: skip
ANSWERED_BEFORE = 60


def service_of(request: pytest.FixtureRequest) -> str:
    """A service's name that no other test has."""
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[5:].strip("-")


def kept(platform: Laptop, name: str) -> Records:
    """What is kept of a service's rollouts."""
    return Records(RecordFiles(platform.supervisor.places.rollouts, name))


def run(
    platform: Laptop, name: str, size: tuple[int, float], fault: Callable[[], None] = lambda: None, **spec: Any
) -> tuple[RolloutState, Seen]:
    """Rolls version b out while a crowd sends its requests; the fault comes once the canary has answered some."""
    crowd = Crowd(platform.port, name, *size)
    try:
        rollout, _ = platform.rollout(name, "b", **(SPEC | spec))
        saboteur = threading.Thread(target=_strike, args=(platform, name, fault))
        saboteur.start()
        try:
            state = rollout.run()
        finally:
            saboteur.join()
        return state, crowd.finish()
    finally:
        crowd.stop()


def _strike(platform: Laptop, name: str, fault: Callable[[], None]) -> None:
    deadline = time.monotonic() + 60
    with connect(start=False) as supervisor:  # a connection of this thread's own
        while time.monotonic() < deadline:
            counted = supervisor.counters(name).get(digest("b"))
            if counted is not None and counted.succeeded >= ANSWERED_BEFORE:
                fault()
                return
            time.sleep(0.05)


def canary(platform: Laptop, name: str, number: int) -> Callable[[], None]:
    """Sends a signal to the canary's process."""

    def send() -> None:
        pid = platform.version(name, "b").pid
        assert pid is not None
        os.kill(pid, number)

    return send
