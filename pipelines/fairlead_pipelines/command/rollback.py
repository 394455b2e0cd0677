"""`fairlead rollback`: all traffic back to the stable version, or to the one before it, by hand."""

import click


@click.command()
@click.argument("name")
@click.option("--reason", default="", help="Why; kept in the record.")
def command(name: str, reason: str) -> None:
    """Send all traffic of the service NAME back, now: from a canary to the stable version, or, if there is no canary,
    from the stable version to the one before it.

    No request fails meanwhile: a version gets traffic only when it is ready. Who did it, when and why is recorded:
    fairlead rollout history NAME.

    \b
    Example:
      fairlead rollback flights --reason "customers complain"
    """  # noqa: D205, D301 - click wraps the first paragraph; \b is its mark for one that keeps its lines
    from fairlead.deployment import by_hand

    click.echo(f"{name}: {by_hand.roll_back(name, reason).what}.")
