"""Rollouts on a real cluster, in both of KServe's modes: the split that clients see, and every way that one can end.

Servers are stand-ins that misbehave as their package says; everything else is real. Clients' failures are counted:
where any are allowed, the test says how many, and why.
"""

import itertools
import logging
from collections.abc import Iterator

import pytest
from kserve_home import KServeHome
from scipy.stats import binomtest

from fairlead.deployment.records import Records
from fairlead.errors import RolloutError
from fairlead.platform.kubeflow import kinds
from fairlead.platform.serving import InChargeError, home

pytestmark = pytest.mark.cluster
pytest_plugins = ("kserve_fixtures",)
NUMBERS = itertools.count(1)
logger = logging.getLogger(__name__)


@pytest.fixture
def name(either: KServeHome) -> Iterator[str]:
    """A service of the test's own, removed afterwards to make room on a small cluster."""
    found = f"m{next(NUMBERS)}"
    yield found
    for one in either.cluster.list(kinds.INFERENCE_SERVICE, {"fairlead.dev/service": found}):
        either.cluster.delete(kinds.INFERENCE_SERVICE, one["metadata"]["name"])
    either.cluster.delete(kinds.HTTP_ROUTE, found)


def test_1000_requests_are_split_as_asked(either: KServeHome, name: str) -> None:
    """20 % of 1,000 clients' requests, within the binomial interval; 0 before and after; nobody else may set it."""
    stable = either.serve(name, -0.7)
    canary = either.deploy(name, -0.6, "2")
    client = either.quiet_client(name)
    assert client.count(50) == {stable: 50}
    either.split(name, canary, 20)
    seen = client.count(1000)
    logger.info("of 1,000 requests at 20 %%: %d", seen[canary])
    assert set(seen) == {stable, canary}
    assert binomtest(seen[canary], 1000, 0.2).pvalue > 1e-4
    either.split(name, canary, 0)
    assert client.count(100) == {stable: 100}
    with home().connect() as serving, pytest.raises(RolloutError, match="not in charge"):
        serving.target(name, canary).apply_split(50)


def test_a_good_canary_is_promoted(either: KServeHome, name: str) -> None:
    """All steps, then all traffic; not one request fails, and by hand the earlier version comes back."""
    stable = either.serve(name, -0.7)
    canary = either.deploy(name, -0.6, "2")
    with either.clients(name) as traffic:
        state = either.roll_out(name, canary)
    logger.info("promoted in %.1f s: %d of %d requests failed", state.seconds, len(traffic.failures), traffic.sent)
    assert (state.outcome, traffic.failures) == ("promoted", [])
    assert either.quiet_client(name).count(50) == {canary: 50}
    with home().connect() as serving:
        service = serving.service(name)
        assert (service.stable, service.canary, list(service.versions)) == (canary, None, [canary])
        assert service.previous is not None
        assert service.previous.digest == stable
        with Records(home().records(name)).charge(), either.clients(name) as traffic:
            serving.bring_back(name)
    assert traffic.failures == []
    assert either.quiet_client(name).count(50) == {stable: 50}


@pytest.mark.parametrize(
    "behaviour", [{"fail": 0.3}, pytest.param({"slow": 0.6}, marks=pytest.mark.slow)], ids=["errors", "latency"]
)
def test_a_worse_canary_is_rolled_back(either: KServeHome, name: str, behaviour: dict[str, float]) -> None:
    """Its errors and its latency are seen; afterwards only the stable version answers, and none of it is left."""
    stable = either.serve(name, -0.7)
    canary = either.deploy(name, -0.6, "2", behaviour=behaviour)
    with either.clients(name) as traffic:
        state = either.roll_out(name, canary, minimum_requests=500)
    logger.info("%s: %s; %d of %d requests failed", behaviour, state.reasons, len(traffic.failures), traffic.sent)
    assert state.outcome == "rolled_back"
    assert ("success_rate" if "fail" in behaviour else "latency") in state.reasons[0]
    assert all(what == "500" for _, what in traffic.failures)  # what the canary itself answered
    assert either.quiet_client(name).count(50) == {stable: 50}
    with home().connect() as serving:
        assert list(serving.service(name).versions) == [stable]


def test_two_are_never_in_charge(standard: KServeHome) -> None:
    """The second is refused as soon as it has seen the first one renew its Lease; afterwards it may."""
    with home().records("two").charge():
        assert "is in charge of two's rollout" in standard.another_process("two")
        with pytest.raises(InChargeError, match="already"), home().records("two").charge():
            pass
    assert standard.another_process("two") == "taken"
