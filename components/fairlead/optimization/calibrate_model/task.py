"""Calibrates a model's probabilities and chooses its threshold, on validation rows."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead import atomic
from fairlead.errors import ConfigurationError, PackageError
from fairlead.evaluation.losses import row_losses
from fairlead.evaluation.metrics import expected_calibration_error
from fairlead.evaluation.scoring import Contestant, Scores, check_columns, package_predictor, score
from fairlead.optimization import packaging
from fairlead.optimization.calibrate_model.choice import Choice
from fairlead.optimization.calibrate_model.report import write_report
from fairlead.optimization.calibration import FITS, Calibration, Trial, best_trial, describe, try_methods
from fairlead.optimization.calibration_graph import add_calibration
from fairlead.optimization.calibration_spec import CalibrationSpec
from fairlead.optimization.thresholds import choose_threshold
from fairlead.progress import step
from fairlead_serving.package import MODEL, ModelPackage, package_digest

if TYPE_CHECKING:
    import onnx

LARGEST_DIFFERENCE = 1e-6
_MODEL = "model"


@dataclass(frozen=True)
class Calibrated:
    """What came out.

    Attributes:
        kept: `none`, or the method that was kept.
        reason: Why, in a sentence.
        digest: The calibrated package's identity.
        metrics: Figures for the run's page.
    """

    kept: str
    reason: str
    digest: str
    metrics: dict[str, float]


def calibrate(
    package_path: Path | str,
    validation_path: Path | str,
    calibrated_path: Path | str,
    report_path: Path | str,
    label: str,
    calibration: Mapping[str, Any],
) -> Calibrated:
    """Tries calibrations on held-out folds, keeps what helps, chooses the threshold, and writes the package.

    Args:
        package_path: The package.
        validation_path: The dataset of labelled rows that the model was not fitted on.
        calibrated_path: The package's folder to write; a copy with the same digest where nothing changes.
        report_path: The HTML page to write.
        label: The label's column.
        calibration: The section `calibration` of a problem; see CalibrationSpec.

    Returns:
        What was kept, why, and the figures.

    Raises:
        ConfigurationError: A key is wrong, or does not fit the model's task.
        DataError: Labels are missing, none of the task, or all alike.
        PackageError: The package is broken, or does not answer as its calibration says.
        SchemaError: The rows do not fit the model.
        SourceError: The dataset is not finished or corrupt.
    """
    spec = CalibrationSpec.parse(calibration, "calibration")
    package = packaging.open_package(package_path)
    methods = _check(package, label, spec)
    check_columns(validation_path, package, [label, *([spec.cluster] if spec.cluster else [])])
    choice = _choose(package, validation_path, label, spec, methods)
    with step("writing the calibrated package"):
        _write(package, choice, Path(calibrated_path))
        difference = _prove_parity(Path(calibrated_path), validation_path, label, choice)
    write_report(report_path, package.manifest, choice, spec)
    kept = choice.kept.method if choice.kept else "none"
    digest = package_digest(calibrated_path)
    return Calibrated(kept, choice.reason, digest, _metrics(choice, difference, digest != package.digest))


def _check(package: ModelPackage, label: str, spec: CalibrationSpec) -> tuple[str, ...]:
    """Which methods are to be tried."""
    manifest = package.manifest
    if label != manifest.label:
        raise ConfigurationError(f"label {label!r}: the package predicts {manifest.label!r}; name that")
    if spec.threshold is not None and manifest.task != "binary":
        raise ConfigurationError(f"a {manifest.task} model answers without a threshold; drop calibration.threshold")
    allowed = {"binary": ("temperature", "isotonic"), "multiclass": ("temperature",)}.get(manifest.task, ())
    if spec.method in ("auto", "none"):
        return allowed if spec.method == "auto" else ()
    if spec.method not in allowed:
        raise ConfigurationError(
            f"a {manifest.task} model cannot be calibrated by {spec.method!r}; it takes {', '.join(allowed) or 'none'}"
        )
    return (spec.method,)


def _choose(
    package: ModelPackage, path: Path | str, label: str, spec: CalibrationSpec, methods: tuple[str, ...]
) -> Choice:
    if package.manifest.task not in ("binary", "multiclass"):
        reason = f"A {package.manifest.task} model has no probabilities to calibrate."
        return Choice(np.zeros(0), np.zeros(0), [], None, None, reason, None, package.manifest.threshold)
    scores = _predict(package, path, label, [spec.cluster] if spec.cluster else [])
    labels, before = scores.labels, scores.predictions[_MODEL]
    clusters = scores.codes(spec.cluster, spec.cluster_seconds) if spec.cluster else None
    trials: list[Trial] = []
    if methods and labels.size >= spec.minimum_rows:
        with step("trying calibrations"):
            trials = try_methods(
                methods, labels, before, folds=spec.folds, confidence=spec.confidence, seed=spec.seed,
                clusters=clusters,
            )  # fmt: skip
    kept = best_trial(trials, spec.minimum_gain)
    fitted = FITS[kept.method](labels, before) if kept else None
    made = np.asarray(before if fitted is None else fitted.apply(before), dtype=np.float32)
    chosen = choose_threshold(labels, made, spec.threshold) if spec.threshold else None
    reason = _reason(trials, kept, fitted, labels.size, spec)
    return Choice(labels, before, trials, kept, fitted, reason, chosen, package.manifest.threshold)


def _predict(package: ModelPackage, path: Path | str, label: str, columns: list[str]) -> Scores:
    models = {_MODEL: Contestant(package, package_predictor(package))}
    return score(path, label, models, columns)


def _reason(
    trials: list[Trial], kept: Trial | None, fitted: Calibration | None, rows: int, spec: CalibrationSpec
) -> str:
    if kept is not None and fitted is not None:
        gain = kept.gain
        return (
            f"The {fitted.told} lowers log loss on held-out folds by {gain.estimate:.5f} nats "
            f"({gain.low:.5f} to {gain.high:.5f})."
        )
    if spec.method == "none":
        return "No calibration was asked for."
    if not trials:
        return f"{rows} validation rows are too few to calibrate on; {spec.minimum_rows} are demanded."
    best = max(trials, key=lambda trial: trial.gain.estimate)
    return (
        f"No calibration helps beyond chance on held-out folds: the best, {best.method}, changes log loss by "
        f"{-best.gain.estimate:+.5f} nats, and its gain's interval begins at {best.gain.low:.5f} "
        f"(above {spec.minimum_gain:g} is demanded)."
    )


def _write(package: ModelPackage, choice: Choice, target: Path) -> None:
    """Writes the new package, or copies the old one where nothing changes."""
    threshold = choice.old_threshold if choice.threshold is None else choice.threshold.value
    with atomic.directory(target) as folder:
        if choice.calibration is None and threshold == choice.old_threshold:
            shutil.copytree(package.path, folder, dirs_exist_ok=True)
            return
        manifest = replace(package.manifest, threshold=threshold)
        sample = packaging.read_reference(package.path)
        made: dict[str, object] = {"calibrated_from": package.digest, "threshold": threshold}
        if choice.calibration is not None:
            made["calibration"] = describe(choice.calibration)
        origin = {**packaging.read_lineage(package.path), **made}
        packaging.write_package(
            folder, _graph(package, choice.calibration), manifest, packaging.example_of(sample, manifest), origin
        )
        packaging.write_reference(folder, sample, manifest.label, packaging.open_package(folder))


def _graph(package: ModelPackage, calibration: Calibration | None) -> "onnx.ModelProto":
    import onnx

    model = onnx.load(str(package.path / MODEL))
    return model if calibration is None else add_calibration(model, calibration)


def _prove_parity(path: Path, validation: Path | str, label: str, choice: Choice) -> float:
    """Compares the new package's answers with the calibration of the old one's, on all validation rows.

    Returns:
        The largest difference of probabilities; 0 where there are none.

    Raises:
        PackageError: It is above `LARGEST_DIFFERENCE`.
    """
    if not choice.labels.size:
        return 0.0
    served = _predict(packaging.open_package(path), validation, label, []).predictions[_MODEL]
    largest = float(np.abs(served - choice.after).max())
    if not largest <= LARGEST_DIFFERENCE:  # NaN fails too
        raise PackageError(
            f"the calibrated package's answers differ by {largest:.3g} from what was fitted; {LARGEST_DIFFERENCE:g} is "
            "allowed: its graph is not the calibration"
        )
    return largest


def _metrics(choice: Choice, difference: float, changed: bool) -> dict[str, float]:
    figures = {
        "changed": float(changed),
        "calibrated": float(choice.kept is not None),
        "rows": float(choice.labels.size),
    }
    if not choice.labels.size:
        return figures
    figures |= {"largest_difference": difference, **_quality("before", choice.labels, choice.before)}
    for trial in choice.trials:
        figures[f"{trial.method}_gain"] = trial.gain.estimate
    if choice.kept is not None:
        figures |= _quality("after", choice.labels, choice.kept.probabilities)
        figures |= {"gain_low": choice.kept.gain.low, "gain_high": choice.kept.gain.high}
    if choice.threshold is not None:
        figures |= {"threshold": choice.threshold.value, "criterion_at_threshold": choice.threshold.criterion}
    return figures


def _quality(when: str, labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Log loss and calibration error; of several classes, the error of the most probable one."""
    task = "binary" if probabilities.ndim == 1 else "multiclass"
    truth, said = labels, probabilities
    if task == "multiclass":
        truth, said = (probabilities.argmax(axis=1) == labels).astype(np.int8), probabilities.max(axis=1)
    return {
        f"log_loss_{when}": float(row_losses(task, labels, probabilities).mean()),
        f"calibration_error_{when}": expected_calibration_error(truth, said),
    }
