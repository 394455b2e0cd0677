"""`fairlead replay`: held-out rows as client traffic."""

import asyncio
import os
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("name", default="flights")
@click.option("--from", "start", help="The first simulated moment; by default the problem's as_of.")
@click.option("--days", default=14.0, show_default=True, help="How many simulated days there are to send.")
@click.option("--rate", default=100.0, show_default=True, help="Requests per second.")
@click.option("--seconds", type=float, help="Stop after so long; by default with the last row or Ctrl-C.")
@click.option("--report", type=click.Path(path_type=Path), help="Where to keep the tally as JSON.")
@click.option("--wait", is_flag=True, hidden=True, help="Prepare, then wait for a line on standard input.")
def command(
    name: str, start: str | None, days: float, rate: float, seconds: float | None, report: Path | None, wait: bool
) -> None:
    """Send rows that no model has seen to the service of pipeline NAME, in time order.

    Features reach the online store as they become known, and outcomes come back as feedback hours later in simulated
    time. Every answer is counted.

    \b
    Example:
      fairlead replay flights --rate 100 --seconds 60
    """  # noqa: D301 - \b is click's mark for a paragraph that keeps its lines
    from fairlead.problem import load_problem
    from fairlead.settings import settings
    from fairlead_pipelines import catalog

    os.environ["TZ"] = "UTC"  # Feast keeps times in SQLite as the writer's local time; readers and writers must agree
    time.tzset()
    source = catalog.find(name)
    if source.problem is None:
        raise click.UsageError(f"{name} has no problem.yaml, so its rows and outcomes are not known")
    values = load_problem(source.problem)
    begin = datetime.fromisoformat(start or values["as_of"]).replace(tzinfo=UTC)
    target = report or settings().home / "replay" / f"{values['name']}.json"
    client, feeder, moments = _prepared(values, begin, days, target)
    if wait:
        click.echo("ready")
        sys.stdin.readline()
    tally = asyncio.run(_replay(client, moments, rate, seconds))
    feeder.close()
    click.echo(f"{tally.sent} requests, {sum(tally.failed.values())} failed, {tally.feedback} outcomes; {target}")


def _prepared(values: dict[str, Any], begin: datetime, days: float, target: Path) -> tuple[Any, Any, Any]:
    from fairlead.settings import settings
    from fairlead_pipelines.replay import client, feeder, rows

    current = settings()
    target.parent.mkdir(parents=True, exist_ok=True)
    source = rows.prepare(values, current.home / "replay" / values["name"], begin + timedelta(days=days))
    store = current.features_home(values["name"])
    feed = feeder.Feeder(store, source, begin)
    sender = client.Client(
        f"http://{current.host}:{current.serving_port}", values["serving"]["name"], feed.advance, target
    )
    return sender, feed, rows.moments(source, values, begin)


async def _replay(client: Any, moments: Any, rate: float, seconds: float | None) -> Any:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if seconds is not None:
        loop.call_later(seconds, stop.set)
    return await client.run(moments, rate, stop)
