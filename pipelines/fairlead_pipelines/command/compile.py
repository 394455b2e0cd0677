"""`fairlead compile`: the packages that Kubeflow Pipelines takes."""

from pathlib import Path

import click


@click.command()
@click.argument("pipelines", nargs=-1, metavar="[NAME]...")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="The folder to write to.")
@click.option("--list", "only_list", is_flag=True, help="List the pipelines that come with fairlead.")
def command(pipelines: tuple[str, ...], output: Path | None, only_list: bool) -> None:
    """Compile pipelines into YAML packages, ready to upload; all of fairlead's own if no NAME is given.

    The problem's values become the parameters' defaults, so that each can be edited in the Kubeflow UI.

    \b
    Examples:
      fairlead compile
      fairlead compile flights --output build/
      fairlead compile my/pipeline.py --output .
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from fairlead_pipelines import catalog

    if only_list:
        click.echo("\n".join(catalog.names()))
        return
    folder = output or catalog.COMPILED
    folder.mkdir(parents=True, exist_ok=True)
    for name in pipelines or catalog.names():
        source = catalog.find(name)
        destination = folder / f"{name if name in catalog.names() else source.module.stem}.yaml"
        catalog.compile_package(source, destination)
        click.echo(destination)
