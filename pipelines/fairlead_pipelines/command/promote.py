"""`fairlead promote`: all traffic to the canary, by hand."""

import click


@click.command()
@click.argument("name")
@click.option("--reason", default="", help="Why; kept in the record.")
def command(name: str, reason: str) -> None:
    """Send all traffic of the service NAME to its canary now, without waiting for more evidence.

    The old version's requests are answered, then its server stops; the registry's alias champion follows. Who did it,
    when and why is recorded: fairlead rollout history NAME.

    \b
    Example:
      fairlead promote flights --reason "seen enough"
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from fairlead.deployment import by_hand

    click.echo(f"{name}: {by_hand.promote(name, reason).what}. Back again: fairlead rollback {name}")
