"""KServe's home without a cluster: manifests, counters, what pods say, and which way of serving is chosen."""

from pathlib import Path
from typing import Any

import pytest
from memory_cluster import MemoryCluster
from models import tiny_package

from fairlead.errors import ConfigurationError, PlatformError
from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.edge import count_failures
from fairlead.platform.kubeflow.gateway import Gateway
from fairlead.platform.kubeflow.knative import KnativeRouter
from fairlead.platform.kubeflow.modes import KServeConfig, find_gateway, find_mode
from fairlead.platform.kubeflow.names import VERSION, short
from fairlead.platform.kubeflow.pods import read_pod
from fairlead.platform.kubeflow.scrape import Counts, read_counts, total
from fairlead.platform.kubeflow.services import ServiceRecord, VersionRecord
from fairlead.platform.kubeflow.standard import StandardRouter
from fairlead.platform.kubeflow.workload import Surroundings, inference_service
from fairlead.platform.order import ClusterOptions, Order
from fairlead.settings import Settings
from fairlead_serving.package import ModelPackage

DIGEST = "sha256:" + "a" * 64
METRICS = """
# TYPE fairlead_requests_total counter
fairlead_requests_total{model="m",version="aaaaaaaaaaaa",protocol="v1",code="200"} 7
fairlead_requests_total{model="m",version="aaaaaaaaaaaa",protocol="v2",code="500"} 2
fairlead_requests_total{model="m",version="aaaaaaaaaaaa",protocol="v1",code="422"} 1
fairlead_requests_total{model="m",version="aaaaaaaaaaaa",protocol="feedback",code="200"} 9
fairlead_requests_total{model="n",version="bbbbbbbbbbbb",protocol="v1",code="200"} 50
# TYPE fairlead_request_seconds histogram
fairlead_request_seconds_bucket{model="m",version="aaaaaaaaaaaa",protocol="v1",le="0.01"} 4
fairlead_request_seconds_bucket{model="m",version="aaaaaaaaaaaa",protocol="v1",le="0.1"} 9
fairlead_request_seconds_bucket{model="m",version="aaaaaaaaaaaa",protocol="v1",le="+Inf"} 10
"""


@pytest.fixture
def order(tmp_path: Path) -> Order:
    """A version of a tiny model."""
    package = ModelPackage.open(tiny_package(tmp_path / "package"))
    return Order(
        "m", "tiny", "3", package.digest, "s3://b/p", package, judges=("evaluation", "load"), memory_bytes=1 << 30
    )


@pytest.mark.parametrize("mode", ["standard", "knative"])
def test_the_same_order_gives_the_same_manifest(order: Order, mode: Any) -> None:
    """Applied twice it changes nothing; who approved it, and by which policy, can be read from it."""
    first, again = (inference_service(order, mode, Surroundings("n")) for _ in range(2))
    assert first == again
    annotations, predictor = first["metadata"]["annotations"], first["spec"]["predictor"]
    assert annotations["fairlead.dev/digest"] == order.digest
    assert annotations["fairlead.dev/approved-by"] == "evaluation,load"
    assert predictor["model"]["resources"]["limits"]["memory"] == str(1 << 30)
    assert predictor["storageContainerName"] == "fairlead"
    assert ("securityContext" in predictor) == (mode == "standard")  # Knative's webhook refuses it


@pytest.mark.parametrize(
    ("change", "mode", "message"),
    [
        ({"sticky_header": "x-user"}, "standard", "sticky_header"),
        ({"cluster": ClusterOptions(minimum_replicas=0)}, "standard", "only Knative ends the last"),
        ({"cluster": ClusterOptions(scale_by="rps")}, "standard", "only Knative counts"),
        ({"cluster": ClusterOptions(minimum_replicas=4)}, "knative", "less than"),
        ({"service": "Flights_1"}, "knative", "lower-case"),
    ],
)
def test_what_a_mode_has_not_is_refused(order: Order, change: dict[str, Any], mode: Any, message: str) -> None:
    """Before anything is applied, and with the key that is wrong."""
    from dataclasses import replace

    with pytest.raises(ConfigurationError, match=message):
        inference_service(replace(order, **change), mode, Surroundings("n"))


def test_a_logger_is_asked_for_only_where_one_is_named(order: Order) -> None:
    """KServe puts its agent into every pod that names one."""
    from dataclasses import replace

    options = ClusterOptions(logger_url="http://events.n", logger_mode="request")
    named = inference_service(replace(order, cluster=options), "standard", Surroundings("n"))
    assert named["spec"]["predictor"]["logger"] == {"url": "http://events.n", "mode": "request"}
    assert "logger" not in inference_service(order, "standard", Surroundings("n"))["spec"]["predictor"]


def test_a_server_s_counters_are_read() -> None:
    """By version, without feedback; a client's mistakes are no failures, and a restarted server begins at 0."""
    counts = read_counts(METRICS, DIGEST)
    assert (counts.succeeded, counts.failed, counts.rejected, counts.asked) == (7, 2, 1, 10)
    assert counts.seconds == {0.01: 4, 0.1: 5, 0.2: 1}
    assert Counts.of_plain(counts.plain()) == counts
    later = Counts(9, 2, 1, {0.01: 6})
    assert (later.since(counts).succeeded, later.since(counts).failed) == (2, 0)
    assert Counts(1, 0, 0).since(counts) == Counts(1, 0, 0)
    assert total([counts, counts]).asked == 20


def test_failures_that_only_the_gateway_saw_are_counted() -> None:
    """Envoy's 5xx answers, by upstream."""
    text = (
        "# TYPE envoy_cluster_upstream_rq_xx counter\n"
        'envoy_cluster_upstream_rq_xx{envoy_response_code_class="5",envoy_cluster_name="n_m-a-predictor_80"} 3\n'
        'envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="n_m-a-predictor_80"} 50\n'
    )
    assert count_failures([text, text], {"canary": "n_m-a-predictor_", "stable": "n_m-b-predictor_"}) == {
        "canary": 6, "stable": 0,
    }  # fmt: skip
    kourier = 'envoy_cluster_upstream_rq_xx{envoy_response_code_class="5",envoy_cluster_name="n/m-predictor-00002"} 4\n'
    assert count_failures([kourier], {"00001": "n/m-predictor-00001", "00002": "n/m-predictor-00002"}) == {
        "00001": 0, "00002": 4,
    }  # fmt: skip


def test_a_pod_that_cannot_come_up_says_why() -> None:
    """Kubernetes' reason, its message, and how the container ended."""
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    ended = {"terminated": {"exitCode": 3, "reason": "Error"}}
    status = {"name": "kserve-container", "ready": False, "restartCount": 2, "state": waiting, "lastState": ended}
    pod = read_pod(
        {"metadata": {"name": "p", "uid": "u"}, "status": {"phase": "Running", "containerStatuses": [status]}}
    )
    assert (
        pod.hopeless == "p, container kserve-container: CrashLoopBackOff (back-off 10s); it ended with status 3 (Error)"
    )
    assert (pod.ready, pod.restarts) == (False, 2)


class StubCluster:
    """A cluster that has some kinds."""

    namespace = "n"

    def __init__(self, *have: kinds.Kind) -> None:
        self.have = have

    def has(self, kind: kinds.Kind) -> bool:
        """Whether it serves a kind."""
        return kind in self.have


@pytest.mark.parametrize(
    ("have", "config", "wanted", "mode"),
    [
        ((kinds.KNATIVE_SERVICE, kinds.HTTP_ROUTE), "standard", "auto", "standard"),
        ((kinds.KNATIVE_SERVICE, kinds.HTTP_ROUTE), "knative", "auto", "knative"),
        ((kinds.KNATIVE_SERVICE,), "standard", "auto", "knative"),
        ((kinds.HTTP_ROUTE,), "knative", "auto", "standard"),
        ((kinds.KNATIVE_SERVICE, kinds.HTTP_ROUTE), "standard", "knative", "knative"),
        ((), "standard", "auto", "splits no traffic by itself"),
        ((kinds.HTTP_ROUTE,), "standard", "knative", "no Knative Serving"),
    ],
)
def test_the_mode_is_what_the_cluster_can_do(have: tuple[kinds.Kind, ...], config: str, wanted: Any, mode: str) -> None:
    """Probed, overridden by the setting, and refused with the reason where nothing can split."""
    cluster: Any = StubCluster(kinds.INFERENCE_SERVICE, *have)
    place = Settings(serving_mode=wanted)
    if " " in mode:
        with pytest.raises(PlatformError, match=mode):
            find_mode(cluster, place, KServeConfig(readable=True, mode=config))
    else:
        assert find_mode(cluster, place, KServeConfig(readable=True, mode=config)) == mode


def test_a_route_is_exact_to_a_hundredth_of_a_per_cent() -> None:
    """Weights of 10,000; testers by header; copies by a filter."""
    other = DIGEST.replace("a", "b")
    versions = {d: VersionRecord(digest=d, version="1", package="", manifest={}) for d in (DIGEST, other)}
    record = ServiceRecord(
        name="m", mode="standard", host="m-n.example.com:8080", stable=DIGEST, canary=other, canary_percent=0.01,
        shadow_percent=50, versions=versions,
    )  # fmt: skip
    cluster: Any = StubCluster()
    router = StandardRouter(cluster, Settings(gateway="g/w"), KServeConfig(readable=False))
    route = router._route(record)
    testers, rule = route["spec"]["rules"][:2], route["spec"]["rules"][2]
    assert route["spec"]["hostnames"] == ["m-n.example.com"]
    assert [one["weight"] for one in rule["backendRefs"]] == [9999, 1]
    assert rule["filters"][0]["requestMirror"]["fraction"] == {"numerator": 5000, "denominator": 10000}
    assert [one["matches"][0]["headers"][0]["value"] for one in testers] == ["canary", "stable"]
    with pytest.raises(PlatformError, match="FAIRLEAD_GATEWAY"):
        find_gateway(Settings(), KServeConfig(readable=False))


def test_knative_s_gateway_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tag leads to the version before until the gateway follows; the new version must answer several times alone."""
    cluster, old, new = MemoryCluster(), "sha256:" + "b" * 64, DIGEST
    traffic = [
        {"revisionName": "m-predictor-00002", "tag": "latest", "url": "http://latest-m.example.com", "percent": 0},
        {"revisionName": "m-predictor-00001", "tag": "prev", "url": "http://prev-m.example.com", "percent": 100},
    ]
    status = {"components": {"predictor": {"traffic": traffic, "url": "http://m.example.com"}}}
    cluster.create({
        "apiVersion": kinds.INFERENCE_SERVICE.api_version, "kind": kinds.INFERENCE_SERVICE.kind,
        "metadata": {"name": "m"}, "status": status,
    })  # fmt: skip
    for number, digest in (("1", old), ("2", new)):
        metadata = {"name": f"m-predictor-0000{number}", "labels": {VERSION: short(digest)}}
        kind = kinds.REVISION
        cluster.create({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata})
    answers, asked = [old, "status 404", new, new, old, *[new] * 5, old], []

    def ask(gateway: Gateway, headers: dict[str, str]) -> str:
        asked.append((gateway.url, gateway.host, headers))
        return answers[len(asked) - 1]

    monkeypatch.setattr(Gateway, "ask", ask)
    versions = {d: VersionRecord(digest=d, version="1", package="", manifest={}) for d in (old, new)}
    record = ServiceRecord(name="m", mode="knative", stable=old, canary=new, versions=versions)
    router = KnativeRouter(cluster, Settings(gateway_url="http://127.0.0.1:9"))  # type: ignore[arg-type]
    router.introduce(record, new)
    assert asked == [("http://127.0.0.1:9", "latest-m.example.com", {})] * 10
    with pytest.raises(PlatformError, match="has no address"):  # the service's own address leads to another version
        router.address(record, "sha256:" + "c" * 64)


class _Kourier(MemoryCluster):
    """A cluster whose Kourier tells what it has answered."""

    def proxy(self, pod: str, port: int, path: str, namespace: str = "") -> str:
        """The statistics of its Envoy."""
        assert (pod, port, path, namespace) == ("kourier-1", 9000, "stats/prometheus", "kourier-system")
        metric = 'envoy_cluster_upstream_rq_xx{envoy_response_code_class="5",envoy_cluster_name="n/m-predictor-%s"} %s'
        return "".join(metric % (number, number) + "\n" for number in ("00001", "00002", "00009"))


def test_what_kourier_answered_5xx_is_told_by_version() -> None:
    """By the revisions that have traffic; of what has none nothing is told."""
    cluster = _Kourier()
    traffic = [{"revisionName": f"m-predictor-{n}"} for n in ("00001", "00002")]
    status = {"components": {"predictor": {"traffic": traffic}}}
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    for kind, name, more in (
        (kinds.INFERENCE_SERVICE, "m", {"status": status}),
        (kinds.POD, "kourier-1", {"status": ready}),
        (kinds.REVISION, "m-predictor-00001", {}),
        (kinds.REVISION, "m-predictor-00002", {}),
    ):
        version = {"m-predictor-00001": "a" * 12, "m-predictor-00002": "b" * 12}.get(name, "")
        labels = {"app": "3scale-kourier-gateway", VERSION: version}
        metadata = {"name": name, "uid": name, "labels": labels}
        cluster.create({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **more})
    first, second, gone = (f"sha256:{letter * 64}" for letter in "abc")
    versions = {
        digest: VersionRecord(digest=digest, version="1", package="", manifest={}) for digest in (first, second, gone)
    }
    router = KnativeRouter(cluster, Settings())  # type: ignore[arg-type]
    assert router.edge_failures(ServiceRecord(name="m", mode="knative", versions=versions)) == {first: 1, second: 2}
