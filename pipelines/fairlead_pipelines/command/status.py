"""`fairlead status`: what serves, which versions, and how the traffic is split."""

import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the whole state as JSON.")
def command(as_json: bool) -> None:
    """Show what serves, here or on the cluster that the settings name: each service's versions, their share of the
    traffic, and what they answered.

    \b
    Examples:
      fairlead status
      fairlead status --json
    """  # noqa: D205, D301 - click wraps the first paragraph; \b is click's mark for a paragraph that keeps its lines
    from rich.console import Console

    from fairlead.platform.serving import home
    from fairlead_pipelines.command import serving

    if not home().running():
        click.echo('{"running": false}' if as_json else "Nothing serves here. Start it: fairlead up")
        return
    with home().connect(start=False) as place:
        if as_json:
            click.echo(json.dumps({"running": True, **place.overview()}, indent=1))
            return
        services = place.services()
        parts = serving.view(services, {name: place.tallies(name) for name in services}, place.remark())
    console = Console()
    for part in parts:
        console.print(part, highlight=False, soft_wrap=isinstance(part, str))
