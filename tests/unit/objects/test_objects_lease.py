"""Locks that work across machines, against the real MinIO."""

import signal
import subprocess
import sys
import threading
import time

import pytest
from minio_server import CuttingProxy, MinioServer

from fairlead.errors import StateError
from fairlead.objects import Objects
from fairlead.objects.lease import leased

pytest_plugins = ("minio_fixtures",)

HOLD = """
import sys, time
from fairlead.objects import Objects
from fairlead.objects.lease import leased
with leased(Objects.connect(), sys.argv[1], lease_seconds=2):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(uri: str) -> "subprocess.Popen[bytes]":
    """Another process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, uri], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_one_at_a_time(bucket: str) -> None:
    """Of several that want it one has it, and all get it in the end."""
    uri, inside, most, done = f"s3://{bucket}/lock.json", 0, 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal inside, most, done
        with leased(Objects.connect(), uri, lease_seconds=5):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.05)
            with lock:
                inside, done = inside - 1, done + 1

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, done) == (1, 5)


def test_it_is_renewed_while_it_is_held(bucket: str) -> None:
    """A holder that takes longer than a lease lasts is not pushed aside."""
    uri = f"s3://{bucket}/lock.json"
    with leased(Objects.connect(), uri, lease_seconds=1) as mine:
        with pytest.raises(StateError, match=r"has been held by .*process \d+.* for 3 s"):  # noqa: SIM117
            with leased(Objects.connect(), uri, lease_seconds=1, wait_seconds=3):
                pass
        mine.check()


def test_a_holder_that_was_killed(bucket: str) -> None:
    """Its lock runs out: the next has it after about as long as a lease lasts, not before."""
    uri = f"s3://{bucket}/lock.json"
    process = hold(uri)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    begun = time.monotonic()
    with leased(Objects.connect(), uri, lease_seconds=2):
        assert time.monotonic() - begun > 1.9


def test_a_holder_that_was_stopped_is_told(bucket: str) -> None:
    """Who slept while another took the lock does not go on as if it had it."""
    uri = f"s3://{bucket}/lock.json"
    code = HOLD.replace("time.sleep(60)", "time.sleep(4)")
    process = subprocess.Popen(
        [sys.executable, "-c", code, uri], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    process.send_signal(signal.SIGSTOP)
    with leased(Objects.connect(), uri, lease_seconds=2):
        process.send_signal(signal.SIGCONT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"the lock {uri} was lost" in error


def test_a_store_that_is_gone_for_a_moment(bucket: str, minio: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Renewals whose connections are cut are tried again; the lock stays."""
    proxy = CuttingProxy(minio.port, cuts=0, after=0, upstream=False)
    plain = Objects.connect()
    monkeypatch.setenv("FAIRLEAD_S3_ENDPOINT", proxy.endpoint)
    with leased(Objects.connect(), f"s3://{bucket}/lock.json", lease_seconds=24) as mine:
        proxy.cuts = 7  # one more than a request is tried again
        until = time.monotonic() + 60
        while proxy.cut < 7:
            assert time.monotonic() < until
            time.sleep(0.1)
        mine.check()
        assert plain.exists(f"s3://{bucket}/lock.json")
    proxy.close()


def test_a_store_that_is_gone_for_long(bucket: str, minio: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who cannot renew its lock says so when another could have it, and not only when another has it."""
    proxy = CuttingProxy(minio.port, cuts=0, after=0, upstream=False)
    monkeypatch.setenv("FAIRLEAD_S3_ENDPOINT", proxy.endpoint)

    def hold_it() -> None:
        with leased(Objects.connect(), f"s3://{bucket}/lock.json", lease_seconds=2) as mine:
            mine.check()
            proxy.cuts = 1_000_000
            time.sleep(2.5)

    with pytest.raises(StateError, match=r"the lock s3://.* was lost"):
        hold_it()
    proxy.close()


def test_something_that_is_no_lock(bucket: str) -> None:
    """An object that was there is not taken over before it has been looked at for as long as a lease lasts."""
    uri = f"s3://{bucket}/lock.json"
    Objects.connect().write_bytes(uri, b"whatever")
    with pytest.raises(StateError, match="held by something that is no lock"):  # noqa: SIM117
        with leased(Objects.connect(), uri, lease_seconds=30, wait_seconds=0.5):
            pass
