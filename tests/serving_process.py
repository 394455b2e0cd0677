"""Real `python -m fairlead_serving` processes for tests, and the store that they read features from."""

import contextlib
import datetime as dt
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from fairlead.predictions import PredictionLog
from fairlead_serving.log_schema import EVENT_TIME, FEATURE
from fairlead_serving.package import package_digest

ROOT = Path(__file__).resolve().parents[1]
READY_SECONDS = 120.0
REQUEST: dict[str, Any] = {
    "fields": {"carrier": "string", "origin": "string", "flight": "int64", "leaves": "timestamp"},
    "prediction_time": {"field": "leaves", "minus_seconds": 7200},
    "derive": [{"name": "hour", "field": "leaves", "part": "hour", "time_zone": "America/New_York"}],
    "feature_service": "tiny",
    "freshness": {"maximum_age_seconds": 86400, "fallback": "missing", "views": {"routes": 864000}},
}
"""A request specification for the store that `tests/serving_store.py` makes."""


def free_port() -> int:
    """Find a port that nothing listens on."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServerProcess:
    """A server of one package.

    Args:
        package: The package's folder.
        folder: Where its stderr and its logs go.
        name: The model's name.
        grpc: Whether it serves gRPC.
        arguments: More arguments.
    """

    def __init__(
        self, package: Path, folder: Path, name: str = "tiny", *arguments: str, grpc: bool = False, digest: str = ""
    ) -> None:
        self.name, self.package, self.predictions = name, package, folder / "predictions"
        self.digest = digest or package_digest(package)
        self.port, self.grpc_port = free_port(), free_port() if grpc else 0
        self.url = f"http://127.0.0.1:{self.port}"
        self._stderr = folder / f"server-{self.port}.log"
        command = [
            sys.executable, "-m", "fairlead_serving", "--name", name, "--package", str(package),
            "--digest", self.digest, "--port", str(self.port), "--predictions", str(self.predictions), *arguments,
        ]  # fmt: skip
        command += ["--grpc-port", str(self.grpc_port)] if grpc else []
        environment = {**os.environ, "PYTHONWARNINGS": "default"}
        with self._stderr.open("w") as stderr:
            self.process = subprocess.Popen(command, stderr=stderr, cwd=ROOT, env=environment)

    @property
    def stderr(self) -> str:
        """What the server has written to stderr."""
        return self._stderr.read_text()

    def wait_ready(self) -> "ServerProcess":
        """Wait until the model is ready."""
        end = time.monotonic() + READY_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/v2/models/{self.name}/ready").status_code == 200:
                    return self
            time.sleep(0.05)
        raise AssertionError(f"the server did not become ready:\n{self.stderr}")

    def predict(self, *instances: Mapping[str, Any], **options: Any) -> httpx.Response:
        """Ask over V1."""
        body = {"instances": list(instances)}
        return httpx.post(f"{self.url}/v1/models/{self.name}:predict", json=body, timeout=60, **options)

    def lines(self, kind: str) -> list[Any]:
        """Read all rows of the `predictions` or `feedback` log, features by their names under `features`."""
        log = PredictionLog.open(self.predictions)
        table, _ = log.predictions() if kind == "predictions" else log.feedback()
        return [_fold(row) for row in table.to_pylist()]

    def wait_line(self, kind: str, request_id: str) -> Any:
        """Wait for a request's first line in a log."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            for line in self.lines(kind):
                if line["request_id"] == request_id:
                    return line
            time.sleep(0.05)
        raise AssertionError(f"no line of {request_id} in the {kind} log")

    def stop(self) -> int:
        """Stop it politely; give its exit status."""
        self.process.terminate()
        return self.process.wait(60)


def _fold(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its features and their event times as mappings, and moments as text."""
    found: dict[str, Any] = {"features": {}, "event_times": {}}
    for name, value in row.items():
        plain = value.isoformat() if isinstance(value, dt.datetime) else value
        if name.startswith(FEATURE):
            found["features"][name.removeprefix(FEATURE)] = plain
        elif name.startswith(EVENT_TIME):
            found["event_times"][name.removeprefix(EVENT_TIME)] = plain
        else:
            found[name] = plain
    return found


@contextlib.contextmanager
def serving(
    package: Path, folder: Path, name: str = "tiny", *arguments: str, grpc: bool = False
) -> Iterator[ServerProcess]:
    """Run a server while the context is open."""
    server = ServerProcess(package, folder, name, *arguments, grpc=grpc)
    try:
        yield server.wait_ready()
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait()
