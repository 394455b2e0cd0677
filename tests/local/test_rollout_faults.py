"""Faults in the middle of a rollout: real processes, real traffic, and every failure that a client met counted.

    pytest tests/local/test_rollout_faults.py               a thousand requests a fault
    pytest tests/local/test_rollout_faults.py -m slow       ten thousand

A canary's fault may cost nobody a request. What cannot be had for nothing is bounded here, with the reason.
"""

import itertools
import os
import re
import signal
import time
from typing import Any

import pytest
from crowd import Crowd
from faults import ANSWERED_BEFORE, CHECKS, SPEC, canary, run, service_of
from laptops import Laptop, digest

from fairlead.errors import PlatformError
from fairlead.platform.target import Cursor, Window


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hung"])
def test_a_canary_that_stops_answering_costs_nobody_a_request(
    request: pytest.FixtureRequest, platform: Laptop, size: tuple[int, float], number: int
) -> None:
    """Killed or frozen, it is rolled back; whoever asked it is answered by the stable version."""
    name = service_of(request)
    platform.serve(name, "a")
    platform.deploy(name, "b")
    state, seen = run(platform, name, size, canary(platform, name, number))
    assert state.outcome == "rolled_back", state.reasons
    assert seen.requests >= size[0]
    assert seen.answered[digest("b")] >= ANSWERED_BEFORE
    assert not seen.failed, seen


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ({"exit_after": 60}, "died|success_rate"),
        ({"leak": 4 << 20}, "MiB of memory|success_rate|restarting"),
        ({"spread": 1}, "score_distribution"),
        ({"probability": 0.9}, "score_distribution"),
    ],
    ids=["crashes", "leaks", "nonsense", "wrong"],
)
def test_a_faulty_canary_costs_nobody_a_request(
    request: pytest.FixtureRequest, platform: Laptop, size: tuple[int, float], behaviour: dict[str, Any], reason: str
) -> None:
    """One that dies again and again, one that grows, and two that predict otherwise are rolled back for that."""
    name = service_of(request)
    platform.serve(name, "a")
    platform.deploy(name, "b", memory_bytes=400 << 20, **behaviour)
    state, seen = run(platform, name, size)
    assert state.outcome == "rolled_back"
    assert re.search(reason, " ".join(state.reasons)), state.reasons
    assert seen.requests >= size[0]
    assert seen.answered[digest("b")] > 10
    assert not seen.failed, seen


def test_rubbish_with_status_200_is_found_by_what_was_not_logged(
    request: pytest.FixtureRequest, platform: Laptop, size: tuple[int, float]
) -> None:
    """No proxy can tell such an answer from a good one, so its users met it; it ends within twenty seconds."""
    name = service_of(request)
    platform.serve(name, "a")
    platform.deploy(name, "b", garbage=1)
    state, seen = run(platform, name, size, steps=[5])
    assert state.outcome == "rolled_back"
    assert "logged no prediction" in " ".join(state.reasons)
    assert state.seconds < 60
    assert set(seen.failed) <= {"no prediction"}
    assert seen.failed["no prediction"] < 0.07 * size[1] * state.seconds + 50


def test_a_slow_start_is_waited_for_without_traffic(
    request: pytest.FixtureRequest, platform: Laptop, size: tuple[int, float]
) -> None:
    """A server that needs seconds to come up gets no request before it is ready."""
    name = service_of(request)
    platform.serve(name, "a")
    crowd = Crowd(platform.port, name, *size)
    try:
        platform.begin_deploy(name, "b", start_seconds=3)
        time.sleep(1)
        assert platform.version(name, "b").condition == "starting"
        platform.wait_for(name, "b")
        rollout, _ = platform.rollout(name, "b", **(SPEC | {"minimum_requests": 100, "checks": CHECKS[:1]}))
        state = rollout.run()
        seen = crowd.finish()
    finally:
        crowd.stop()
    assert state.outcome == "promoted", state.reasons
    assert not seen.failed, seen


def test_metrics_that_are_gone_end_the_rollout_and_nobody_notices(
    request: pytest.FixtureRequest, platform: Laptop, size: tuple[int, float]
) -> None:
    """Without evidence there is no canary: its traffic is taken away, and what serves serves on."""
    name = service_of(request)
    platform.serve(name, "a")
    platform.deploy(name, "b")
    crowd = Crowd(platform.port, name, *size)
    try:
        rollout, _ = platform.rollout(name, "b", **(SPEC | {"blind_seconds": 2.0}))
        read = rollout.target.read_metrics
        readings = itertools.count()

        def read_some(since: Cursor | None) -> Window:
            if next(readings) > 5:
                raise PlatformError("the metrics' server does not answer")
            return read(since)

        rollout.target.read_metrics = read_some  # type: ignore[method-assign] # the server of metrics is gone
        state = rollout.run()
        seen = crowd.finish()
    finally:
        crowd.stop()
    assert state.outcome == "inconclusive"
    assert "metrics could not be read" in state.reasons[0]
    assert list(platform.supervisor.service(name).versions) == [digest("a")]
    assert not seen.failed, seen


def test_envoy_that_is_killed_is_back_within_a_second(
    request: pytest.FixtureRequest, platform: Laptop, size: tuple[int, float]
) -> None:
    """Nobody else listens on its port, so clients are refused for that long; the rollout waits and goes on."""
    name = service_of(request)
    platform.serve(name, "a")
    platform.deploy(name, "b")

    def kill() -> None:
        pid = platform.supervisor.status().envoy.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    state, seen = run(platform, name, size, kill, minimum_requests=300, checks=CHECKS[:1], steps=[30, 50])
    assert state.outcome == "promoted", state.reasons
    assert platform.supervisor.status().envoy.condition == "ready"
    assert sum(seen.failed.values()) < 2.0 * size[1] + 100, seen
    assert seen.answered[digest("b")] > 50
