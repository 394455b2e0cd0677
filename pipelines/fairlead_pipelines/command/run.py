"""`fairlead run`: a pipeline on this machine, with progress; ends with where the model serves and the report."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("name")
@click.argument("overrides", nargs=-1)
@click.option("--fresh", is_flag=True, help="Start over instead of going on with an unfinished run.")
def command(name: str, overrides: tuple[str, ...], fresh: bool) -> None:
    """Run the pipeline NAME here.

    NAME is a pipeline of fairlead's (see `fairlead compile --list`) or the path of your own pipeline.py. OVERRIDES
    change its problem.yaml: section.key=value. A run that was killed goes on from its last finished step when the same
    command is given again.

    \b
    Examples:
      fairlead run flights
      fairlead run flights train.options.hidden=64 train.epochs=3
      fairlead run my/pipeline.py source=my.csv
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from rich.console import Console

    console = Console()
    run = execute(name, overrides, console, fresh=fresh)
    if run.state != "succeeded":
        raise SystemExit(1)


def execute(
    name: str,
    overrides: tuple[str, ...],
    console: Any,
    *,
    fresh: bool = False,
    watch: Callable[[Any], None] | None = None,
) -> Any:
    """Runs a pipeline with a live view and prints how it ended.

    Args:
        name: The pipeline, as `fairlead run` takes it.
        overrides: `section.key=value`.
        console: The rich console to write to.
        fresh: Start over even if an unfinished run could go on.
        watch: Is shown the run too, a few times a second.

    Returns:
        The ended run.

    Raises:
        FairleadError: The pipeline or its problem is wrong, or another run holds the state.
    """
    from fairlead.platform.runner import local, specification
    from fairlead_pipelines import catalog
    from fairlead_pipelines.command import serving
    from fairlead_pipelines.command.live import LiveView

    source = catalog.find(name)
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "package.yaml"
        catalog.compile_package(source, package, overrides)
        content = specification.read_package(package)
    arguments = catalog.arguments(source, catalog.load(source), overrides)
    watchers = [watch] if watch else []
    started, was_up = time.monotonic(), serving.is_running()
    try:
        with LiveView(console) as view:
            run = local.run_pipeline(content, arguments, watchers=[view.show, *watchers], fresh=fresh)
    except KeyboardInterrupt:
        if not was_up:
            stop_platform()
        console.print("[yellow]stopped[/]; the same command goes on from the last finished step", highlight=False)
        raise SystemExit(130) from None
    _tell(run, time.monotonic() - started, console)
    return run


def _tell(run: Any, seconds: float, console: Any) -> None:
    from fairlead_pipelines.command.summary import print_failure, print_summary

    if run.state == "succeeded":
        print_summary(run, seconds, console)
    else:
        print_failure(run, console)


def stop_platform() -> None:
    """Stops the laptop platform if it runs."""
    from fairlead_pipelines.command import serving

    if serving.is_running():
        with serving.connected() as supervisor:
            supervisor.shutdown()
