"""What goes wrong while a canary is judged, in both of KServe's modes: pods that die, engines that die, two engines."""

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


@pytest.fixture(params=["standard", pytest.param("knative", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest) -> KServeHome:
    """Both modes; the second one where there is time."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, KServeHome)
    return found


@pytest.fixture
def name(place: KServeHome) -> Iterator[str]:
    """A service of the test's own, removed afterwards."""
    found = f"f{next(NUMBERS)}"
    yield found
    for one in place.cluster.list(kinds.INFERENCE_SERVICE, {"fairlead.dev/service": found}):
        place.cluster.delete(kinds.INFERENCE_SERVICE, one["metadata"]["name"])
    place.cluster.delete(kinds.HTTP_ROUTE, found)


def kill_pods(place: KServeHome, name: str, digest: str, count: int = 1) -> None:
    """Deletes pods of a version at once (no time to drain), as the end of a node would."""
    for pod in list_pods(place.cluster, version_labels(name, digest))[:count]:
        place.kill(pod.name)


def wait_until_judged(name: str) -> None:
    """Waits until an engine looks at the evidence: before, it makes sure of the split, and sees no pod that dies."""
    deadline = time.monotonic() + 60
    while (state := Records(home().records(name)).load()) is None or not state.looks:
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.parametrize("replicas", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_killed_canary_pod_is_rolled_back_or_made_up_for(place: KServeHome, name: str, replicas: int) -> None:
    """With one replica the canary has no server: rolled back; its share of requests fails until the gateway knows.

    With two the other one takes over: the Gateway API has no retries, so requests that were under way to the killed
    one may fail, and no others.
    """
    stable = place.serve(name, -0.7)
    options = SMALL.model_copy(update={"minimum_replicas": replicas, "maximum_replicas": replicas})
    canary = place.deploy(name, -0.6, "2", cluster=options)
    with place.clients(name) as traffic, place.engine(name, canary, minimum_requests=5000, steps=[20]) as engine:
        place.wait_for_share(name, canary)
        wait_until_judged(name)
        kill_pods(place, name, canary)
        if replicas == 1:
            assert engine.wait(240) == 0  # Knative starts the stable version anew; the share goes first
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
    assert place.quiet_client(name).count(50) == {stable: 50}


def test_a_version_that_cannot_start_is_refused_with_the_reason(place: KServeHome, name: str) -> None:
    """Image missing, crash loop, never ready: deploying says so, removes it, and no user notices anything."""
    stable = place.serve(name, -0.7)
    with place.clients(name) as traffic:
        with pytest.raises(PlatformError, match=r"(?s)kserve-container.*told to exit"):
            place.deploy_or_withdraw(name, -0.5, "3", behaviour={"exit": 3})
        with pytest.raises(PlatformError, match=r"(?s)not ready after 40 s.*kserve-container"):
            place.deploy_or_withdraw(name, -0.4, "4", behaviour={"never_ready": True}, ready_timeout_seconds=40)
        with pytest.raises(PlatformError, match=r"(?s)does not start.*(ErrImage|ImagePull|Unable to fetch image)"):
            place.deploy_or_withdraw(name, -0.3, "5", image_registry="nowhere.invalid/team")
        with pytest.raises(PlatformError, match=r"(?s)storage-initializer"):
            place.deploy_or_withdraw(name, -0.2, "6", lost_package=True)
    assert traffic.failures == []
    with home().connect() as serving:
        service = serving.service(name)
    assert (service.stable, service.canary, list(service.versions)) == (stable, None, [stable])


def test_a_killed_engine_loses_the_traffic_and_is_resumed(place: KServeHome, name: str) -> None:
    """Nobody judges: the warden takes the share away within the Lease's time; the next engine goes on."""
    stable = place.serve(name, -0.7)
    canary = place.deploy(name, -0.6, "2")
    warden = Warden(place.cluster, settings())
    with place.clients(name) as traffic:
        with place.engine(name, canary, minimum_requests=4000, steps=[20, 50], step_timeout_seconds=300) as engine:
            place.wait_for_share(name, canary)
            time.sleep(6)
            assert warden.look() == []
            engine.send_signal(signal.SIGKILL)
            engine.wait()
        killed = time.monotonic()
        while not warden.look():
            assert time.monotonic() - killed < 40
            time.sleep(1)
        logger.info("the share was taken away %.1f s after the engine was killed", time.monotonic() - killed)
        assert place.quiet_client(name).count(30) == {stable: 30}
        left = Records(home().records(name)).load()
        assert left is not None
        assert left.phase == "stepping"
        seen = left.judge["canary_requests"]
        state = place.resume(name, canary, minimum_requests=60)
    assert (state.outcome, traffic.failures) == ("promoted", [])
    assert state.judge["canary_requests"] > seen > 0


@pytest.mark.slow
def test_a_stopped_engine_that_wakes_up_writes_nothing(place: KServeHome, name: str) -> None:
    """SIGSTOP for longer than its Lease: another takes charge meanwhile; the first one, awake again, gives up."""
    place.serve(name, -0.7)
    canary = place.deploy(name, -0.6, "2")
    with place.clients(name), place.engine(name, canary, minimum_requests=4000, steps=[20]) as first:
        place.wait_for_share(name, canary)
        first.send_signal(signal.SIGSTOP)
        done = by_hand.roll_back(name, "the engine hangs")  # waits for the Lease to end, and takes charge
        assert "removed" in done.what
        first.send_signal(signal.SIGCONT)
        assert first.wait(60) != 0
        lease = place.cluster.get(kinds.LEASE, lease_name(name))
        assert lease is not None
        assert lease["spec"]["leaseTransitions"] >= 2
    with home().connect() as serving:
        assert canary not in serving.service(name).versions


def test_by_hand_is_recorded_with_the_kubernetes_user(place: KServeHome, name: str) -> None:
    """Promotion and rollback by hand, without an engine; the history says who the API server took us for."""
    for bias in (-0.7, -0.6):
        store.register(place.package(bias)[0].path, name, [], [])
    stable = place.serve(name, -0.7)
    canary = place.deploy(name, -0.6, "2")
    with place.clients(name) as traffic:
        place.split(name, canary, 30)
        assert by_hand.promote(name, "seen enough").stable == canary
        assert by_hand.roll_back(name, "customers complain").stable == stable
    assert traffic.failures == []
    past = Records(home().records(name)).past()
    assert [(one["by"], one["verb"]) for one in past] == [("hand", "promote"), ("hand", "rollback")]
    assert all(one["user"] == home().user() for one in past)
