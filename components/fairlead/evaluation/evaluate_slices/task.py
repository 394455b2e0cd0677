"""The work of evaluate_slices: declared and found slices, fairness between groups, gates, verdict, report."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead.errors import ConfigurationError
from fairlead.evaluation.evaluate_slices.findings import Findings
from fairlead.evaluation.evaluate_slices.gates import fairness_gates, figures_of, judge, slice_gates
from fairlead.evaluation.evaluate_slices.judging import Rows, block_rows, declared_slices, find_slices, judge_slices
from fairlead.evaluation.evaluate_slices.report import write_report
from fairlead.evaluation.fairness import GroupFairness, compare_groups
from fairlead.evaluation.grouping import group
from fairlead.evaluation.image_traits import read_traits, trait_names
from fairlead.evaluation.judgement import Judgement
from fairlead.evaluation.rows import check_columns
from fairlead.evaluation.scoring import Contestant, open_package, package_predictor, score
from fairlead.evaluation.slice_spec import SliceSpec
from fairlead.progress import step
from fairlead_serving.package import Manifest, ModelPackage

if TYPE_CHECKING:
    import pyarrow as pa

MODEL = "model"


def evaluate_slices(
    package: Path | str, test: Path | str, label: str, slices: Mapping[str, Any], verdict: Path | str,
    report: Path | str,
) -> Judgement:  # fmt: skip
    """Judges a model on parts of the test rows, and writes verdict and report.

    Args:
        package: The model package's folder.
        test: The dataset of rows that training never saw.
        label: The label's column.
        slices: The section `slices` of a problem; see SliceSpec.
        verdict: The verdict's file.
        report: The report's HTML file.

    Returns:
        The outcome: rejected where a test shows that a gate is violated, inconclusive where a strict gate is not shown
        to be kept, approved otherwise.

    Raises:
        ConfigurationError: A key of `slices` is wrong or does not fit the model's task, or the model predicts another
            label.
        SchemaError: A column is absent, or is cut into quantiles and holds no numbers.
        DataError: A label is missing or none of the task.
        PackageError: The package is broken, or answers what is none of its task.
        SourceError: The dataset is unfinished or corrupt.
    """
    spec = SliceSpec.parse(slices, "slices")
    opened = open_package(package)
    metric = _check(opened.manifest, label, spec)
    rows = _read(opened, test, label, spec)
    with step("judging slices"):
        findings = _find(opened, rows, metric, spec)
        judged = judge(findings, spec)
        write_report(report, findings, judged, spec)
        judged.issue(verdict)
    figures = {name: float(value) for name, value in figures_of(findings).items() if np.isfinite(value)}
    figures["approved"] = float(judged.outcome == "approved")
    return Judgement(judged.outcome, opened.digest, figures)


def _check(manifest: Manifest, label: str, spec: SliceSpec) -> str:
    """Makes sure that model, label and demands fit; gives the metric of the gaps."""
    if manifest.label != label:
        raise ConfigurationError(
            f"the model predicts {manifest.label!r}, and is to be judged by {label!r}; give the label that it was "
            "trained for"
        )
    try:
        metric = spec.of_task(manifest.task)
    except ValueError as error:
        raise ConfigurationError(f"slices: {error}") from None
    positive = spec.fairness.positive if spec.fairness else ""
    if spec.fairness and manifest.task == "multiclass" and positive not in manifest.classes:
        raise ConfigurationError(
            f"slices.fairness.positive: {positive!r} is no class of the model; choose the class whose answer counts as "
            f"yes, one of {', '.join(manifest.classes)}"
        )
    return metric


def _read(opened: ModelPackage, test: Path | str, label: str, spec: SliceSpec) -> Rows:
    """Predicts every row, and reads the columns that slices are cut by."""
    manifest = opened.manifest
    traits = trait_names(manifest.images)
    searched: tuple[str, ...] = ()
    if spec.discovery:
        plain = [i.name for i in manifest.inputs if i.kind != "image"]
        searched = spec.discovery.columns or (*plain, *traits)
    block = [spec.cluster] if spec.cluster else []
    wanted = list(
        dict.fromkeys(
            [*spec.columns, *(c for pair in spec.crosses for c in pair), *spec.quantiles, *spec.sensitive, *searched]
        )
    )
    stored = [column for column in [*wanted, *block] if column not in traits]
    check_columns(test, opened, [label, *stored])
    scores = score(test, label, {MODEL: Contestant(opened, package_predictor(opened))}, stored)
    measured = read_traits(test, manifest.images, [column for column in wanted if column in traits])
    columns: dict[str, pa.DictionaryArray] = {**scores.columns, **measured}
    return Rows(
        task=manifest.task, labels=scores.labels, outputs=scores.predictions[MODEL], threshold=manifest.threshold,
        classes=manifest.classes, columns=columns, searched=searched, blocks=block_rows(columns, spec),
    )  # fmt: skip


def _find(opened: ModelPackage, rows: Rows, metric: str, spec: SliceSpec) -> Findings:
    declared = declared_slices(rows, spec)
    search = find_slices(rows, metric, spec) if spec.discovery else None
    findings, overall = judge_slices(rows, declared, search, metric, spec)
    fairness = [_fairness(rows, column, spec) for column in spec.sensitive]
    gates = slice_gates(findings, spec)
    gates += fairness_gates(fairness, spec.fairness.gates if spec.fairness else (), spec)
    return Findings(
        name=opened.manifest.name, digest=opened.digest, label=opened.manifest.label, task=rows.task, metric=metric,
        rows=rows.labels.size, blocks=rows.blocks.count if rows.blocks else None, overall=overall, slices=findings,
        searched=search.tried if search else None, deciding=search.deciding.size if search else 0, fairness=fairness,
        gates=gates, alpha=spec.alpha,
    )  # fmt: skip


def _fairness(rows: Rows, column: str, spec: SliceSpec) -> GroupFairness:
    assert spec.fairness is not None  # noqa: S101 - there are sensitive columns
    truth, answers = rows.yes_or_no(spec.fairness.positive)
    return compare_groups(
        column, group(rows.columns[column]), truth, answers, minimum_rows=spec.minimum_rows, confidence=spec.confidence,
        resamples=spec.fairness.resamples, seed=spec.seed, blocks=rows.blocks,
    )  # fmt: skip
