"""Writes model packages: an MLflow model of the ONNX flavour, and fairlead's own facts beside it.

Nothing in a package depends on when or where it was written, so equal models are equal packages, with one digest.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead import atomic, datasets
from fairlead.errors import PackageError
from fairlead.optimization.mlmodel import write_mlflow_model
from fairlead.training.labels import check_label
from fairlead.training.spec import ModelSpec
from fairlead.training.tabular import check_present, check_types, read_rows, wanted_columns
from fairlead_serving.package import FIRST_KNOWN, MANIFEST, Manifest, ModelPackage, PackageInvalidError

if TYPE_CHECKING:
    import onnx
    import pyarrow as pa

LINEAGE = "fairlead/lineage.json"
REFERENCE = "fairlead/reference.parquet"
REFERENCE_ROWS = 5_000
REFERENCE_IMAGES = 500
REFERENCE_PIXELS = 2**26  # bytes of all pictures of a reference sample, decoded
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
    write_mlflow_model(folder, graph, example, manifest)
    atomic.write_json(folder / MANIFEST, manifest.to_json())
    atomic.write_json(folder / LINEAGE, lineage)


def write_reference(folder: Path, sample: "pa.Table", label: str, package: ModelPackage) -> None:
    """Adds the reference sample to a package: inputs, label, and what the package itself predicts.

    Args:
        folder: The package's folder.
        sample: Some real rows, from `read_sample`.
        label: The label's column.
        package: The package as opened from the folder.
    """
    import pyarrow.parquet as pq

    names = [entry.name for entry in package.manifest.inputs]
    table = sample.select([*names, label])
    for name, values in package.predict(columns_of(sample, names)).items():
        table = table.append_column(name, _output_column(values))
    pq.write_table(table, folder / REFERENCE, compression="zstd")


def _output_column(values: "np.ndarray[Any, Any]") -> "pa.Array":
    """An output as a column: numbers, or of K classes a list of K numbers in each row."""
    import pyarrow as pa

    numbers = pa.array(values.ravel(), pa.float32())
    return numbers if values.ndim == 1 else pa.FixedSizeListArray.from_arrays(numbers, values.shape[1])


def read_sample(path: Path | str, model: ModelSpec, label: str, count: int = REFERENCE_ROWS) -> "pa.Table":
    """Reads at most so many rows, evenly spread over a dataset; of pictures fewer, as many as are light to carry.

    Args:
        path: The dataset.
        model: Task and inputs.
        label: The label's column.
        count: The most rows.

    Raises:
        SourceError: The dataset is not finished or corrupt.
        SchemaError: A column is absent or of a wrong type.
        DataError: The labels will not do for the task.
    """
    if not model.image:
        return spread(read_rows(path, model, label), count)
    manifest, scanned = datasets.read_manifest(path), datasets.scan(path)
    check_present(wanted_columns(model, label), list(manifest.columns), manifest.name)
    check_types(scanned.schema, model, manifest.name)
    table = scanned.take(spread_positions(manifest.row_count, count), columns=wanted_columns(model, label))
    check_label(table[label], model.task, label, manifest.name)
    return table


def image_rows(shape: tuple[int, ...]) -> int:
    """Pictures of a reference sample."""
    return int(max(EXAMPLE_ROWS, min(REFERENCE_IMAGES, REFERENCE_PIXELS // int(np.prod(shape)))))


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


def encode_rows(table: "pa.Table", manifest: Manifest) -> Tensors:
    """Encodes rows as the server would, before there is a package to open."""
    codes = {i.name: {v: n + FIRST_KNOWN for n, v in enumerate(i.vocabulary)} for i in manifest.categorical}
    package = ModelPackage(Path(), "", manifest, _codes=codes)
    return package.encode(columns_of(table, [entry.name for entry in manifest.inputs]))


def example_of(table: "pa.Table", manifest: Manifest) -> Tensors:
    """The input example of a package: its first rows as tensors, gaps as zeros; one row where there are pictures."""
    tensors = encode_rows(table.slice(0, 1 if manifest.images else EXAMPLE_ROWS), manifest)
    return {name: np.nan_to_num(value) for name, value in tensors.items()}


def spread(table: "pa.Table", count: int) -> "pa.Table":
    """At most so many rows, evenly spread over a table, in its order."""
    return table if table.num_rows <= count else table.take(spread_positions(table.num_rows, count))


def spread_positions(rows: int, count: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """At most so many of a number of rows, evenly spread, in order."""
    return np.linspace(0, rows - 1, min(rows, count)).astype(np.int64)


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
