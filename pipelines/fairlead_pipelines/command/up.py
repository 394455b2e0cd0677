"""`fairlead up`: start the laptop platform with what served before."""

import click

_READY_SECONDS = 60.0


@click.command()
def command() -> None:
    """Start the laptop platform; whatever served when it was stopped serves again, at the same split.

    Deploying a model starts it by itself; this is for after `fairlead down` or a restart of the machine.

    \b
    Example:
      fairlead up
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from rich.console import Console

    from fairlead.errors import PlatformError
    from fairlead.platform.laptop.client import connect
    from fairlead_pipelines.command import serving

    with connect() as supervisor:
        ready = serving.wait_until_ready(supervisor, lambda version: version.percent > 0, _READY_SECONDS)
        status = supervisor.status()
    console = Console()
    for part in serving.view(status.services, {}):
        console.print(part, highlight=False, soft_wrap=isinstance(part, str))
    if not ready:
        raise PlatformError(
            f"a server was not ready within {_READY_SECONDS:.0f} s; its log is in {serving.places().logs}"
        )
