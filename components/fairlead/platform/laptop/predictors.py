"""The server process of one model version: its command line, its readiness, and its restarts when it dies."""

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Callable

import httpx

from fairlead.errors import PlatformError
from fairlead.platform.laptop import processes
from fairlead.platform.laptop.places import Places
from fairlead.platform.laptop.state import ServiceState, VersionState
from fairlead.platform.serving import Condition

logger = logging.getLogger(__name__)

SERVER = ("-m", "fairlead_serving")
STOP_SECONDS = 10.0
_POLL_SECONDS = 0.1
_PROBE_EVERY_SECONDS = 2.0
_PROBE_TIMEOUT_SECONDS = 2.0
_FAILED_PROBES = 3  # in a row, before a server counts as unresponsive
_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.25, 30.0
_SETTLED_SECONDS = 30.0  # a server that ran this long starts afresh in counting its deaths
_CRASH_LOOP = 4  # deaths in a row
_MEMORY_GRACE_SECONDS = 1.0  # a server that grows must not be waited for long


class Predictor:
    """Keeps one server running.

    Args:
        service: The service that it belongs to.
        version: What it serves.
        places: The platform's files.
        host: The address that it binds to.
        changed: Called when its process or port has changed, with its key.
    """

    def __init__(
        self, service: ServiceState, version: VersionState, places: Places, host: str, changed: Callable[[str], None]
    ) -> None:
        self.service, self.version, self.places, self.host = service, version, places, host
        self.key = service.key(version.digest)
        self.process: processes.Process | None = None
        self.condition: Condition = "starting"
        self.restarts = 0
        self.last_exit = ""
        self._changed = changed
        self._deaths = 0
        self._started_at = 0.0
        self._misses = 0
        self._excess = ""
        self._task: asyncio.Task[None] | None = None

    def start(self, process: processes.Process | None = None) -> None:
        """Starts the server, unless an earlier supervisor's process still is one, and watches over it."""
        self.process = process or self._spawn()
        self._started_at = time.monotonic()
        self._task = asyncio.get_running_loop().create_task(self._watch(), name=self.key)

    async def stop(self) -> None:
        """Ends the watch and the server, which may finish what it is doing."""
        await self.release()
        self.condition = "stopped"
        if self.process is not None:
            await self.process.stop(STOP_SECONDS)

    async def release(self) -> None:
        """Ends the watch; the server runs on."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _watch(self) -> None:
        async with httpx.AsyncClient(timeout=_PROBE_TIMEOUT_SECONDS, trust_env=False) as client:
            next_probe = 0.0
            while True:
                if self.process is None or not self.process.alive or await self._ended_for_memory(self.process):
                    await self._restart()
                elif self.condition != "ready" or time.monotonic() >= next_probe:
                    self._note(answered=await self._ready(client))
                    next_probe = time.monotonic() + _PROBE_EVERY_SECONDS
                await asyncio.sleep(_POLL_SECONDS)

    async def _ready(self, client: httpx.AsyncClient) -> bool:
        # /v2/health/ready is always true in kserve; the model's own readiness is not
        try:
            answer = await client.get(f"http://{self.host}:{self.version.port}/v2/models/{self.service.name}/ready")
        except httpx.TransportError:
            return False
        return answer.is_success

    def _note(self, *, answered: bool) -> None:
        self._misses = 0 if answered else self._misses + 1
        if answered:
            self.condition = "ready"
        elif self.condition == "ready" and self._misses >= _FAILED_PROBES:
            self.condition = "unresponsive"

    async def _ended_for_memory(self, process: processes.Process) -> bool:
        """Ends a server that uses more memory than it may, before the machine as a whole has none left."""
        used, allowed = process.memory_bytes, self.version.memory_bytes
        if not allowed or used <= allowed:
            return False
        self._excess = f"the server used {used >> 20} MiB of memory and was ended; {allowed >> 20} MiB are allowed"
        await process.stop(_MEMORY_GRACE_SECONDS)
        return True

    async def _restart(self) -> None:
        ending = self._excess or _ending(self.process.exit_code if self.process else None)
        self._excess = ""
        tail = processes.log_tail(self.places.log(self.key))
        self.last_exit = f"{ending}; its log ends:\n{tail}" if tail else ending
        settled = time.monotonic() - self._started_at > _SETTLED_SECONDS
        self._deaths = 1 if settled else self._deaths + 1
        self.condition = "crash-looping" if self._deaths >= _CRASH_LOOP else "restarting"
        self.restarts += 1
        logger.warning("%s: %s", self.key, ending)
        await asyncio.sleep(min(_LONGEST_PAUSE_SECONDS, _SHORTEST_PAUSE_SECONDS * 2 ** (self._deaths - 1)))
        self._started_at, self._misses = time.monotonic(), 0
        try:
            self._spawn()
        except PlatformError as error:
            self.process, self.last_exit = None, str(error)

    def _spawn(self) -> processes.Process:
        version = self.version
        version.port = processes.free_port(self.host, version.port)
        process = processes.start(self._command(), self.places.log(self.key), self.places.home)
        self.process = process
        self._changed(self.key)
        return process

    def _command(self) -> list[str]:
        version = self.version
        command = [
            *(version.command or (sys.executable, *SERVER)), "--name", self.service.name, "--package", version.package,
            "--digest", version.digest, "--port", str(version.port), "--host", self.host,
            "--predictions", version.predictions,
        ]  # fmt: skip
        return [*command, "--features", version.features] if version.features else command


def _ending(code: int | None) -> str:
    if code is None:
        return "the server ended"
    return f"the server was killed by signal {-code}" if code < 0 else f"the server exited with status {code}"
