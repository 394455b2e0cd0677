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
from fairlead.training.tabular import Rows, encode, read_rows
from fairlead_serving.package import InputInvalidError, Manifest, ModelInput, package_digest

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
        ConfigurationError: The name or the label does not fit, or a key or value of `request` is wrong.
        SourceError: The checkpoint or the sample is not finished or corrupt.
        SchemaError: The sample lacks a column.
        PackageError: ONNX Runtime's probabilities differ from torch's by more than 1e-5 on a real row.
    """
    started = time.monotonic()
    checkpoint = Checkpoint.read(checkpoint_path)
    _check_names(name, label, checkpoint)
    design = checkpoint.design
    graph = find_recipe(design.spec.recipe).graph(checkpoint.fitted.weights, design)
    sample = packaging.spread(read_rows(sample_path, design.model, label), packaging.REFERENCE_ROWS)
    rows = encode(sample, design.model, design.vocabularies, label)
    manifest = _manifest(name, checkpoint, _request(request, feature_service))
    with atomic.directory(package_path) as folder:
        facts = _lineage(checkpoint, sample_path)
        packaging.write_package(folder, _onnx_graph(graph), manifest, _tensors(rows, packaging.EXAMPLE_ROWS), facts)
        difference = prove_parity(folder, graph, sample, rows)
        packaging.write_reference(folder, sample, label, packaging.open_package(folder))
    return _summary(Path(package_path), manifest, checkpoint, difference, len(rows), time.monotonic() - started)


def prove_parity(folder: Path, graph: Graph, sample: "pa.Table", rows: Rows) -> float:
    """Compares the package, given plain values as a client sends them, with the framework on encoded rows.

    Args:
        folder: The package's folder.
        graph: The model in its framework.
        sample: Real rows.
        rows: The same rows, encoded as in training.

    Returns:
        The largest absolute difference of probabilities.

    Raises:
        PackageError: It is above `LARGEST_DIFFERENCE`, or the package refuses the rows.
    """
    package = packaging.open_package(folder)
    try:
        served = package.predict(packaging.columns_of(sample, [entry.name for entry in package.manifest.inputs]))
    except InputInvalidError as error:
        raise PackageError(f"the package refuses rows that the model was trained on: {error}") from None
    differences = np.abs(served["probability"] - graph.probabilities(rows.numeric, rows.categorical))
    largest = float(differences.max())
    if not largest <= LARGEST_DIFFERENCE:  # NaN fails too
        text = f"row {int(differences.argmax())} of the sample differs by {largest:.3g} between ONNX Runtime and torch"
        raise PackageError(f"{text}; {LARGEST_DIFFERENCE:g} is allowed: the exported graph is not the trained model")
    return largest


def _check_names(name: str, label: str, checkpoint: Checkpoint) -> None:
    if not name or not name.replace("-", "").replace("_", "").isalnum():
        raise ConfigurationError(f"the model's name {name!r} becomes a path of URLs; use letters, digits, - and _")
    if label != checkpoint.label:
        raise ConfigurationError(
            f"label {label!r}: the checkpoint was trained to predict {checkpoint.label!r}; name that"
        )


def _manifest(name: str, checkpoint: Checkpoint, request: dict[str, Any] | None) -> Manifest:
    design = checkpoint.design
    words = design.vocabularies
    categorical = [ModelInput(column, "categorical", tuple(words[column])) for column in design.model.categorical]
    numeric = [ModelInput(column, "numeric") for column in design.model.numeric]
    return Manifest(name, "binary", checkpoint.label, (*categorical, *numeric), request=request)


def _request(request: Mapping[str, Any], feature_service: str) -> dict[str, Any] | None:
    if not request:
        return None
    parsed = RequestSpec.parse(request, "request").model_dump(mode="json")
    return {**whole_numbers(parsed), "feature_service": feature_service or None}


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


def _tensors(rows: Rows, count: int) -> packaging.Tensors:
    tensors: packaging.Tensors = {
        "numeric": np.nan_to_num(rows.numeric[:count], nan=0.0),
        "categorical": rows.categorical[:count],
    }
    return {name: value for name, value in tensors.items() if value.shape[1]}


def _lineage(checkpoint: Checkpoint, sample_path: Path | str) -> dict[str, Any]:
    return {
        **checkpoint.lineage,
        "recipe": checkpoint.design.spec.recipe,
        "hyperparameters": checkpoint.design.spec.model_dump(),
        "seed": checkpoint.design.spec.seed,
        "best_epoch": asdict(checkpoint.fitted.best),
        "statistics": checkpoint.statistics,
        "reference": lineage.describe_dataset(sample_path),
        "precision": "fp32",
    }


def _summary(
    path: Path, manifest: Manifest, checkpoint: Checkpoint, difference: float, rows: int, seconds: float
) -> Export:
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    digest = package_digest(path)
    metrics = {
        "largest_difference": difference,
        "allowed_difference": LARGEST_DIFFERENCE,
        "compared_rows": rows,
        "package_bytes": size,
        "seconds": round(seconds, 3),
    }
    metadata: dict[str, str | int | float | bool] = {
        "digest": digest,
        "name": manifest.name,
        "label": manifest.label,
        "inputs": len(manifest.inputs),
        "precision": "fp32",
        "validation_log_loss": checkpoint.fitted.best.validation_log_loss,
        "train_digest": checkpoint.lineage["train"]["digest"],
    }
    return Export(digest, metrics, metadata)
