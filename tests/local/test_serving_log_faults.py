"""A real server whose log's disk is full, whose S3 is away or silent, and that is killed: predictions go on."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from minio_server import MinioServer, use
from models import tiny_package
from serving_process import ServerProcess, serving

from fairlead.predictions import PredictionLog
from fairlead.predictions.feedback import ingest

pytest_plugins = ("minio_fixtures",)
ROW = {"hour": 0.5, "distance": -0.25, "carrier": "AA", "origin": "JFK"}
KEYS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "thing"}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package."""
    return tiny_package(tmp_path_factory.mktemp("faults") / "package")


def ask(server: ServerProcess, count: int, prefix: str = "r") -> float:
    """Predict so many times; all must succeed. Give the slowest answer's seconds."""
    slowest = 0.0
    with httpx.Client(base_url=server.url) as client:
        for number in range(count):
            started = time.perf_counter()
            body, headers = {"instances": [ROW]}, {"x-request-id": f"{prefix}{number}"}
            answer = client.post(f"/v1/models/{server.name}:predict", json=body, headers=headers)
            assert answer.status_code == 200, answer.text
            slowest = max(slowest, time.perf_counter() - started)
    return slowest


def counted(server: ServerProcess, result: str, metric: str = "rows") -> float:
    """How many rows, or journals, of the prediction log had a result."""
    start = f'fairlead_log_{metric}_total{{log="predictions",result="{result}"}} '
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return next((float(line.removeprefix(start)) for line in lines if line.startswith(start)), 0.0)


def wait_for(condition: Any, seconds: float = 30.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real filesystem of 64 KiB."""
    folder = tmp_path / "predictions"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.getuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small filesystem can be mounted by root only")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_fails_no_prediction(tmp_path: Path, small_disk: Path, package: Path) -> None:
    """Rows wait while the disk is full, and are written once there is room; none is torn."""
    with serving(package, tmp_path) as server:
        ballast = small_disk / "ballast"
        ballast.write_bytes(b"x" * 61_000)
        ask(server, 100)
        time.sleep(0.5)
        assert counted(server, "written") < 100
        ballast.unlink()
        wait_for(lambda: counted(server, "written") == 100)
        found = PredictionLog.open(small_disk).predictions()[0]
        assert found["request_id"].to_pylist() == [f"r{number}" for number in range(100)]
        assert counted(server, "dropped") == 0


def test_a_killed_server_loses_no_more_than_it_says(tmp_path: Path, package: Path) -> None:
    """What was answered 0.2 seconds before a kill -9 is in the log, also for the next server of the folder."""
    with serving(package, tmp_path) as server:
        ask(server, 200, "early")
        time.sleep(0.6)  # the bound, and a slow disk of a busy machine
        ask(server, 20, "late")
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    log = PredictionLog.open(server.predictions)
    found, cursor = log.predictions()
    ids = found["request_id"].to_pylist()
    assert {f"early{number}" for number in range(200)} <= set(ids)
    assert len(ids) == len(set(ids))
    with serving(package, tmp_path) as successor:
        wait_for(lambda: list(successor.predictions.glob("predictions/date=*/*.parquet")))
        ask(successor, 5, "after")
        wait_for(lambda: len(log.predictions(cursor)[0]) == 5)
        assert len(log.predictions()[0]) == len(ids) + 5


@pytest.fixture
def black_hole() -> Iterator[str]:
    """An endpoint that takes connections and says nothing."""
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


class BucketProcess(ServerProcess):
    """A server that publishes its log below an S3 prefix."""

    def __init__(self, package: Path, folder: Path, location: str) -> None:
        self.journals = folder / "journals"
        super().__init__(package, folder, "tiny", "--predictions", location, "--journals", str(self.journals))


@contextlib.contextmanager
def publishing(package: Path, folder: Path, location: str) -> Iterator[BucketProcess]:
    """Run such a server while the context is open."""
    server = BucketProcess(package, folder, location)
    try:
        server.wait_ready()
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait()


@pytest.mark.slow
def test_an_s3_that_says_nothing_fails_no_prediction(
    tmp_path: Path, package: Path, black_hole: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Predictions are answered, rows are in journals, the failures are counted, and SIGTERM is obeyed in time."""
    for name, value in {**KEYS, "FAIRLEAD_S3_ENDPOINT": black_hole}.items():
        monkeypatch.setenv(name, value)
    with publishing(package, tmp_path, "s3://bucket/predictions/tiny") as server:
        ask(server, 300)
        wait_for(lambda: counted(server, "written") == 300)
        wait_for(lambda: counted(server, "failed", "journals") >= 1, 60)
        assert ask(server, 50, "more") < 1.0
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 20
    assert PredictionLog.open(server.journals).predictions()[0].num_rows == 350


def test_predictions_go_to_s3_while_they_are_made(
    tmp_path: Path, package: Path, minio: MinioServer, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within seconds, growing and without repetition; a cursor gives what is new; outcomes from a file join them."""
    use(minio, monkeypatch)
    location = f"s3://{bucket}/predictions/tiny"
    log = PredictionLog.open(location)
    with publishing(package, tmp_path, location) as server:
        before = log.end()
        ask(server, 30, "first")
        wait_for(lambda: log.predictions(before)[0].num_rows == 30)
        _, cursor = log.predictions(before)
        ask(server, 20, "second")
        wait_for(lambda: log.predictions(cursor)[0].num_rows == 20)
        assert set(log.predictions(cursor)[0]["request_id"].to_pylist()) == {f"second{n}" for n in range(20)}
        assert log.find("first7").num_rows == 1
        server.process.kill()  # its journal is left behind
        server.process.wait()
    with publishing(package, tmp_path, location) as successor:
        wait_for(lambda: not list(successor.journals.glob(f"predictions-{successor.digest[7:19]}-*-*.jsonl")))
        assert log.predictions()[0].num_rows == 50
        ask(successor, 1, "last")
        assert successor.stop() == 0
    assert log.predictions()[0].num_rows == 51  # the last one was published when the server stopped
    file = tmp_path / "outcomes.csv"
    file.write_text("request_id,outcome\nfirst1,1\nnobody,0\n")
    assert (ingest(file, location).known, log.joined().counts["known"]) == (1, 1)
