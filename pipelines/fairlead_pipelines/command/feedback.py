"""`fairlead feedback`: outcomes from a file into a service's log."""

from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("name")
@click.option("--log", default="", help="Where the log is: a folder, or s3://BUCKET/PREFIX.")
def command(file: Path, name: str, log: str) -> None:
    """Put the outcomes in FILE into the log of the service NAME, where rollouts and monitoring find them.

    FILE is CSV, JSON lines or Parquet with the columns request_id (the header x-request-id of the prediction's answer),
    outcome (0 or 1, the class, or the number) and, if need be, row (within the request, from 0) and time (when it was
    reported). A file may be put in again: what is reported twice counts once.

    \b
    Examples:
      fairlead feedback landed.csv flights
      fairlead feedback landed.parquet flights --log s3://fairlead/predictions/flights
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from fairlead.deployment.story import log_of
    from fairlead.predictions.feedback import ingest

    found = ingest(file, log or log_of(name), name)
    click.echo(f"{found.rows:,} outcomes are in the log of {name}; {found.known:,} are of requests that it has.")
    if found.known < found.rows:
        click.echo(
            f"{found.rows - found.known:,} are of requests that it does not have (yet): they count once it does."
        )
