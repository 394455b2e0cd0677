"""`fairlead follow`: a run on Kubeflow Pipelines, to its end, and then what it made."""

from typing import Any

import click


@click.command()
@click.argument("run")
@click.option(
    "--kfp", default="", metavar="URI", help="The address of Kubeflow Pipelines; by default FAIRLEAD_KFP_URI."
)
def command(run: str, kfp: str) -> None:
    """Follow a run on Kubeflow Pipelines, and fetch its figures, verdicts and pages when it has ended.

    RUN is a run's id or name. Ctrl-C stops the following, not the run.

    \b
    Examples:
      fairlead follow 5c1f3a52-7a29-4c60-9d56-1b1f6d0f7c11
      fairlead follow nightly --kfp https://kubeflow.example.org/pipeline
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from rich.console import Console

    from fairlead.settings import settings
    from fairlead_pipelines.kfp_server import runs
    from fairlead_pipelines.kfp_server.connection import Server

    place = settings()
    if kfp:
        place = place.model_copy(update={"kfp_uri": kfp})
    server = Server(place)
    server.check()
    run_id = runs.find(server, run)
    follow_run(server, place, runs.specification_of(server, run_id), run_id, Console())


def follow_run(server: Any, place: Any, content: dict[str, Any], run_id: str, console: Any) -> None:
    """Follows a run with a live view, fetches what it made, and says how it ended.

    Args:
        server: The server.
        place: The settings.
        content: The package's specification.
        run_id: The run.
        console: The rich console to write to.

    Raises:
        SystemExit: It did not succeed (1), or the user had enough (130).
    """
    from fairlead_pipelines.command.live import LiveView
    from fairlead_pipelines.kfp_server import following, results, runs

    run = following.record(place, content, runs.get(server, run_id))
    try:
        with LiveView(console) as view:
            view.show(run)
            ended = following.follow(server, run, view.show)
    except KeyboardInterrupt:
        console.print(f"\n[yellow]the run goes on[/]; follow it again: fairlead follow {run_id}", highlight=False)
        raise SystemExit(130) from None
    problems = results.fetch(server, place, content, run)
    _tell(run, ended, problems, console)
    if run.state != "succeeded":
        raise SystemExit(1)


def _tell(run: Any, ended: Any, problems: list[str], console: Any) -> None:
    from fairlead_pipelines.command.summary import print_verdicts, report

    style = "green" if run.state == "succeeded" else "bold red"
    seconds = (ended.finished_at - ended.created_at).total_seconds() if ended.finished_at and ended.created_at else 0
    steps = [task for task in run.tasks.values() if task.state != "skipped"]
    reused = sum(task.state == "cached" for task in steps)
    again = f", {reused} reused" if reused else ""
    console.print(
        f"\n[{style}]{run.pipeline} {run.state}[/] after {seconds:.0f} s ({len(steps)} steps{again})", highlight=False
    )
    for task in steps:
        if task.state == "failed":
            console.print(f"\n[bold red]{task.name} failed[/]", highlight=False)
            console.print(task.error or "it was stopped", highlight=False, markup=False, soft_wrap=True)
    if ended.error and ended.error.message:
        console.print(ended.error.message, highlight=False, markup=False, soft_wrap=True)
    print_verdicts(run, console)
    if run.output("endpoint"):
        console.print(f"\nserves at {run.output('endpoint')}", highlight=False)
    for problem in problems:
        console.print(f"[yellow]not fetched[/]: {problem}", highlight=False, soft_wrap=True)
    console.print(f"\nreport: {report(run)}", highlight=False, soft_wrap=True)
