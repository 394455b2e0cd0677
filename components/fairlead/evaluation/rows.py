"""Rows of a dataset as they are judged: read in batches, checked against a model, encoded for it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fairlead import datasets
from fairlead.errors import DataError, SchemaError, SourceError, nearest
from fairlead_serving.package import InputInvalidError, ModelPackage

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 32_768
IMAGE_BATCH_ROWS = 256  # a convolution's activations are some hundred times its image

Tensors = Mapping[str, np.ndarray]


def check_columns(path: Path | str, package: ModelPackage, others: Sequence[str], role: str = "model") -> None:
    """Makes sure that a dataset has what a model takes, and other columns.

    Args:
        path: The dataset's folder.
        package: The model.
        others: Further columns: the label, the slices.
        role: What the model is called in errors.

    Raises:
        SchemaError: A column is absent.
    """
    present = list(datasets.read_manifest(path).columns)
    absent = [i.name for i in package.manifest.inputs if i.name not in present]
    if absent:
        raise SchemaError(
            f"the {role} takes columns that dataset {path} does not have: {', '.join(absent)}; it has "
            f"{', '.join(sorted(present))}. Give rows that were made for this model"
        )
    for column in others:
        if column not in present:
            raise SchemaError(f"dataset {path} has no column {column!r}; {nearest(column, present)}")


def read_batches(path: Path | str, columns: Sequence[str], rows: int = BATCH_ROWS) -> "Iterator[pa.RecordBatch]":
    """Streams columns of a dataset, rows in order.

    Args:
        path: The dataset's folder.
        columns: Their names.
        rows: Of a batch, at most.

    Raises:
        SourceError: The dataset is unfinished or corrupt.
    """
    import pyarrow as pa

    wanted = list(dict.fromkeys(columns))
    try:
        # Little read-ahead: pyarrow's own would hold 16 batches of each of 4 files.
        yield from datasets.scan(path).to_batches(
            columns=wanted, batch_size=rows, batch_readahead=2, fragment_readahead=1
        )
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"dataset {path} cannot be read whole: {error}; make it again") from None


def batch_rows(packages: Sequence[ModelPackage]) -> int:
    """How many rows are predicted at once."""
    return IMAGE_BATCH_ROWS if any(package.manifest.images for package in packages) else BATCH_ROWS


def encode(batch: "pa.RecordBatch", package: ModelPackage, role: str = "model") -> Tensors:
    """Turns rows into the tensors of a package.

    Args:
        batch: N rows with every input of the model.
        package: The model.
        role: What it is called in errors.

    Returns:
        As ModelPackage.encode: `numeric` float32 (N, F), `categorical` int64 (N, C), images uint8 (N, H, W, channels).

    Raises:
        SchemaError: A column holds what the model cannot take.
    """
    import pyarrow as pa

    columns = {i.name: batch.column(i.name) for i in package.manifest.inputs}
    for name in (i.name for i in package.manifest.categorical):
        columns[name] = columns[name].cast(pa.string())
    try:
        return package.encode({name: column.to_numpy(zero_copy_only=False) for name, column in columns.items()})
    except InputInvalidError as error:
        raise SchemaError(f"the {role} cannot take these rows: {error}") from None


def encoded(column: "pa.Array") -> "pa.DictionaryArray":
    """A column by its distinct values."""
    import pyarrow as pa

    return column if pa.types.is_dictionary(column.type) else column.dictionary_encode()


def joined(parts: "Sequence[pa.DictionaryArray]") -> "pa.DictionaryArray":
    """The parts of a column as one, with one list of distinct values."""
    import pyarrow as pa

    return pa.chunked_array(parts).unify_dictionaries().combine_chunks()


def spans(times: "pa.Array", column: str, seconds: int) -> np.ndarray:
    """Numbers the spans of equal length that times lie in, from 0 for the first: (N,) int64.

    Args:
        times: N of them.
        column: Their column, for errors.
        seconds: The length of a span.

    Raises:
        SchemaError: They are no times.
    """
    import pyarrow as pa

    if not pa.types.is_timestamp(times.type):
        raise SchemaError(
            f"cluster_seconds cuts a column of times, and {column!r} is of type {times.type}; leave it out to take "
            "each of its values for a cluster"
        )
    micros = times.cast(pa.timestamp("us", tz=times.type.tz)).cast(pa.int64()).to_numpy(zero_copy_only=False)
    _, numbered = np.unique(micros // (seconds * 1_000_000), return_inverse=True)
    return np.asarray(numbered, dtype=np.int64)


def check_labels(labels: np.ndarray, label: str, path: Path | str, task: str) -> np.ndarray:
    """Makes sure that there are rows, and of a yes/no question both answers.

    Raises:
        DataError: There are none.
    """
    if not labels.size:
        raise DataError(f"dataset {path} has no rows; give rows to judge the model on")
    ones = int(labels.sum()) if task == "binary" else 1
    if task == "binary" and ones in (0, labels.size):
        raise DataError(
            f"label {label!r} is {1 if ones else 0} in all {labels.size} rows of {path}; both classes are needed to "
            "judge a model: give more rows, or check how the label is made"
        )
    return labels
