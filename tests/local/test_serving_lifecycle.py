"""Starting, stopping, and being killed: real server processes."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from models import tiny_package
from serving_process import ServerProcess, free_port, serving

from fairlead_serving.package import package_digest

ROW = {"carrier": "AA", "origin": "JFK", "hour": 1.0, "distance": None}


def fail_to_start(package: Path, *arguments: str, digest: str = "") -> tuple[int, str]:
    """Start a server that cannot; give its exit status and the last line of stderr."""
    command = [sys.executable, "-m", "fairlead_serving", "--name", "tiny", "--package", str(package)]
    command += ["--digest", digest or package_digest(package), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return ended.returncode, ended.stderr.strip().splitlines()[-1]


def test_another_digest_is_not_served(tmp_path: Path) -> None:
    """A package that is not the approved one, or no package, stops the start, with the reason as the last line."""
    package = tiny_package(tmp_path / "package")
    status, reason = fail_to_start(package, digest="sha256:" + "0" * 64)
    assert (status, "it was changed" in reason) == (1, True)
    (package / "fairlead" / "package.json").unlink()
    status, reason = fail_to_start(package)
    assert (status, "cannot be read" in reason) == (1, True)


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    """A digest that is none and a port that is none are errors of the command line."""
    package = tiny_package(tmp_path / "package")
    status, reason = fail_to_start(package, digest="abc")
    assert (status, "give sha256: and 64 hexadecimal digits" in reason) == (2, True)


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    """The port is tried before anything is loaded."""
    package = tiny_package(tmp_path / "package")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, reason = fail_to_start(package, "--port", str(port))
        assert (status, f"port {port}" in reason, "give another --port" in reason) == (1, True, True)
        status, reason = fail_to_start(package, "--port", str(free_port()), "--grpc-port", str(port))
        assert (status, "give another --grpc-port" in reason) == (1, True)


def test_a_model_that_answers_no_number_is_not_served(tmp_path: Path) -> None:
    """The first prediction is made before the server says that it is ready."""
    package = tiny_package(tmp_path / "package", bias=float("nan"))
    status, reason = fail_to_start(package, "--port", str(free_port()))
    assert (status, "this model is broken" in reason) == (1, True)


def test_a_model_that_breaks_later_answers_500(tmp_path: Path) -> None:
    """One row that the model cannot digest is an error of the server's, in JSON, and harms no other."""
    weights = {"carrier": {"AA": float("nan"), "DL": 0.0}, "origin": {"JFK": 0.0}}
    package = tiny_package(tmp_path / "package", categorical=weights)
    with serving(package, tmp_path) as server:
        answer = server.predict(ROW)
        assert (answer.status_code, "this model is broken" in answer.json()["error"]) == (500, True)
        assert server.predict({**ROW, "carrier": "DL"}).status_code == 200


async def _client(url: str, outcomes: list[int | str], busy: asyncio.Event) -> None:
    """Ask on one kept connection until the server says that it closes it; then once more, on a new one."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        closed = 0
        while closed < 2:
            try:
                answer = await client.post("/v1/models/tiny:predict", json={"instances": [ROW]})
            except httpx.TransportError as error:
                outcomes.append(repr(error))
                return
            outcomes.append(answer.status_code)
            if len(outcomes) >= 100:
                busy.set()
            closed += answer.headers.get("connection") == "close"


async def _stop_under_load(server: ServerProcess) -> list[int | str]:
    outcomes: list[int | str] = []
    busy = asyncio.Event()
    clients = [asyncio.create_task(_client(server.url, outcomes, busy)) for _ in range(8)]
    await asyncio.wait_for(busy.wait(), 60)
    server.process.send_signal(signal.SIGTERM)
    await asyncio.gather(*clients)
    return outcomes


def test_sigterm_under_load_fails_no_request(tmp_path: Path) -> None:
    """Whoever has a connection, or makes one while the server drains, gets an answer. The log holds every answer."""
    with serving(tiny_package(tmp_path / "package"), tmp_path, "tiny", "--drain-seconds", "10") as server:
        outcomes = asyncio.run(_stop_under_load(server))
        assert server.process.wait(30) == 0
    assert set(outcomes) == {200}, outcomes
    assert len(outcomes) >= 100
    assert len(server.lines("predictions")) == len(outcomes)


def test_a_slow_request_is_finished(tmp_path: Path) -> None:
    """A request whose body is still on its way at SIGTERM is answered."""
    with serving(tiny_package(tmp_path / "package"), tmp_path) as server:
        body = json.dumps({"instances": [ROW]}).encode()
        head = f"POST /v1/models/tiny:predict HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(head + body[:5])
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.8)
            connection.sendall(body[5:])
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        assert server.process.wait(30) == 0


@pytest.mark.skipif(not hasattr(os, "fdatasync"), reason="the log syncs by fdatasync")
def test_kill_leaves_a_log_that_parses(tmp_path: Path) -> None:
    """After kill -9 every line parses, and everything answered more than 0.5 seconds before is there."""
    with serving(tiny_package(tmp_path / "package"), tmp_path) as server:
        with httpx.Client(base_url=server.url) as client:
            for number in range(50):
                headers = {"x-request-id": f"early-{number}"}
                client.post("/v1/models/tiny:predict", json={"instances": [ROW] * 3}, headers=headers)
            time.sleep(0.5)
            for _ in range(20):
                client.post("/v1/models/tiny:predict", json={"instances": [ROW] * 50})
        server.process.kill()
        server.process.wait()
    identities = [(line["request_id"], line["row"]) for line in server.lines("predictions")]
    assert {(f"early-{number}", row) for number in range(50) for row in range(3)} <= set(identities)
    assert len(identities) == len(set(identities))
