"""`fairlead down`: stop the laptop platform."""

import click


@click.command()
def command() -> None:
    """Stop every server of the laptop platform, the proxy, and the supervisor; requests under way are answered first.

    What served is remembered: `fairlead up` brings it back.

    \b
    Example:
      fairlead down
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from fairlead_pipelines.command import serving

    if not serving.is_running():
        click.echo("Nothing serves here.")
        return
    with serving.connected() as supervisor:
        services = list(supervisor.status().services)
        supervisor.shutdown()
    stopped = f"Stopped: {', '.join(services)}." if services else "Stopped."
    click.echo(f"{stopped} Start again: fairlead up")
