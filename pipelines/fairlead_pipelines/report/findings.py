"""What the report shows of the whole run: verdicts, key figures, metrics, lineage."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fairlead import pages
from fairlead.errors import VerdictError
from fairlead.verdicts import Verdict
from fairlead_pipelines.report.runs import Artifact, Run, Task
from fairlead_pipelines.report.tasks import pill

# Shown first, in this order, where a task has measured them; the later task wins.
HEADLINES = {
    "roc_auc": "ROC AUC",
    "log_loss": "log loss",
    "accuracy": "accuracy",
    "expected_calibration_error": "calibration error",
    "difference": "difference to champion",
    "requests": "canary requests",
    "failed_requests": "failed requests",
}
_SHORT_DIGEST = 19  # characters: "sha256:" and twelve more


def verdicts(run: Run) -> str:
    """Return the verdicts as cards, or an empty text if no task gave one."""
    cards = [
        _verdict(task, artifact) for task in run.tasks for artifact in task.artifacts if artifact.name == "verdict"
    ]
    return f'<div class="verdicts">{"".join(cards)}</div>' if cards else ""


def _verdict(task: Task, artifact: Artifact) -> str:
    """Return one verdict's card."""
    try:
        verdict = Verdict.read(artifact.path)
    except VerdictError as error:
        return f'<div class="verdict"><h3>{escape(task.name)}</h3><p>{pages.escape(error)}</p></div>'
    reasons = "".join(f"<li>{pages.escape(reason)}</li>" for reason in verdict.reasons)
    rows = [[name, value, verdict.thresholds.get(name)] for name, value in verdict.figures.items()]
    rows += [[name, None, value] for name, value in verdict.thresholds.items() if name not in verdict.figures]
    table = pages.table(["figure", "measured", "demanded"], rows) if rows else ""
    link = f'<a href="#task-{escape(task.name)}">{escape(verdict.judge)}</a>'
    digest = f'<code title="{escape(verdict.model_digest)}">{escape(verdict.model_digest[:_SHORT_DIGEST])}</code>'
    return (
        f'<div class="verdict {escape(verdict.outcome)}"><h3>{link}{pill(verdict.outcome)}</h3>'
        f'<p class="sub">{digest} · {pages.escape(verdict.created_at)}</p>'
        f"{f'<ul>{reasons}</ul>' if reasons else ''}{table}</div>"
    )


def key_figures(run: Run) -> dict[str, Any]:
    """Return the few figures that everybody asks for, by their titles.

    Args:
        run: The run; what it has not measured is left out.
    """
    measured: dict[str, Any] = {}
    for _, metadata in _metrics(run):
        measured |= metadata
    return {title: measured[name] for name, title in HEADLINES.items() if name in measured}


def steps(run: Run) -> str:
    """Return how many steps ended in which way, such as "15 steps succeeded, 2 cached"."""
    states = [task.state for task in run.tasks]
    counts = [(states.count(state), state) for state in dict.fromkeys(("succeeded", *states)) if state in states]
    first, *rest = [f"{count} {state}" for count, state in counts] or ["no steps"]
    return ", ".join([first.replace(" ", " step " if first.startswith("1 ") else " steps ", 1), *rest])


def metrics(run: Run) -> str:
    """Return one table of all metrics of all tasks, or an empty text."""
    rows = [[task, name, value] for task, metadata in _metrics(run) for name, value in metadata.items()]
    return pages.table(["step", "metric", "value"], rows) if rows else ""


def _metrics(run: Run) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each task's name and metrics, in pipeline order."""
    for task in run.tasks:
        for artifact in task.of_kind("Metrics"):
            yield task.name, {name: value for name, value in artifact.metadata.items() if name != "display_name"}


def lineage(run: Run) -> str:
    """Return from what the run made what: data, digests, versions, arguments."""
    rows = [
        [task.name, artifact.name, artifact.kind, _identity(artifact), _remarks(artifact)]
        for task in run.tasks
        for artifact in task.artifacts
        if artifact.kind in {"Dataset", "Model", "Artifact"}
    ]
    parts = [pages.table(["step", "output", "kind", "digest", "what it is"], rows)] if rows else []
    versions = {name: value for name, value in run.versions.items() if not isinstance(value, dict | list)}
    if versions:
        parts.append(f"<h3>Versions</h3>{pages.facts(versions)}")
    if run.arguments:
        arguments = pages.table(["argument", "value"], [[name, value] for name, value in run.arguments.items()])
        parts.append(f"<details><summary>The pipeline's {len(run.arguments)} arguments</summary>{arguments}</details>")
    return "".join(parts)


def _identity(artifact: Artifact) -> str | None:
    """Return the digest that names an artifact's content, if the task noted it."""
    found = [value for name, value in artifact.metadata.items() if name.split("_")[-1] == "digest"]
    return str(found[0]) if found else None


def _remarks(artifact: Artifact) -> str:
    """Return the rest of an artifact's metadata on one line."""
    skipped = {"display_name"}
    items = ((name, value) for name, value in artifact.metadata.items() if name not in skipped and "digest" not in name)
    return " · ".join(f"{name} {pages.shown(value)}" for name, value in items)
