"""The engine itself as the fault: killed at every step, two at once, a wall clock that jumps."""

import multiprocessing
import time

import pytest
from crowd import Crowd
from faults import CHECKS, SPEC, kept, service_of
from laptops import Laptop
from others import judge

from fairlead.platform.serving import InChargeError


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(0.5, id="first"),
        pytest.param(2.5, id="middle", marks=pytest.mark.slow),
        pytest.param(5.0, id="late", marks=pytest.mark.slow),
    ],
)
def test_an_engine_that_is_killed_leaves_a_rollout_that_the_next_one_ends(
    request: pytest.FixtureRequest, platform: Laptop, size: tuple[int, float], seconds: float
) -> None:
    """At any step: nobody's request fails, only one engine is in charge at a time, and the next goes on."""
    name = service_of(request)
    platform.serve(name, "a", probability=0.3)
    platform.deploy(name, "b", probability=0.3)
    spec = SPEC | {"steps": [10, 30, 50], "minimum_requests": 150, "checks": CHECKS[:1], "look_seconds": 0.5}
    context = multiprocessing.get_context("spawn")
    arguments = (str(platform.home), platform.port, name, spec)
    crowd = Crowd(platform.port, name, *size)
    try:
        first = context.Process(target=judge, args=arguments)
        first.start()
        records = kept(platform, name)
        while records.load() is None:
            time.sleep(0.05)
        with pytest.raises(InChargeError), records.charge():
            pass
        time.sleep(seconds)
        first.kill()
        first.join()
        third = context.Process(target=judge, args=arguments)
        third.start()
        third.join()
        seen = crowd.finish()
    finally:
        crowd.stop()
    state = records.load()
    assert third.exitcode == 0
    assert state is not None
    assert (state.phase, state.outcome) == ("done", "promoted"), state.reasons
    assert not seen.failed, seen


def test_a_wall_clock_that_jumps_moves_no_lease(
    request: pytest.FixtureRequest, platform: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine and the supervisor's leases follow the monotonic clock; a rollout never sees the wall clock."""
    name = service_of(request)
    platform.serve(name, "a")
    platform.deploy(name, "b")
    jumps = iter(range(0, 10_000_000, 7200))
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))
    with platform.clients(name) as traffic:
        rollout, _ = platform.rollout(
            name, "b", **(SPEC | {"minimum_requests": 100, "checks": CHECKS[:1], "step_timeout_seconds": 60})
        )
        state = rollout.run()
    assert state.outcome == "promoted", state.reasons
    assert state.seconds < 60
    assert traffic.failures == []
