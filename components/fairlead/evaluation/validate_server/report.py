"""The report of a trial: each check, figures against budgets, latencies, memory, and what was refused how."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fairlead.evaluation.serving_spec import ServerSpec
from fairlead.evaluation.serving_trial.drawing import label_log
from fairlead.evaluation.validate_server.trial import Findings
from fairlead.pages import Page
from fairlead.values import number
from fairlead.verdicts import Verdict
from fairlead_serving.package import Manifest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WORDS = {"passed": "passed", "failed": "FAILED", "unclear": "unclear", "skipped": "skipped"}
MEGABYTE = 1e6


def write_report(path: Path | str, verdict: Verdict, spec: ServerSpec, manifest: Manifest, findings: Findings) -> None:
    """Writes the HTML report.

    Args:
        path: The file.
        verdict: What was concluded.
        spec: What was demanded.
        manifest: What the package is.
        findings: What was found.
    """
    page = Page("The server on trial")
    kind = {"approved": "good", "rejected": "bad"}.get(verdict.outcome, "warn")
    page.note(f"Verdict: {verdict.outcome}: {_because(findings)}.", kind)  # type: ignore[arg-type]
    page.facts(_facts(verdict, spec, manifest, findings))
    page.heading("Checks")
    rows = [(check.name, WORDS[check.result], check.demanded, check.measured) for check in findings.checks]
    page.table(["check", "result", "demanded", "measured"], rows)
    finite = findings.latencies[np.isfinite(findings.latencies)]
    if finite.size:
        page.heading("Latency under a bounded load")
        page.figure(_latencies(finite, spec), _latency_caption(findings.latencies, spec))
    if len(findings.memory) > 1:
        page.heading("Memory")
        page.figure(_memory(findings, spec), _memory_caption(spec))
    _refusals(page, findings)
    page.write(path)


def _because(findings: Findings) -> str:
    """The checks that decided, by name; the table has the rest."""
    for result, word in (("failed", "failed"), ("unclear", "cannot be told on this machine")):
        names = [check.name for check in findings.checks if check.result == result]
        if names:
            return f"{len(names)} of {len(findings.checks)} checks {word}: {', '.join(names)}"
    left_out = sum(check.result == "skipped" for check in findings.checks)
    return f"all {len(findings.checks) - left_out} checks passed" + (f", {left_out} left out" if left_out else "")


def _facts(verdict: Verdict, spec: ServerSpec, manifest: Manifest, findings: Findings) -> dict[str, object]:
    facts: dict[str, object] = {
        "model": manifest.name,
        "package": verdict.model_digest,
        "server": verdict.thresholds["server"],
        "protocols": ", ".join(spec.asked),
        "checks": len(findings.checks),
        "malformed requests": len(findings.refusals),
    }
    figures = findings.figures
    if "memory_megabytes" in figures:
        facts["memory"] = f"{figures['memory_megabytes']:.0f} MB"
    if "p99_seconds" in figures:
        facts["p99"] = f"{figures['p99_seconds'] * 1000:.1f} ms"
    facts["took"] = f"{sum(findings.phases.values()):.1f} s, of which start {findings.phases.get('start', 0):.1f} s"
    return facts


def _latencies(seconds: np.ndarray, spec: ServerSpec) -> "Figure":
    from fairlead import plots

    figure, axes = plots.figure(7, 3)
    milliseconds = seconds * 1000
    budget = spec.maximum_p99_seconds * 1000
    low, high = max(min(milliseconds.min(), budget) * 0.9, 0.05), max(milliseconds.max(), budget) * 1.15
    plots.histogram(axes, milliseconds, bins=np.geomspace(low, high, 45), share=False)
    axes.set_xscale("log")
    for share, style in ((0.5, ":"), (0.99, "-")):
        place = float(np.quantile(milliseconds, share, method="inverted_cdf"))
        axes.axvline(place, color=plots.SERIES[0], linewidth=1.2, linestyle=style)
        axes.annotate(f"p{share * 100:g}", (place, axes.get_ylim()[1]), (3, -9), textcoords="offset points", fontsize=9)
    axes.axvline(budget, color=plots.SERIES[4], linewidth=1.6, linestyle="--")
    axes.annotate("budget", (budget, axes.get_ylim()[1]), (3, -9), textcoords="offset points", fontsize=9)
    axes.set_xlim(low, max(high, budget * 1.6))
    label_log(axes.xaxis)
    plots.label(axes, "milliseconds from when each request was due", "requests")
    return figure


def _latency_caption(latencies: np.ndarray, spec: ServerSpec) -> str:
    failed = int(np.isinf(latencies).sum())
    return (
        f"{latencies.size} requests of one row at {spec.rate:g} a second, sent when they were due. The budget is that "
        f"99 of 100 are answered within {number(spec.maximum_p99_seconds * 1000)} ms (dashed)."
        + (f" {failed} failed." if failed else "")
    )


def _memory(findings: Findings, spec: ServerSpec) -> "Figure":
    from fairlead import plots

    figure, axes = plots.figure(7, 2.4)
    seconds, bytes_ = zip(*findings.memory, strict=True)
    megabytes = [value / MEGABYTE for value in bytes_]
    plots.line(axes, seconds, megabytes)
    axes.axhline(spec.maximum_memory_megabytes, color=plots.SERIES[4], linewidth=1.6, linestyle="--")
    axes.set_ylim(0, max(spec.maximum_memory_megabytes, *megabytes) * 1.12)
    plots.label(axes, "seconds", "MB resident")
    return figure


def _memory_caption(spec: ServerSpec) -> str:
    return (
        f"What the server's processes hold while 4 clients ask as fast as they are answered, first "
        f"{spec.memory_requests:,} requests to warm up and then as many that count. The budget is "
        f"{spec.maximum_memory_megabytes:g} MB (dashed), and a growth of {spec.maximum_growth_megabytes:g} MB over the "
        "second half."
    )


def _refusals(page: Page, findings: Findings) -> None:
    if not findings.refusals:
        return
    page.heading("Malformed requests")
    wrong = [refusal for refusal in findings.refusals if refusal.objection]
    if wrong:
        page.table(
            ["request", "status", "why that will not do", "answer"],
            [(r.name, r.status, r.objection, r.text[:160]) for r in wrong],
        )
    page.text(f"{len(findings.refusals) - len(wrong)} of {len(findings.refusals)} were answered as they should be.")
    with page.folded("every malformed request and its answer"):
        page.table(["request", "status", "answer"], [(r.name, r.status, r.text[:200]) for r in findings.refusals])
