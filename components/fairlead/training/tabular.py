"""Tables as arrays: what a tabular recipe trains on, encoded as `fairlead_serving` encodes requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead import datasets
from fairlead.errors import ConfigurationError, SchemaError, nearest
from fairlead.training.labels import check_label, encode_groups, encode_label, fit_classes
from fairlead.training.spec import ModelSpec
from fairlead_serving.package import FIRST_KNOWN, MISSING, UNKNOWN

if TYPE_CHECKING:
    import pyarrow as pa

Floats = np.ndarray[Any, np.dtype[np.float32]]
Codes = np.ndarray[Any, np.dtype[np.int64]]
Vocabularies = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Rows:
    """Encoded rows.

    Attributes:
        numeric: float32 (N, F), columns in the model's order, NaN where missing.
        categorical: int64 (N, C): 0 missing, 1 unknown, 2 + i the i-th word of the column's vocabulary.
        label: (N,): float32 for binary (0 or 1), regression and ranking; int64 class numbers for multiclass.
        group: int64 (N,), the groups of a ranking; None for other tasks.
    """

    numeric: Floats
    categorical: Codes
    label: np.ndarray[Any, Any]
    group: Codes | None = None

    def __len__(self) -> int:
        return len(self.label)


def read_rows(path: Path | str, model: ModelSpec, label: str, *, latest: int | None = None) -> "pa.Table":
    """Reads the columns that a model needs, and checks them.

    Args:
        path: A dataset's folder.
        model: The model's inputs.
        label: The column to predict.
        latest: Keep only so many of the latest rows (by the dataset's time column, else the last ones).

    Returns:
        A table of the inputs, the label and, for a ranking, the group, in the dataset's order.

    Raises:
        SchemaError: A column is absent or of a type that the model cannot take.
        DataError: There are too few rows, or labels that will not do for the task.
        ConfigurationError: The label or the group is among the inputs.
    """
    manifest, wanted = datasets.read_manifest(path), wanted_columns(model, label)
    check_present(wanted, list(manifest.columns), manifest.name)
    table = datasets.read_table(path, wanted)
    if latest is not None and table.num_rows > latest:
        table = table.take(latest_rows(path, latest))
    check_types(table.schema, model, manifest.name)
    check_label(table[label], model.task, label, manifest.name)
    return table


def wanted_columns(model: ModelSpec, label: str) -> list[str]:
    """The columns that training reads: inputs, label, group.

    Raises:
        ConfigurationError: The label or the group is among the inputs, or they are the same.
    """
    for role, name in (("label", label), ("group", model.group)):
        if name in model.columns:
            raise ConfigurationError(f"the {role} {name!r} is among the model's inputs; take it out of model.*")
    if label == model.group:
        raise ConfigurationError(f"the label {label!r} is also model.group; rows of a group differ in relevance")
    return [*model.columns, label, *([model.group] if model.group else [])]


def fit_vocabularies(table: "pa.Table", columns: Sequence[str], at_most: int | None = None) -> dict[str, list[str]]:
    """Lists the values of categorical columns.

    Args:
        table: The training rows.
        columns: The categorical columns.
        at_most: Values of a column; where it has more, the most frequent are taken. None for no limit.

    Returns:
        The distinct values of each column, sorted; without a limit they depend on the rows only as a set.
    """
    return {name: sorted(_words(table[name], at_most)) for name in columns}


def _words(column: "pa.ChunkedArray", at_most: int | None) -> list[str]:
    import pyarrow.compute as pc

    texts = _texts(column)
    words: list[str] = pc.unique(texts).drop_null().to_pylist()
    if at_most is None or len(words) <= at_most:
        return words
    counts = {entry["values"]: entry["counts"] for entry in pc.value_counts(texts).to_pylist()}
    return sorted(words, key=lambda word: (-counts[word], word))[:at_most]


def encode(
    table: "pa.Table", model: ModelSpec, vocabularies: Vocabularies, label: str, classes: Sequence[str] = ()
) -> Rows:
    """Turns a table into arrays.

    Args:
        table: Rows from `read_rows`.
        model: The model's inputs.
        vocabularies: Of the categorical columns, from `fit_vocabularies` on the training rows.
        label: The column to predict.
        classes: Of a multiclass label, from `labels.fit_classes` on the training rows.

    Returns:
        The encoded rows.

    Raises:
        DataError: A row has a class that is none of `classes`, or a ranking has no groups.
    """
    group = encode_groups(table[model.group], model.group) if model.group else None
    return Rows(
        *encode_inputs(table, model, vocabularies), encode_label(table[label], model.task, classes, label), group
    )


def encode_inputs(table: "pa.Table", model: ModelSpec, vocabularies: Vocabularies) -> tuple[Floats, Codes]:
    """Turns the numeric and categorical columns of a table into arrays: float32 (N, F) and int64 (N, C)."""
    numeric = [_numbers(table[name]) for name in model.numeric]
    codes = [_codes(table[name], vocabularies[name]) for name in model.categorical]
    return (
        np.stack(numeric, axis=1) if numeric else np.zeros((table.num_rows, 0), np.float32),
        np.stack(codes, axis=1) if codes else np.zeros((table.num_rows, 0), np.int64),
    )


def read_pair(
    train_path: Path | str, validation_path: Path | str, model: ModelSpec, label: str, latest: int | None = None
) -> tuple[Rows, Rows, dict[str, list[str]], tuple[str, ...]]:
    """Reads and encodes training and validation rows: the data module of every recipe for tables.

    Args:
        train_path: The dataset to learn from.
        validation_path: The dataset that chooses the epoch.
        model: Task and inputs.
        label: The column to predict.
        latest: Only so many of the latest training rows.

    Returns:
        Both sets of rows; vocabularies and classes of the training rows.

    Raises:
        ConfigurationError, SchemaError, DataError: See `read_rows` and `encode`.
    """
    table = read_rows(train_path, model, label, latest=latest)
    vocabularies = fit_vocabularies(table, model.categorical)
    classes = fit_classes(table[label]) if model.task == "multiclass" else ()
    train = encode(table, model, vocabularies, label, classes)
    validation = encode(read_rows(validation_path, model, label), model, vocabularies, label, classes)
    return train, validation, vocabularies, classes


def check_present(wanted: Sequence[str], present: Sequence[str], name: str) -> None:
    """Checks that a dataset has the columns that a model needs.

    Raises:
        SchemaError: Some are absent; each is named with the nearest.
    """
    absent = [column for column in wanted if column not in present]
    if absent:
        hints = "; ".join(f"{column!r}: {nearest(column, present)}" for column in absent)
        raise SchemaError(f"dataset {name!r} lacks columns that the model needs: {hints}")


def check_types(schema: "pa.Schema", model: ModelSpec, name: str) -> None:
    """Checks that columns are of types that the model can take.

    Raises:
        SchemaError: One is not; the text says where it would belong.
    """
    import pyarrow.types as kinds

    for column in model.numeric:
        kind = schema.field(column).type
        if not (kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_boolean(kind) or kinds.is_decimal(kind)):
            raise SchemaError(f"dataset {name!r}: {column!r} is {kind}, no number; list it under model.categorical")
    for column in model.categorical:
        kind = schema.field(column).type
        kind = kind.value_type if kinds.is_dictionary(kind) else kind
        if not (kinds.is_integer(kind) or kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_null(kind)):
            # floats and booleans would be spelt differently by a client and by Arrow: 1.0 and 1, True and true
            raise SchemaError(f"dataset {name!r}: {column!r} is {kind}; a categorical column holds text or integers")
    if model.image:
        kind = schema.field(model.image).type
        if not (kinds.is_binary(kind) or kinds.is_large_binary(kind)):
            raise SchemaError(f"dataset {name!r}: {model.image!r} is {kind}; an image column holds PNG or JPEG files")


def latest_rows(path: Path | str, count: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """The positions of a dataset's latest rows, by its time column, else of the last ones; in the dataset's order."""
    import pyarrow as pa
    import pyarrow.compute as pc

    manifest = datasets.read_manifest(path)
    if manifest.time_column is None:
        return np.arange(max(0, manifest.row_count - count), manifest.row_count)
    times = datasets.read_table(path, [manifest.time_column])[manifest.time_column]
    numbers = pc.fill_null(times.cast(pa.int64()), np.iinfo(np.int64).min).to_numpy()
    return np.sort(np.argsort(numbers, kind="stable")[-count:])


def _texts(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    import pyarrow as pa

    return column.cast(pa.string())


def _codes(column: "pa.ChunkedArray", vocabulary: Sequence[str]) -> Codes:
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = _texts(column)
    index = pc.index_in(texts, value_set=pa.array(vocabulary, pa.string()), skip_nulls=True)
    known = pc.add(index.cast(pa.int64()), FIRST_KNOWN)
    codes = pc.if_else(pc.is_null(texts), MISSING, pc.fill_null(known, UNKNOWN))
    return np.asarray(codes.to_numpy(), dtype=np.int64)


def _numbers(column: "pa.ChunkedArray") -> Floats:
    import pyarrow as pa

    # null becomes NaN; a copy, because torch takes only arrays that may be written to
    return np.array(column.cast(pa.float32(), safe=False).to_numpy(), dtype=np.float32)


def describe_numbers(rows: Rows, model: ModelSpec) -> dict[str, dict[str, float | None]]:
    """Median, mean, standard deviation and share of missing values of each numeric column; None without any value."""
    described: dict[str, dict[str, float | None]] = {}
    for position, name in enumerate(model.numeric):
        column = rows.numeric[:, position].astype(np.float64)
        values = column[np.isfinite(column)]
        some = len(values) > 0
        described[name] = {
            "median": float(np.median(values)) if some else None,
            "mean": float(values.mean()) if some else None,
            "standard_deviation": float(values.std()) if some else None,
            "missing_share": 1.0 - len(values) / len(column),
        }
    return described
