"""What the commands that look at or change what serves share."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from fairlead.platform.laptop.client import Supervisor, connect, running
from fairlead.platform.laptop.places import Places
from fairlead.platform.laptop.state import short
from fairlead.platform.serving import ServiceStatus, Tally, VersionStatus
from fairlead.settings import settings

_CONDITIONS = {"ready": "green", "starting": "yellow", "restarting": "yellow"}
_POLL_SECONDS = 0.2


def places() -> Places:
    """Return the platform's files that the settings name."""
    return Places(settings().platform_home)


def is_running() -> bool:
    """Tell whether the platform that the settings name runs."""
    return running(places())


def connected() -> Supervisor:
    """Return a connection to the running platform.

    Raises:
        PlatformError: It does not run.
    """
    return connect(start=False)


def view(
    services: Mapping[str, ServiceStatus], tallies: Mapping[str, Mapping[str, Tally]], remark: str = ""
) -> list[Any]:
    """Return what rich can print of what serves.

    Args:
        services: What runs, by name.
        tallies: By service and digest, what was asked and answered.
        remark: What is wrong with what stands in front of all services.
    """
    if not services:
        return ["No service is deployed. Start one: fairlead run flights"]
    parts: list[Any] = []
    for service in services.values():
        parts += [f"[bold]{service.name}[/]  {service.endpoint}", _versions(service, tallies.get(service.name, {}))]
    return parts + ([f"[yellow]{remark}[/]"] if remark else [])


def _versions(service: ServiceStatus, tallies: Mapping[str, Tally]) -> Any:
    """Return the table of a service's versions."""
    from rich import box
    from rich.table import Table

    table = Table("version", "digest", "role", "traffic", "state", "answered", "failed", box=box.SIMPLE_HEAD)
    for column in table.columns[-2:]:
        column.justify = "right"
    for digest, version in service.versions.items():
        count = tallies.get(digest, Tally())
        row = (version.version, short(digest), _role(service, digest), f"{version.percent:g} %", _condition(version))
        table.add_row(*row, f"{count.succeeded:,}", f"{count.failed:,}")
    return table


def _role(service: ServiceStatus, digest: str) -> str:
    if digest == service.stable:
        return "stable"
    if digest != service.canary:
        return "idle"
    return f"canary, shadow {service.shadow_percent:g} %" if service.shadow_percent else "canary"


def _condition(version: VersionStatus) -> str:
    """Return a server's state, with how often it died and where to read why."""
    color = _CONDITIONS.get(version.condition, "red")
    died = f" [dim]({version.restarts} restarts; {version.log})[/]" if version.restarts else ""
    return f"[{color}]{version.condition}[/]{died}"


def wait_until_ready(supervisor: Supervisor, wanted: Callable[[VersionStatus], bool], seconds: float) -> bool:
    """Wait until every server that matters is ready; tells whether it came to that in time.

    Args:
        supervisor: The running platform.
        wanted: Tells which servers matter.
        seconds: How long to wait at most.
    """
    deadline = time.monotonic() + seconds
    while True:
        versions = [v for service in supervisor.status().services.values() for v in service.versions.values()]
        if all(version.condition == "ready" for version in versions if wanted(version)):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
