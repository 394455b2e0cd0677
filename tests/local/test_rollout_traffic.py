"""Rollouts under real traffic: real processes, real Envoy, clients that count every failure."""

import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from laptops import Laptop, digest, laptop

from fairlead.platform.laptop.state import RouteOptions

SUCCESS: dict[str, Any] = {"metric": "success_rate", "margin": 0.005}
LATENCY: dict[str, Any] = {"metric": "latency", "quantile": 0.95, "factor": 3.0, "floor_seconds": 0.05}
LOG_LOSS: dict[str, Any] = {"metric": "log_loss", "margin": 0.05}
CHECKS = [SUCCESS, LATENCY, LOG_LOSS]
QUICK: dict[str, Any] = {"minimum_requests": 40, "step_timeout_seconds": 30, "look_seconds": 0.2, "checks": CHECKS}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """One platform for all tests of this module: each has a service of its own."""
    with pytest.MonkeyPatch.context() as patch, laptop(tmp_path_factory.mktemp("home"), patch) as made:
        yield made


@pytest.fixture
def platform(running: Laptop, own_state: Path, monkeypatch: pytest.MonkeyPatch) -> Laptop:
    """The platform, as the settings name it."""
    running.name_in_settings(monkeypatch)
    return running


def test_a_good_canary_is_promoted_without_a_failed_request(platform: Laptop) -> None:
    """Steps go on when the evidence is in; the old server is drained and stopped; no client notices."""
    platform.serve("good", "a", probability=0.3)
    platform.deploy("good", "b", probability=0.32)
    with platform.clients("good") as traffic:
        rollout, _ = platform.rollout("good", "b", steps=[25, 50], **QUICK)
        state = rollout.run()
        time.sleep(0.5)
    service = platform.supervisor.service("good")
    assert state.outcome == "promoted", state.reasons
    assert traffic.failures == []
    assert traffic.answered[digest("b")] > 80
    assert (service.stable, service.canary, list(service.versions)) == (digest("b"), None, [digest("b")])


def test_a_killed_canary_costs_no_request(platform: Laptop) -> None:
    """A canary that gets SIGKILL at 50 % is rolled back; every client request is answered."""
    platform.serve("killed", "a")
    platform.deploy("killed", "b")
    with platform.clients("killed") as traffic:
        rollout, _ = platform.rollout("killed", "b", steps=[50], **(QUICK | {"minimum_requests": 100_000}))
        pid = platform.version("killed", "b").pid
        assert pid is not None
        threading.Timer(2.0, os.kill, (pid, signal.SIGKILL)).start()
        state = rollout.run()
        time.sleep(0.5)
    assert state.outcome == "rolled_back"
    assert traffic.failures == []
    assert traffic.answered[digest("b")] > 20
    assert list(platform.supervisor.service("killed").versions) == [digest("a")]


@pytest.mark.parametrize(
    ("kind", "behaviour", "metric"),
    [
        ("slow", {"slow": 0.3}, "latency"),
        ("failing", {"fail": 0.3}, "success_rate"),
        ("wrong", {"probability": 0.97}, "log_loss"),
    ],
)  # fmt: skip
def test_a_bad_canary_is_rolled_back_without_a_failed_request(
    platform: Laptop, kind: str, behaviour: dict[str, Any], metric: str
) -> None:
    """Slow, failing and wrong canaries are each rolled back, for the right reason."""
    platform.serve(kind, "a")
    platform.deploy(kind, "b", **behaviour)
    with platform.clients(kind) as traffic:
        time.sleep(1)  # the stable version's own latency is learnt from what it did before
        rollout, _ = platform.rollout(kind, "b", steps=[50], **(QUICK | {"minimum_requests": 2000}))
        state = rollout.run()
    assert state.outcome == "rolled_back"
    assert metric in " ".join(state.reasons)
    assert traffic.failures == []


SHADOWED: dict[str, Any] = {
    "steps": ["shadow", 50],
    "minimum_requests": 60,
    "step_timeout_seconds": 30,
    "look_seconds": 0.2,
    "checks": [SUCCESS, {"metric": "disagreement", "tolerance": 0.2, "margin": 0.1}, LOG_LOSS],
}


def test_a_good_shadow_gets_traffic_and_is_promoted(platform: Laptop) -> None:
    """Its answers to copies agree with the stable version's; then it is rolled out as any other."""
    platform.serve("shadowed", "a", probability=0.3)
    platform.deploy("shadowed", "b", probability=0.32)
    with platform.clients("shadowed") as traffic:
        rollout, _ = platform.rollout("shadowed", "b", **SHADOWED)
        state = rollout.run()
    assert state.outcome == "promoted", state.reasons
    assert traffic.failures == []
    assert rollout.judge.figures()["disagreement_canary_observations"] >= 60


@pytest.mark.parametrize("fault", ["wrong", pytest.param("hung", marks=pytest.mark.slow), "slow"])
def test_a_bad_shadow_is_never_seen_by_a_user(platform: Laptop, fault: str) -> None:
    """Wrong answers are rolled back from copies alone; a frozen or slow shadow makes nobody wait."""
    name = f"shadow-{fault}"
    platform.serve(name, "a", probability=0.3)
    platform.deploy(name, "b", probability=0.9, slow=1.0 if fault == "slow" else 0.0)
    with platform.clients(name) as traffic:
        limit = {"step_timeout_seconds": 6 if fault == "slow" else 30}
        rollout, _ = platform.rollout(name, "b", **(SHADOWED | limit))
        pid = platform.version(name, "b").pid
        assert pid is not None
        if fault == "hung":
            threading.Timer(0.5, os.kill, (pid, signal.SIGSTOP)).start()
        state = rollout.run()
    assert state.outcome == "rolled_back" if fault != "slow" else state.outcome in ("rolled_back", "inconclusive")
    assert traffic.failures == []
    assert digest("b") not in traffic.answered
    assert traffic.answered[digest("a")] > 50


STICKY = RouteOptions(sticky_header="x-user-id", per_try_timeout_seconds=0.5)


def test_a_user_meets_one_version_and_moves_towards_the_canary_only(platform: Laptop) -> None:
    """Within a step nobody flaps; as the canary's share grows, users go over to it and never back."""
    platform.serve("sticky", "a")
    platform.deploy("sticky", "b", options=STICKY)
    with platform.clients("sticky", users=200) as traffic:
        rollout, _ = platform.rollout("sticky", "b", steps=[20, 50], **QUICK)
        state = rollout.run()
    assert state.outcome == "promoted", state.reasons
    assert traffic.failures == []
    moves = [sum(a != b for a, b in itertools.pairwise(versions)) for versions in traffic.met.values()]
    assert max(moves) == 1
    assert all(versions[-1] == digest("b") for versions in traffic.met.values() if digest("b") in versions)


def test_a_killed_canary_costs_sticky_users_no_request(platform: Laptop) -> None:
    """A retry goes to the other version, whichever one the user belongs to."""
    platform.serve("sticky-killed", "a")
    platform.deploy("sticky-killed", "b", options=STICKY)
    with platform.clients("sticky-killed", users=200) as traffic:
        rollout, _ = platform.rollout("sticky-killed", "b", steps=[50], **(QUICK | {"minimum_requests": 100_000}))
        pid = platform.version("sticky-killed", "b").pid
        assert pid is not None
        threading.Timer(2.0, os.kill, (pid, signal.SIGKILL)).start()
        state = rollout.run()
        time.sleep(0.5)
    assert state.outcome == "rolled_back"
    assert traffic.answered[digest("b")] > 20
    assert traffic.failures == []


def test_too_little_traffic_is_inconclusive(platform: Laptop) -> None:
    """At the time limit the canary's share is taken away, and the reason counts the requests."""
    platform.serve("quiet", "a")
    platform.deploy("quiet", "b")
    rollout, _ = platform.rollout("quiet", "b", steps=[50], **(QUICK | {"step_timeout_seconds": 0.5}))
    state = rollout.run()
    service = platform.supervisor.service("quiet")
    assert state.outcome == "inconclusive"
    assert "got 0 requests" in state.reasons[0]
    assert "40 are needed" in state.reasons[0]
    assert (service.stable, service.canary_percent) == (digest("a"), 0)
