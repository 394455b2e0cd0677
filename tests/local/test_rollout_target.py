"""One contract for every rollout target: the simulated one and the laptop behave alike."""

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from fakes import SimulatedTarget
from laptops import Laptop, laptop

from fairlead.platform.laptop.rollout_target import LaptopTarget
from fairlead.platform.target import RolloutTarget

Case = tuple[RolloutTarget, Callable[[], AbstractContextManager[object]]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """One platform for all tests of this module."""
    with pytest.MonkeyPatch.context() as patch, laptop(tmp_path_factory.mktemp("home"), patch) as made:
        yield made


@pytest.fixture(params=["simulated", "laptop"])
def case(
    request: pytest.FixtureRequest, running: Laptop, own_state: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Case]:
    """A target with a stable version and a canary, and traffic for it."""
    if request.param == "simulated":
        yield SimulatedTarget(), contextlib.nullcontext
        return
    running.name_in_settings(monkeypatch)
    name = request.node.name.partition("[")[0].replace("test_", "")
    running.serve(name, "a")
    target = LaptopTarget(name, running.deploy(name, "b"))
    yield target, lambda: running.clients(name)
    target.close()


def gather(target: RolloutTarget, percent: float, wanted: int = 60) -> tuple[int, int]:
    """Applies a split and reads until so many attempts came in; attempts of stable and of the canary."""
    import time

    target.apply_split(percent)
    window = target.read_metrics(None)
    assert (window.canary.succeeded, window.canary.failed, window.pairs) == (0, 0, ())
    stable = canary = 0
    deadline = time.monotonic() + 20
    while stable + canary < wanted and time.monotonic() < deadline:
        time.sleep(0.1)
        window = target.read_metrics(json.loads(json.dumps(window.cursor)))
        stable += window.stable.succeeded + window.stable.failed
        canary += window.canary.succeeded + window.canary.failed
    return stable, canary


def test_a_split_is_observed_as_it_was_asked_for(case: Case) -> None:
    """All to the stable version, then a share to the canary: counters agree with the verb."""
    target, traffic = case
    assert target.has_stable
    with traffic():
        assert gather(target, 0)[1] == 0
        stable, canary = gather(target, 50, wanted=100)
        split = target.observe_split()
    assert stable > 20
    assert canary > 20
    assert split.canary > 20
    assert split.mismatch == ""


def test_a_shadow_answers_every_request_a_second_time(case: Case) -> None:
    """Pairs of answers come in, while the split counts nothing for the canary."""
    import time

    target, traffic = case
    with traffic():
        target.apply_split(0, 100)
        cursor = target.read_metrics(None).cursor
        pairs = 0
        deadline = time.monotonic() + 20
        while pairs < 50 and time.monotonic() < deadline:
            time.sleep(0.1)
            window = target.read_metrics(json.loads(json.dumps(cursor)))
            cursor, pairs = window.cursor, pairs + len(window.pairs)
            assert window.canary.succeeded == 0
        split = target.observe_split()
    assert pairs >= 50
    assert (split.canary, split.mismatch) == (0, "")


def test_verbs_may_be_repeated(case: Case) -> None:
    """Splitting and rolling back twice is as good as once."""
    target, traffic = case
    with traffic():
        target.apply_split(10)
        target.apply_split(10)
        assert target.read_metrics(None).trouble == ""
        target.roll_back()
        target.roll_back()


def test_promotion_leaves_no_other_version(case: Case) -> None:
    """After it the canary is the stable version; once more changes nothing."""
    target, traffic = case
    with traffic():
        target.apply_split(100)
        target.promote()
        target.promote()
    if isinstance(target, LaptopTarget):
        assert target.promoted
