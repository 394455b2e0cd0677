"""`fairlead compile`: the packages that Kubeflow Pipelines takes."""

from pathlib import Path

import click


@click.command()
@click.argument("pipelines", nargs=-1, metavar="[NAME]...")
@click.option(
    "--registry", metavar="PREFIX", help="Where the images are pulled from; by default FAIRLEAD_IMAGE_REGISTRY."
)
@click.option(
    "--images",
    type=click.Path(dir_okay=False, path_type=Path),
    help="build/images.json of `make images`: steps then name what was pushed by its digest.",
)
@click.option(
    "--overlay",
    default="",
    metavar="NAME|FILE",
    help="Kubernetes configuration: staging, canary, production, or a file.",
)
@click.option("--output", "--out", type=click.Path(file_okay=False, path_type=Path), help="The folder to write to.")
@click.option("--list", "only_list", is_flag=True, help="List the pipelines that come with fairlead.")
def command(
    pipelines: tuple[str, ...],
    registry: str | None,
    images: Path | None,
    overlay: str,
    output: Path | None,
    only_list: bool,
) -> None:
    """Compile pipelines into YAML packages, ready to upload; all of fairlead's own if no NAME is given.

    The problem's values become the parameters' defaults, so that each can be edited in the Kubeflow UI. An overlay adds
    what pods need in a cluster: secrets, settings, scratch, resources, retries. What would break on a real Kubeflow
    Pipelines is refused here.

    \b
    Examples:
      fairlead compile
      fairlead compile flights --output build/
      fairlead compile flights --overlay production --registry registry.example.org/fairlead --output build/
      fairlead compile my/pipeline.py --output .
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from fairlead import image
    from fairlead_pipelines import catalog

    if only_list:
        click.echo("\n".join(catalog.names()))
        return
    from fairlead_pipelines.packages.compilation import compile_for, file_name, folder_for

    folder = folder_for(overlay, output)
    folder.mkdir(parents=True, exist_ok=True)
    pins = image.read_pins(images) if images else None
    for name in pipelines or catalog.names():
        compiled = compile_for(name, overlay, registry, pins)
        destination = folder / file_name(compiled.source)
        compiled.package.write(destination)
        click.echo(destination)
        if compiled.service_account:
            does = ", ".join(compiled.roles) or "nothing on the cluster"
            click.echo(f"  runs need service account {compiled.service_account} ({does})", err=True)
