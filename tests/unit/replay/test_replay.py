"""The replay's client counts every answer, and brings outcomes when they are known."""

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console

from fairlead.errors import StateError
from fairlead_pipelines.demo import story
from fairlead_pipelines.replay.client import Client, Moment, Tally
from fairlead_pipelines.replay.feeder import split_at

START = datetime(2013, 8, 1, tzinfo=UTC)


class Service(BaseHTTPRequestHandler):
    """Answers predictions, every tenth with an error; keeps what it was told."""

    protocol_version = "HTTP/1.1"
    calls: list[tuple[str, dict[str, Any]]]
    hosts: set[str]

    def do_POST(self) -> None:
        """Answers one request."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.calls.append((self.path.rpartition(":")[2], {**body, "id": self.headers.get("x-request-id")}))
        self.hosts.add(self.headers["host"])
        failing = "instances" in body and body["instances"][0]["number"] % 10 == 9
        answer = b'{"predictions": []}'
        self.send_response(503 if failing else 200)
        self.send_header("x-fairlead-digest", "sha256:aa")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Keeps quiet."""


class Server(ThreadingHTTPServer):
    """Lets all the clients connect at once, however late it gets to accept them."""

    request_queue_size = 256


@pytest.fixture
def service() -> Iterator[ThreadingHTTPServer]:
    """A service on a free port."""
    Service.calls, Service.hosts = [], set()
    server = Server(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def moments(count: int) -> Iterator[Moment]:
    """Rows a minute apart, whose outcomes are known half an hour later; every fifth never has one."""
    for number in range(count):
        at = START + timedelta(minutes=number)
        yield Moment(at, {"number": number}, None if number % 5 == 0 else number % 2, at + timedelta(minutes=30))


def replay(service: ThreadingHTTPServer, count: int, report: Path, times: list[datetime], host: str = "") -> Tally:
    """Replays moments at a high rate."""

    async def run() -> Tally:
        client = Client(f"http://127.0.0.1:{service.server_port}", "flights", times.append, report, host)
        return await client.run(moments(count), 400, asyncio.Event())

    return asyncio.run(run())


def test_every_answer_is_counted(service: ThreadingHTTPServer, tmp_path: Path) -> None:
    """Failures are told by their status, answers by the model that gave them; the report holds the same."""
    times: list[datetime] = []
    tally = replay(service, 100, tmp_path / "tally.json", times)
    assert (tally.sent, sum(tally.failed.values())) == (100, 10)
    assert next(iter(tally.failed)).startswith("status 503")
    assert tally.by_digest == {"sha256:aa": 100}
    assert json.loads((tmp_path / "tally.json").read_text())["sent"] == 100
    assert times == sorted(times)


def test_outcomes_come_when_they_are_known(service: ThreadingHTTPServer, tmp_path: Path) -> None:
    """Only outcomes known by the simulated time are told, each for a request that was answered, none twice."""
    tally = replay(service, 100, tmp_path / "tally.json", [])
    asked = {call["id"]: call["instances"][0]["number"] for kind, call in Service.calls if kind == "predict"}
    told = [asked[call["request_id"]] for kind, call in Service.calls if kind == "feedback"]
    assert tally.feedback == len(told) == len(set(told))
    assert set(told) <= {number for number in range(70) if number % 5 and number % 10 != 9}
    assert len(told) > 40


@pytest.mark.parametrize("host", ["flights.team.example.com", ""])
def test_a_gateway_is_told_which_service_is_asked(service: ThreadingHTTPServer, tmp_path: Path, host: str) -> None:
    """Every prediction and every outcome goes to the host name that is given; by default to the address's own."""
    replay(service, 100, tmp_path / "tally.json", [], host)
    assert {kind for kind, _ in Service.calls} == {"predict", "feedback"}
    assert Service.hosts == {host or f"127.0.0.1:{service.server_port}"}


def test_an_unreachable_service_is_a_failure_of_every_request(tmp_path: Path) -> None:
    """No answer counts as a failed request, with the reason."""

    async def run() -> Tally:
        client = Client("http://127.0.0.1:9", "flights", lambda _: None, tmp_path / "tally.json")
        return await client.run(moments(3), 400, asyncio.Event())

    assert asyncio.run(run()).failed == {"ConnectError": 3}


def test_features_are_cut_at_the_moment_they_are_known() -> None:
    """Rows up to and including the moment are due; the rest stays."""
    times = [START + timedelta(hours=n) for n in range(5)]
    table = pa.table({"event_timestamp": pa.array(times, pa.timestamp("us", tz="UTC")), "x": range(5)})
    due, rest = split_at(table, times[2])
    assert due["x"].to_pylist() == [0, 1, 2]
    assert rest["x"].to_pylist() == [3, 4]


def test_the_demo_does_not_touch_work_that_is_not_its_own(own_state: Path) -> None:
    """A state folder that holds models of others is refused, with the setting that gives the demo its own."""
    (own_state / "registry").mkdir(parents=True)
    with pytest.raises(StateError, match=r"FAIRLEAD_HOME=\.fairlead-demo"):
        story.tell(Console(quiet=True))
    assert (own_state / "registry").exists()
