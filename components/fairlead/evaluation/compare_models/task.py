"""The work of compare_models: a challenger is not to be worse than the champion, shown on the same rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fairlead.errors import ConfigurationError, SchemaError
from fairlead.evaluation.compare_models.report import write_report
from fairlead.evaluation.intervals import Interval, auc_difference_interval, mean_interval
from fairlead.evaluation.metrics import binary_metrics, row_log_losses
from fairlead.evaluation.scoring import Contestant, Scores, check_columns, open_package, package_predictor, score
from fairlead.evaluation.spec import ComparisonSpec
from fairlead.progress import step
from fairlead.values import limit, number
from fairlead.verdicts import Outcome, Verdict

CHALLENGER, CHAMPION = "challenger", "champion"


@dataclass(frozen=True)
class ComparedModels:
    """What came of a comparison.

    Attributes:
        outcome: `approved`, `rejected` or `inconclusive`.
        digest: The challenger, which was judged.
        metrics: Flat figures, all finite.
    """

    outcome: str
    digest: str
    metrics: dict[str, float]


def compare_models(
    challenger: Path | str,
    champion: Path | str,
    test: Path | str,
    label: str,
    comparison: Mapping[str, Any],
    verdict: Path | str,
    report: Path | str,
    champion_found: bool = True,
) -> ComparedModels:
    """Judges a challenger against the champion on the same rows, and writes verdict and report.

    Args:
        challenger: The package that may take over.
        champion: The package that serves now, or an empty folder where there is none.
        test: The dataset of rows that neither was trained on.
        label: The label's column, 0 or 1.
        comparison: The section `comparison` of a problem; see ComparisonSpec.
        verdict: The verdict's file.
        report: The report's HTML file.
        champion_found: False says that there is no champion, whatever the folder holds.

    Returns:
        The outcome: approved where the challenger is shown not to be worse by more than the margin, rejected where it
        is shown to be, inconclusive otherwise. Without a champion, the challenger is approved.

    Raises:
        ConfigurationError: A key of `comparison` is wrong, or a model predicts another label.
        SchemaError: One of the models takes columns that the rows do not have.
        DataError: A label is missing, neither 0 nor 1, or the same in all rows.
        PackageError: A package is broken, or answers what is no probability.
        SourceError: The dataset is unfinished or corrupt.
    """
    spec = ComparisonSpec.parse(comparison, "comparison")
    models = {CHALLENGER: _contestant(challenger, test, label, CHALLENGER)}
    if champion_found and _holds_files(champion):
        models[CHAMPION] = _contestant(champion, test, label, CHAMPION)
    scores = score(test, label, models, [])
    with step("comparing"):
        figures = {
            name: binary_metrics(scores.labels, scores.probabilities[name], model.package.manifest.threshold)
            for name, model in models.items()
        }
        difference = _difference(scores, spec) if CHAMPION in models else None
        judged = _judge(models, difference, figures, spec)
        write_report(report, judged, spec, scores, figures, difference)
        judged.write(verdict)
    facts = {"approved": float(judged.outcome == "approved"), "rows": float(scores.labels.size)}
    return ComparedModels(judged.outcome, judged.model_digest, {**judged.figures, **facts})


def _holds_files(path: Path | str) -> bool:
    return Path(path).is_dir() and any(Path(path).iterdir())


def _contestant(path: Path | str, test: Path | str, label: str, role: str) -> Contestant:
    package = open_package(path, role)
    if package.manifest.label != label:
        raise ConfigurationError(
            f"the {role} predicts {package.manifest.label!r}, and is to be compared by {label!r}; two models can only "
            "be compared on the label that both were trained for"
        )
    try:
        check_columns(test, package, [label], role)
    except SchemaError as error:
        raise SchemaError(f"{error}; {_ADVICE}" if role == CHAMPION else str(error)) from None
    return Contestant(package, package_predictor(package, role), role)


_ADVICE = (
    "if the problem's inputs have changed for good, the two models cannot be compared: remove the alias `champion` "
    "and roll the new model out as the first of its kind"
)


def _difference(scores: Scores, spec: ComparisonSpec) -> Interval:
    """How much worse the challenger is, with its paired interval; more is worse, whatever the metric."""
    labels, ours, theirs = scores.labels, scores.probabilities[CHALLENGER], scores.probabilities[CHAMPION]
    if spec.metric == "roc_auc":
        return auc_difference_interval(labels, theirs, ours, spec.confidence, spec.resamples, spec.seed)
    excess = _row_losses(labels, ours, spec.metric) - _row_losses(labels, theirs, spec.metric)
    return mean_interval(excess, spec.confidence, spec.resamples, spec.seed)


def _row_losses(labels: np.ndarray, probabilities: np.ndarray, metric: str) -> np.ndarray:
    if metric == "brier":
        return np.asarray((probabilities - labels) ** 2)
    return row_log_losses(labels, probabilities)


def _judge(
    models: Mapping[str, Contestant],
    difference: Interval | None,
    figures: Mapping[str, Mapping[str, float]],
    spec: ComparisonSpec,
) -> Verdict:
    digest = models[CHALLENGER].package.digest
    measured = {f"{role}_{name}": value for role, of_role in figures.items() for name, value in of_role.items()}
    thresholds: dict[str, float | str] = {
        f"{spec.metric} margin": spec.margin,
        "confidence": spec.confidence,
        "champion": models[CHAMPION].package.digest if CHAMPION in models else "none",
    }
    if difference is None:
        reasons = ["there is no champion yet: the challenger is compared with nothing"]
        return Verdict("comparison", digest, "approved", measured, thresholds, reasons)
    measured |= {
        "difference": difference.estimate,
        "difference_low": difference.low,
        "difference_high": difference.high,
    }
    outcome, reason = _conclude(difference, spec)
    if models[CHAMPION].package.digest == digest:
        reason = "the challenger is the champion itself"
    return Verdict("comparison", digest, outcome, measured, thresholds, [reason])


def _conclude(difference: Interval, spec: ComparisonSpec) -> tuple[Outcome, str]:
    measured = (
        f"{spec.metric} worse than the champion's by {number(difference.estimate)} "
        f"({spec.confidence:.0%} interval {number(difference.low)} to {number(difference.high)}; "
        f"at most {limit(spec.margin)} is allowed)"
    )
    if difference.high <= spec.margin:
        better = ", and better beyond chance" if difference.high < 0 else ""
        return "approved", f"the challenger is not worse by more than the margin{better}: {measured}"
    if difference.low > spec.margin:
        return "rejected", f"the challenger is worse: {measured}"
    return "inconclusive", f"these rows cannot tell; give more of them, or allow a wider margin: {measured}"
