"""The report of an evaluation: figures with intervals beside baselines, and what the task calls for."""

from pathlib import Path

from fairlead.evaluation.evaluate_model.classes_section import classes_section
from fairlead.evaluation.evaluate_model.findings import Findings, remark, spoken
from fairlead.evaluation.evaluate_model.judged import Judged
from fairlead.evaluation.evaluate_model.mistakes import show_pictures, show_texts
from fairlead.evaluation.evaluate_model.numbers_section import numbers_section
from fairlead.evaluation.evaluate_model.ranking_section import ranking_section
from fairlead.evaluation.evaluate_model.texts_section import texts_section
from fairlead.evaluation.evaluate_model.yes_no_section import yes_no_section
from fairlead.evaluation.figure_names import FIRST, MAIN
from fairlead.evaluation.loss_names import TEXT
from fairlead.evaluation.resampling import Interval
from fairlead.evaluation.spec import EvaluationSpec
from fairlead.pages import Page
from fairlead.values import interval, limit, number, percent, title
from fairlead.verdicts import Verdict

_NOTHING = 1e-12
_SECTIONS = {
    "binary": yes_no_section,
    "multiclass": classes_section,
    "regression": numbers_section,
    "ranking": ranking_section,
    TEXT: texts_section,
}


def write_report(path: Path | str, findings: Findings, verdict: Verdict, spec: EvaluationSpec, judged: Judged) -> None:
    """Writes the HTML report.

    Args:
        path: The file.
        findings: What was found.
        verdict: What was concluded.
        spec: What was demanded.
        judged: What was judged, of which the wrongest examples are read again.
    """
    page = Page(f"Evaluation of {findings.name}")
    _summary(page, findings, verdict)
    _figures(page, findings, spec)
    _SECTIONS[findings.task](page, findings)
    show_pictures(page, findings, judged, spec.mistakes)
    show_texts(page, findings, judged, spec)
    page.write(path)


def _summary(page: Page, findings: Findings, verdict: Verdict) -> None:
    page.note(f"Verdict: {verdict.outcome}", "good" if verdict.outcome == "approved" else "bad")
    said = {remark(finding) for finding in findings.baselines} | set(findings.notes)
    for reason in verdict.reasons:
        if reason not in said:
            page.note(reason, "warn" if verdict.outcome == "approved" else "bad")
    for finding in findings.baselines:
        page.note(remark(finding), "good" if finding.model_wins else "bad" if finding.model_loses else "warn")
    page.facts({title(name): told(findings.figures[name]) for name in MAIN[findings.task]} | _facts(findings))


def _facts(findings: Findings) -> dict[str, object]:
    """What the rows are, and which model was judged."""
    found: dict[str, object] = {}
    if findings.task == "binary":
        found[f"share of {findings.label}"] = percent(findings.figures["base_rate"].estimate)
    if findings.scores.classes:
        found["classes"] = len(findings.scores.classes)
    found["rows"] = findings.rows
    if findings.unit != "row":
        found[f"independent {findings.unit}s"] = findings.drawn.independent
    return {**found, "model": findings.digest}


def _figures(page: Page, findings: Findings, spec: EvaluationSpec) -> None:
    """Adds the figures of the model, what is demanded of them, and the same of each baseline."""
    page.heading("Beside simple models" if findings.baselines else "Figures")
    demanded = _demands(spec)
    own = [name for name in findings.figures if "_of_" not in name]
    first = [name for name in own if name in FIRST[findings.task] or name in demanded or findings.task == "ranking"]
    rows = [_row(name, findings, demanded) for name in first]
    if findings.baselines:
        gaps = [told(baseline.difference) for baseline in findings.baselines]
        loss = title(findings.baselines[0].loss)
        rows.append([f"the model's {loss} less theirs", "—", *([""] if demanded else []), *gaps])
    headers = [
        "figure",
        "the model",
        *(["demanded"] if demanded else []),
        *(spoken(b.name) for b in findings.baselines),
    ]
    page.table(headers, rows, _how(findings, spec))
    also = {gate.metric: demanded[gate.metric] for gate in spec.gates if gate.metric not in own}
    if also:
        page.table(
            ["also demanded", "measured", ""], [[title(n), told(_anywhere(n, findings)), d] for n, d in also.items()]
        )
    if len(first) < len(own):
        with page.folded("All other figures"):
            page.table(headers, [_row(name, findings, demanded) for name in own if name not in first])
    for note in findings.notes:
        page.text(note)


def _row(name: str, findings: Findings, demanded: dict[str, str]) -> list[object]:
    others = [told(baseline.figures[name]) if name in baseline.figures else "—" for baseline in findings.baselines]
    demand = [demanded.get(name, "")] if demanded else []
    return [title(name), told(findings.figures[name]), *demand, *others]


def _how(findings: Findings, spec: EvaluationSpec) -> str:
    answers = f"; yes from a probability of {limit(findings.threshold)}" if findings.task == "binary" else ""
    kind = "bias-corrected and accelerated" if spec.interval == "bca" else "percentile"
    kept = ", within each class" if spec.stratified and findings.task in ("binary", "multiclass") else ""
    return (
        f"All on the same {number(findings.rows)} rows{answers}. Intervals hold {spec.confidence:.0%}: {kind} "
        f"bootstrap of {number(spec.resamples)} resamples by {findings.unit}{kept}."
    )


def _anywhere(name: str, findings: Findings) -> Interval:
    """A figure that a gate names and that is not in the table: of a class, of a baseline, or a difference."""
    from fairlead.evaluation.figure_names import difference_name, figure_name

    known = dict(findings.figures)
    for baseline in findings.baselines:
        known |= {figure_name(baseline.name, metric): value for metric, value in baseline.figures.items()}
        known[difference_name(baseline.name, baseline.loss)] = baseline.difference
    return known[name]


def _demands(spec: EvaluationSpec) -> dict[str, str]:
    """What the gates demand of each figure, in signs: `≥ 0.62`, or `≥ 0.62 (low)` for an interval's end."""
    found: dict[str, list[str]] = {}
    for gate in spec.gates:
        bounds = {"≥": gate.at_least, "≤": gate.at_most}
        end = "" if gate.at == "estimate" else f" ({gate.at} end)"
        found.setdefault(gate.metric, []).extend(
            f"{sign} {limit(b)}{end}" for sign, b in bounds.items() if b is not None
        )
    return {metric: " and ".join(bounds) for metric, bounds in found.items()}


def told(of: Interval) -> str:
    """A figure with its interval, as people read it; what only rounding makes other than 0 is 0."""
    return interval(*(0.0 if abs(value) < _NOTHING else value for value in (of.estimate, of.low, of.high)))
