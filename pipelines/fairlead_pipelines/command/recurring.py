"""`fairlead recurring`: what Kubeflow Pipelines starts again and again; made by `fairlead submit --recurring`."""

from typing import Any

import click


@click.group()
@click.option(
    "--kfp", default="", metavar="URI", help="The address of Kubeflow Pipelines; by default FAIRLEAD_KFP_URI."
)
@click.pass_context
def command(context: click.Context, kfp: str) -> None:
    """List, pause, resume or delete recurring runs; `fairlead submit NAME --recurring …` makes them.

    \b
    Examples:
      fairlead submit flights --recurring '0 3 * * *' --run-name nightly
      fairlead recurring list
      fairlead recurring pause nightly
      fairlead recurring delete nightly
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    context.obj = kfp


@command.command("list")
@click.pass_obj
def listing(kfp: str) -> None:
    """List the recurring runs."""
    from rich.console import Console
    from rich.table import Table

    from fairlead_pipelines.kfp_server.recurring import everything, schedule_of

    found = everything(_server(kfp))
    if not found:
        click.echo("There are no recurring runs.")
        return
    table = Table("name", "schedule", "state", "service account", box=None, pad_edge=False)
    for each in sorted(found, key=lambda each: str(each.display_name)):
        state = "paused" if each.status == "DISABLED" else "on"
        table.add_row(each.display_name, str(schedule_of(each)), state, each.service_account or "")
    Console().print(table)


@command.command()
@click.argument("name")
@click.pass_obj
def pause(kfp: str, name: str) -> None:
    """Pause the recurring run NAME; no run starts until it is resumed."""
    from fairlead_pipelines.kfp_server import recurring

    recurring.pause(_server(kfp), name)
    click.echo(f"{name} is paused; resume it: fairlead recurring resume {name}")


@command.command()
@click.argument("name")
@click.pass_obj
def resume(kfp: str, name: str) -> None:
    """Let the recurring run NAME go on; what it missed is not made up for."""
    from fairlead_pipelines.kfp_server import recurring

    recurring.resume(_server(kfp), name)
    click.echo(f"{name} is on")


@command.command()
@click.argument("name")
@click.pass_obj
def delete(kfp: str, name: str) -> None:
    """Delete the recurring run NAME; runs that it started stay."""
    from fairlead_pipelines.kfp_server import recurring

    click.echo(f"{name} is deleted" if recurring.delete(_server(kfp), name) else f"there is no {name}; nothing to do")


def _server(kfp: str) -> Any:
    from fairlead.settings import settings
    from fairlead_pipelines.kfp_server.connection import Server

    place = settings()
    server = Server(place.model_copy(update={"kfp_uri": kfp}) if kfp else place)
    server.check()
    return server
