"""`fairlead submit`: a pipeline on Kubeflow Pipelines, followed to its end."""

from typing import Any

import click


@click.command()
@click.argument("name")
@click.argument("overrides", nargs=-1)
@click.option(
    "--kfp", default="", metavar="URI", help="The address of Kubeflow Pipelines; by default FAIRLEAD_KFP_URI."
)
@click.option(
    "--overlay",
    default="",
    metavar="NAME|FILE",
    help="Kubernetes configuration: staging, canary, production, or a file.",
)
@click.option(
    "--registry", metavar="PREFIX", help="Where the images are pulled from; by default FAIRLEAD_IMAGE_REGISTRY."
)
@click.option(
    "--experiment", default="", help="The experiment; made if it is not there. By default the pipeline's name."
)
@click.option("--run-name", default="", help="What the run, or the recurring run, is called.")
@click.option("--version", default="", help="The version's name; by default made from the package's content.")
@click.option("--service-account", default="", help="The account of the run's pods; by default the overlay's.")
@click.option(
    "--pipeline-root", default="", metavar="URI", help="Where artifacts go; by default where KFP's administrator says."
)
@click.option("--recurring", default="", metavar="CRON|INTERVAL", help="Start a run again and again: '0 3 * * *', 6h.")
@click.option("--follow/--no-follow", default=True, help="Stay until the run has ended, and fetch what it made.")
def command(name: str, overrides: tuple[str, ...], **options: Any) -> None:
    """Run the pipeline NAME on Kubeflow Pipelines.

    The package is uploaded as a new version, unless the server has the same content already. OVERRIDES change the
    problem for this run alone: section.key=value. Ctrl-C stops the following, not the run.

    \b
    Examples:
      fairlead submit flights --overlay staging
      fairlead submit flights as_of=2013-08-01 train.epochs=3 --experiment august
      fairlead submit flights --overlay production --recurring '0 3 * * *' --run-name nightly
      fairlead submit flights --no-follow
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from rich.console import Console

    from fairlead.settings import settings
    from fairlead_pipelines.kfp_server.connection import Server

    place = settings()
    if options["kfp"]:
        place = place.model_copy(update={"kfp_uri": options["kfp"]})
    server = Server(place)
    server.check()
    console = Console()
    compiled, order = _prepare(server, name, overrides, options, console)
    if options["recurring"]:
        _repeat(server, order, options["recurring"], console)
        return
    from fairlead_pipelines.command.follow import follow_run
    from fairlead_pipelines.kfp_server import results, runs

    run_id = runs.start(server, order)
    console.print(f"run {order.name}: {results.link(server, run_id)}", highlight=False, soft_wrap=True)
    if not options["follow"]:
        console.print(f"follow it: fairlead follow {run_id}", highlight=False)
        return
    follow_run(server, place, compiled.package.documents()[0], run_id, console)


def _prepare(
    server: Any, name: str, overrides: tuple[str, ...], options: dict[str, Any], console: Any
) -> tuple[Any, Any]:
    """Compiles and uploads; returns the compiled package and what is to run."""
    from fairlead_pipelines import catalog
    from fairlead_pipelines.kfp_server import runs, uploads
    from fairlead_pipelines.packages.compilation import compile_for

    if options["recurring"]:
        from fairlead_pipelines.kfp_server.recurring import Schedule

        Schedule.parse(options["recurring"])  # before anything is sent
    compiled = compile_for(name, options["overlay"], options["registry"])
    arguments = catalog.arguments(compiled.source, catalog.load(compiled.source), overrides)
    version = uploads.upload(server, compiled.package, options["version"])
    said = "uploaded" if version.uploaded else "there already"
    console.print(f"{compiled.package.name} version {version.name} ({said})", highlight=False)
    if not compiled.registry:
        console.print(
            "[dim]its images have no registry before their names, so the nodes must hold them; --registry names one[/]",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    order = runs.Order(
        version=version,
        arguments=arguments,
        name=options["run_name"]
        or (compiled.package.name if options["recurring"] else runs.run_name(compiled.package.name)),
        experiment_id=runs.experiment(server, options["experiment"] or compiled.package.name),
        service_account=options["service_account"] or compiled.service_account,
        pipeline_root=options["pipeline_root"],
    )
    return compiled, order


def _repeat(server: Any, order: Any, schedule: str, console: Any) -> None:
    from fairlead_pipelines.kfp_server import recurring

    wanted = recurring.Schedule.parse(schedule)
    _, done = recurring.put(server, order, wanted)
    console.print(f"recurring run {order.name}: {done}, {wanted}", highlight=False)
    console.print(f"pause it: fairlead recurring pause {order.name}", highlight=False)
