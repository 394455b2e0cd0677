"""A laptop platform for tests: its own home and port, stand-in servers that misbehave as told, and clients.

with laptop(tmp_path, monkeypatch) as platform:
    stable = platform.serve("m", "a", version="1")          # all traffic
    canary = platform.deploy("m", "b", version="2", slow=0.3)
    with platform.clients("m") as traffic: …
    assert traffic.failures == []
"""

import contextlib
import http.client
import itertools
import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead.deployment.engine import Rollout
from fairlead.deployment.records import Records, RolloutState
from fairlead.deployment.spec import RolloutSpec
from fairlead.platform.laptop.client import Supervisor, connect
from fairlead.platform.laptop.processes import free_port
from fairlead.platform.laptop.record_files import RecordFiles
from fairlead.platform.laptop.rollout_target import LaptopTarget
from fairlead.platform.laptop.state import RouteOptions
from fairlead.platform.laptop.status import DeployRequest, VersionStatus

STAND_IN = [sys.executable, str(Path(__file__).with_name("servers.py"))]
TRUE_RATE = 0.3


def digest(letter: str) -> str:
    """The digest of the stand-in that goes by a letter."""
    return "sha256:" + letter * 64


class Traffic:
    """Clients that post predictions, and the outcomes of those later, until they are told to stop."""

    def __init__(self, port: int, name: str, threads: int, per_second: float, content: Any, users: int = 0) -> None:
        self.content, self.users = content, users
        self.met: dict[str, list[str]] = {}
        self.port, self.name, self.pause = port, name, threads / per_second
        self.failures: list[str] = []
        self.answered: Counter[str] = Counter()
        self._stop = threading.Event()
        self._numbers = itertools.count()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(threads)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, seed: int) -> None:
        generator = random.Random(seed)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        while not self._stop.wait(self.pause):
            try:
                self._predict(connection, generator)
            except OSError as error:
                self.failures.append(repr(error))
                connection.close()
        connection.close()

    def _predict(self, connection: http.client.HTTPConnection, generator: random.Random) -> None:
        identity = f"r{next(self._numbers)}"
        user = f"user{generator.randrange(self.users)}" if self.users else ""
        status, served = self._post(connection, "predict", self.content, identity, user)
        if status != 200:
            self.failures.append(str(status))
            return
        self.answered[served] += 1
        self.met.setdefault(user, []).append(served)
        outcome = int(generator.random() < TRUE_RATE)
        self._post(connection, "feedback", {"request_id": identity, "row": 0, "outcome": outcome}, identity)

    def _post(
        self, connection: http.client.HTTPConnection, verb: str, content: Any, identity: str, user: str = ""
    ) -> tuple[int, str]:
        headers = {"content-type": "application/json", "x-request-id": identity, "x-user-id": user}
        connection.request("POST", f"/v1/models/{self.name}:{verb}", json.dumps(content), headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.getheader("x-fairlead-digest", "")


class Laptop:
    """One platform under test."""

    def __init__(self, home: Path, port: int) -> None:
        self.home, self.port = home, port
        self.supervisor: Supervisor = connect()
        self.targets: list[LaptopTarget] = []

    def name_in_settings(self, patch: pytest.MonkeyPatch) -> None:
        """Makes this platform the one that the settings name."""
        patch.setenv("FAIRLEAD_HOME", str(self.home))
        patch.setenv("FAIRLEAD_SERVING_PORT", str(self.port))

    def deploy(
        self,
        name: str,
        letter: str,
        version: str = "1",
        options: RouteOptions | None = None,
        memory_bytes: int = 0,
        **behaviour: float,
    ) -> str:
        """Starts a stand-in server at weight 0 and waits until it is ready."""
        self.begin_deploy(name, letter, version, options, memory_bytes, **behaviour)
        self.wait_for(name, letter)
        return digest(letter)

    def begin_deploy(
        self,
        name: str,
        letter: str,
        version: str = "1",
        options: RouteOptions | None = None,
        memory_bytes: int = 0,
        **behaviour: float,
    ) -> None:
        package = self.home / "packages" / f"{name}-{letter}"
        package.mkdir(parents=True, exist_ok=True)
        (package / "behaviour.json").write_text(json.dumps(behaviour))
        predictions = self.home / "predictions" / name
        self.supervisor.deploy(
            DeployRequest(
                name=name, digest=digest(letter), version=version, package=str(package),
                predictions=str(predictions), command=STAND_IN, options=options or RouteOptions(),
                memory_bytes=memory_bytes,
            )
        )  # fmt: skip

    def serve(self, name: str, letter: str, version: str = "1", **behaviour: float) -> str:
        """Starts a stand-in server and gives it all traffic."""
        self.deploy(name, letter, version, None, 0, **behaviour)
        self.supervisor.promote(name, digest(letter))
        return digest(letter)

    def version(self, name: str, letter: str) -> VersionStatus:
        return self.supervisor.service(name).versions[digest(letter)]

    def wait_for(self, name: str, letter: str, condition: str = "ready", seconds: float = 30) -> VersionStatus:
        deadline = time.monotonic() + seconds
        while (status := self.version(name, letter)).condition != condition:
            assert time.monotonic() < deadline, status
            time.sleep(0.05)
        return status

    def rollout(self, name: str, letter: str, **spec: Any) -> tuple[Rollout, Records]:
        """Makes a rollout of a deployed version; `run()` runs it."""
        target = LaptopTarget(name, digest(letter))
        self.targets.append(target)
        parsed = RolloutSpec.parse(spec, where="rollout")
        records = Records(RecordFiles(self.supervisor.places.rollouts, name))
        state = RolloutState(
            name=name, digest=digest(letter), version="2", stable=target.stable, spec=parsed.model_dump(mode="json")
        )
        return Rollout(target, parsed, state, records.save, commanded=records.commanded), records

    @contextlib.contextmanager
    def clients(
        self, name: str, threads: int = 3, per_second: float = 150, content: Any = None, users: int = 0
    ) -> Iterator[Traffic]:
        traffic = Traffic(self.port, name, threads, per_second, content or {"instances": [{"x": 1}]}, users)
        traffic.start()
        try:
            yield traffic
        finally:
            traffic.stop()


@contextlib.contextmanager
def laptop(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Laptop]:
    """Starts a platform, and stops everything that it started."""
    port = free_port("127.0.0.1")
    monkeypatch.setenv("FAIRLEAD_HOME", str(home))
    monkeypatch.setenv("FAIRLEAD_SERVING_PORT", str(port))
    platform = Laptop(home, port)
    try:
        yield platform
    finally:
        for target in platform.targets:
            target.close()
        platform.supervisor.close()
        platform.name_in_settings(monkeypatch)
        with connect() as supervisor:
            supervisor.shutdown()
