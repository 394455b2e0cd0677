"""What runs on a laptop, kept running: the desired state, the predictors, and Envoy in front of them."""

import asyncio
import contextlib
import logging
import os
import time

from fairlead.errors import PlatformError, RolloutError
from fairlead.platform.laptop import envoy as envoy_process
from fairlead.platform.laptop import processes, state
from fairlead.platform.laptop.counters import VersionCounters
from fairlead.platform.laptop.envoy import Envoy
from fairlead.platform.laptop.places import Places
from fairlead.platform.laptop.predictors import STOP_SECONDS, Predictor
from fairlead.platform.laptop.state import PlatformState, ProcessRecord, ServiceState, VersionState
from fairlead.platform.laptop.status import DeployRequest, SplitRequest

logger = logging.getLogger(__name__)

_WATCH_SECONDS = 0.2
_DRAIN_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 30.0


class Platform:
    """Everything that one supervisor runs.

    Args:
        places: The platform's files.
        host: The address that everything binds to.
        port: The port on which all services are reached.
    """

    def __init__(self, places: Places, host: str, port: int) -> None:
        self.places, self.host, self.port = places, host, port
        self.state = PlatformState.load(places.state)
        self.predictors: dict[str, Predictor] = {}
        record = self.state.processes.get(envoy_process.KEY)
        self.envoy = Envoy(places, host, port, processes.adopt(record) if record else None)
        self._change = asyncio.Lock()  # one change at a time: routes and clusters are written together
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Takes over what an earlier supervisor left running, and starts what is to run besides.

        Raises:
            PlatformError: The port is taken (nothing has been changed), or Envoy does not come up.
        """
        if self.envoy.alive and self.state.port != self.port:
            raise PlatformError(f"a proxy of this platform still serves on port {self.state.port}; run `fairlead down`")
        if not self.envoy.alive:
            envoy_process.refuse_taken_port(self.host, self.port)
        self.state.host, self.state.port = self.host, self.port
        await self._stop_strays()
        for service in self.state.services.values():
            service.limit_lease(time.monotonic())
            for version in service.versions.values():
                self._supervise(service, version)
        await self._write_routes()
        if not self.envoy.alive:
            self._record(envoy_process.KEY, await self.envoy.start())
        self._spawn_task(self._watch())

    async def deploy(self, request: DeployRequest) -> None:
        """Starts a version's server at weight 0; a version that is there already is left as it is.

        An earlier candidate that gets no traffic makes room.

        Raises:
            RolloutError: Another canary gets traffic now.
            PlatformError: The name or the server program will not do.
        """
        async with self._change:
            name = state.check_name(request.name)
            service = self.state.services.setdefault(name, ServiceState(name=name))
            if service.canary not in (None, request.digest) and (service.canary_percent or service.shadow_percent):
                raise RolloutError(
                    f"{name}: canary {state.short(str(service.canary))} gets {service.canary_percent:g} % of the "
                    f"traffic; end its rollout first (fairlead promote {name}, or fairlead rollback {name})"
                )
            service.options = request.options
            candidates = [d for d in service.versions if d not in (service.stable, request.digest)]
            for digest in candidates:
                await self._stop_version(service, digest)
            if service.canary not in service.versions:
                service.canary = None
            if request.digest not in service.versions:
                self._add(service, request)
            if request.digest != service.stable:
                service.canary, service.canary_percent = request.digest, 0.0
            await self._write_routes()

    async def remove(self, name: str, digest: str) -> None:
        """Takes a version out of the traffic, lets its requests end, and stops its server."""
        async with self._change:
            service = self.service(name)
            if service.stable == digest:
                service.stable = None
            if service.canary == digest:
                service.canary, service.canary_percent, service.shadow_percent = None, 0.0, 0.0
            await self._write_routes()
            await self._drain(service, digest)
            await self._stop_version(service, digest)
            await self._write_routes()

    async def apply_split(self, name: str, request: SplitRequest) -> None:
        """Splits a service's predictions; done when Envoy has taken it.

        Raises:
            PlatformError: The canary's server does not run here.
        """
        async with self._change:
            service = self.service(name)
            if request.canary is not None:
                self.predictor(service, request.canary)
            service.canary, service.canary_percent = request.canary, request.canary_percent
            service.shadow_percent = request.shadow_percent
            service.lease_until = time.monotonic() + request.lease_seconds if request.lease_seconds else None
            await self._write_routes()

    def renew(self, name: str, lease_seconds: float) -> None:
        """Prolongs the canary's share: whoever judges it is alive."""
        service = self.service(name)
        if service.lease_until is not None:
            service.lease_until = time.monotonic() + lease_seconds

    async def promote(self, name: str, digest: str) -> None:
        """Makes a version the stable one with all traffic, then drains and stops the old one.

        Raises:
            PlatformError: The version's server does not run here.
        """
        async with self._change:
            service = self.service(name)
            self.predictor(service, digest)
            old = service.stable if service.stable != digest else None
            if old:
                service.previous = service.versions[old]
            service.stable, service.canary, service.canary_percent = digest, None, 0.0
            service.shadow_percent, service.lease_until = 0.0, None
            await self._write_routes()
        for other in [d for d in service.versions if d != digest]:
            await self.remove(name, other)

    async def counters(self, name: str) -> dict[str, VersionCounters]:
        """Reads what each version of a service was asked and answered, by digest."""
        return await self.envoy.counters(self.service(name))

    def service(self, name: str) -> ServiceState:
        """Gives a service.

        Raises:
            PlatformError: There is none of that name.
        """
        if name not in self.state.services:
            known = ", ".join(self.state.services) or "none"
            raise PlatformError(f"no service {name!r} runs here (running: {known}); deploy a version first")
        return self.state.services[name]

    def predictor(self, service: ServiceState, digest: str) -> Predictor:
        """Gives a version's server.

        Raises:
            PlatformError: It was not deployed here.
        """
        found = self.predictors.get(service.key(digest))
        if found is None:
            raise PlatformError(f"{service.name}: version {state.short(digest)} does not run here; deploy it first")
        return found

    async def stop(self) -> None:
        """Stops everything in order: first the proxy takes no more requests, then the servers end."""
        async with self._change:
            await self._end_tasks()
            await self.envoy.stop()
            await asyncio.gather(*(predictor.stop() for predictor in self.predictors.values()))
            self.state.processes.clear()
            self._save()

    def _add(self, service: ServiceState, request: DeployRequest) -> None:
        version = VersionState(**request.model_dump(include=set(VersionState.model_fields)))
        service.versions[request.digest] = version
        try:
            self._supervise(service, version)
        except PlatformError:
            self._forget(service, request.digest)
            raise

    def _forget(self, service: ServiceState, digest: str) -> Predictor | None:
        """Takes a version off the books; a service without versions goes as well."""
        service.versions.pop(digest, None)
        self.state.processes.pop(service.key(digest), None)
        if not service.versions:
            self.state.services.pop(service.name, None)
        return self.predictors.pop(service.key(digest), None)

    def _supervise(self, service: ServiceState, version: VersionState) -> None:
        predictor = Predictor(service, version, self.places, self.host, self._changed)
        record = self.state.processes.get(predictor.key)
        self.predictors[predictor.key] = predictor
        predictor.start(processes.adopt(record) if record else None)

    def _changed(self, key: str) -> None:
        """Notes a server's new process; its port may be another one, which Envoy has to learn."""
        process = self.predictors[key].process
        if process is not None:
            self._record(key, process)
        if not self._change.locked():  # whoever holds it will write the routes
            self._spawn_task(self._rewrite())

    async def _rewrite(self) -> None:
        async with self._change:
            await self._write_routes()

    async def _watch(self) -> None:
        """Starts Envoy again if it dies, and ends shares whose lease has run out."""
        deaths = 0
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            for service in self.state.services.values():
                if service.lease_until is not None and time.monotonic() > service.lease_until:
                    await self._end_lease(service)
            if not self.envoy.alive:
                await asyncio.sleep(min(_LONGEST_PAUSE_SECONDS, _WATCH_SECONDS * 2**deaths))
                deaths = 0 if await self._restart_envoy() else deaths + 1

    async def _restart_envoy(self) -> bool:
        logger.warning("Envoy has ended; starting it again")
        try:
            await self.envoy.close()
            self._record(envoy_process.KEY, await self.envoy.start())
            self.envoy.restarts += 1
        except PlatformError as error:
            logger.warning("%s", error)
            return False
        return True

    async def _end_lease(self, service: ServiceState) -> None:
        logger.warning("%s: nobody judges the canary any more; its share is taken away", service.name)
        async with self._change:
            service.canary_percent, service.shadow_percent, service.lease_until = 0.0, 0.0, None
            with contextlib.suppress(PlatformError):  # Envoy is being started again, and will read the files
                await self._write_routes()

    async def _drain(self, service: ServiceState, digest: str) -> None:
        """Waits until no request is on its way to a version."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        with contextlib.suppress(PlatformError):  # without Envoy there are no requests
            while time.monotonic() < deadline:
                if await self.envoy.idle(service.key(digest)):
                    return
                await asyncio.sleep(_WATCH_SECONDS / 4)

    async def _stop_version(self, service: ServiceState, digest: str) -> None:
        predictor = self._forget(service, digest)
        if predictor is not None:
            await predictor.stop()
        self._save()

    async def _stop_strays(self) -> None:
        known = {record.pid for record in self.state.processes.values()}
        for stray in processes.strays(self.places.home, known):
            logger.warning("stopping process %d, which an earlier supervisor did not note", stray.record.pid)
            await stray.stop(STOP_SECONDS)

    async def _write_routes(self) -> None:
        self._save()
        await self.envoy.write(self.state.services.values())

    def _record(self, key: str, process: processes.Process) -> None:
        self.state.processes[key] = ProcessRecord(pid=process.record.pid, created=process.record.created)
        self._save()

    def _save(self) -> None:
        self.state.save(self.places.state)

    def _spawn_task(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_complain)

    async def _end_tasks(self) -> None:
        mine = asyncio.current_task()
        for task in [t for t in self._tasks if t is not mine]:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _complain(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.error("pid %d: %s", os.getpid(), task.exception())
