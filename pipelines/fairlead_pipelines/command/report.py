"""`fairlead report`: one HTML page that tells a run."""

from pathlib import Path

import click


@click.command()
@click.argument("run", required=False, default="")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="The HTML file; by default in the run.")
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
def command(run: str, output: Path | None, show: bool) -> None:
    """Write the HTML report of RUN: graph, verdicts, figures, every step's pages, lineage.

    RUN is a pipeline's name (its latest run), a run's id, or a run's folder; without it, the latest run of all. The
    page holds all that it needs, so that it can be mailed as it is.

    \b
    Examples:
      fairlead report
      fairlead report flights --open
      fairlead report flights/20261121-101530-1a2b --output flights.html
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from fairlead.settings import settings
    from fairlead_pipelines.report import find_run, write_report

    folder = find_run(settings().home, run)
    page = write_report(folder, output or folder / "report.html")
    click.echo(page)
    if show:
        click.launch(page.resolve().as_uri())
