"""The supervisor with real processes: what dies is started again, and what is killed -9 loses nothing."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from laptops import STAND_IN, Laptop, digest, laptop

from fairlead.deployment import by_hand
from fairlead.errors import PlatformError, RolloutError
from fairlead.platform.laptop.client import connect
from fairlead.platform.laptop.processes import free_port
from fairlead.platform.laptop.record_files import RecordFiles
from fairlead.platform.laptop.status import DeployRequest, SplitRequest


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """One platform for all tests of this module: each has a service of its own."""
    with pytest.MonkeyPatch.context() as patch, laptop(tmp_path_factory.mktemp("home"), patch) as made:
        yield made


@pytest.fixture
def platform(running: Laptop, own_state: Path, monkeypatch: pytest.MonkeyPatch) -> Laptop:
    """The platform, as the settings name it; with a supervisor that lives."""
    running.name_in_settings(monkeypatch)
    running.supervisor.close()
    running.supervisor = connect()
    return running


def kill(pid: int) -> None:
    """Sends SIGKILL and waits until the process is gone."""
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def answered_by(platform: Laptop, name: str, **headers: str) -> str:
    """The digest that answers one prediction."""
    url = f"http://127.0.0.1:{platform.port}/v1/models/{name}:predict"
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    answer = httpx.post(url, json={"instances": [{}]}, headers=named)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-fairlead-digest"]


def test_a_supervisor_that_was_killed_is_replaced(platform: Laptop) -> None:
    """Servers and Envoy live on and answer; the next supervisor takes the same processes over, split and all."""
    platform.serve("adopt", "a")
    platform.deploy("adopt", "b")
    platform.supervisor.apply_split("adopt", SplitRequest(canary=digest("b"), canary_percent=30))
    before = platform.supervisor.status()
    kill(before.pid)
    with pytest.raises(PlatformError, match="what it served is still up"):
        platform.supervisor.status()
    assert answered_by(platform, "adopt") in {digest("a"), digest("b")}
    platform.supervisor.close()
    platform.supervisor = connect()
    after = platform.supervisor.status()
    assert after.pid != before.pid
    assert after.envoy.pid == before.envoy.pid
    pids = [{v.digest: v.pid for v in s.services["adopt"].versions.values()} for s in (before, after)]
    assert pids[0] == pids[1]
    assert after.services["adopt"].canary_percent == 30
    assert platform.wait_for("adopt", "a").condition == "ready"


def test_a_server_that_nobody_noted_is_stopped(platform: Laptop) -> None:
    """A supervisor killed between starting a server and noting it leaves a stray, which the next one ends."""
    mark = {**os.environ, "FAIRLEAD_LAPTOP": str(platform.supervisor.places.home)}
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(command, env=mark, start_new_session=True) as stray:
        kill(platform.supervisor.status().pid)
        platform.supervisor.close()
        platform.supervisor = connect()
        assert stray.wait(20) == -signal.SIGTERM


def test_what_dies_is_started_again(platform: Laptop) -> None:
    """A killed server and a killed Envoy come back by themselves, and say how they ended."""
    platform.serve("dies", "a")
    pid, envoy = platform.version("dies", "a").pid, platform.supervisor.status().envoy.pid
    assert pid is not None
    assert envoy is not None
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while (status := platform.version("dies", "a")).restarts == 0 or status.condition != "ready":
        assert time.monotonic() < deadline, status
        time.sleep(0.05)
    assert "killed by signal 9" in status.last_exit
    os.kill(envoy, signal.SIGKILL)
    while platform.supervisor.status().envoy.restarts == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert answered_by(platform, "dies") == digest("a")


def test_a_crash_loop_is_reported_and_not_spun(platform: Laptop) -> None:
    """A server that cannot start is tried ever more rarely; its status shows the end of its log."""
    platform.begin_deploy("loop", "c", exit=3)
    status = platform.wait_for("loop", "c", "crash-looping")
    assert "exited with status 3" in status.last_exit
    assert "told to exit" in status.last_exit
    time.sleep(2)
    assert platform.version("loop", "c").restarts <= status.restarts + 2
    platform.supervisor.remove("loop", digest("c"))
    assert "loop" not in platform.supervisor.status().services


def test_testers_choose_a_version_by_header(platform: Laptop) -> None:
    """A canary without traffic answers those who ask for it, and its counters stay clean."""
    platform.serve("tester", "a")
    platform.deploy("tester", "b")
    assert answered_by(platform, "tester") == digest("a")
    assert answered_by(platform, "tester", x_fairlead_version="canary") == digest("b")
    assert platform.supervisor.counters("tester")[digest("b")].succeeded == 0


def test_a_canary_that_nobody_judges_loses_its_traffic(platform: Laptop) -> None:
    """A share with a lease ends unless it is renewed."""
    platform.serve("lease", "a")
    platform.deploy("lease", "b")
    platform.supervisor.apply_split("lease", SplitRequest(canary=digest("b"), canary_percent=50, lease_seconds=1.0))
    assert platform.supervisor.service("lease").canary_percent == 50
    time.sleep(2)
    assert platform.supervisor.service("lease").canary_percent == 0


def test_a_second_canary_waits_for_the_first(platform: Laptop) -> None:
    """While one canary gets traffic no other is deployed; a candidate without traffic makes room."""
    platform.serve("second", "a")
    platform.deploy("second", "b")
    platform.supervisor.apply_split("second", SplitRequest(canary=digest("b"), canary_percent=5))
    with pytest.raises(RolloutError, match="5 % of the traffic"):
        platform.begin_deploy("second", "c")
    platform.supervisor.apply_split("second", SplitRequest(canary=digest("b"), canary_percent=0))
    platform.deploy("second", "c")
    assert set(platform.supervisor.service("second").versions) == {digest("a"), digest("c")}


def test_a_large_body_is_refused(platform: Laptop) -> None:
    """Longer than the service allows: 413, before any server sees it."""
    platform.serve("large", "a")
    url = f"http://127.0.0.1:{platform.port}/v1/models/large:predict"
    assert httpx.post(url, content=b"x" * (5 << 20)).status_code == 413


def test_an_unknown_model_gets_a_helpful_answer(platform: Laptop) -> None:
    """404 with the names of what serves."""
    platform.serve("known", "a")
    answer = httpx.get(f"http://127.0.0.1:{platform.port}/v2/models/unknown")
    assert answer.status_code == 404
    assert "known" in answer.json()["error"]


def test_only_this_user_may_talk_to_the_supervisor(platform: Laptop) -> None:
    """Both sockets have mode 0600, and nothing but the serving port and the servers' own listens, on loopback."""
    for path in (platform.supervisor.places.socket, platform.supervisor.places.admin_socket):
        assert path.stat().st_mode & 0o777 == 0o600
    status = platform.supervisor.status()
    for pid in (status.pid, status.envoy.pid):
        listening = [c for c in psutil.net_connections("inet") if c.pid == pid and c.status == psutil.CONN_LISTEN]
        assert all(c.laddr.ip == "127.0.0.1" for c in listening)


ROLL_OUT = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from laptops import Laptop
Laptop(Path({home!r}), {port}).rollout("cut", "b", steps=[20, 50], minimum_requests=400, look_seconds=0.2)[0].run()
"""


def test_a_rollout_killed_in_the_middle_is_taken_up(platform: Laptop) -> None:
    """The judging process gets kill -9: no request fails, and the next one ends what it began."""
    from fairlead.deployment.engine import Rollout
    from fairlead.deployment.records import Records

    platform.serve("cut", "a")
    platform.deploy("cut", "b")
    script = ROLL_OUT.format(tests=str(Path(__file__).parents[1]), home=str(platform.home), port=platform.port)
    with platform.clients("cut") as traffic:
        with subprocess.Popen([sys.executable, "-c", script]) as judging:
            kept = Records(RecordFiles(platform.supervisor.places.rollouts, "cut"))
            deadline = time.monotonic() + 30
            while (state := kept.load()) is None or not state.judge.get("canary_requests"):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            judging.kill()
        made, records = platform.rollout("cut", "b", steps=[20, 50], minimum_requests=40, look_seconds=0.2)
        left = records.load()
        assert left is not None
        assert (left.phase, left.step) == ("stepping", 0)
        seen = left.judge["canary_requests"]
        state = Rollout(made.target, made.spec, left, records.save).run()
    assert state.outcome == "promoted"
    assert state.judge["canary_requests"] > seen > 0
    assert traffic.failures == []


def test_by_hand_a_canary_is_removed(platform: Laptop) -> None:
    """Rolling back by hand takes the canary away and is recorded; without one there is nothing to do."""
    platform.serve("hand", "a")
    platform.deploy("hand", "b")
    platform.supervisor.apply_split("hand", SplitRequest(canary=digest("b"), canary_percent=50))
    done = by_hand.roll_back("hand")
    assert done.stable == digest("a")
    assert list(platform.supervisor.service("hand").versions) == [digest("a")]
    history = (platform.supervisor.places.rollouts / "hand.jsonl").read_text().splitlines()
    assert json.loads(history[-1])["by"] == "hand"
    with pytest.raises(RolloutError, match="neither a canary"):
        by_hand.roll_back("hand")
    with pytest.raises(RolloutError, match="no canary"):
        by_hand.promote("hand")


def test_a_port_in_use_stops_it_before_anything_is_changed(own_state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names port and setting; no state is written and nothing is left running."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setenv("FAIRLEAD_SERVING_PORT", str(port))
        with pytest.raises(PlatformError, match=rf"port {port} .*FAIRLEAD_SERVING_PORT"):
            connect()
    assert not (own_state / "platform" / "state.json").exists()
    with pytest.raises(PlatformError, match="nothing runs here"):
        connect(start=False)


def test_two_projects_run_beside_one_another(platform: Laptop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another home with another port has its own supervisor, Envoy and service; shutting one down leaves the other."""
    platform.serve("both", "a")
    with laptop(tmp_path / "other", monkeypatch) as other:
        other.deploy("both", "b")
        other.supervisor.promote("both", digest("b"))
        assert answered_by(other, "both") == digest("b")
        pids = [v.pid for v in other.supervisor.service("both").versions.values()]
        monkeypatch.setenv("FAIRLEAD_SERVING_PORT", str(free_port("127.0.0.1")))
        with pytest.raises(PlatformError, match="fairlead down"):
            connect()
    assert not any(pid and psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids)
    assert answered_by(platform, "both") == digest("a")


def test_a_server_program_that_is_not_there_is_told(platform: Laptop) -> None:
    """A command that cannot be started fails the deployment at once and leaves nothing behind."""
    request = DeployRequest(
        name="absent", digest=digest("a"), version="1", package="/p", predictions=str(platform.home / "p"),
        command=["/no/such/program", *STAND_IN],
    )  # fmt: skip
    with pytest.raises(PlatformError, match="cannot be started"):
        platform.supervisor.deploy(request)
    assert "absent" not in platform.supervisor.status().services
