"""What goes wrong while a canary is judged on a cluster: pods that die, engines that die, two engines."""

import itertools
import logging
import signal
import time
from collections.abc import Iterator

import pytest
from kserve_home import SMALL, KServeHome

from fairlead.deployment import by_hand
from fairlead.deployment.records import Records
from fairlead.errors import PlatformError
from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.charge import lease_name
from fairlead.platform.kubeflow.names import version_labels
from fairlead.platform.kubeflow.pods import list_pods
from fairlead.platform.kubeflow.warden import Warden
from fairlead.platform.serving import home
from fairlead.registry import store
from fairlead.settings import settings

pytestmark = pytest.mark.cluster
pytest_plugins = ("kserve_fixtures",)
NUMBERS = itertools.count(1)
logger = logging.getLogger(__name__)


@pytest.fixture
def name(standard: KServeHome) -> Iterator[str]:
    """A service of the test's own, removed afterwards."""
    found = f"f{next(NUMBERS)}"
    yield found
    for one in standard.cluster.list(kinds.INFERENCE_SERVICE, {"fairlead.dev/service": found}):
        standard.cluster.delete(kinds.INFERENCE_SERVICE, one["metadata"]["name"])
    standard.cluster.delete(kinds.HTTP_ROUTE, found)


def kill_pods(place: KServeHome, name: str, digest: str, count: int = 1) -> None:
    """Deletes pods of a version at once (no time to drain), as the end of a node would."""
    for pod in list_pods(place.cluster, version_labels(name, digest))[:count]:
        place.cluster.delete(kinds.POD, pod.name, grace_seconds=0)


@pytest.mark.parametrize("replicas", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_killed_canary_pod_is_rolled_back_or_made_up_for(standard: KServeHome, name: str, replicas: int) -> None:
    """With one replica the canary has no server: rolled back; its share of requests fails until the gateway knows.

    With two the other one takes over: the Gateway API has no retries, so requests that were under way to the killed
    one may fail, and no others.
    """
    stable = standard.serve(name, -0.7)
    options = SMALL.model_copy(update={"minimum_replicas": replicas, "maximum_replicas": replicas})
    canary = standard.deploy(name, -0.6, "2", cluster=options)
    with standard.clients(name) as traffic, standard.engine(name, canary, minimum_requests=5000, steps=[20]) as engine:
        standard.wait_for_share(name, canary)
        time.sleep(2)
        kill_pods(standard, name, canary)
        if replicas == 1:
            assert engine.wait(60) == 0
        else:
            time.sleep(10)
            assert engine.poll() is None
            by_hand.roll_back(name, "the test is over")
    logger.info("killed, %d replicas: %d of %d requests failed", replicas, len(traffic.failures), traffic.sent)
    state = Records(home().records(name)).load()
    assert state is not None
    assert state.outcome == "rolled_back"
    if replicas == 1:
        assert "no server of the canary is ready" in state.reasons[0] or "died" in state.reasons[0]
    # 20 % of 60 requests a second, for the seconds until the split is taken away
    assert len(traffic.failures) <= (60 if replicas == 1 else 15)
    assert standard.quiet_client(name).count(50) == {stable: 50}


def test_a_version_that_cannot_start_is_refused_with_the_reason(standard: KServeHome, name: str) -> None:
    """Image missing, crash loop, never ready: deploying says so, removes it, and no user notices anything."""
    stable = standard.serve(name, -0.7)
    with standard.clients(name) as traffic:
        with pytest.raises(PlatformError, match=r"(?s)kserve-container.*told to exit"):
            standard.deploy_or_withdraw(name, -0.5, "3", behaviour={"exit": 3})
        with pytest.raises(PlatformError, match=r"(?s)not ready after 15 s.*kserve-container"):
            standard.deploy_or_withdraw(name, -0.4, "4", behaviour={"never_ready": True}, ready_timeout_seconds=15)
        with pytest.raises(PlatformError, match=r"(?s)does not start.*(ErrImage|ImagePull)"):
            standard.deploy_or_withdraw(name, -0.3, "5", image_registry="nowhere.invalid/team")
        with pytest.raises(PlatformError, match=r"(?s)storage-initializer"):
            standard.deploy_or_withdraw(name, -0.2, "6", lost_package=True)
    assert traffic.failures == []
    with home().connect() as place:
        service = place.service(name)
    assert (service.stable, service.canary, list(service.versions)) == (stable, None, [stable])


def test_a_killed_engine_loses_the_traffic_and_is_resumed(standard: KServeHome, name: str) -> None:
    """Nobody judges: the warden takes the share away within the Lease's time; the next engine goes on."""
    stable = standard.serve(name, -0.7)
    canary = standard.deploy(name, -0.6, "2")
    warden = Warden(standard.cluster, settings())
    with standard.clients(name) as traffic:
        with standard.engine(name, canary, minimum_requests=4000, steps=[20, 50], step_timeout_seconds=300) as engine:
            standard.wait_for_share(name, canary)
            time.sleep(6)
            assert warden.look() == []
            engine.send_signal(signal.SIGKILL)
            engine.wait()
        killed = time.monotonic()
        while not warden.look():
            assert time.monotonic() - killed < 40
            time.sleep(1)
        logger.info("the share was taken away %.1f s after the engine was killed", time.monotonic() - killed)
        assert standard.quiet_client(name).count(30) == {stable: 30}
        left = Records(home().records(name)).load()
        assert left is not None
        assert left.phase == "stepping"
        seen = left.judge["canary_requests"]
        state = standard.resume(name, canary, minimum_requests=60)
    assert (state.outcome, traffic.failures) == ("promoted", [])
    assert state.judge["canary_requests"] > seen > 0


@pytest.mark.slow
def test_a_stopped_engine_that_wakes_up_writes_nothing(standard: KServeHome, name: str) -> None:
    """SIGSTOP for longer than its Lease: another takes charge meanwhile; the first one, awake again, gives up."""
    standard.serve(name, -0.7)
    canary = standard.deploy(name, -0.6, "2")
    with standard.clients(name), standard.engine(name, canary, minimum_requests=4000, steps=[20]) as first:
        standard.wait_for_share(name, canary)
        first.send_signal(signal.SIGSTOP)
        done = by_hand.roll_back(name, "the engine hangs")  # waits for the Lease to end, and takes charge
        assert "removed" in done.what
        first.send_signal(signal.SIGCONT)
        assert first.wait(60) != 0
        lease = standard.cluster.get(kinds.LEASE, lease_name(name))
        assert lease is not None
        assert lease["spec"]["leaseTransitions"] >= 2
    with home().connect() as place:
        assert canary not in place.service(name).versions


def test_by_hand_is_recorded_with_the_kubernetes_user(standard: KServeHome, name: str) -> None:
    """Promotion and rollback by hand, without an engine; the history says who the API server took us for."""
    for bias in (-0.7, -0.6):
        store.register(standard.package(bias)[0].path, name, [], [])
    stable = standard.serve(name, -0.7)
    canary = standard.deploy(name, -0.6, "2")
    with standard.clients(name) as traffic:
        standard.split(name, canary, 30)
        assert by_hand.promote(name, "seen enough").stable == canary
        assert by_hand.roll_back(name, "customers complain").stable == stable
    assert traffic.failures == []
    past = Records(home().records(name)).past()
    assert [(one["by"], one["verb"]) for one in past] == [("hand", "promote"), ("hand", "rollback")]
    assert all(one["user"] == home().user() for one in past)
