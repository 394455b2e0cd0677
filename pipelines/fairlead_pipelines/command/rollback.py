"""`fairlead rollback`: all traffic back to the stable version, or to the one before it, by hand."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fairlead.platform.laptop.client import Supervisor
    from fairlead.platform.laptop.state import VersionState
    from fairlead.platform.laptop.status import ServiceStatus

_READY_SECONDS = 60.0


@click.command()
@click.argument("name")
@click.option("--reason", default="", help="Why; kept in the record.")
def command(name: str, reason: str) -> None:
    """Send all traffic of the service NAME back, now: from a canary to the stable version, or, if there is no canary,
    from the stable version to the one before it.

    No request fails meanwhile: a version gets traffic only when it is ready. Who did it, when and why is recorded under
    .fairlead/platform/rollouts/.

    \b
    Example:
      fairlead rollback flights --reason "customers complain"
    """  # noqa: D205, D301 - click wraps the first paragraph; \b is its mark for one that keeps its lines
    from fairlead_pipelines.command import serving

    with serving.connected() as supervisor:
        service = supervisor.service(name)
        if service.canary is not None and service.stable is not None:
            supervisor.remove(name, service.canary)
            serving.note(name, "rollback", service.canary, service.stable, reason)
            version = service.versions[service.stable].version
        else:
            version = _previous(supervisor, service, reason)
    click.echo(f"{name}: version {version} has all traffic.")


def _previous(supervisor: "Supervisor", service: "ServiceStatus", reason: str) -> str:
    """Start the version that was stable before, give it all traffic once it is ready, and return its number."""
    from fairlead.errors import RolloutError
    from fairlead.platform.laptop.status import DeployRequest
    from fairlead_pipelines.command import serving

    name, past = service.name, _remembered(service)
    wanted = past.model_dump(include=set(DeployRequest.model_fields))
    supervisor.deploy(DeployRequest(name=name, **wanted))
    if not serving.wait_until_ready(supervisor, lambda version: version.digest == past.digest, _READY_SECONDS):
        log = supervisor.service(name).versions[past.digest].log
        supervisor.remove(name, past.digest)
        raise RolloutError(f"{name}: version {past.version} did not come up, nothing was changed; its log is {log}")
    supervisor.promote(name, past.digest)
    serving.note(name, "rollback", service.stable, past.digest, reason)
    serving.name_champion(name, past.version)
    return past.version


def _remembered(service: "ServiceStatus") -> "VersionState":
    """Return what the platform remembers of the version that was stable before.

    Raises:
        RolloutError: There was none.
    """
    from fairlead.errors import RolloutError
    from fairlead.platform.laptop.state import PlatformState
    from fairlead_pipelines.command import serving

    kept = PlatformState.load(serving.places().state).services.get(service.name)
    if kept is None or kept.previous is None:
        raise RolloutError(
            f"{service.name} has neither a canary nor an earlier version; deploy another: fairlead run NAME"
        )
    return kept.previous
