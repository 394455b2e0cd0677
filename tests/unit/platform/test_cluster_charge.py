"""Leases and records of a cluster: never two in charge, whatever clocks say, and nothing written by who lost it."""

import json
import time
from typing import Any

import pytest
from memory_cluster import MemoryCluster

from fairlead.errors import StateError
from fairlead.platform.kubeflow import charge as charges
from fairlead.platform.kubeflow.charge import charge_of, lease_name, take_charge
from fairlead.platform.kubeflow.kinds import LEASE
from fairlead.platform.kubeflow.records import ConfigMapRecords
from fairlead.platform.kubeflow.services import ServiceRecord, ServiceRecords
from fairlead.platform.serving import InChargeError, LostChargeError


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An API server in memory, and a quick Lease."""
    monkeypatch.setattr(charges, "_RENEW_SECONDS", 0.1)
    monkeypatch.setattr(charges, "_POLL_SECONDS", 0.05)
    return MemoryCluster()


def hold(cluster: Any, renewed: str, holder: str = "somebody") -> None:
    """Writes another holder's Lease."""
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 1, "renewTime": renewed, "leaseTransitions": 4}
    found = cluster.get(LEASE, lease_name("m"))
    metadata = found["metadata"] if found else {"name": lease_name("m")}
    lease = {"apiVersion": LEASE.api_version, "kind": "Lease", "metadata": metadata, "spec": spec}
    (cluster.replace if found else cluster.create)(lease)


@pytest.mark.parametrize("renewed", ["1999-01-01T00:00:00.000000Z", "2999-01-01T00:00:00.000000Z"])
def test_a_dead_holder_is_replaced_whatever_its_clock_said(cluster: Any, renewed: str) -> None:
    """Not before its duration has passed by the taker's own clock, however old or new its time looks."""
    hold(cluster, renewed)
    begun = time.monotonic()
    with take_charge(cluster, "m", 1) as charge:
        assert time.monotonic() - begun >= 1
        assert charge.epoch == 5
        charge_of(cluster, "m")
    lease = cluster.get(LEASE, lease_name("m"))
    assert lease["spec"]["holderIdentity"] == ""
    with pytest.raises(LostChargeError, match="take charge"):
        charge_of(cluster, "m")


def test_a_live_holder_keeps_it(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first renewal that is seen tells that it lives."""
    hold(cluster, "2026-01-01T00:00:00.000000Z")
    monkeypatch.setattr(time, "sleep", lambda _: hold(cluster, f"2026-01-01T00:00:{time.monotonic():.6f}Z"))
    with pytest.raises(InChargeError, match="somebody is in charge"), take_charge(cluster, "m", 1):
        pass


def test_who_cannot_renew_writes_nothing_more(cluster: Any) -> None:
    """Cut off from the API server it gives up before its Lease can be taken by another."""
    records, services = ConfigMapRecords(cluster, "m"), ServiceRecords(cluster)
    with take_charge(cluster, "m", 1) as charge:
        services.change("m", lambda _: None, charge, ServiceRecord(name="m", mode="standard"))
        assert services.get("m").epoch == charge.epoch
        cluster.cut = True
        time.sleep(0.8)
        cluster.cut = False
        with pytest.raises(LostChargeError, match="could not be renewed"):
            services.change("m", lambda record: setattr(record, "stable", "x"), charge)
    assert services.get("m").stable is None
    assert records.read() is None


def test_a_later_charge_fences_an_earlier_one(cluster: Any) -> None:
    """Even if both believed to hold it: the record knows who came last."""
    services = ServiceRecords(cluster)
    with take_charge(cluster, "m", 30) as first:
        services.change("m", lambda _: None, first, ServiceRecord(name="m", mode="standard"))
        later = charges.Charge(cluster, "m", {"spec": {
            "leaseTransitions": first.epoch + 1, "holderIdentity": "b", "leaseDurationSeconds": 30,
        }})  # fmt: skip
        services.change("m", lambda record: setattr(record, "stable", "b"), later)
        with pytest.raises(LostChargeError, match="epoch"):
            services.change("m", lambda record: setattr(record, "stable", "a"), first)
    assert services.get("m").stable == "b"


def test_records_survive_and_stay_bounded(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """State, word by hand, documents and history are read by another process; the oldest history goes."""
    records = ConfigMapRecords(cluster, "m")
    with records.charge():
        records.write(b'{"step": 1}')
        records.write(b'{"step": 2}', urgent=False)  # too soon to be worth a write
        assert ConfigMapRecords(cluster, "m").read() == b'{"step": 1}'
        ConfigMapRecords(cluster, "m").command("promote")
        assert records.commanded() == "promote"
    with records.charge():
        assert records.commanded() is None
    records.keep("sha256:aa", b"{}")
    assert ConfigMapRecords(cluster, "m").kept("sha256:aa") == b"{}"
    for number in range(30):
        records.append(json.dumps({"number": number, "text": "x" * 40_000}))
    lines = [json.loads(line)["number"] for line in records.lines()]
    assert lines[-1] == 29
    assert 5 <= len(lines) <= 10
    monkeypatch.setattr("fairlead.platform.kubeflow.records._STATE_BYTES", 10)
    with pytest.raises(StateError, match="bytes packed"):
        records.write(b"no matter what")
