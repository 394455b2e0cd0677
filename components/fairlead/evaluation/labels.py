"""Labels of every task, as figures take them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead.errors import ConfigurationError, DataError
from fairlead.evaluation.loss_names import TEXT
from fairlead.evaluation.ranking_metrics import MOST_RELEVANCE

if TYPE_CHECKING:
    import pyarrow as pa

MOST_NAMED = 5  # wrong values in an error's text


def read_labels(batch: "pa.RecordBatch", label: str, task: str, classes: Sequence[str] = ()) -> np.ndarray:
    """Takes the label out of a batch.

    Args:
        batch: N rows.
        label: The label's column.
        task: What kind of label it is.
        classes: Of a multiclass model, in the order of its probabilities.

    Returns:
        (N,): binary int8, 0 or 1; multiclass int64, positions in `classes`; regression and ranking float64; text
        generation strings (object).

    Raises:
        DataError: A value is missing, or none that the task allows.
        ConfigurationError: There is no such task.
    """
    if task == "binary":
        return binary_labels(batch, label)
    column = batch.column(label)
    if column.null_count:
        raise DataError(f"label {label!r} is missing in {column.null_count} rows; leave out rows that have none")
    if task == "multiclass":
        return _class_labels(column, label, classes)
    if task in ("regression", "ranking"):
        return _numbers(column, label, task)
    if task == TEXT:
        return np.asarray(_text(column, label), dtype=object)
    raise ConfigurationError(f"there is no task {task!r}; read_labels knows the keys of LOSSES")


def binary_labels(batch: "pa.RecordBatch", label: str) -> np.ndarray:
    """Takes a yes/no label out of a batch.

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


def _class_labels(column: "pa.Array", label: str, classes: Sequence[str]) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.compute as pc

    names = column.cast(pa.string())
    codes = pc.index_in(names, value_set=pa.array(classes, pa.string()))
    if codes.null_count:
        strange = names.filter(codes.is_null()).unique().to_pylist()
        raise DataError(
            f"label {label!r} holds {', '.join(map(repr, strange[:MOST_NAMED]))} in {codes.null_count} rows, which the "
            f"model does not know; it knows {', '.join(classes[:20])}: train it on rows that have all classes"
        )
    return np.asarray(codes.to_numpy(zero_copy_only=False), dtype=np.int64)


def _numbers(column: "pa.Array", label: str, task: str) -> np.ndarray:
    import pyarrow as pa

    try:
        values = np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False))
    except pa.ArrowException:
        raise DataError(f"label {label!r} is of type {column.type}; task {task!r} takes numbers") from None
    if not np.isfinite(values).all():
        raise DataError(f"label {label!r} is not finite in {int((~np.isfinite(values)).sum())} rows; leave them out")
    if task == "ranking" and values.size and not 0 <= values.min() <= values.max() <= MOST_RELEVANCE:
        wrong = values[(values < 0) | (values > MOST_RELEVANCE)][0]
        raise DataError(f"label {label!r} holds {wrong:g}; relevance lies between 0 and {MOST_RELEVANCE:g}: grade it")
    return values


def _text(column: "pa.Array", label: str) -> list[Any]:
    import pyarrow as pa

    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise DataError(f"label {label!r} is of type {column.type}; text generation is judged by strings")
    return list(column.to_pylist())
