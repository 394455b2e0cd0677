"""Experiments and TrainJobs alike: made once, waited for, and followed while the API server is away."""

import time
from typing import Any

import pytest
from memory_cluster import MemoryCluster

from fairlead.errors import PlatformError
from fairlead.platform.kubeflow import followed
from fairlead.platform.kubeflow.api import RefusedError
from fairlead.platform.kubeflow.experiments import ExperimentClient
from fairlead.platform.kubeflow.followed import FollowedObject, GoneError
from fairlead.platform.kubeflow.train_jobs import TrainJobClient

CLIENTS = [ExperimentClient, TrainJobClient]


def manifest(client: FollowedObject, **metadata: Any) -> dict[str, Any]:
    """An object of the client's name."""
    kind = client.kind
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": client.name, **metadata}}


@pytest.fixture
def cluster() -> Any:
    """Objects in memory."""
    return MemoryCluster()


@pytest.mark.parametrize("kind", CLIENTS)
def test_what_another_run_has_just_made_is_taken(kind: type[Any], cluster: Any) -> None:
    """Two runs of one name end with one object, the first one's."""
    first, second = kind(cluster, "same"), kind(cluster, "same")
    first.create(manifest(first, labels={"run": "first"}))
    second.create(manifest(second, labels={"run": "second"}))
    assert second.read()["metadata"]["labels"] == {"run": "first"}


@pytest.mark.parametrize("kind", CLIENTS)
def test_one_on_its_way_out_is_waited_for(kind: type[Any], cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts as gone, and the new one is made when it has left."""
    client = kind(cluster, "same")
    cluster.create(manifest(client, deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["theirs"]))
    assert client.read() is None
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            cluster.delete(client.kind, "same")

    monkeypatch.setattr(time, "sleep", sleep)
    client.create(manifest(client))
    assert len(slept) == 3
    assert client.read() is not None


@pytest.mark.parametrize("kind", CLIENTS)
def test_one_that_never_leaves_is_told_of(kind: type[Any], cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the finalizers and whose controller would have to remove them."""
    client = kind(cluster, "same")
    cluster.create(manifest(client, deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["theirs"]))
    monkeypatch.setattr(followed, "_GONE_SECONDS", 0.02)
    monkeypatch.setattr(followed, "_POLL_SECONDS", 0.01)
    with pytest.raises(PlatformError, match=rf"on its way out .*\(theirs\).*controller of {client.kind.group}"):
        client.create(manifest(client))


@pytest.mark.parametrize("kind", CLIENTS)
def test_an_outage_is_sat_out(kind: type[Any], cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is no news; a later answer ends the outage; one that lasts too long is the error."""
    client = kind(cluster, "same")
    client.create(manifest(client))
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    for _ in range(2):
        cluster.cut = True
        assert client.look() is None
        clock[0] += followed.PATIENCE_SECONDS - 1
        assert client.look() is None
        cluster.cut = False
        assert client.look() is not None
    cluster.cut = True
    assert client.look() is None
    clock[0] += followed.PATIENCE_SECONDS + 1
    with pytest.raises(PlatformError, match="cannot be reached"):
        client.look()


@pytest.mark.parametrize("kind", CLIENTS)
def test_a_refusal_is_told_at_once(kind: type[Any], cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting mends no missing permission."""
    client = kind(cluster, "same")

    def refuse(*_: Any) -> None:
        raise RefusedError("may not")

    monkeypatch.setattr(cluster, "get", refuse)
    with pytest.raises(RefusedError, match="may not"):
        client.look()


def test_a_deleted_experiment_ends_the_following(cluster: Any) -> None:
    """It is told at once, not taken for an outage."""
    with pytest.raises(GoneError, match="deleted while it was followed"):
        ExperimentClient(cluster, "same").look()


def test_a_deleted_train_job_is_seen(cluster: Any) -> None:
    """Its state says so: the training may go on from a snapshot."""
    state = TrainJobClient(cluster, "same").look()
    assert state is not None
    assert state.phase == "gone"
