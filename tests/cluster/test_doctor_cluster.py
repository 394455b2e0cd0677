"""`fairlead doctor --cluster` on a real cluster, whole and with parts taken away by a proxy."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_proxy import Live, served
from doctor_contract import CASES, Case, ask, judge
from overlay_copies import Applied, applied, kubectl

from fairlead.platform.kubeflow.api import Cluster

pytestmark = pytest.mark.cluster

RECORD = os.environ.get("FAIRLEAD_TEST_RECORD", "")  # a file: what the cluster says is written there


@pytest.fixture(scope="module")
def overlay(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Applied]:
    """The staging overlay, under names of its own."""
    with applied(cluster, "staging", tmp_path_factory.mktemp("staging")) as found:
        yield found


@pytest.fixture(scope="module")
def live(cluster: Cluster, overlay: Applied) -> Iterator[Live]:
    """The real API server; with FAIRLEAD_TEST_RECORD everything that it says is kept for tests without a cluster."""
    source = Live(cluster)
    yield source
    if RECORD:
        lines = [f"{json.dumps(asked)}: {json.dumps(said)}" for asked, said in sorted(source.seen.items())]
        Path(RECORD).write_text("{\n" + ",\n".join(lines).replace(overlay.namespace, "fairlead-staging") + "\n}\n")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_doctor_finds_what_is_missing(
    case: Case, live: Live, overlay: Applied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each part that is taken away is missed by the pipelines that need it, and by no others."""
    with served(live, tmp_path, overlay.namespace, case.without, case.refused) as kubeconfig:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        judge(case)


def test_a_namespace_that_is_not_there_is_said(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """One finding instead of twenty that follow from it."""
    monkeypatch.setenv("FAIRLEAD_NAMESPACE", "fairlead-nowhere")
    status, found = ask("")
    assert status == 1
    assert found["namespace"]["finding"] == "there is no namespace fairlead-nowhere"
    assert "settings" not in found


def test_a_bare_namespace_is_mended_by_what_the_doctor_says(namespace: str, cluster: Cluster) -> None:
    """The remedy for the missing Secret is a command that makes the finding good; no value is ever shown."""
    environment = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "hush-hush"}
    _, before = ask("")
    assert before["s3"]["state"] == "bad"
    mend = before["s3"]["mend"]
    for name, value in environment.items():
        mend = mend.replace(f'"${name}"', value)
    program, *arguments = mend.split()
    assert program == "kubectl"
    done = kubectl(*arguments)
    assert done.returncode == 0, done.stderr
    _, after = ask("")
    assert after["s3"]["state"] == "good"
    assert "packages from" not in after  # nothing says yet where tasks put them
    places = {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "fairlead-settings", "namespace": namespace},
        "data": {"FAIRLEAD_S3_ENDPOINT": "http://minio.elsewhere:9000"},
    }  # fmt: skip
    cluster.create(places)
    _, there = ask("")
    assert there["packages from"]["state"] == "bad"
    assert kubectl(*there["packages from"]["mend"].split()[1:]).returncode == 0
    _, after = ask("")
    assert after["packages from"]["state"] == "good"
    assert "hush-hush" not in json.dumps(after)


def test_a_key_with_a_newline_at_its_end_is_found(namespace: str, cluster: Cluster) -> None:
    """`echo key | kubectl create secret --from-file` leaves one, and S3 then says that the key is wrong."""
    secret = {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "fairlead-s3", "namespace": namespace},
        "stringData": {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "hush\n"},
    }  # fmt: skip
    cluster.create(secret)
    _, found = ask("")
    assert (found["s3"]["state"], "newline" in found["s3"]["finding"]) == ("bad", True)


def test_a_quota_that_is_nearly_used_up_is_found(namespace: str, cluster: Cluster) -> None:
    """Before the pod that no longer fits."""
    quota = {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small", "namespace": namespace},
        "spec": {"hard": {"count/configmaps": "1"}},
    }  # fmt: skip
    kubectl("apply", "-f", "-", stdin=json.dumps(quota))
    _eventually(lambda: "count/configmaps" in ask("")[1]["quota"]["finding"])
    _, found = ask("")
    assert found["quota"]["state"] == "bad"


def _eventually(holds: object) -> None:
    import time

    assert callable(holds)
    for _ in range(60):
        if holds():
            return
        time.sleep(0.5)
    raise AssertionError("not within half a minute")


def test_deep_pulls_every_image(namespace: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images that nobody has are found out by a pod, which is gone afterwards."""
    monkeypatch.setenv("FAIRLEAD_IMAGE_REGISTRY", "registry.invalid/team")
    status, found = ask("", "--deep")
    assert status == 1
    for name in ("base", "training", "serving"):
        assert found[f"pull {name}"]["state"] == "bad"
        assert "registry.invalid/team/fairlead-" in found[f"pull {name}"]["finding"]
    assert kubectl("get", "pods", "--namespace", namespace, "--output", "name").stdout == ""
