"""Labels as arrays, by task, and what cannot be learnt from."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead.errors import DataError, SchemaError

if TYPE_CHECKING:
    import pyarrow as pa

MINIMUM_ROWS = 20
MOST_CLASSES = 1_000

Array = np.ndarray[Any, Any]


def check_label(values: "pa.ChunkedArray", task: str, label: str, name: str) -> None:
    """Checks that a column can be learnt as a task's label.

    Args:
        values: The column.
        task: `binary`, `multiclass`, `regression` or `ranking`.
        label: Its name.
        name: The dataset's, for messages.

    Raises:
        SchemaError: It is of a wrong type.
        DataError: There are too few rows, or the label is missing somewhere, out of range, or always the same.
    """
    _check_type(values.type, task, label, name)
    if len(values) < MINIMUM_ROWS:
        raise DataError(f"dataset {name!r} has {len(values)} rows; a model needs at least {MINIMUM_ROWS}")
    if task == "multiclass":
        _check_classes(values, label, name)
    else:
        _check_numbers(_numbers(values), task, label, name)


def _check_type(kind: "pa.DataType", task: str, label: str, name: str) -> None:
    import pyarrow.types as kinds

    kind = kind.value_type if kinds.is_dictionary(kind) else kind
    text = f"dataset {name!r}: the label {label!r} is {kind}"
    if task == "multiclass":
        if not (kinds.is_integer(kind) or kinds.is_string(kind) or kinds.is_large_string(kind)):
            raise SchemaError(f"{text}; the classes of a multiclass label are texts or whole numbers")
    elif not (kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_boolean(kind) or kinds.is_decimal(kind)):
        wanted = "it must hold 0 and 1 (or booleans)" if task == "binary" else f"task {task} needs numbers"
        raise SchemaError(f"{text}; {wanted}, or is the task another (model.task)?")


def _check_numbers(numbers: Array, task: str, label: str, name: str) -> None:
    where = f"dataset {name!r}: the label {label!r}"
    _refuse_rows(np.isnan(numbers), f"{where} is missing", "drop or label those rows")
    _refuse_rows(np.isinf(numbers), f"{where} is infinite", "correct it")
    if task == "binary":
        _refuse_rows((numbers != 0) & (numbers != 1), f"{where} is not 0 or 1", "map it")
    if task == "ranking":
        _refuse_rows(numbers < 0, f"{where} is a relevance below 0", "count it from 0")
    if numbers.min() == numbers.max():
        other = "both classes" if task == "binary" else "different values"
        text = f"{where} is {numbers[0]:g} in all {len(numbers)} rows"
        raise DataError(f"{text}; a model needs {other}: use more rows or another split")


def _check_classes(values: "pa.ChunkedArray", label: str, name: str) -> None:
    where = f"dataset {name!r}: the label {label!r}"
    if values.null_count:
        _refuse_rows(np.asarray(values.is_null()), f"{where} is missing", "drop or label those rows")
    count = len(fit_classes(values))
    if count == 1:
        raise DataError(f"{where} is the same in all {len(values)} rows; use more rows or another split")
    if count > MOST_CLASSES or count == len(values):
        raise DataError(
            f"{where} has {count} classes in {len(values)} rows; at most {MOST_CLASSES}, and more than one row each, "
            "can be learnt: is the task another (model.task)?"
        )


def _refuse_rows(wrong: Array, what: str, advice: str) -> None:
    rows = np.flatnonzero(wrong)
    if len(rows):
        first = ", ".join(str(row) for row in rows[:5])
        raise DataError(f"{what} in {len(rows)} of {len(wrong)} rows (first rows: {first}); {advice}")


def fit_classes(values: "pa.ChunkedArray") -> tuple[str, ...]:
    """The distinct values of a label as texts, sorted; they depend on the rows only as a set."""
    import pyarrow.compute as pc

    return tuple(sorted(pc.unique(_texts(values)).drop_null().to_pylist()))


def encode_label(values: "pa.ChunkedArray", task: str, classes: Sequence[str], label: str) -> Array:
    """Turns a label into numbers.

    Args:
        values: The column, without gaps.
        task: See `check_label`.
        classes: Of a multiclass label, from `fit_classes` on the training rows.
        label: Its name, for messages.

    Returns:
        int64 (N,) class numbers for multiclass; else float32 (N,).

    Raises:
        DataError: A row has a class that is none of `classes`.
    """
    if task != "multiclass":
        return _numbers(values).astype(np.float32)
    import pyarrow as pa
    import pyarrow.compute as pc

    codes = pc.index_in(_texts(values), value_set=pa.array(classes, pa.string()))
    if codes.null_count:
        unknown = set(fit_classes(values)) - set(classes)
        raise DataError(
            f"{codes.null_count} rows have classes of {label!r} that no training row has: "
            f"{', '.join(map(repr, sorted(unknown)[:5]))}; split so that each class is in the training rows"
        )
    return np.array(codes.to_numpy(), dtype=np.int64)


def encode_groups(values: "pa.ChunkedArray", group: str) -> Array:
    """Numbers the groups of a ranking, int64 (N,), in the order of their first rows.

    Raises:
        DataError: A row has no group, or no group has two rows.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if values.null_count:
        _refuse_rows(np.asarray(values.is_null()), f"the group {group!r} is missing", "drop those rows")
    distinct = pc.unique(values)
    if len(distinct) == len(values):
        raise DataError(f"each row has a group {group!r} of its own; nothing can be ranked: is model.group right?")
    codes = pc.index_in(values, value_set=distinct.combine_chunks() if hasattr(distinct, "chunks") else distinct)
    return np.array(codes.cast(pa.int64()).to_numpy(), dtype=np.int64)


def _texts(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    import pyarrow as pa

    return column.cast(pa.string())


def _numbers(column: "pa.ChunkedArray") -> Array:
    import pyarrow as pa

    return np.array(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)  # null becomes NaN
