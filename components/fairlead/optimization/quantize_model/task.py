"""Tries INT8, and keeps it only where it is faster and no worse."""

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead import atomic, progress
from fairlead.errors import ConfigurationError
from fairlead.optimization import int8, packaging
from fairlead.optimization.quantize_model.comparison import choose, compare
from fairlead.optimization.quantize_model.report import write_report
from fairlead.training.labels import encode_label
from fairlead.training.spec import ModelSpec
from fairlead_serving.package import MODEL, Manifest, ModelPackage, package_digest

if TYPE_CHECKING:
    import onnx
    import pyarrow as pa

CALIBRATION_ROWS = 1_000
SCORED_ROWS = 5_000


@dataclass(frozen=True)
class Quantization:
    """What came out.

    Attributes:
        kept: `int8` or `fp32`.
        reason: Why, in a sentence.
        digest: The chosen package's identity.
        metrics: Figures for the run's page.
    """

    kept: str
    reason: str
    digest: str
    metrics: dict[str, float]


def quantize(
    package_path: Path | str,
    sample_path: Path | str,
    chosen_path: Path | str,
    report_path: Path | str,
    *,
    label: str,
    tolerance: float,
) -> Quantization:
    """Quantizes a package, compares, and writes the better of the two.

    Args:
        package_path: The float package.
        sample_path: A dataset of real, labelled rows: they calibrate and they score.
        chosen_path: The package's folder to write: INT8, or a copy of the float package with the same digest.
        report_path: The HTML page to write.
        label: The label's column.
        tolerance: By how much INT8 may be worse than float: in nats of log loss; for regression and ranking as a share
            of the RMSE.

    Returns:
        Which was kept, why, and the figures.

    Raises:
        ConfigurationError: The tolerance is negative, or the label is another one.
        PackageError: The package is incomplete.
        SourceError: The sample is not finished or corrupt.
        SchemaError: The sample lacks a column.
        DataError: The sample's label will not do.
    """
    package = packaging.open_package(package_path)
    _check(package.manifest, label, tolerance)
    manifest = package.manifest
    count = packaging.image_rows(manifest.images[0].shape) * 2 if manifest.images else SCORED_ROWS
    scored = packaging.read_sample(sample_path, _model_spec(manifest), label, count)
    truth = encode_label(scored[label], manifest.task, manifest.classes, label)
    if not int8.can_quantize(package.path / MODEL):
        return _keep_float(package, Path(chosen_path), report_path)
    with tempfile.TemporaryDirectory() as scratch, progress.step("quantizing") as step:
        calibration = _encode(package, packaging.spread(scored, CALIBRATION_ROWS))
        graph = int8.quantize(package.path / MODEL, calibration, whole=bool(manifest.images))
        (Path(scratch) / MODEL).write_bytes(graph.SerializeToString())
        step.advance()
        candidate = replace(package, path=Path(scratch), _session=None)  # the same encoding before another graph
        comparison = compare(package, candidate, _encode(package, scored), truth)
        kept, reason = choose(comparison, tolerance)
        _write(package, graph if kept == "int8" else None, Path(chosen_path))
    write_report(report_path, comparison, kept, reason)
    figures = {"int8_kept": float(kept == "int8"), **comparison.figures()}
    return Quantization(kept, reason, package_digest(chosen_path), figures)


def _keep_float(package: ModelPackage, chosen_path: Path, report_path: Path | str) -> Quantization:
    """Hands on a model without matrix products, such as trees."""
    reason = "The model has no matrix products or convolutions, so there is nothing to quantize."
    _write(package, None, chosen_path)
    write_report(report_path, None, "fp32", reason)
    return Quantization("fp32", reason, package_digest(chosen_path), {"int8_kept": 0.0})


def _check(manifest: Manifest, label: str, tolerance: float) -> None:
    if not tolerance >= 0:
        raise ConfigurationError(f"tolerance must be 0 or more, got {tolerance}")
    if label != manifest.label:
        raise ConfigurationError(f"label {label!r}: the package predicts {manifest.label!r}; name that")


def _model_spec(manifest: Manifest) -> ModelSpec:
    """What reading the sample needs; a ranking is scored as numbers, for which groups do not matter."""
    return ModelSpec.parse(
        {
            "task": "regression" if manifest.task == "ranking" else manifest.task,
            "categorical": [entry.name for entry in manifest.categorical],
            "numeric": [entry.name for entry in manifest.numeric],
            "image": manifest.images[0].name if manifest.images else "",
        },
        "model",
    )


def _encode(package: ModelPackage, rows: "pa.Table") -> packaging.Tensors:
    return package.encode(packaging.columns_of(rows, [entry.name for entry in package.manifest.inputs]))


def _write(package: ModelPackage, graph: "onnx.ModelProto | None", target: Path) -> None:
    """Writes a package around an INT8 graph, with its own reference probabilities, or copies the float package."""
    with atomic.directory(target) as folder:
        if graph is None:
            shutil.copytree(package.path, folder, dirs_exist_ok=True)
            return
        sample = packaging.read_reference(package.path)
        example = packaging.example_of(sample, package.manifest)
        origin = {**packaging.read_lineage(package.path), "precision": "int8", "quantized_from": package.digest}
        packaging.write_package(folder, graph, package.manifest, example, origin)
        packaging.write_reference(folder, sample, package.manifest.label, packaging.open_package(folder))
