"""How many servers run: what `serving.cluster` asks for comes to the pod autoscaler, or to Knative, and works."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from kserve_home import SMALL, KServeHome

from fairlead.platform.kubeflow.kinds import INFERENCE_SERVICE, REVISION, Kind
from fairlead.platform.kubeflow.names import version_labels, version_name
from fairlead.platform.kubeflow.router import pods_of

pytestmark = pytest.mark.cluster
pytest_plugins = ("kserve_fixtures",)
logger = logging.getLogger(__name__)
HPA = Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")


def wait_for(what: str, done: Callable[[], Any], seconds: float) -> float:
    """Waits until something is so; gives how long that took."""
    begun = time.monotonic()
    while not done():
        assert time.monotonic() - begun < seconds, what
        time.sleep(0.5)
    return time.monotonic() - begun


@pytest.mark.parametrize(("by", "at"), [("cpu", 70), pytest.param("memory", 60, marks=pytest.mark.slow)])
def test_the_pod_autoscaler_has_the_bounds_that_were_asked_for(standard: KServeHome, by: str, at: int) -> None:
    """It watches the version's own Deployment, and goes with it."""
    name = f"scaled-{by}"
    options = SMALL.model_copy(update={"maximum_replicas": 4, "scale_by": by, "scale_at": at})
    digest = standard.deploy(name, -0.7, cluster=options)
    own = f"{version_name(name, digest)}-predictor"
    wait_for(f"{own}'s autoscaler", lambda: standard.cluster.get(HPA, own), 30)
    found = standard.cluster.get(HPA, own)
    assert found is not None
    spec = found["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (1, 4)
    assert (spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"]) == ("Deployment", own)
    (metric,) = spec["metrics"]
    assert metric["resource"]["name"] == by
    assert metric["resource"]["target"] == {"type": "Utilization", "averageUtilization": at}
    standard.cluster.delete(INFERENCE_SERVICE, version_name(name, digest))
    wait_for(f"the end of {own}'s autoscaler", lambda: standard.cluster.get(HPA, own) is None, 30)


@pytest.mark.slow
def test_a_fixed_number_of_servers_has_no_autoscaler(standard: KServeHome) -> None:
    """Where least and most are the same, nobody changes the number."""
    options = SMALL.model_copy(update={"minimum_replicas": 2, "maximum_replicas": 2})
    digest = standard.deploy("fixed", -0.7, cluster=options)
    wait_for("both servers", lambda: sum(pod.ready for pod in pods_of(standard.cluster, "fixed", digest)) == 2, 30)
    assert standard.cluster.list(HPA, version_labels("fixed", digest)) == []
    assert standard.cluster.get(HPA, f"{version_name('fixed', digest)}-predictor") is None


def annotations(place: KServeHome, name: str, digest: str) -> dict[str, str]:
    """What Knative's autoscaler is told of a version."""
    (revision,) = place.cluster.list(REVISION, version_labels(name, digest))
    prefix = "autoscaling.knative.dev/"
    told: dict[str, str] = revision["metadata"]["annotations"]
    return {key.removeprefix(prefix): value for key, value in told.items() if key.startswith(prefix)}


@pytest.mark.parametrize(("by", "at"), [("concurrency", 2), pytest.param("rps", 50, marks=pytest.mark.slow)])
def test_knative_is_told_what_was_asked_for(knative: KServeHome, by: str, at: int) -> None:
    """Bounds, what is watched, and from where on."""
    name = f"told-{by}"
    options = SMALL.model_copy(update={"maximum_replicas": 3, "scale_by": by, "scale_at": at})
    told = annotations(knative, name, knative.deploy(name, -0.7, cluster=options))
    assert (told["min-scale"], told["max-scale"], told["metric"], told["target"]) == ("1", "3", by, str(at))


@pytest.mark.slow
def test_more_requests_at_a_time_start_more_servers(knative: KServeHome) -> None:
    """One server for each two requests under way, up to the most; none of the requests fails."""
    options = SMALL.model_copy(update={"maximum_replicas": 3, "scale_by": "concurrency", "scale_at": 2})
    digest = knative.serve("busy", -0.7, behaviour={"slow": 0.5}, cluster=options)
    with knative.clients("busy", threads=12, per_second=1000) as traffic:
        grown = wait_for(
            "three servers", lambda: sum(pod.ready for pod in pods_of(knative.cluster, "busy", digest)) == 3, 60
        )
    logger.info("three servers after %.1f s; %d of %d requests failed", grown, len(traffic.failures), traffic.sent)
    assert traffic.failures == []


@pytest.mark.slow
def test_the_last_server_ends_and_comes_back_without_a_failed_request(knative: KServeHome) -> None:
    """`minimum_replicas: 0`: nobody asks, nothing runs; the first requests wait for a server, and are answered."""
    options = SMALL.model_copy(update={"minimum_replicas": 0, "maximum_replicas": 2})
    digest = knative.serve("asleep", -0.7, cluster=options)

    def pods() -> int:
        return len(pods_of(knative.cluster, "asleep", digest))

    assert pods() > 0
    gone = wait_for("the end of the last server", lambda: pods() == 0, 240)
    seen, waits = Counter[str](), []

    def first_request() -> None:
        begun = time.monotonic()
        seen.update(knative.quiet_client("asleep").count(1))
        waits.append(time.monotonic() - begun)

    users = [threading.Thread(target=first_request) for _ in range(20)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    logger.info("ended after %.0f s; the first requests waited %.1f s at most", gone, max(waits))
    assert seen == {digest: 20}
    with knative.clients("asleep") as traffic:
        canary = knative.deploy("asleep", -0.6, "2", cluster=options)
        assert knative.roll_out("asleep", canary).outcome == "promoted"
    assert traffic.failures == []
