"""`fairlead why`: a prediction, what it was made from, and what became of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from fairlead.deployment.story import Feature, Story

_BAR = 12
_COLORS = {"approved": "green", "rejected": "red", "inconclusive": "yellow"}


@click.command()
@click.argument("request_id")
@click.option("--service", default="", help="The service that was asked; by default all that have a log here.")
@click.option("--row", default=0, show_default=True, help="The row of the request.")
@click.option("--digest", default="", help="The version, where several answered; first digits will do.")
@click.option("--explain", is_flag=True, help="Find out what moved the prediction, with the registered package.")
@click.option("--log", default="", help="Where the log is: a folder, or s3://BUCKET/PREFIX.")
@click.option("--html", "page", type=click.Path(path_type=Path), help="Write a page to this file.")
def command(request_id: str, service: str, row: int, digest: str, explain: bool, log: str, page: Path | None) -> None:
    """Show why the request REQUEST_ID was answered as it was: the prediction, the features as the model saw them and
    when they were observed, the model with its verdicts and data, and the outcome where one was reported.

    The id is the answer's header x-request-id.

    \b
    Examples:
      fairlead why 4f2c8e1b0a9d4c7e
      fairlead why 4f2c8e1b0a9d4c7e --service flights --explain --html why.html
    """  # noqa: D205, D301 - click wraps the first paragraph; \b is its mark for one that keeps its lines
    from rich.console import Console

    from fairlead.deployment.story import tell
    from fairlead_pipelines.command.why_page import page_of

    story = tell(request_id, service, row=row, digest=digest, log=log, explain=explain)
    console = Console()
    for part in view(story):
        console.print(part, highlight=False, soft_wrap=isinstance(part, str))
    if page is not None:
        page_of(story).write(page)
        console.print(f"\npage: {page}", highlight=False, soft_wrap=True)


def view(story: "Story") -> list[Any]:
    """What rich prints of a story."""
    from rich.markup import escape

    from fairlead.values import moment

    row, model = story.row, story.model
    version = f"version {model.version.version}" if model else "a version that no registry knows"
    title = f"[bold]{escape(str(row['model'] or story.service))}[/] {version}  [dim]{row['digest'][:19]}[/]"
    decided = "" if row.get("decision") is None else f", decided [bold]{shown_decision(row['decision'])}[/]"
    how = f"at {moment(row['time'])}, in {1000 * (row['seconds'] or 0):.1f} ms over {row['protocol'] or '?'}"
    parts: list[Any] = [
        f"{title} answered [bold]{shown_answer(story.answer)}[/]{decided}",
        f"{how}; request [dim]{escape(row['request_id'])}[/]{_which_row(story)}",
    ]
    if row["as_of"] != row["time"]:
        parts.append(f"as of {moment(row['as_of'])}: features that became known later were not to be used")
    if row.get("trace_id"):
        parts.append(f"trace {row['trace_id']}")
    parts += [f"[dim]{digest[:19]} answered {shown_answer(answer)}[/]" for digest, answer in story.others.items()]
    return [*parts, "", _features(story), *_explanation(story), *_model(story), *_outcomes(story)]


def _which_row(story: "Story") -> str:
    return f", row {story.row['row']} of {story.rows}" if story.rows > 1 else ""


def shown_answer(answer: Any) -> str:
    """Writes an answer: a number, or of several classes the numbers."""
    from fairlead.values import number

    if answer is None:
        return "nothing"
    return ", ".join(map(number, answer)) if isinstance(answer, list) else number(float(answer))


def shown_decision(decision: Any) -> str:
    """Writes what was decided."""
    return {True: "yes", False: "no", "true": "yes", "false": "no"}.get(decision, str(decision))


def _features(story: "Story") -> Any:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from fairlead.deployment.story import span
    from fairlead.values import moment, shown

    asked = story.explanation is not None
    table = Table("feature", "value", "observed", "", *(["moved it by", ""] if asked else []), box=box.SIMPLE_HEAD)
    table.columns[1].justify = "right"
    most = max((abs(one.moved or 0.0) for one in story.features), default=0.0)
    for one in story.features:
        value = "[dim]missing[/]" if one.value is None else escape(shown(one.value))
        fresh = f"{span(one.age)} {_colored(one.state)}".strip()
        observed = moment(one.observed) if one.observed else ""
        table.add_row(escape(one.name), value, observed, fresh, *(_moved(one, most) if asked else []))
    return table


def _colored(state: str) -> str:
    return f"[yellow]{state}[/]" if state else ""


def _moved(one: "Feature", most: float) -> list[str]:
    moved = one.moved or 0.0
    color = "red" if moved > 0 else "blue"
    return [f"{moved:+.4f}", f"[{color}]{'█' * round(_BAR * abs(moved) / most)}[/]" if most else ""]


def _explanation(story: "Story") -> list[str]:
    found = story.explanation
    if found is None:
        return []
    error = max(found["standard_errors"].values())
    spread = f"from {found['base']:.4f}, the mean of {found['background_rows']} reference rows, to"
    cost = f"{found['evaluations']:,} evaluations, {found['milliseconds']:.0f} ms"
    return [f"[dim]{spread} {found['prediction']:.4f}; standard errors up to {error:.4f}; {cost}[/]", ""]


def _model(story: "Story") -> list[str]:
    from rich.markup import escape

    model = story.model
    if model is None:
        return [
            f"[yellow]No model with the digest {story.row['digest']} is registered: nothing is known of its data.[/]"
        ]
    version = model.version
    aliases = f" ({', '.join(version.aliases)})" if version.aliases else ""
    lines = [f"[bold]model[/]  {escape(version.name)} version {version.version}{aliases}  {version.digest}"]
    lines += [f"  {escape(data_line(dataset, window_of(story, dataset)))}" for dataset in model.datasets]
    facts = {"revision": model.revision, "run": model.run, "made from": model.made_from}
    lines += [f"  {name} {escape(text)}" for name, text in facts.items() if text]
    for one in story.judgements:
        outcome, color = one.verdict.outcome, _COLORS.get(one.verdict.outcome, "white")
        lines.append(f"  [{color}]{outcome}[/] by {one.verdict.judge}, {escape(one.signature)}")
    return lines


def window_of(story: "Story", dataset: Any) -> str:
    """Writes from when to when a dataset's rows are; empty where that is not recorded."""
    from fairlead.values import moment

    recorded = story.model.version.lineage.get(f"{dataset.role}.time_range", "") if story.model else ""
    return " to ".join(moment(part) for part in recorded.split(", ")) if recorded else ""


def data_line(dataset: Any, window: str) -> str:
    """Writes what a dataset was."""
    rows = f", {dataset.rows} rows" if dataset.rows else ""
    spanned = f", {window}" if window else ""
    source = f", from {dataset.source}" if dataset.source else ""
    return f"{dataset.role}: {dataset.name or 'dataset'} {dataset.digest[:19]}{rows}{spanned}{source}"


def _outcomes(story: "Story") -> list[str]:
    from fairlead.values import moment, shown

    if not story.outcomes:
        return ["[bold]outcome[/]  none was reported yet"]
    lines = [f"[bold]outcome[/]  {shown(one['outcome'])}, reported {moment(one['time'])}" for one in story.outcomes]
    if len({one["outcome"] for one in story.outcomes}) > 1:
        lines.append("[yellow]The reports contradict one another; the last one counts.[/]")
    return lines
