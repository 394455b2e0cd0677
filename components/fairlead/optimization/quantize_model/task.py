"""Tries INT8, and keeps it only where it is faster and no worse."""

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fairlead import atomic, progress
from fairlead.errors import ConfigurationError
from fairlead.optimization import int8, packaging
from fairlead.optimization.quantize_model.comparison import Comparison, choose, compare
from fairlead.optimization.quantize_model.report import write_report
from fairlead.training.spec import ModelSpec
from fairlead.training.tabular import read_rows
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
        tolerance: By how much INT8's log loss may be above the float model's, in nats.

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
    sample = read_rows(sample_path, _model_spec(package.manifest), label)
    with tempfile.TemporaryDirectory() as scratch, progress.step("quantizing") as step:
        graph = int8.quantize(package.path / MODEL, _encode(package, packaging.spread(sample, CALIBRATION_ROWS)))
        (Path(scratch) / MODEL).write_bytes(graph.SerializeToString())
        step.advance()
        scored = packaging.spread(sample, SCORED_ROWS)
        truth = scored[label].to_numpy().astype("float32")
        candidate = replace(package, path=Path(scratch), _session=None)  # the same encoding before another graph
        comparison = compare(package, candidate, _encode(package, scored), truth)
        kept, reason = choose(comparison, tolerance)
        _write(package, graph if kept == "int8" else None, Path(chosen_path))
    write_report(report_path, comparison, kept, reason)
    return Quantization(kept, reason, package_digest(chosen_path), _metrics(comparison, kept))


def _check(manifest: Manifest, label: str, tolerance: float) -> None:
    if not tolerance >= 0:
        raise ConfigurationError(f"tolerance must be 0 nats or more, got {tolerance}")
    if label != manifest.label:
        raise ConfigurationError(f"label {label!r}: the package predicts {manifest.label!r}; name that")


def _model_spec(manifest: Manifest) -> ModelSpec:
    return ModelSpec(
        categorical=[entry.name for entry in manifest.categorical], numeric=[entry.name for entry in manifest.numeric]
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
        tensors = _encode(package, sample.slice(0, packaging.EXAMPLE_ROWS))
        example = {name: np.nan_to_num(value) for name, value in tensors.items()}
        origin = {**packaging.read_lineage(package.path), "precision": "int8", "quantized_from": package.digest}
        packaging.write_package(folder, graph, package.manifest, example, origin)
        packaging.write_reference(folder, sample, package.manifest.label, packaging.open_package(folder))


def _metrics(comparison: Comparison, kept: str) -> dict[str, float]:
    figures = {"int8_kept": float(kept == "int8")}
    for batch in comparison.float_seconds:
        figures[f"fp32_seconds_batch_{batch}"] = comparison.float_seconds[batch]
        figures[f"int8_seconds_batch_{batch}"] = comparison.int8_seconds[batch]
        figures[f"speed_up_batch_{batch}"] = comparison.speed_up(batch)
    figures["fp32_log_loss"] = comparison.float_log_loss
    figures["int8_log_loss"] = comparison.int8_log_loss
    figures["largest_difference"] = comparison.largest_difference
    return figures
