"""Writes model packages: an MLflow model of the ONNX flavour, and fairlead's own facts beside it.

Nothing in a package depends on when or where it was written, so equal models are equal packages, with one digest.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead import atomic
from fairlead.errors import PackageError
from fairlead.optimization.mlmodel import write_mlflow_model
from fairlead_serving.package import MANIFEST, Manifest, ModelPackage, PackageInvalidError

if TYPE_CHECKING:
    import onnx
    import pyarrow as pa

LINEAGE = "fairlead/lineage.json"
REFERENCE = "fairlead/reference.parquet"
REFERENCE_ROWS = 5_000
EXAMPLE_ROWS = 2

Tensors = dict[str, np.ndarray[Any, Any]]


def write_package(
    folder: Path, graph: "onnx.ModelProto", manifest: Manifest, example: Tensors, lineage: dict[str, Any]
) -> None:
    """Fills a new folder with a package, except for its reference sample.

    Args:
        folder: Empty.
        graph: The ONNX graph.
        manifest: What the package is.
        example: Tensors of the graph's inputs, a few rows.
        lineage: Where it comes from.
    """
    write_mlflow_model(folder, graph, example)
    atomic.write_json(folder / MANIFEST, manifest.to_json())
    atomic.write_json(folder / LINEAGE, lineage)


def write_reference(folder: Path, sample: "pa.Table", label: str, package: ModelPackage) -> None:
    """Adds the reference sample to a package: inputs, label, and what the package itself predicts.

    Args:
        folder: The package's folder.
        sample: At most `REFERENCE_ROWS` real rows: the inputs and the label.
        label: The label's column.
        package: The package as opened from the folder.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [entry.name for entry in package.manifest.inputs]
    probability = package.predict(columns_of(sample, names))["probability"]
    table = sample.select([*names, label]).append_column("probability", pa.array(probability, pa.float32()))
    pq.write_table(table, folder / REFERENCE, compression="zstd")


def read_reference(folder: Path) -> "pa.Table":
    """Reads a package's reference sample: inputs, label, probability.

    Raises:
        PackageError: It is absent or corrupt.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(folder / REFERENCE)
    except (OSError, pa.ArrowException) as error:
        raise PackageError(f"the package {folder} has no readable {REFERENCE} ({error}); export it again") from None


def columns_of(table: "pa.Table", names: list[str]) -> dict[str, list[Any]]:
    """Columns as a client would send them: plain Python values, None where missing."""
    return {name: table[name].to_pylist() for name in names}


def spread(table: "pa.Table", count: int) -> "pa.Table":
    """At most so many rows, evenly spread over a table, in its order."""
    if table.num_rows <= count:
        return table
    return table.take(np.linspace(0, table.num_rows - 1, count).astype(np.int64))


def open_package(path: Path | str) -> ModelPackage:
    """Opens a package.

    Raises:
        PackageError: It is incomplete or of another format.
    """
    try:
        return ModelPackage.open(path)
    except PackageInvalidError as error:
        raise PackageError(str(error)) from None


def read_lineage(path: Path | str) -> dict[str, Any]:
    """Reads a package's lineage.

    Raises:
        PackageError: It is absent or no JSON.
    """
    try:
        return dict(json.loads((Path(path) / LINEAGE).read_text()))
    except (OSError, ValueError) as error:
        raise PackageError(f"the package {path} has no readable {LINEAGE} ({error}); export the model again") from None
