"""The work of evaluate_model: figures with intervals, slices, baselines, gates, verdict, report."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fairlead.errors import ConfigurationError
from fairlead.evaluation.baselines import Baselines, fit_baselines
from fairlead.evaluation.evaluate_model.findings import BaselineFinding, Findings, remark
from fairlead.evaluation.evaluate_model.report import write_report
from fairlead.evaluation.gates import judge
from fairlead.evaluation.intervals import Interval, auc_interval, mean_interval
from fairlead.evaluation.metrics import binary_metrics, row_log_losses
from fairlead.evaluation.scoring import (
    Contestant,
    Scores,
    check_columns,
    open_package,
    package_predictor,
    score,
)
from fairlead.evaluation.slices import slice_figures
from fairlead.evaluation.spec import EvaluationSpec, difference_name, figure_name
from fairlead.progress import step
from fairlead.verdicts import Verdict
from fairlead_serving.package import ModelPackage

MODEL = "model"


@dataclass(frozen=True)
class EvaluatedModel:
    """What came of an evaluation.

    Attributes:
        outcome: `approved` or `rejected`.
        digest: The package that was judged.
        metrics: Flat figures, for a Metrics artifact and the report of the run; all finite.
    """

    outcome: str
    digest: str
    metrics: dict[str, float]


def evaluate_model(
    package: Path | str,
    test: Path | str,
    label: str,
    evaluation: Mapping[str, Any],
    verdict: Path | str,
    report: Path | str,
    train: Path | str | None = None,
) -> EvaluatedModel:
    """Judges a model on test rows, and writes verdict and report.

    Args:
        package: The model package's folder.
        test: The dataset of rows that training never saw.
        label: The label's column, 0 or 1.
        evaluation: The section `evaluation` of a problem; see EvaluationSpec.
        verdict: The verdict's file.
        report: The report's HTML file.
        train: The training dataset, for baselines; none are fitted without it.

    Returns:
        The outcome and the figures. A rejected model is an outcome, not an error.

    Raises:
        ConfigurationError: A key of `evaluation` is wrong, or the model predicts another label.
        SchemaError: The datasets lack a column, or columns do not fit the model.
        DataError: A label is missing, neither 0 nor 1, or the same in all rows.
        PackageError: The package is broken, or answers what is no probability.
        SourceError: A dataset is unfinished or corrupt.
    """
    spec = EvaluationSpec.parse(evaluation, "evaluation")
    opened = open_package(package)
    _check(opened, test, label, spec, train)
    fitted = _fit(opened, train, label, spec)
    predictors = {MODEL: package_predictor(opened), **fitted.predictors}
    models = {name: Contestant(opened, predict) for name, predict in predictors.items()}
    start = time.monotonic()
    scores = score(test, label, models, spec.slices)
    seconds = time.monotonic() - start
    with step("judging"):
        findings = _find(opened, scores, fitted, spec)
        judged = judge(opened.digest, spec.gates, findings.figures, findings.remarks)
        write_report(report, findings, judged, spec)
        judged.write(verdict)
    return EvaluatedModel(judged.outcome, opened.digest, _metrics(findings, judged, seconds))


def _check(package: ModelPackage, test: Path | str, label: str, spec: EvaluationSpec, train: Path | str | None) -> None:
    if package.manifest.label != label:
        raise ConfigurationError(
            f"the model predicts {package.manifest.label!r}, and is to be judged by {label!r}; give the label that it "
            "was trained for"
        )
    check_columns(test, package, [label, *spec.slices])
    if train is not None:
        check_columns(train, package, [label])
    needed = [gate.metric for gate in spec.gates if gate.metric.startswith(_baseline_prefixes(spec))]
    if train is None and needed:
        raise ConfigurationError(f"gate {needed[0]!r} needs baselines; give evaluate_model the training rows (train)")


def _baseline_prefixes(spec: EvaluationSpec) -> tuple[str, ...]:
    return ("log_loss_minus_", *(figure_name(name, "") for name in spec.baselines))


def _fit(package: ModelPackage, train: Path | str | None, label: str, spec: EvaluationSpec) -> Baselines:
    if not spec.baselines:
        return Baselines({}, 0, 0)
    if train is None:
        return Baselines({}, 0, 0, ("No baselines were fitted, for want of training rows.",))
    return fit_baselines(spec.baselines, train, label, package, spec.maximum_baseline_rows, spec.seed)


def _find(package: ModelPackage, scores: Scores, fitted: Baselines, spec: EvaluationSpec) -> Findings:
    labels, threshold = scores.labels, package.manifest.threshold
    probabilities = scores.probabilities[MODEL]
    compared = [_compare(name, scores, threshold, spec) for name in fitted.predictors]
    figures = binary_metrics(labels, probabilities, threshold)
    for finding in compared:
        figures |= {figure_name(finding.name, metric): value for metric, value in finding.figures.items()}
        figures[difference_name(finding.name)] = finding.difference.estimate
    groups = {
        column: slice_figures(column, values, labels, probabilities, spec.minimum_slice_rows)
        for column, values in scores.slices.items()
    }
    return Findings(
        name=package.manifest.name, digest=package.digest, label=package.manifest.label, threshold=threshold,
        labels=labels, probabilities=probabilities, figures=figures,
        roc_auc=_auc(labels, probabilities, spec), log_loss=_log_loss(labels, probabilities, spec),
        baselines=compared, slices=groups, notes=fitted.notes, baseline_rows=fitted.rows,
        remarks=tuple(remark(finding) for finding in compared if not finding.model_wins),
    )  # fmt: skip


def _auc(labels: np.ndarray, probabilities: np.ndarray, spec: EvaluationSpec) -> Interval:
    return auc_interval(labels, probabilities, spec.confidence, spec.resamples, spec.seed)


def _log_loss(labels: np.ndarray, probabilities: np.ndarray, spec: EvaluationSpec) -> Interval:
    return mean_interval(row_log_losses(labels, probabilities), spec.confidence, spec.resamples, spec.seed)


def _compare(name: str, scores: Scores, threshold: float, spec: EvaluationSpec) -> BaselineFinding:
    labels, mine, other = scores.labels, scores.probabilities[MODEL], scores.probabilities[name]
    excess = row_log_losses(labels, mine) - row_log_losses(labels, other)
    return BaselineFinding(
        name=name,
        figures=binary_metrics(labels, other, threshold),
        roc_auc=_auc(labels, other, spec),
        log_loss=_log_loss(labels, other, spec),
        difference=mean_interval(excess, spec.confidence, spec.resamples, spec.seed),
    )


def _metrics(findings: Findings, judged: Verdict, seconds: float) -> dict[str, float]:
    groups = [group for column in findings.slices.values() for group in column]
    rows = findings.labels.size
    facts = {
        "approved": float(judged.outcome == "approved"),
        "rows": float(rows),
        "threshold": findings.threshold,
        "roc_auc_low": findings.roc_auc.low,
        "roc_auc_high": findings.roc_auc.high,
        "log_loss_low": findings.log_loss.low,
        "log_loss_high": findings.log_loss.high,
        "baseline_rows": float(findings.baseline_rows),
        "slices": float(len(groups)),
        "slices_with_low_support": float(sum(group.low_support for group in groups)),
        "predicted_rows_per_second": rows / max(seconds, 1e-9),
    }
    for finding in findings.baselines:
        name = difference_name(finding.name)
        facts |= {f"{name}_low": finding.difference.low, f"{name}_high": finding.difference.high}
        facts[figure_name(finding.name, "is_beaten")] = float(finding.model_wins)
    return {**judged.figures, **facts}
