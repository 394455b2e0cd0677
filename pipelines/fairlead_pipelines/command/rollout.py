"""`fairlead rollout`: the evidence of a rollout, while it goes on and after."""

import json
import time
from typing import Any

import click


@click.group()
def command() -> None:
    """Watch a rollout, or read what became of earlier ones."""


@command.command()
@click.argument("name")
@click.option("--watch", is_flag=True, help="Stay, and show the evidence as it comes in, until the rollout ends.")
@click.option("--json", "as_json", is_flag=True, help="Print the latest rollout's whole state as JSON.")
def status(name: str, watch: bool, as_json: bool) -> None:
    """Show the latest rollout of the service NAME: its step, the split, and what each check has found.

    \b
    Examples:
      fairlead rollout status flights
      fairlead rollout status flights --watch
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from rich.console import Console

    from fairlead_pipelines.command import evidence

    state = evidence.latest(name)
    if as_json:
        click.echo(json.dumps(state.model_dump(mode="json"), indent=1))
    elif watch and state.phase != "done":
        _watch(name)
    else:
        Console().print(evidence.view(state), highlight=False)


@command.command()
@click.argument("name")
def history(name: str) -> None:
    """List every rollout of the service NAME, and every change by hand: when, who, what and why."""
    from rich.console import Console

    from fairlead_pipelines.command import evidence

    Console().print(evidence.history(name), highlight=False)


def _watch(name: str) -> None:
    """Show the evidence until the rollout ends; leaving does not end it."""
    from rich.console import Console
    from rich.live import Live

    from fairlead_pipelines.command import evidence

    state: Any = evidence.latest(name)
    with Live(evidence.view(state), console=Console(), auto_refresh=False) as live:
        while state.phase != "done":
            time.sleep(0.5)
            state = evidence.latest(name)
            live.update(evidence.view(state), refresh=True)
