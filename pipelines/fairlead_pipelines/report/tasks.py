"""What the report shows of each task: its pages, its figures, its error."""

import re
from collections.abc import Iterator
from html import escape

from fairlead import pages
from fairlead_pipelines.report.graph import duration
from fairlead_pipelines.report.runs import Artifact, Task

_STORY = {"train-model", "evaluate-model", "compare-models", "roll-out-model"}  # the components whose pages stand open
_OF_DATASETS = ("rows", "columns", "from", "until", "digest")
_LARGEST_PAGE = 8 << 20  # bytes; a larger one would make the report slow to open
_MAIN = re.compile(r"<main\b[^>]*>(.*)</main>", re.DOTALL | re.IGNORECASE)
_ACTIVE = re.compile(
    r"<\s*(script|iframe|object|embed|link|base|form|meta|style)\b|<[^>]*(\son\w+\s*=|javascript:)", re.IGNORECASE
)


def task_section(task: Task) -> str:
    """Return a task's part of the report; it is folded unless it failed or tells how good the model is.

    Args:
        task: The task.
    """
    content = "".join(_content(task))
    component = task.component.replace("_", "-")
    opened = " open" if component in _STORY or task.error else ""
    remarks = [_gist(task), f"<code>{escape(component)}</code>" if component != task.name else ""]
    remarks.append(duration(task.seconds) if task.seconds else "")
    outcome = task.parameters.get("outcome", "") if any(a.name == "verdict" for a in task.artifacts) else ""
    spans = "".join(f'<span class="sub">{remark}</span>' for remark in remarks if remark)
    pills = "".join(pill(str(word)) for word in (outcome, task.state) if word)
    return (
        f'<details class="task"{opened}><summary><h3>{escape(task.name)}</h3>{spans}{pills}</summary>'
        f'<div id="task-{escape(task.name)}">'  # a link to what is folded away unfolds it
        f"{content or '<p class=sub>It left nothing to show.</p>'}</div></details>"
    )


def _gist(task: Task) -> str:
    """Return how many rows a task's datasets have, for its head."""
    rows = {a.name: a.metadata.get("rows") for a in task.artifacts if a.kind == "Dataset"}
    known = sorted(((name, int(count)) for name, count in rows.items() if count), key=lambda item: -item[1])
    if len(known) == 1:
        return f"{pages.number(known[0][1])} rows"
    return f"rows: {', '.join(f'{escape(name)} {pages.number(count)}' for name, count in known)}" if known else ""


def pill(state: str) -> str:
    """Return a state or outcome as a coloured word."""
    return f'<span class="pill {escape(state)}">{escape(state.replace("_", " "))}</span>'


def _content(task: Task) -> Iterator[str]:
    """Yield the parts of a task's section."""
    if task.error:
        yield f'<pre class="error">{pages.escape(task.error)}</pre>'
    for artifact in task.of_kind("HTML"):
        yield embedded(artifact, _prefix(task, artifact))
    for artifact in task.of_kind("Markdown"):
        yield f"<pre>{pages.escape(_text(artifact))}</pre>"
    sets = [artifact for artifact in task.of_kind("Dataset") if "rows" in artifact.metadata]
    if sets:
        rows = [[artifact.name, *(artifact.metadata.get(name) for name in _OF_DATASETS)] for artifact in sets]
        yield pages.table(["output", *_OF_DATASETS], rows)
    judged = any(artifact.name == "verdict" for artifact in task.artifacts)  # its outcome is said already
    shown = {
        name: value
        for name, value in sorted(task.parameters.items())
        if not isinstance(value, dict | list) and value != "" and not (judged and name == "outcome")
    }
    if shown:
        yield pages.facts(shown)
    for artifact in task.of_kind("Metrics"):
        if artifact.metadata:
            rows = [[name, value] for name, value in sorted(artifact.metadata.items()) if name != "display_name"]
            yield f"<details><summary>{len(rows)} metrics</summary>{pages.table(['metric', 'value'], rows)}</details>"


def _prefix(task: Task, artifact: Artifact) -> str:
    """Return what makes the ids of an artifact's page unique in the report."""
    return "t-" + re.sub(r"[^A-Za-z0-9]+", "-", f"{task.name}-{artifact.name}")


def embedded(artifact: Artifact, prefix: str) -> str:
    """Return an HTML artifact's content so that it can stand in the report.

    The `<main>` of our own pages is taken over; a page of another make, or one with active content, goes into a frame
    that may neither run scripts nor reach the report.

    Args:
        artifact: An artifact of kind HTML.
        prefix: Makes its ids unique.
    """
    markup = _text(artifact)
    found = _MAIN.search(markup)
    if found and not _ACTIVE.search(found[1]):
        return _lower_headings(pages.prefix_ids(found[1], prefix))
    if not markup.lstrip().startswith("<"):
        return f'<p class="note warn">{pages.escape(markup)}</p>'
    return f'<iframe sandbox title="{escape(artifact.name)}" srcdoc="{escape(markup)}"></iframe>'


def _lower_headings(markup: str) -> str:
    """Return markup with headings two levels lower: they stand below a task's own."""
    return re.sub(r"<(/?)h([1-4])\b", lambda match: f"<{match[1]}h{min(int(match[2]) + 2, 6)}", markup)


def _text(artifact: Artifact) -> str:
    """Return a text artifact's content, or the sentence that says why there is none."""
    try:
        if artifact.path.stat().st_size > _LARGEST_PAGE:
            return f"{artifact.path} is too large for this report; open it by itself."
        return artifact.path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"{artifact.path} cannot be read any more ({error.strerror})."
