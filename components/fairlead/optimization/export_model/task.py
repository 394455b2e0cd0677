"""Turns a checkpoint into a model package, and proves that the package predicts what the checkpoint does."""

import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead import atomic
from fairlead.errors import ConfigurationError, PackageError
from fairlead.features.spec import RequestSpec
from fairlead.optimization import packaging
from fairlead.training import lineage
from fairlead.training.checkpoint import Checkpoint
from fairlead.training.recipes.protocol import Graph
from fairlead.training.recipes.registry import find_recipe
from fairlead_serving.errors import RequestInvalidError, StartupError
from fairlead_serving.fields import Schema
from fairlead_serving.package import OUTPUTS, InputInvalidError, Manifest, package_digest

if TYPE_CHECKING:
    import onnx
    import pyarrow as pa

LARGEST_DIFFERENCE = 1e-5


@dataclass(frozen=True)
class Export:
    """What came out.

    Attributes:
        digest: The package's identity.
        metrics: Figures for the run's page.
        metadata: Facts for the package artifact.
    """

    digest: str
    metrics: dict[str, float]
    metadata: dict[str, str | int | float | bool]


def export(
    checkpoint_path: Path | str,
    sample_path: Path | str,
    package_path: Path | str,
    *,
    name: str,
    label: str,
    request: Mapping[str, Any],
    feature_service: str,
) -> Export:
    """Exports a model.

    Args:
        checkpoint_path: What train_model wrote.
        sample_path: A dataset of real rows; parity is proven on them, and they become the reference sample.
        package_path: The package's folder to write.
        name: The model's name.
        label: The column that it predicts.
        request: The problem's `request` section; empty where a request holds the inputs themselves.
        feature_service: The Feast feature service that a request's features come from; empty for none.

    Returns:
        The digest, metrics and metadata.

    Raises:
        ConfigurationError: The name or the label does not fit, a key or value of `request` is wrong, or its checks
            refuse rows of the sample.
        SourceError: The checkpoint or the sample is not finished or corrupt.
        SchemaError: The sample lacks a column.
        PackageError: ONNX Runtime's answers differ from the framework's on a real row by more than 1e-5 (of the
            largest answer, where that is above 1).
    """
    started = time.monotonic()
    checkpoint = Checkpoint.read(checkpoint_path)
    _check_names(name, label, checkpoint)
    design = checkpoint.design
    graph = find_recipe(design.spec.recipe).graph(checkpoint.fitted.weights, design)
    asked = RequestSpec.parse(request, "request") if request else None
    manifest = _manifest(name, checkpoint, graph, asked, feature_service)
    count = packaging.image_rows(design.image_shape) if design.model.image else packaging.REFERENCE_ROWS
    sample = packaging.read_sample(sample_path, design.model, label, count)
    _try_checks(manifest, sample)
    with atomic.directory(package_path) as folder:
        facts, example = _lineage(checkpoint, sample_path), packaging.example_of(sample, manifest)
        packaging.write_package(folder, _onnx_graph(graph), manifest, example, facts)
        parity = prove_parity(folder, graph, sample)
        packaging.write_reference(folder, sample, label, packaging.open_package(folder))
    return _summary(Path(package_path), manifest, checkpoint, parity, time.monotonic() - started)


@dataclass(frozen=True)
class Parity:
    """How near the package is to its framework.

    Attributes:
        difference: The largest absolute difference of answers.
        allowed: What it may be.
        rows: How many rows were compared.
    """

    difference: float
    allowed: float
    rows: int


def prove_parity(folder: Path, graph: Graph, sample: "pa.Table") -> Parity:
    """Compares the package, given plain values as a client sends them, with the framework on the same rows.

    Args:
        folder: The package's folder.
        graph: The model in its framework.
        sample: Real rows.

    Returns:
        How near they are.

    Raises:
        PackageError: They differ by more than is allowed, or the package refuses the rows.
    """
    package = packaging.open_package(folder)
    try:
        served = package.predict(packaging.columns_of(sample, [entry.name for entry in package.manifest.inputs]))
    except InputInvalidError as error:
        raise PackageError(f"the package refuses rows that the model was trained on: {error}") from None
    (output,) = package.manifest.outputs
    truth = graph.predict(sample)[output]
    if served[output].shape != truth.shape:
        raise PackageError(f"ONNX Runtime answers {served[output].shape}, {graph.framework} {truth.shape}; export anew")
    differences = np.abs(served[output].astype(np.float64) - truth).reshape(len(truth), -1).max(axis=1)
    allowed = LARGEST_DIFFERENCE * max(1.0, float(np.abs(truth).max()))
    largest = float(differences.max())
    if not largest <= allowed:  # NaN fails too
        raise PackageError(
            f"row {int(differences.argmax())} of the sample differs by {largest:.3g} between ONNX Runtime and "
            f"{graph.framework}; {allowed:g} is allowed: the exported graph is not the trained model"
        )
    return Parity(largest, allowed, sample.num_rows)


def _check_names(name: str, label: str, checkpoint: Checkpoint) -> None:
    if not name or not name.replace("-", "").replace("_", "").isalnum():
        raise ConfigurationError(f"the model's name {name!r} becomes a path of URLs; use letters, digits, - and _")
    if label != checkpoint.label:
        raise ConfigurationError(
            f"label {label!r}: the checkpoint was trained to predict {checkpoint.label!r}; name that"
        )


def _manifest(
    name: str, checkpoint: Checkpoint, graph: Graph, asked: RequestSpec | None, feature_service: str
) -> Manifest:
    task = checkpoint.design.model.task
    request, checks = None, {}
    if asked is not None:
        parsed = whole_numbers(asked.model_dump(mode="json", exclude={"checks"}))
        request = {**parsed, "feature_service": feature_service or None} if asked.fields else None
        checks = {field: check.model_dump(exclude_defaults=True) for field, check in asked.checks.items()}
    return Manifest(
        name, task, checkpoint.label, graph.inputs(), outputs=(OUTPUTS[task],), classes=checkpoint.design.classes,
        request=request, checks=whole_numbers(checks),
    )  # fmt: skip


def _try_checks(manifest: Manifest, sample: "pa.Table") -> None:
    """Refuses checks that fit no field, or that refuse rows which the model knows."""
    try:
        asked = manifest.request
        schema = Schema.of_request(asked, manifest.checks) if asked else Schema.of_inputs(manifest)
        for field, check in schema.checks.items():
            if field in sample.column_names:
                check.check(field, sample[field].to_pylist())
    except (StartupError, RequestInvalidError) as error:
        raise ConfigurationError(f"request.checks: {error}") from None


def whole_numbers(value: Any) -> Any:
    """Makes whole floats integers, all the way down: KFP turns every number of a dict into a float."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: whole_numbers(inner) for key, inner in value.items()}
    return [whole_numbers(inner) for inner in value] if isinstance(value, list) else value


def _onnx_graph(graph: Graph) -> "onnx.ModelProto":
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        graph.write_onnx(path)
        made = onnx.load(str(path))
    onnx.checker.check_model(made, full_check=True)
    return made


def _lineage(checkpoint: Checkpoint, sample_path: Path | str) -> dict[str, Any]:
    return {
        **checkpoint.lineage,
        "recipe": checkpoint.design.spec.recipe,
        "hyperparameters": checkpoint.design.spec.model_dump(exclude={"pod"}),
        "seed": checkpoint.design.spec.seed,
        "best_epoch": asdict(checkpoint.fitted.best),
        "statistics": checkpoint.statistics,
        "reference": lineage.describe_dataset(sample_path),
        "precision": "fp32",
    }


def _summary(path: Path, manifest: Manifest, checkpoint: Checkpoint, parity: Parity, seconds: float) -> Export:
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    digest = package_digest(path)
    metrics = {
        "largest_difference": parity.difference,
        "allowed_difference": parity.allowed,
        "compared_rows": parity.rows,
        "package_bytes": size,
        "seconds": round(seconds, 3),
    }
    metadata: dict[str, str | int | float | bool] = {
        "digest": digest,
        "name": manifest.name,
        "task": manifest.task,
        "label": manifest.label,
        "inputs": len(manifest.inputs),
        "precision": "fp32",
        **checkpoint.fitted.best.validation,
        "train_digest": checkpoint.lineage["train"]["digest"],
    }
    return Export(digest, metrics, metadata)
