"""`fairlead promote`: all traffic to the canary, by hand."""

import click


@click.command()
@click.argument("name")
@click.option("--reason", default="", help="Why; kept in the record.")
def command(name: str, reason: str) -> None:
    """Send all traffic of the service NAME to its canary now, without waiting for more evidence.

    The old version's requests are answered, then its server stops; the registry's alias champion follows. Who did it,
    when and why is recorded under .fairlead/platform/rollouts/.

    \b
    Example:
      fairlead promote flights --reason "seen enough"
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from fairlead.errors import RolloutError
    from fairlead_pipelines.command import serving

    with serving.connected() as supervisor:
        before = supervisor.service(name)
        if before.canary is None:
            raise RolloutError(f"{name} has no canary; deploy one first, for instance: fairlead run {name}")
        canary = before.versions[before.canary]
        if canary.condition != "ready":
            raise RolloutError(f"{name}: the canary is {canary.condition}, not ready; its log is {canary.log}")
        supervisor.promote(name, canary.digest)
    serving.note(name, "promote", before.stable, canary.digest, reason)
    serving.name_champion(name, canary.version)
    click.echo(f"{name}: version {canary.version} has all traffic now. Back again: fairlead rollback {name}")
