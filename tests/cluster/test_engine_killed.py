"""An engine that is killed (SIGKILL) at every step of its plan, and between what was decided and what was done.

Each time another engine goes on from what is recorded, when the Lease of the dead one has ended.
"""

import itertools
import logging
import signal
import time
from collections.abc import Iterator

import pytest
from kserve_home import KServeHome

from fairlead.deployment.records import Records, RolloutState
from fairlead.platform.kubeflow import kinds
from fairlead.platform.serving import home

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
pytest_plugins = ("kserve_fixtures",)
logger = logging.getLogger(__name__)
NUMBERS = itertools.count(1)
STEPS = [10, 25, 50]
PLAN = {"steps": STEPS, "minimum_requests": 100, "step_timeout_seconds": 180}


@pytest.fixture
def name(either: KServeHome) -> Iterator[str]:
    """A service of the test's own, removed afterwards."""
    found = f"k{next(NUMBERS)}"
    yield found
    for one in either.cluster.list(kinds.INFERENCE_SERVICE, {"fairlead.dev/service": found}):
        either.cluster.delete(kinds.INFERENCE_SERVICE, one["metadata"]["name"])
    either.cluster.delete(kinds.HTTP_ROUTE, found)


def left(name: str) -> RolloutState:
    """What the dead engine has written."""
    state = Records(home().records(name)).load()
    assert state is not None
    return state


def wait_for_percent(name: str, percent: float) -> None:
    """Waits until an engine wants this share."""
    deadline = time.monotonic() + 120
    while True:
        with home().connect() as serving:
            if serving.service(name).canary_percent == percent:
                return
        assert time.monotonic() < deadline, f"{percent} %"
        time.sleep(0.2)


def test_killed_at_every_step_it_is_resumed_and_promotes(either: KServeHome, name: str) -> None:
    """In the middle of each step, when promotion was decided, and when all traffic was given; no request fails."""
    stable, canary = either.serve(name, -0.7), either.deploy(name, -0.6, "2")
    with either.clients(name, per_second=80) as traffic:
        for step, percent in enumerate(STEPS):
            with either.engine(name, canary, **PLAN) as engine:
                wait_for_percent(name, percent)
                time.sleep(1)
                engine.send_signal(signal.SIGKILL)
                assert engine.wait() == -signal.SIGKILL
            assert (left(name).phase, left(name).step) == ("stepping", step)
        for phase in ("promoting", "promoted"):
            with either.engine(name, canary, die_in=phase, **PLAN) as engine:
                assert engine.wait(180) == -signal.SIGKILL
            assert (left(name).phase, left(name).outcome) == ("promoting", "promoted")
        state = either.roll_out(name, canary, **PLAN)
    logger.info("killed %d times: %d of %d requests failed", len(STEPS) + 2, len(traffic.failures), traffic.sent)
    assert (state.outcome, state.phase, traffic.failures) == ("promoted", "done", [])
    assert set(traffic.answered) == {stable, canary}
    assert either.quiet_client(name).count(50) == {canary: 50}
    with home().connect() as serving:
        assert list(serving.service(name).versions) == [canary]


def test_killed_when_rollback_was_decided_it_is_finished(either: KServeHome, name: str) -> None:
    """The next engine takes the traffic away; nothing failed but what the canary itself answered 500."""
    stable, canary = either.serve(name, -0.7), either.deploy(name, -0.6, "2", behaviour={"fail": 0.3})
    with either.clients(name) as traffic:
        with either.engine(name, canary, die_in="rolling_back", **PLAN) as engine:
            assert engine.wait(120) == -signal.SIGKILL
        assert (left(name).phase, left(name).outcome) == ("rolling_back", "rolled_back")
        state = either.roll_out(name, canary, **PLAN)
        assert either.quiet_client(name).count(50) == {stable: 50}
    logger.info("killed at its rollback: %d of %d requests failed", len(traffic.failures), traffic.sent)
    assert (state.outcome, state.phase) == ("rolled_back", "done")
    assert all(what == "500" for _, what in traffic.failures)
    with home().connect() as serving:
        assert list(serving.service(name).versions) == [stable]
