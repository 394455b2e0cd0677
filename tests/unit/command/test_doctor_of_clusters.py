"""`fairlead doctor --cluster` against what a real API server once said, whole and with parts taken away.

tests/cluster/test_doctor_cluster.py holds the same cases against a real cluster, and makes the recording:

    FAIRLEAD_TEST_RECORD=tests/recorded/staging_cluster.json pytest -m cluster tests/cluster/test_doctor_cluster.py
"""

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from cluster_proxy import Recorded, served
from doctor_contract import CASES, Case, ask, judge
from redis_server import running_redis

from fairlead.objects import Objects
from fairlead.platform.kubeflow.inventory import Inventory, Part
from fairlead.settings import settings
from fairlead_pipelines.command import cluster_checks, cluster_images, cluster_namespace, cluster_pod, probes
from fairlead_pipelines.command.main import main

pytest_plugins = ("minio_fixtures",)


@pytest.fixture
def recorded(repository: Path) -> Recorded:
    """A cluster with everything and the staging overlay."""
    return Recorded(repository / "tests" / "recorded" / "staging_cluster.json")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_doctor_finds_what_is_missing(
    case: Case, recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part that is taken away is missed by the pipelines that need it, and by no others."""
    with served(recorded, tmp_path, "fairlead-staging", case.without, case.refused) as kubeconfig:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        judge(case)


@pytest.mark.parametrize(("component", "state"), [("evaluate_model", "warn"), ("deploy_model", "bad")])
def test_kserve_is_missed_by_who_deploys(component: str, state: str) -> None:
    """What is missing is bad only for who needs it; what others need is not even mentioned."""
    names = ("kserve", "knative", "gateway", "katib", "trainer", "prometheus", "kfp")
    empty = Inventory("v1.34.0", {name: Part(name, present=False) for name in names})
    found = {check.name: check for check in cluster_checks.check_parts(empty, {component})}
    assert found["KServe"].state == state
    assert found["KServe"].mend.startswith("kubectl apply ")
    assert "Katib" not in found
    assert list(cluster_checks.check_split(settings(), empty, {component})) == []


def test_no_cluster_is_one_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a kubeconfig, and with one that leads nowhere."""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    status, found = ask("")
    assert (status, list(found)) == (1, ["cluster"])
    assert "KUBECONFIG" in found["cluster"]["finding"]


def test_the_table_shows_remedies_below_what_they_mend(
    recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For people as for machines: status 1, a cross, an arrow."""
    with served(recorded, tmp_path, "fairlead-staging") as kubeconfig:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        result = CliRunner().invoke(main, ["doctor", "--cluster"])
    assert result.exit_code == 1
    lines = result.output.splitlines()
    cross = next(i for i, line in enumerate(lines) if line.startswith("✗ s3"))
    assert "→ kubectl -n fairlead-staging create secret generic fairlead-s3" in lines[cross + 1]


def test_deep_needs_cluster() -> None:
    """Pods are made nowhere else."""
    assert CliRunner().invoke(main, ["doctor", "--deep"]).exit_code == 2


def test_an_unknown_pipeline_is_bad() -> None:
    """As without a cluster, with the names that there are."""
    status, found = ask("nothing")
    assert (status, found["pipeline"]["state"]) == (1, "bad")


def test_components_are_read_from_the_specification() -> None:
    """Those of inner pipelines too, each once however often it is used."""
    from fairlead_pipelines import catalog

    found = cluster_checks.components_of(catalog.load(catalog.find("flights")).pipeline_spec)
    assert {"tune_model", "train_model", "deploy_model", "roll_out_model", "ingest_dataset"} <= found
    assert cluster_checks.families(found) == ("tuning", "training", "deployment")
    assert cluster_checks.families({"ingest_dataset"}) == ()


@pytest.mark.parametrize(
    ("quantity", "number"),
    [("0", 0), ("500m", 0.5), ("2", 2), ("1k", 1000), ("64Gi", 64 * 2**30), ("1.5Gi", 1.5 * 2**30), ("100M", 1e8)],
)
def test_quantities(quantity: str, number: float) -> None:
    """As Kubernetes writes them."""
    assert cluster_namespace.amount(quantity) == number


@pytest.mark.parametrize(
    ("endpoint", "named", "https", "default", "state", "part"),
    [
        ("http://minio:9000", "minio:9000", "0", "", "good", "minio:9000"),
        ("http://minio:9000", "minio:9000", None, "", "bad", "KServe speaks https to minio:9000, tasks speak http"),
        ("http://minio:9000", None, "0", "", "bad", "from Amazon S3, and tasks put them at minio:9000"),
        ("http://minio:9000", None, "0", "minio:9000", "good", "minio:9000"),
        ("https://minio:9000", "other:9000", None, "minio:9000", "bad", "from other:9000"),
        ("https://s3.eu-west-1.amazonaws.com", None, None, "", "good", "Amazon S3"),
        ("https://s3.eu-west-1.amazonaws.com", "minio:9000", None, "", "bad", "from minio:9000"),
    ],
)  # fmt: skip
def test_kserve_fetches_packages_where_tasks_put_them(
    endpoint: str, named: str | None, https: str | None, default: str, state: str, part: str
) -> None:
    """The Secret's annotations say where from; what the doctor advises makes them right."""
    annotations = {"serving.kserve.io/s3-endpoint": named, "serving.kserve.io/s3-usehttps": https}
    given = {name: value for name, value in annotations.items() if value is not None}
    found = cluster_namespace.packages_address(endpoint, given, default, "annotate ")
    assert (found.state, part in found.finding) == (state, True), found
    if state == "bad":
        advised = dict(pair.split("=") for pair in found.mend.split()[1:])
        assert cluster_namespace.packages_address(endpoint, given | advised, default, "").state == "good"


def test_images_depend_on_the_pipeline() -> None:
    """A pipeline that trains nothing needs no torch."""
    names = [reference.partition(":")[0] for reference in cluster_images.images_of({"ingest_dataset"})]
    assert names == ["fairlead-base"]
    assert len(cluster_images.images_of(())) == 3


@contextmanager
def answering(status: int, body: bytes = b"") -> Iterator[str]:
    """A server that answers every request alike; its HOST:PORT."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@pytest.mark.parametrize(("status", "state"), [(200, "good"), (401, "warn"), (404, "bad"), (500, "warn")])
def test_registries_are_asked(status: int, state: str) -> None:
    """Who has an image, who wants credentials, who has not."""
    with answering(status) as registry:
        found = cluster_images.in_registry("image base", f"{registry}/team/fairlead-base:1")
    assert found.state == state
    assert found.state == "good" or found.mend


def test_a_registry_that_is_not_there_is_a_warning() -> None:
    """Nodes may reach what this machine cannot."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        found = cluster_images.in_registry("image base", f"127.0.0.1:{free.getsockname()[1]}/fairlead-base:1")
    assert (found.state, "does not answer" in found.finding) == ("warn", True)


@pytest.mark.parametrize(("status", "state"), [(200, "good"), (403, "bad")])
def test_stores_that_speak_http_are_asked(status: int, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry and Prometheus; what they say is told."""
    with answering(status, b"Invalid Host header") as server:
        monkeypatch.setenv("FAIRLEAD_REGISTRY_URI", f"http://{server}")
        monkeypatch.setenv("FAIRLEAD_PROMETHEUS_URI", f"http://{server}")
        found = {check.name: check for check in probes.probe(settings())}
    assert {name: check.state for name, check in found.items()} == {"registry": state, "metrics": state}
    assert state == "good" or "Invalid Host header" in found["registry"].finding


def test_the_doctors_pod_is_restricted() -> None:
    """It would be refused otherwise in the namespaces that it looks at; it has no token and an end."""
    spec = cluster_pod.manifest("p", [{"name": "c", "image": "i", "command": ["true"]}])["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["activeDeadlineSeconds"] > 0
    (container,) = spec["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    json.dumps(spec)


def test_the_object_store_is_written_and_cleaned(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real MinIO: a bucket of ours is good and empty afterwards, one that is not there is named with its remedy."""
    monkeypatch.setenv("FAIRLEAD_OBJECT_STORE", f"s3://{bucket}")
    found = probes.probe_objects(settings())
    assert found.state == "good", found.finding
    assert list(Objects.connect(settings()).list(f"s3://{bucket}/")) == []
    monkeypatch.setenv("FAIRLEAD_OBJECT_STORE", "s3://nobody-made-this/prefix")
    missing = probes.probe_objects(settings())
    assert (missing.state, missing.mend.endswith("create-bucket --bucket nobody-made-this")) == ("bad", True)


def test_redis_is_asked_with_the_password(tmp_path: Path) -> None:
    """The real Redis: the right password, a wrong one, nobody there; the password is never told."""
    with running_redis(tmp_path) as server:
        assert probes.probe_redis(server.connection).state == "good"
        wrong = probes.probe_redis(f"127.0.0.1:{server.port},password=not-this")
        assert wrong.state == "bad"
    gone = probes.probe_redis(f"127.0.0.1:{server.port},password=not-this")
    assert (gone.state, "does not answer" in gone.finding) == ("bad", True)
    assert "not-this" not in gone.finding + gone.mend + wrong.finding + wrong.mend
