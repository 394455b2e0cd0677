"""`fairlead status`: what serves, which versions, and how the traffic is split."""

import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the whole state as JSON.")
def command(as_json: bool) -> None:
    """Show what serves here: each service's versions, their share of the traffic, and what they answered.

    \b
    Examples:
      fairlead status
      fairlead status --json
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from rich.console import Console

    from fairlead_pipelines.command import serving

    if not serving.is_running():
        click.echo('{"running": false}' if as_json else "Nothing serves here. Start it: fairlead up")
        return
    with serving.connected() as supervisor:
        status = supervisor.status()
        counts = {name: serving.counters(supervisor, name) for name in status.services}
    if as_json:
        click.echo(json.dumps({"running": True, **status.model_dump(mode="json")}, indent=1))
        return
    console = Console()
    for part in serving.view(status, counts):
        console.print(part, highlight=False, soft_wrap=isinstance(part, str))
