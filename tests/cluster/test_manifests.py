"""The overlays on a real API server: applied twice without a difference or a warning, and as strict as they say."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kustomize import ENVIRONMENTS, build
from overlay_copies import Applied, applied, kubectl

from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.api import Cluster, RefusedError

pytestmark = pytest.mark.cluster

PRIVILEGED = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "privileged"},
    "spec": {"containers": [{"name": "c", "image": "none:1", "securityContext": {"privileged": True}}]},
}


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def overlay(request: pytest.FixtureRequest, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Applied]:  # fmt: skip  # noqa: E501
    """An overlay, applied under names of its own."""
    with applied(cluster, request.param, tmp_path_factory.mktemp(request.param)) as found:
        yield found


def versions(overlay: Applied) -> dict[str, str]:
    """What the API server counts up with every change of an object."""
    found = kubectl("get", "-k", str(overlay.folder), "--output", "json")
    assert found.returncode == 0, found.stderr
    items = [item["metadata"] | {"kind": item["kind"]} for item in json.loads(found.stdout)["items"]]
    return {f"{m['kind']} {m.get('namespace')}/{m['name']}": m.get("generation", 0) for m in items}


def test_applies_without_a_warning_and_twice_without_a_difference(overlay: Applied) -> None:
    """No deprecated version, nothing that Pod Security would refuse; the second time nothing changes."""
    assert "arning" not in overlay.said, overlay.said
    before = versions(overlay)
    assert len(before) == len(build(overlay.folder))
    dry = kubectl("apply", "--server-side", "--dry-run=server", "-k", str(overlay.folder))
    assert (dry.returncode, dry.stderr) == (0, ""), dry.stderr
    different = kubectl("diff", "--server-side", "-k", str(overlay.folder))
    assert different.returncode == 0, different.stdout + different.stderr
    again = kubectl("apply", "--server-side", "-k", str(overlay.folder))
    assert (again.returncode, again.stderr) == (0, ""), again.stderr
    assert versions(overlay) == before


def test_a_privileged_pod_is_refused(overlay: Applied, cluster: Cluster) -> None:
    """In both namespaces of every environment, whether they enforce `restricted` or `baseline`."""
    for namespace in (overlay.namespace, overlay.stores):
        manifest = PRIVILEGED | {"metadata": {"name": "privileged", "namespace": namespace}}
        with pytest.raises(RefusedError, match="violates PodSecurity"):
            cluster.create(manifest)


def test_what_the_quota_forbids_is_refused(overlay: Applied, cluster: Cluster) -> None:
    """Nobody opens the namespace to the world beside the gateway."""
    for kind in ("NodePort", "LoadBalancer"):
        service = {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "open", "namespace": overlay.namespace},
            "spec": {"type": kind, "ports": [{"port": 80}]},
        }  # fmt: skip
        with pytest.raises(RefusedError, match="exceeded quota"):
            cluster.create(service)


def test_pods_without_requests_get_the_defaults(overlay: Applied) -> None:
    """A pod of Katib's or KServe's that names no resources is admitted under the quota."""
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "plain", "namespace": overlay.namespace},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "c", "image": "none:1",
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    }  # fmt: skip
    done = kubectl("create", "--dry-run=server", "--output", "json", "-f", "-", stdin=yaml.safe_dump(pod))
    assert done.returncode == 0, done.stderr
    (container,) = json.loads(done.stdout)["spec"]["containers"]
    assert container["resources"]["requests"] == {"cpu": "50m", "memory": "128Mi", "ephemeral-storage": "64Mi"}
    assert container["resources"]["limits"] == {"memory": "1Gi"}


def test_network_policies_are_there_whoever_enforces_them(overlay: Applied) -> None:
    """The API server took them all. Whether they are enforced depends on the network plugin, which cannot be asked."""
    made = {o["metadata"]["name"] for o in build(overlay.folder) if o["kind"] == "NetworkPolicy"}
    found = kubectl("get", "networkpolicies", "--namespace", overlay.namespace, "--output", "name").stdout.split()
    assert {name.partition("/")[2] for name in found} <= made
    assert len(found) >= 10


def test_the_runtime_is_taken_by_kserve(overlay: Applied, cluster: Cluster) -> None:
    """KServe's own webhook accepted the runtime of this namespace."""
    assert cluster.get(kinds.SERVING_RUNTIME, "fairlead-serving", overlay.namespace) is not None
    assert Path(overlay.folder).is_dir()


def test_monitoring_applies_where_its_kinds_are(overlay: Applied, cluster: Cluster) -> None:
    """Applied and removed; skipped on a cluster without the operator's kinds."""
    if not cluster.has(kinds.POD_MONITOR):
        pytest.skip("the cluster has no PodMonitor (monitoring.coreos.com); install the Prometheus operator's kinds")
    done = kubectl("apply", "--server-side", "-k", str(overlay.folder / "monitoring"))
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    different = kubectl("diff", "--server-side", "-k", str(overlay.folder / "monitoring"))
    assert different.returncode == 0, different.stdout
