"""The report of the slices: the gates, a forest plot, slices by trouble, what the search found, fairness."""

from collections.abc import Sequence
from pathlib import Path

from fairlead.evaluation.evaluate_slices.fairness_report import write_fairness
from fairlead.evaluation.evaluate_slices.findings import Findings, SliceFinding
from fairlead.evaluation.evaluate_slices.forest import SHOWN, forest
from fairlead.evaluation.evaluate_slices.gates import sentence
from fairlead.evaluation.evaluate_slices.words import brief, p_value, told
from fairlead.evaluation.slice_metrics import shown_metrics
from fairlead.evaluation.slice_spec import SliceSpec
from fairlead.pages import Page
from fairlead.values import number, title
from fairlead.verdicts import Verdict

TABLE_ROWS = 40
LISTED_SMALL = 200
KINDS = {"approved": "good", "rejected": "bad", "inconclusive": "warn"}


def write_report(path: Path | str, findings: Findings, verdict: Verdict, spec: SliceSpec) -> None:
    """Writes the HTML report.

    Args:
        path: The file.
        findings: What was found.
        verdict: What was concluded.
        spec: What was demanded.
    """
    page = Page(f"Slices of {findings.name}")
    _summary(page, findings, verdict, spec)
    _gates(page, findings)
    if findings.judged:
        page.heading("Where the model does worse than on the rest")
        page.figure(forest(findings, spec), _forest_caption(findings, spec))
        _table(page, findings, spec)
    if findings.searched is not None:
        _search(page, findings)
    _small(page, findings, spec)
    for of in findings.fairness:
        write_fairness(page, of, spec)
    page.write(path)


def _summary(page: Page, findings: Findings, verdict: Verdict, spec: SliceSpec) -> None:
    page.note(f"Verdict: {verdict.outcome}", KINDS[verdict.outcome])  # type: ignore[arg-type]
    said = {sentence(gate) for gate in findings.gates}
    for reason in verdict.reasons:
        if reason not in said:
            page.note(_capital(reason), "warn" if findings.troubled or not findings.judged else "info")
    overall = findings.overall[findings.metric]
    page.facts(
        {
            f"{title(findings.metric)} of all rows": told(overall, spec.confidence),
            "slices judged": len(findings.judged),
            "worse beyond chance": len(findings.troubled),
            "too few rows": sum(finding.low_support for finding in findings.slices),
            "rows": findings.rows,
            **({"clusters of rows": findings.blocks} if findings.blocks is not None else {}),
            "model": findings.digest,
        }
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _gates(page: Page, findings: Findings) -> None:
    if not findings.gates:
        return
    page.heading("Demands")
    words = {"kept": "kept", "violated": "violated", "unclear": "not shown to be kept"}
    rows = [
        (gate.demand, gate.value, gate.where or "—", words[gate.held], gate.beyond, p_value(gate.p_value))
        for gate in findings.gates
    ]
    page.table(["demand", "measured", "at", "", "measured beyond it", "corrected p of a violation"], rows)


def _forest_caption(findings: Findings, spec: SliceSpec) -> str:
    hidden = len(findings.judged) - SHOWN
    more = f" The {SHOWN} most troubled of {len(findings.judged)} are shown." if hidden > 0 else ""
    rows = "each row by itself" if findings.blocks is None else f"{findings.blocks} clusters of rows"
    return (
        f"How much worse {title(findings.metric)} is on a slice than on all other rows, with {spec.confidence:.0%} "
        f"intervals ({rows}). Red: worse beyond chance, all slices counted ({_method(spec)}, {spec.alpha:g}). Diamonds "
        f"were found by the search, and measured on rows that it did not see.{more}"
    )


def _method(spec: SliceSpec) -> str:
    return "Holm" if spec.correction == "holm" else "Benjamini-Hochberg"


def _table(page: Page, findings: Findings, spec: SliceSpec) -> None:
    others = [name for name in shown_metrics(findings.task) if name != findings.metric]
    others += [g.metric for g in spec.gates if g.metric not in (*others, findings.metric)]
    others = list(dict.fromkeys(others))
    headers = ["slice", "rows", title(findings.metric), "worse by", "p", *map(title, others)]
    rows = [_line(finding, others, findings.metric, spec) for finding in findings.judged]
    text = "The most troubled first. Intervals are each slice's own; p counts all slices."
    if "excess_log_loss" in (*others, findings.metric):
        text += " Excess log loss is what the model did not expect itself: near 0, a slice is hard, not misjudged."
    page.table(headers, rows[:TABLE_ROWS], text)
    if len(rows) > TABLE_ROWS:
        with page.folded(f"{len(rows) - TABLE_ROWS} further slices"):
            page.table(headers, rows[TABLE_ROWS:])


def _line(finding: SliceFinding, others: Sequence[str], metric: str, spec: SliceSpec) -> list[object]:
    return [
        finding.of.title,
        finding.rows,
        told(finding.figures[metric], spec.confidence),
        told(finding.gap, spec.confidence),
        p_value(finding.corrected),
        *(_other(name, finding, spec) for name in others),
    ]


def _other(name: str, finding: SliceFinding, spec: SliceSpec) -> str:
    """A further figure; there is room for one more interval."""
    estimate = finding.figures[name]
    return told(estimate, spec.confidence) if name == "excess_log_loss" else brief(estimate.value)


def _search(page: Page, findings: Findings) -> None:
    page.heading("What the search found")
    found = [finding for finding in findings.slices if finding.of.found]
    confirmed = sum(finding in findings.troubled for finding in found)
    page.text(
        f"One half of the rows was searched for conjunctions of {findings.searched} simple conditions; the other half "
        f"({number(findings.deciding)} rows) decided. Confirmed: {confirmed} of {len(found)} candidates."
    )
    rows = [
        (
            f.of.name,
            f.of.found.rows,
            f.of.found.gap,
            f.rows,
            f.gap.value,
            p_value(f.corrected) if f.judged else "few rows",
        )
        for f in found
        if f.of.found
    ]
    headers = ["slice", "rows searched", "worse by", "rows that decided", "worse by there", "corrected p"]
    if rows:
        page.table(
            headers,
            rows,
            "What a search finds looks worse than it is on the rows that were searched; the other rows tell.",
        )


def _small(page: Page, findings: Findings, spec: SliceSpec) -> None:
    small = [finding for finding in findings.slices if finding.low_support]
    if not small:
        return
    page.heading("Slices with low support")
    page.text(
        f"{len(small)} slices have fewer than {spec.minimum_rows} rows, or leave fewer than that outside: they are not "
        "judged, and no gate counts them."
    )
    with page.folded("which, and what was measured"):
        ordered = sorted(small, key=lambda finding: (-finding.rows, finding.of.title))
        rows = [(f.of.title, f.rows, f.figures[findings.metric].value) for f in ordered[:LISTED_SMALL]]
        hidden = len(small) - len(rows)
        caption = f"{hidden} smaller ones are left out." if hidden else ""
        page.table(["slice", "rows", title(findings.metric)], rows, caption)
