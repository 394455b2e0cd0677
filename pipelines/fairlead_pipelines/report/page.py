"""The report: one page that tells a run from its outcome down to its lineage."""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from html import escape
from pathlib import Path

from fairlead import __version__, atomic, pages
from fairlead_pipelines.report import findings
from fairlead_pipelines.report.graph import draw, duration, in_order
from fairlead_pipelines.report.runs import Run, read_run
from fairlead_pipelines.report.style import STYLE
from fairlead_pipelines.report.tasks import pill, task_section


def write_report(run_directory: Path, destination: Path) -> Path:
    """Write the report of a run, whole or not at all.

    Args:
        run_directory: The run's folder, which holds `run.json`.
        destination: The HTML file; an existing one is replaced.

    Returns:
        `destination`.

    Raises:
        StateError: The run's record is missing or cannot be read.
    """
    run = read_run(run_directory)
    atomic.write_text(destination, render(replace(run, tasks=in_order(run.tasks))))
    return destination


def render(run: Run) -> str:
    """Return the report as an HTML document.

    Args:
        run: The run.
    """
    sections = _sections(run)
    body = "".join(
        f'<section id="{name}"><h2>{escape(title)}</h2>{content}</section>' for name, title, content in sections
    )
    main = f"{_contents(run, sections)}<div>{body}{_footer()}</div>"
    return pages.document(f"{run.pipeline}: {run.state}", _header(run), main, STYLE)


def _sections(run: Run) -> list[tuple[str, str, str]]:
    """Return the sections that have something to show: id, title, markup."""
    graph = f"<figure>{draw(run.tasks)}<figcaption>{_legend(run)}</figcaption></figure>" if run.tasks else ""
    figures = findings.key_figures(run)
    everything = [
        ("figures", "Key figures", pages.facts(figures) if figures else ""),
        ("verdicts", "Verdicts", findings.verdicts(run)),
        ("graph", "The run", graph),
        ("steps", "The steps", "".join(task_section(task) for task in run.tasks if task.state != "skipped")),
        ("metrics", "All metrics", findings.metrics(run)),
        ("lineage", "Lineage", findings.lineage(run)),
    ]
    return [section for section in everything if section[2]]


def _legend(run: Run) -> str:
    """Return what the graph's marks mean."""
    states = sorted({task.state for task in run.tasks})
    dots = " &nbsp; ".join(f'<span class="dot {escape(state)}"></span>{escape(state)}' for state in states)
    return f"{dots} &nbsp; A bar is a step's time beside the longest; arrows that follow from others are left out."


def _header(run: Run) -> str:
    """Return the page's head: what ran, how it ended, where the model serves."""
    lines = [f"<h1>{escape(run.pipeline)} {pill(run.state)}</h1>", f'<p class="sub">{escape(_when(run))}</p>']
    failed = [task for task in run.tasks if task.state == "failed"]
    for task in failed:
        first = task.error.strip().splitlines()[0] if task.error.strip() else "it left no message"
        link = f'<a href="#task-{escape(task.name)}">{escape(task.name)}</a>'
        lines.append(f'<p class="note bad">{link} failed: {pages.escape(first)}</p>')
    if run.endpoint:
        lines.append(f'<p class="note good">The model serves at <code>{escape(run.endpoint)}</code></p>')
    elif not failed and run.state == "succeeded":
        lines.append('<p class="note">This run put no model into service.</p>')
    return "".join(lines)


def _when(run: Run) -> str:
    """Return the run's id, start and duration on one line."""
    parts = [f"run {run.run_id}", _moment(run.started)]
    with suppress(ValueError, TypeError):  # still running, or times without zone beside times with one
        span = datetime.fromisoformat(run.finished) - datetime.fromisoformat(run.started)
        parts.append(f"took {duration(span.total_seconds())}")
    return " · ".join(part for part in [*parts, findings.steps(run)] if part)


def _moment(text: str) -> str:
    """Return an ISO 8601 time as people write it; anything else as it is."""
    try:
        return datetime.fromisoformat(text).strftime("started %Y-%m-%d %H:%M:%S %Z").strip()
    except ValueError:
        return text


def _contents(run: Run, sections: list[tuple[str, str, str]]) -> str:
    """Return the table of contents."""
    lines = []
    for name, title, _ in sections:
        lines.append(f'<li><a class="part" href="#{name}">{escape(title)}</a></li>')
        if name == "steps":
            lines += [
                f'<li><a href="#task-{escape(task.name)}"><span class="dot {escape(task.state)}"></span>'
                f"{escape(task.name)}</a></li>"
                for task in run.tasks
                if task.state != "skipped"
            ]
    return f'<nav aria-label="contents"><ol>{"".join(lines)}</ol></nav>'


def _footer() -> str:
    return f'<p class="sub">Written by fairlead {escape(__version__)}. Links stay within this file.</p>'
