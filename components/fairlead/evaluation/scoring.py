"""Predictions over a dataset in batches: rows pass through, only labels, probabilities and slice values stay."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead import datasets
from fairlead.errors import DataError, PackageError, SchemaError, SourceError, nearest
from fairlead.progress import step
from fairlead_serving.package import InputInvalidError, ModelPackage, PackageInvalidError

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 32_768

Tensors = Mapping[str, np.ndarray]
Predictor = Callable[[Tensors], np.ndarray]
"""Inputs as the package encodes them, N rows, to P(label=1), (N,) float64."""


@dataclass(frozen=True)
class Scores:
    """What stays of the rows.

    Attributes:
        labels: (N,) int8, 0 or 1, both present.
        probabilities: By model, (N,) float64, P(label=1).
        slices: By column, the N values as a dictionary-encoded Arrow array.
    """

    labels: np.ndarray
    probabilities: dict[str, np.ndarray]
    slices: "dict[str, pa.DictionaryArray]"


def open_package(path: Path | str, role: str = "model") -> ModelPackage:
    """Opens a model package.

    Args:
        path: Its folder.
        role: What it is called in errors: `champion`.

    Raises:
        PackageError: It is incomplete or of another format.
    """
    try:
        return ModelPackage.open(path)
    except PackageInvalidError as error:
        raise PackageError(f"the {role} cannot be opened: {error}") from None


def package_predictor(package: ModelPackage, role: str = "model") -> Predictor:
    """Makes a predictor of a package.

    Args:
        package: The package.
        role: What it is called in errors.

    Returns:
        The predictor. It raises PackageError where an answer is no probability.
    """

    def predict(tensors: Tensors) -> np.ndarray:
        (probability,) = package.load().run(["probability"], dict(tensors))
        probability = np.asarray(probability, dtype=np.float64)
        wrong = ~((probability >= 0) & (probability <= 1))
        if wrong.any():
            raise PackageError(
                f"the {role} answers {probability[wrong][0]} where a probability belongs ({int(wrong.sum())} rows of "
                f"{wrong.size}); it was exported or trained wrongly"
            )
        return probability

    return predict


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


def read_batches(path: Path | str, columns: Sequence[str]) -> "Iterator[pa.RecordBatch]":
    """Streams columns of a dataset, rows in order.

    Raises:
        SourceError: The dataset is unfinished or corrupt.
    """
    import pyarrow as pa

    wanted = list(dict.fromkeys(columns))
    try:
        # Little read-ahead: pyarrow's own would hold 16 batches of each of 4 files.
        yield from datasets.scan(path).to_batches(
            columns=wanted, batch_size=BATCH_ROWS, batch_readahead=2, fragment_readahead=1
        )
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"dataset {path} cannot be read whole: {error}; make it again") from None


def encode(batch: "pa.RecordBatch", package: ModelPackage, role: str = "model") -> Tensors:
    """Turns rows into the tensors of a package.

    Args:
        batch: N rows with every input of the model.
        package: The model.
        role: What it is called in errors.

    Returns:
        As ModelPackage.encode: `numeric` float32 (N, F), `categorical` int64 (N, C).

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


def binary_labels(batch: "pa.RecordBatch", label: str) -> np.ndarray:
    """Takes the label out of a batch.

    Returns:
        (N,) int8, 0 or 1.

    Raises:
        DataError: A value is missing, or neither 0 nor 1.
    """
    import pyarrow as pa

    column = batch.column(label)
    if column.null_count:
        raise DataError(f"label {label!r} is missing in {column.null_count} rows; leave out rows that have none")
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    values = column.to_numpy(zero_copy_only=False)
    wrong = [value for value in np.unique(values).tolist() if value not in (0, 1)]
    if wrong:
        raise DataError(f"label {label!r} holds {wrong[0]!r}; a yes/no label is 0 or 1 (or false or true)")
    return np.asarray(values, dtype=np.int8)


@dataclass(frozen=True)
class Contestant:
    """A model that rows are scored with.

    Attributes:
        package: The package whose inputs and encoding it uses.
        predict: Its predictor.
        role: What it is called in errors.
    """

    package: ModelPackage
    predict: Predictor
    role: str = "model"


def score(path: Path | str, label: str, models: Mapping[str, Contestant], slices: Sequence[str]) -> Scores:
    """Predicts every row of a dataset with several models.

    Args:
        path: The dataset's folder.
        label: The label's column.
        models: By name.
        slices: Columns to keep.

    Returns:
        Labels, probabilities and slice values, rows in order.

    Raises:
        DataError: Labels are missing, not 0 or 1, or all alike.
        SchemaError: Columns do not fit a model.
        SourceError: The dataset is unfinished or corrupt.
    """
    inputs = [i.name for model in models.values() for i in model.package.manifest.inputs]
    labels: list[np.ndarray] = []
    found: dict[str, list[np.ndarray]] = {name: [] for name in models}
    kept: dict[str, list[Any]] = {column: [] for column in slices}
    with step("predicting test rows", datasets.read_manifest(path).row_count) as progress:
        for batch in read_batches(path, [label, *inputs, *slices]):
            labels.append(binary_labels(batch, label))
            for name, probability in _predict(batch, models):
                found[name].append(probability)
            for column in slices:
                kept[column].append(_encoded(batch.column(column)))
            progress.advance(batch.num_rows)
    return Scores(
        _both_classes(np.concatenate(labels), label, path),
        {name: np.concatenate(parts) for name, parts in found.items()},
        {column: _joined(parts) for column, parts in kept.items()},
    )


def _predict(batch: "pa.RecordBatch", models: Mapping[str, Contestant]) -> Iterator[tuple[str, np.ndarray]]:
    """Each model's probabilities; a package that several share encodes the rows once."""
    encoded: dict[str, Tensors] = {}
    for name, model in models.items():
        digest = model.package.digest
        if digest not in encoded:
            encoded[digest] = encode(batch, model.package, model.role)
        yield name, model.predict(encoded[digest])


def _encoded(column: "pa.Array") -> "pa.DictionaryArray":
    import pyarrow as pa

    return column if pa.types.is_dictionary(column.type) else column.dictionary_encode()


def _joined(parts: "Sequence[pa.DictionaryArray]") -> "pa.DictionaryArray":
    import pyarrow as pa

    return pa.chunked_array(parts).unify_dictionaries().combine_chunks()


def _both_classes(labels: np.ndarray, label: str, path: Path | str) -> np.ndarray:
    ones = int(labels.sum())
    if ones in (0, labels.size):
        raise DataError(
            f"label {label!r} is {1 if ones else 0} in all {labels.size} rows of {path}; both classes are needed to "
            "judge a model: give more rows, or check how the label is made"
        )
    return labels
