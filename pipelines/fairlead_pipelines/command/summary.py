"""What `fairlead run` says at the end: verdicts, where the model serves, a curl line, the report."""

import json
import shlex
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fairlead.deployment.proof import plain
from fairlead.errors import FairleadError
from fairlead.platform.runner.local import Run
from fairlead.verdicts import Verdict
from fairlead_pipelines.report.verdicts import by_judge, headline

_STYLES = {"approved": "green", "rejected": "red", "inconclusive": "yellow"}


def print_summary(run: Run, seconds: float, console: Console) -> None:
    """Prints how a successful run ended.

    Args:
        run: The run.
        seconds: How long the command took, wall clock.
        console: Where to print.
    """
    steps = [t for t in run.tasks.values() if t.state != "skipped"]
    reused = sum(t.state == "cached" for t in steps)
    again = f", {reused} reused" if reused else ""
    console.print(
        f"\n[green]{run.pipeline} succeeded[/] in {seconds:.0f} s ({len(steps)} steps{again})", highlight=False
    )
    print_verdicts(run, console)
    line = curl_line(run)
    if line:
        console.print(f"\nserves at {run.output('endpoint')}; try it:", highlight=False)
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    console.print(f"\nreport: {report(run)}", highlight=False, soft_wrap=True)


def print_failure(run: Run, console: Console) -> None:
    """Prints the failed step's own error, and where its log is."""
    for task in run.tasks.values():
        if task.state == "failed":
            console.print(f"\n[bold red]{task.name} failed[/]", highlight=False)
            console.print(task.error or "it was stopped", highlight=False, markup=False, soft_wrap=True)
    console.print(f"\nlog: {run.directory / 'log.txt'}", highlight=False, soft_wrap=True)
    console.print(f"report: {report(run)}", highlight=False, soft_wrap=True)
    console.print("the same command goes on from the last finished step", highlight=False)


def report(run: Run) -> Path:
    """Writes the run's HTML report.

    Args:
        run: The ended run.

    Returns:
        The page's path.
    """
    from fairlead_pipelines.report import write_report

    return write_report(run.directory, run.directory / "report.html")


def verdicts(run: Run) -> list[Verdict]:
    """The verdicts that the run's judges wrote, in the pipeline's order."""
    found = []
    for task in run.tasks.values():
        artifact = task.outputs.get("verdict")
        if isinstance(artifact, dict):
            try:
                found.append(Verdict.read(artifact["uri"]))
            except FairleadError:
                continue  # a judge that wrote none, because there was nothing to judge
    return found


def curl_line(run: Run) -> str:
    """A curl command that asks the served model about a real row of the test set, or an empty text."""
    endpoint = run.output("endpoint")
    row = _example(run)
    if not endpoint or row is None:
        return ""
    body = json.dumps({"instances": [row]})
    return f"curl -s {shlex.quote(endpoint)} -H 'content-type: application/json' -d {shlex.quote(body)}"


def _example(run: Run) -> dict[str, Any] | None:
    """The last row of the test set as a client would send it; the feature store knows the time just after it."""
    package = run.output("calibrated") or run.output("package")
    test = run.output("test")
    if not package or not test:
        return None
    import pyarrow as pa

    from fairlead.datasets import scan
    from fairlead_serving.package import MANIFEST, Manifest

    manifest = Manifest.from_json(json.loads((Path(package["uri"]) / MANIFEST).read_text()))
    names = list(manifest.request["fields"]) if manifest.request else [i.name for i in manifest.inputs]
    rows = scan(test["uri"])
    last: pa.Table = rows.to_table(columns=names).slice(rows.count_rows() - 1)
    return {name: plain(value) for name, value in last.to_pylist()[0].items()}


def print_verdicts(run: Run, console: Console) -> None:
    """Prints a line a verdict (a narrow terminal folds it); below it, in full, why a model was not approved.

    Args:
        run: The run.
        console: Where to print.
    """
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for verdict in by_judge(verdicts(run)):
        style = _STYLES[verdict.outcome]
        table.add_row(verdict.judge, Text(verdict.outcome, style), Text(headline(verdict)))
        if verdict.outcome != "approved":
            for reason in verdict.reasons:
                table.add_row("", "", Text(reason, style))
    if table.row_count:
        console.print(table, highlight=False)
