"""What the report shows of the whole run: verdicts, key figures, metrics, lineage."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

import yaml

from fairlead import pages, values
from fairlead.errors import VerdictError
from fairlead.verdicts import Verdict
from fairlead_pipelines.report import verdicts as short
from fairlead_pipelines.report.runs import Artifact, Run, Task
from fairlead_pipelines.report.tasks import pill

# Shown first, in this order, where a task has measured them; the later task wins.
HEADLINES = {
    "roc_auc": "ROC AUC",
    "log_loss": "log loss",
    "expected_calibration_error": "calibration error",
    "accuracy": "accuracy",
    "difference": "worse than the champion by",
    "canary_requests": "canary requests",
}
# Metadata comes in no order from KFP; these are told first.
_FIRST = ("name", "version", "rows", "columns", "from", "until", "source", "licence")


def verdicts(run: Run) -> str:
    """Return the verdicts as cards, or an empty text if no task gave one."""
    found = [(task, artifact) for task in run.tasks for artifact in task.artifacts if artifact.name == "verdict"]
    cards = sorted((_card(task, artifact) for task, artifact in found), key=lambda card: card[0])
    return f'<div class="verdicts">{"".join(card for _, card in cards)}</div>' if cards else ""


def _card(task: Task, artifact: Artifact) -> tuple[int, str]:
    """Return one verdict's place and card."""
    try:
        verdict = Verdict.read(artifact.path)
    except VerdictError as error:
        return 0, f'<div class="verdict"><h3>{escape(task.name)}</h3><p>{pages.escape(error)}</p></div>'
    reasons = "".join(f"<li>{pages.marked(reason)}</li>" for reason in verdict.reasons)
    link = f'<a href="#task-{escape(task.name)}">{escape(verdict.judge)}</a>'
    when = pages.marked(values.moment(verdict.created_at[:16] + verdict.created_at[19:]))  # to the minute
    return short.rank(verdict), (
        f'<div class="verdict {escape(verdict.outcome)}"><h3>{link}{pill(verdict.outcome)}</h3>'
        f'<p class="sub"><span>{pages.marked(verdict.model_digest)}</span><span>{when}</span></p>'
        f"{f'<ul>{reasons}</ul>' if reasons else ''}{_telling(verdict)}</div>"
    )


def _telling(verdict: Verdict) -> str:
    """Return a verdict's telling figures as a table, and all of them behind a line."""
    telling = short.telling(verdict)
    if not telling:
        return ""
    lines = "".join(
        f"<tr><td>{pages.marked(name)}</td><td class=n>{pages.marked(value)}"
        f"{f'<small class=demand>{escape(demanded)}</small>' if demanded else ''}</td></tr>"
        for name, value, demanded in telling
    )
    everything = [*verdict.figures.items(), *verdict.thresholds.items()]
    table = pages.table(["name", "value"], everything)
    return (
        f"<table><tbody>{lines}</tbody></table><details><summary>all figures and thresholds</summary>{table}</details>"
    )


def key_figures(run: Run) -> dict[str, Any]:
    """Return the few figures that everybody asks for, by their titles.

    Args:
        run: The run; what it has not measured is left out.
    """
    measured: dict[str, Any] = {}
    for _, metadata in _metrics(run):
        measured |= metadata
    found = {title: _spanned(name, measured) for name, title in HEADLINES.items() if measured.get(name) is not None}
    if not measured.get("canary_requests"):  # a first version has no canary
        found.pop(HEADLINES["canary_requests"], None)
    return found


def _spanned(name: str, measured: Mapping[str, Any]) -> Any:
    """Return a figure, with its interval if that was measured too."""
    low, high = (measured.get(f"{name}_{end}") for end in ("low", "high"))
    return measured[name] if low is None or high is None else values.interval(measured[name], low, high)


def steps(run: Run) -> str:
    """Return how many steps ended in which way, such as "15 steps succeeded, 2 cached"."""
    states = [task.state for task in run.tasks]
    counts = [(states.count(state), state) for state in dict.fromkeys(("succeeded", *states)) if state in states]
    first, *rest = [f"{count} {state}" for count, state in counts] or ["no steps"]
    return ", ".join([first.replace(" ", " step " if first.startswith("1 ") else " steps ", 1), *rest])


def metrics(run: Run) -> str:
    """Return one table of all metrics of all tasks, or an empty text."""
    rows = [[task, name, value] for task, metadata in _metrics(run) for name, value in sorted(metadata.items())]
    table = pages.table(["step", "metric", "value"], rows)
    return f"<details><summary>{len(rows)} metrics of all steps</summary>{table}</details>" if rows else ""


def _metrics(run: Run) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each task's name and metrics, in pipeline order."""
    for task in run.tasks:
        for artifact in task.of_kind("Metrics"):
            yield task.name, {name: value for name, value in artifact.metadata.items() if name != "display_name"}


def lineage(run: Run) -> str:
    """Return from what the run made what: data, digests, versions, arguments."""
    rows = [line for task in run.tasks for artifact in task.artifacts if (line := _line(task, artifact))]
    heads = "".join(f"<th>{head}</th>" for head in ("step", "output", "what it is, and the digest of its content"))
    table = f'<div class="table"><table><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    parts = [table] if rows else []
    versions = {name: value for name, value in run.versions.items() if not isinstance(value, dict | list)}
    if versions:
        parts.append(f"<h3>Versions</h3>{pages.facts(versions)}")
    if run.arguments:
        listed = "".join(f"<h4>{escape(name)}</h4>{_argument(value)}" for name, value in sorted(run.arguments.items()))
        parts.append(f"<details><summary>The pipeline's {len(run.arguments)} arguments</summary>{listed}</details>")
    return "".join(parts)


def _line(task: Task, artifact: Artifact) -> str:
    """Return an artifact's line; here its digest stands whole, to be copied."""
    if artifact.kind not in {"Dataset", "Model", "Artifact"}:
        return ""
    digest = _identity(artifact)
    whole = f'<br><code class="digest">{pages.escape(digest)}</code>' if digest else ""
    remarks = pages.marked(_remarks(artifact))
    what = f"{remarks}{whole}" if remarks or whole else "—"
    return f"<tr><td>{escape(task.name)}</td><td>{escape(artifact.name)}</td><td>{what}</td></tr>"


def _argument(value: Any) -> str:
    """Return a pipeline's argument as the problem file would say it."""
    if not isinstance(value, dict | list):
        return f"<p>{pages.marked(value)}</p>"
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return f"<pre>{pages.escape(text)}</pre>"


class _Dumper(yaml.SafeDumper):
    """Writes YAML with texts of many lines, such as SQL, as blocks."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Return a text's node."""
        style = "|" if "\n" in data else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style)


_Dumper.add_representer(str, _Dumper.represent_str)


def _identity(artifact: Artifact) -> str | None:
    """Return the digest that names an artifact's content, if the task noted it."""
    exact = artifact.metadata.get("digest")
    found = [value for name, value in artifact.metadata.items() if name.split("_")[-1] == "digest"]
    return str(exact or found[0]) if exact or found else None


def _remarks(artifact: Artifact) -> str:
    """Return the rest of an artifact's metadata on one line, without what is empty."""
    said = {n: v for n, v in artifact.metadata.items() if n != "display_name" and "digest" not in n and v != ""}
    names = [name for name in _FIRST if name in said] + sorted(set(said) - set(_FIRST))
    return " · ".join(f"{values.title(name)} {values.shown(said[name])}" for name in names)
