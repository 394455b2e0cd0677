"""`fairlead lineage`: where a model comes from and went, and what became of a dataset."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fairlead.registry.lineage import Dataset, Lineage
    from fairlead.registry.records import Registered

_DIGITS = 12


@click.command()
@click.argument("what")
def command(what: str) -> None:
    """Show the lineage of WHAT.

    WHAT is a registered model (NAME: its champion, or else its latest version; NAME:3; NAME@challenger), a model's
    digest, or a dataset (its digest or name): then the models that were made from it. First digits of a digest will do.

    \b
    Examples:
      fairlead lineage flights
      fairlead lineage flights@challenger
      fairlead lineage sha256:3f9c02
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from fairlead.errors import ConfigurationError
    from fairlead.registry import lineage

    is_digest = what.startswith("sha256:")
    known = None if is_digest else lineage.find_version(what)
    versions = [known] if known else lineage.versions_like(what)
    for version in versions:
        _tell(lineage.lineage_of(version))
    used = [] if known or ":" in what.removeprefix("sha256:") or "@" in what else lineage.models_from(what)
    if used:
        _tell_users(what, used)
    if not versions and not used:
        raise ConfigurationError(
            f"nothing registered is called or made from {what!r}; `fairlead models` lists the models"
        )


def _tell(found: "Lineage") -> None:
    version = found.version
    click.echo(f"{version.name} version {version.version}  {version.digest}")
    if version.aliases:
        _line("aliases", ", ".join(version.aliases))
    _line("registered", version.created_at)
    for dataset in found.datasets:
        _line(dataset.role, _dataset(dataset))
    _line("made from", found.made_from, always=False)
    _line("revision", found.revision)
    _line("run", found.run)
    _line("verdicts", ", ".join(f"{judge} {outcome}" for judge, outcome in version.verdicts.items()))
    for one in found.served:
        _line("served", f"{one.service} on {one.place}: {one.role}, {one.percent:g} % at {one.time}, {one.endpoint}")
    if not found.served:
        _line("served", "nowhere")


def _line(key: str, value: str, *, always: bool = True) -> None:
    if value or always:
        click.echo(f"  {key:12} {value or 'not recorded'}")


def _dataset(dataset: "Dataset") -> str:
    rows = f", {dataset.rows} rows" if dataset.rows else ""
    source = f", from {dataset.source}" if dataset.source else ""
    return f"{dataset.name or 'dataset'} {dataset.digest[: len('sha256:') + _DIGITS]}{rows}{source}"


def _tell_users(what: str, used: "list[tuple[Registered, Dataset]]") -> None:
    click.echo(f"made from {what}:")
    for version, dataset in used:
        aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
        click.echo(f"  {version.name} version {version.version}{aliases}: {dataset.role} {_dataset(dataset)}")
