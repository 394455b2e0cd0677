"""up, status, promote, rollback, down: against a real platform (Envoy, supervisor) with stub servers."""

import json
import socket
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fairlead.deployment import by_hand
from fairlead.platform.laptop.client import connect
from fairlead.platform.laptop.status import DeployRequest, SplitRequest
from fairlead_pipelines.command import serving
from fairlead_pipelines.command.main import main

STUB = Path(__file__).with_name("stub_server.py")
FIRST, SECOND = ("sha256:" + letter * 64 for letter in "ab")


def call(*arguments: str, code: int = 0) -> Result:
    """Run a command and check its exit status."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == code, result.output
    return result


def deploy(digest: str, version: str, folder: Path) -> None:
    """Deploy a stub server and wait until it is ready."""
    request = DeployRequest(
        name="flights", digest=digest, version=version, package=str(folder), predictions=str(folder),
        command=[sys.executable, str(STUB)],
    )  # fmt: skip
    with connect() as supervisor:
        supervisor.deploy(request)
        assert serving.wait_until_ready(supervisor, lambda found: found.digest == digest, 20)


def who_answers(port: int) -> str:
    """Return the digest of the server that answers a prediction."""
    address = f"http://127.0.0.1:{port}/v1/models/flights:predict"
    with urllib.request.urlopen(urllib.request.Request(address, b"{}"), timeout=10) as answer:
        return str(json.load(answer)["digest"])


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Give a platform of its own to a test, and stop it afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = int(probe.getsockname()[1])
    monkeypatch.setenv("FAIRLEAD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FAIRLEAD_SERVING_PORT", str(number))
    monkeypatch.chdir(tmp_path)
    yield number
    if serving.is_running():
        call("down")


@pytest.fixture
def champions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the versions that became champion: the registry has tests of its own."""
    named: list[str] = []
    monkeypatch.setattr(by_hand, "_set_champion", lambda _service, _digest, version: named.append(version))
    return named


def test_traffic_follows_the_users_word(port: int, tmp_path: Path, champions: list[str]) -> None:
    """A canary is taken back, another is promoted, and that is undone: traffic, alias and record follow each time.

    One test, as starting a platform takes longer than all that is done to it here.
    """
    deploy(FIRST, "1", tmp_path)
    call("promote", "flights")
    take_a_canary_back(tmp_path)
    promote_and_undo(port, tmp_path)
    assert champions == ["1", "2", "1"]
    lines = [json.loads(line) for line in (serving.places().rollouts / "flights.jsonl").read_text().splitlines()]
    assert [line["verb"] for line in lines] == ["promote", "rollback", "promote", "rollback"]
    assert lines[2]["reason"] == "seen enough"
    assert lines[2]["user"]
    assert "Stopped: flights" in call("down").output
    assert "ready" in call("up").output
    assert who_answers(port) == FIRST


def take_a_canary_back(folder: Path) -> None:
    """With a canary, rollback ends the canary; without one and without a past, changing is refused with a reason."""
    deploy(SECOND, "2", folder)
    assert "canary version 2" in call("rollback", "flights").output
    assert list(json.loads(call("status", "--json").output)["services"]["flights"]["versions"]) == [FIRST]
    assert "neither a canary nor an earlier version" in call("rollback", "flights", code=1).output
    assert "has no canary" in call("promote", "flights", code=1).output
    assert "no service 'other'" in call("promote", "other", code=1).output


def promote_and_undo(port: int, folder: Path) -> None:
    """The split is shown; promoted, the canary has all traffic; rolled back, the version before it has."""
    deploy(SECOND, "2", folder)
    with connect() as supervisor:
        supervisor.apply_split("flights", SplitRequest(canary=SECOND, canary_percent=20))
    shown = call("status").output
    assert "80 %" in shown
    assert "20 %" in shown
    call("promote", "flights", "--reason", "seen enough")
    assert who_answers(port) == SECOND
    assert "version 1 (aaaaaaaaaaaa) is back and has all traffic" in call("rollback", "flights").output
    assert who_answers(port) == FIRST


def test_without_a_platform_nothing_is_started(port: int, tmp_path: Path) -> None:
    """Looking and stopping start nothing; changing says what to do."""
    assert "Nothing serves here" in call("status").output
    assert json.loads(call("status", "--json").output) == {"running": False}
    assert "Nothing serves here" in call("down").output
    assert "fairlead up" in call("promote", "flights", code=1).output
    assert not (tmp_path / "home").exists()
