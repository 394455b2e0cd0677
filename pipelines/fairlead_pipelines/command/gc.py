"""`fairlead gc`: old versions and their packages go; what is served or pointed at stays."""

import click

_DIGITS = 12
_UNITS, _STEP = ("B", "kB", "MB", "GB"), 1000


@click.command()
@click.argument("name", required=False, default="")
@click.option("--keep", default=5, show_default=True, type=click.IntRange(min=0), help="Latest versions that stay.")
@click.option("--delete", is_flag=True, help="Remove it; without this, it is only told.")
@click.option(
    "--forget", default="", metavar="PLACE", help="First drop the deployment records of a platform that is no more."
)
def command(name: str, keep: int, delete: bool, forget: str) -> None:
    """Tell which versions of the model NAME (or of all models) nobody needs, and remove them with --delete.

    A version stays if it is one of the latest, an alias points at it (champion, challenger, archived, yours), it is
    recorded as deployed anywhere, or the platform here runs it or goes back to it on a rollback.

    \b
    Examples:
      fairlead gc
      fairlead gc flights --keep 3 --delete
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from fairlead.registry import deployments, store
    from fairlead.registry.garbage import collect_garbage

    if forget:
        models = [name] if name else store.names()
        click.echo(f"{sum(deployments.forget(model, forget) for model in models)} deployment records were dropped.")
    found = collect_garbage(keep, dry_run=not delete, name=name)
    for garbage in found:
        what = f"version {garbage.version}" if garbage.version else "left by a registration that was killed:"
        digits = garbage.digest.removeprefix("sha256:")[:_DIGITS]
        click.echo(f"{garbage.name} {what} {digits}  {_size(garbage.size)}")
    total = _size(sum(garbage.size for garbage in found))
    if not found:
        click.echo("Nothing to remove.")
    elif delete:
        click.echo(f"{len(found)} removed, {total} freed.")
    else:
        click.echo(f"{len(found)} would be removed, {total} freed. Remove them: add --delete")


def _size(size: float) -> str:
    unit = 0
    while size >= _STEP and unit < len(_UNITS) - 1:
        size, unit = size / _STEP, unit + 1
    return f"{size:.3g} {_UNITS[unit]}"
