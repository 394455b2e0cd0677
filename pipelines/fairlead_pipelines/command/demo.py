"""`fairlead demo`: the whole story."""

import click


@click.command()
def command() -> None:
    """Tell the whole story on 336,776 real flights.

    A first model is trained on spring and served. A better one goes out as a canary while unseen summer flights are
    replayed as client traffic, and is promoted. A third one, as accurate but slow, is rolled back. Clients are to see
    no failure. The service stays up until `fairlead down` (with CI=true it is stopped at the end).
    """
    from rich.console import Console

    from fairlead_pipelines.demo.story import tell

    if not tell(Console()):
        raise SystemExit(1)
