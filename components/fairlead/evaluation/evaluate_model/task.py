"""The work of evaluate_model: figures with intervals, baselines, gates, verdict, report."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairlead.evaluation.evaluate_model.findings import MODEL, BaselineFinding, Findings, few_units, remark
from fairlead.evaluation.evaluate_model.judged import Judged, Scored, judged_model, score_all
from fairlead.evaluation.evaluate_model.report import write_report
from fairlead.evaluation.figure_names import MAIN, difference_name, figure_name
from fairlead.evaluation.figures import difference, figures, prepare
from fairlead.evaluation.gates import ENDS, judge
from fairlead.evaluation.judgement import Judgement
from fairlead.evaluation.loss_names import default_loss
from fairlead.evaluation.resampling import Interval
from fairlead.evaluation.spec import EvaluationSpec
from fairlead.progress import step
from fairlead.verdicts import Verdict


def evaluate_model(
    package: Path | str,
    test: Path | str,
    label: str,
    evaluation: Mapping[str, Any],
    verdict: Path | str,
    report: Path | str,
    train: Path | str | None = None,
    predictions: Path | str | None = None,
) -> Judgement:
    """Judges a model on test rows, and writes verdict and report.

    Args:
        package: The model package's folder.
        test: The dataset of rows that training never saw.
        label: The label's column.
        evaluation: The section `evaluation` of a problem; see EvaluationSpec.
        verdict: The verdict's file.
        report: The report's HTML file.
        train: The training dataset, for baselines; none are fitted without it.
        predictions: A dataset of predictions that the package made elsewhere; without it, the package predicts here.

    Returns:
        The outcome and the figures. A rejected model is an outcome, not an error.

    Raises:
        ConfigurationError: A key of `evaluation` is wrong or not for this task, or the model predicts another label.
        SchemaError: The datasets lack a column, or columns do not fit the model.
        DataError: A label is missing, none of the task's, or (binary) the same in all rows; predictions do not fit.
        PackageError: The package is broken, or answers what is none of its task.
        SourceError: A dataset is unfinished or corrupt.
    """
    spec = EvaluationSpec.parse(evaluation, "evaluation")
    judged = judged_model(package, test, label, spec, train, predictions)
    start = time.monotonic()
    scored = score_all(judged, spec)
    seconds = time.monotonic() - start
    with step("judging"):
        findings = _find(judged, scored, spec)
        known = _named(findings)
        ends = [*findings.figures, *(difference_name(of.name, of.loss) for of in findings.baselines)]
        concluded = judge(judged.digest, spec.gates, known, findings.remarks, ends)
        write_report(report, findings, concluded, spec, judged)
        concluded.issue(verdict)
    return Judgement(concluded.outcome, judged.digest, _metrics(findings, concluded, seconds))


def _find(judged: Judged, scored: Scored, spec: EvaluationSpec) -> Findings:
    scores = scored.scores
    drawn = prepare(scores, spec)

    def of(name: str) -> dict[str, Interval]:
        return figures(scores, name, drawn, threshold=judged.threshold, cutoffs=spec.cutoffs)

    loss = default_loss(judged.task)
    compared = [
        BaselineFinding(name, of(name), difference(scores, MODEL, name, drawn), loss)
        for name in spec.baselines
        if name in scores.predictions
    ]
    unit = spec.cluster or ("group" if judged.task == "ranking" else "row")
    return Findings(
        name=judged.name, digest=judged.digest, label=judged.label, threshold=judged.threshold, scores=scores,
        figures=of(MODEL), baselines=compared, drawn=drawn, unit=unit,
        notes=[*scored.notes, *few_units(drawn, unit)], baseline_rows=scored.fitted.rows,
        remarks=[*scored.remarks, *(remark(finding) for finding in compared if not finding.model_wins)],
    )  # fmt: skip


def _named(findings: Findings) -> dict[str, Interval]:
    """Every figure that gates may name: the model's, the baselines', the differences."""
    known = dict(findings.figures)
    for finding in findings.baselines:
        known |= {figure_name(finding.name, metric): value for metric, value in finding.figures.items()}
        known[difference_name(finding.name, finding.loss)] = finding.difference
    return known


def _metrics(findings: Findings, judged: Verdict, seconds: float) -> dict[str, float]:
    """The figures that a reader of the run's page wants: without those of each class, and few of the baselines."""
    main = MAIN[findings.task]
    shown = {name for name in findings.figures if "_of_" not in name}
    shown |= {figure_name(finding.name, name) for finding in findings.baselines for name in main}
    shown |= {difference_name(finding.name, finding.loss) for finding in findings.baselines}
    gated = {name.removesuffix(" at least").removesuffix(" at most") for name in judged.thresholds}
    shown |= gated | {f"{name}_{end}" for name in (*main, *gated) for end in ENDS}
    facts = {
        "approved": float(judged.outcome == "approved"),
        "rows": float(findings.rows),
        "independent_units": float(findings.drawn.independent),
        "baseline_rows": float(findings.baseline_rows),
        "predicted_rows_per_second": findings.rows / max(seconds, 1e-9),
    }
    if findings.task == "binary":
        facts["threshold"] = findings.threshold
    for finding in findings.baselines:
        name = difference_name(finding.name, finding.loss)
        facts |= {f"{name}_low": finding.difference.low, f"{name}_high": finding.difference.high}
        facts[figure_name(finding.name, "is_beaten")] = float(finding.model_wins)
    return {**{name: value for name, value in judged.figures.items() if name in shown}, **facts}
