"""Tables as arrays: what a tabular recipe trains on, encoded as `fairlead_serving` encodes requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead import datasets
from fairlead.errors import ConfigurationError, DataError, SchemaError, nearest
from fairlead.training.spec import ModelSpec
from fairlead_serving.package import FIRST_KNOWN, MISSING, UNKNOWN

if TYPE_CHECKING:
    import pyarrow as pa

MINIMUM_ROWS = 20

Floats = np.ndarray[Any, np.dtype[np.float32]]
Codes = np.ndarray[Any, np.dtype[np.int64]]
Vocabularies = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Rows:
    """Encoded rows.

    Attributes:
        numeric: float32 (N, F), columns in the model's order, NaN where missing.
        categorical: int64 (N, C): 0 missing, 1 unknown, 2 + i the i-th word of the column's vocabulary.
        label: float32 (N,), 0 or 1.
    """

    numeric: Floats
    categorical: Codes
    label: Floats

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
        A table of the inputs and the label, in the dataset's order.

    Raises:
        SchemaError: A column is absent or of a type that the model cannot take.
        DataError: There are too few rows, or the label is missing somewhere, not 0 or 1, or always the same.
        ConfigurationError: The label is among the inputs.
    """
    if label in model.columns:
        raise ConfigurationError(f"the label {label!r} is among the model's inputs; take it out of model.*")
    manifest = datasets.read_manifest(path)
    wanted = [*model.columns, label]
    _check_present(wanted, list(manifest.columns), manifest.name)
    time = manifest.time_column
    extra = [time] if latest is not None and time is not None and time not in wanted else []
    table = datasets.read_table(path, [*wanted, *extra])
    if latest is not None and table.num_rows > latest:
        table = _latest(table, latest, time)
    table = table.select(wanted)
    _check_types(table.schema, model, manifest.name)
    _check_label(table[label], label, manifest.name)
    return table


def fit_vocabularies(table: "pa.Table", columns: Sequence[str]) -> dict[str, list[str]]:
    """Lists the values of categorical columns.

    Args:
        table: The training rows.
        columns: The categorical columns.

    Returns:
        The distinct values of each column, sorted; they depend on the rows only as a set.
    """
    import pyarrow.compute as pc

    return {name: sorted(pc.unique(_texts(table[name])).drop_null().to_pylist()) for name in columns}


def encode(table: "pa.Table", model: ModelSpec, vocabularies: Vocabularies, label: str) -> Rows:
    """Turns a table into arrays.

    Args:
        table: Rows from `read_rows`.
        model: The model's inputs.
        vocabularies: Of the categorical columns, from `fit_vocabularies` on the training rows.
        label: The column to predict.

    Returns:
        The encoded rows.
    """
    numeric = [_numbers(table[name]) for name in model.numeric]
    codes = [_codes(table[name], vocabularies[name]) for name in model.categorical]
    return Rows(
        np.stack(numeric, axis=1) if numeric else np.zeros((table.num_rows, 0), np.float32),  # (N, F)
        np.stack(codes, axis=1) if codes else np.zeros((table.num_rows, 0), np.int64),  # (N, C)
        _numbers(table[label]),
    )


def log_loss(label: Floats, probability: Floats) -> float:
    """The mean negative log-likelihood of labels under predicted probabilities, in nats."""
    clipped = np.clip(probability.astype(np.float64), 1e-7, 1 - 1e-7)
    return float(-np.mean(np.where(label > 0, np.log(clipped), np.log1p(-clipped))))


def roc_auc(label: Floats, score: "np.ndarray[Any, Any]") -> float:
    """The area under the ROC curve: how often a positive row scores above a negative one; equal scores count half.

    Args:
        label: (N,), 0 or 1, both present.
        score: (N,), higher where the label is likelier 1.

    Returns:
        From 0 to 1; NaN where a score is.
    """
    if np.isnan(score).any():
        return float("nan")
    _, group, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[group]  # of equal scores their middle rank
    positive = int(label.sum())
    above = rank[label > 0].sum() - positive * (positive + 1) / 2
    return float(above / (positive * (len(label) - positive)))


def _check_present(wanted: Sequence[str], present: Sequence[str], name: str) -> None:
    absent = [column for column in wanted if column not in present]
    if absent:
        hints = "; ".join(f"{column!r}: {nearest(column, present)}" for column in absent)
        raise SchemaError(f"dataset {name!r} lacks columns that the model needs: {hints}")


def _check_types(schema: "pa.Schema", model: ModelSpec, name: str) -> None:
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


def _check_label(values: "pa.ChunkedArray", label: str, name: str) -> None:
    import pyarrow.types as kinds

    if not (kinds.is_integer(values.type) or kinds.is_floating(values.type) or kinds.is_boolean(values.type)):
        raise SchemaError(f"dataset {name!r}: the label {label!r} is {values.type}; it must hold 0 and 1 (or booleans)")
    if len(values) < MINIMUM_ROWS:
        raise DataError(f"dataset {name!r} has {len(values)} rows; a model needs at least {MINIMUM_ROWS}")
    numbers = _numbers(values)
    _refuse_rows(np.isnan(numbers), f"dataset {name!r}: the label {label!r} is missing", "drop or label those rows")
    _refuse_rows((numbers != 0) & (numbers != 1), f"dataset {name!r}: the label {label!r} is not 0 or 1", "map it")
    positive = int(numbers.sum())
    if positive in (0, len(numbers)):
        text = f"dataset {name!r}: the label {label!r} is {int(numbers[0])} in all {len(numbers)} rows"
        raise DataError(f"{text}; a model needs both classes: use more rows or another split")


def _refuse_rows(wrong: "np.ndarray[Any, Any]", what: str, advice: str) -> None:
    rows = np.flatnonzero(wrong)
    if len(rows):
        first = ", ".join(str(row) for row in rows[:5])
        raise DataError(f"{what} in {len(rows)} of {len(wrong)} rows (first rows: {first}); {advice}")


def _latest(table: "pa.Table", count: int, time_column: str | None) -> "pa.Table":
    if time_column is None:
        return table.slice(table.num_rows - count)
    import pyarrow as pa
    import pyarrow.compute as pc

    times = pc.fill_null(table[time_column].cast(pa.int64()), np.iinfo(np.int64).min).to_numpy()
    return table.take(np.sort(np.argsort(times, kind="stable")[-count:]))


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
