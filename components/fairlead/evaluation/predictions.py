"""Predictions that were made elsewhere, laid beside the rows that they are for."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fairlead import datasets
from fairlead.errors import DataError, SchemaError, nearest
from fairlead.evaluation.loss_names import TEXT
from fairlead.evaluation.scoring import check_answers
from fairlead.evaluation.spec import EvaluationSpec
from fairlead_serving.package import OUTPUTS

if TYPE_CHECKING:
    import pyarrow as pa

DIGEST = "digest"


def prediction_column(spec: EvaluationSpec, task: str) -> str:
    """The column that holds predictions: the one that is named, or as the task has it."""
    return spec.prediction or {**OUTPUTS, TEXT: "text"}[task]


def read_predictions(
    path: Path | str, test: Path | str, spec: EvaluationSpec, task: str, classes: Sequence[str], digest: str
) -> tuple[np.ndarray, bool]:
    """Reads predictions in the order of the test rows.

    Args:
        path: The dataset of predictions.
        test: The dataset of test rows.
        spec: Which columns hold the predictions and the rows' keys.
        task: What is predicted.
        classes: Of a multiclass model: the K classes; a row then holds a list of K probabilities.
        digest: The package that is judged by them.

    Returns:
        Predictions as `Scores` holds them, and whether the dataset itself says that this very package made them (by a
        column `digest`).

    Raises:
        SchemaError: A column is absent or of another type.
        DataError: Rows are missing, doubled or too many, or another package made the predictions.
        PackageError: An answer is none of the task.
    """
    column = prediction_column(spec, task)
    present = list(datasets.read_manifest(path).columns)
    for name in (column, *([spec.key] if spec.key else [])):
        if name not in present:
            raise SchemaError(f"the predictions {path} have no column {name!r}; {nearest(name, present)}")
    table = datasets.read_table(path, [name for name in (column, spec.key, DIGEST) if name in present])
    told = _check_digest(table, digest) if DIGEST in present else False
    table = _in_order(table, test, spec.key)
    return _answers(table[column], column, task, classes), told


def _check_digest(table: "pa.Table", digest: str) -> bool:
    others = [value for value in table[DIGEST].unique().to_pylist() if value != digest]
    if others:
        raise DataError(
            f"predictions were made by {others[0]}, and {digest} is to be judged; predict with the package that is "
            "judged, or judge the one that predicted"
        )
    return True


def _in_order(table: "pa.Table", test: Path | str, key: str) -> "pa.Table":
    """Predictions in the order of the test rows."""
    rows = datasets.read_manifest(test).row_count
    if not key:
        if table.num_rows != rows:
            raise DataError(
                f"there are {table.num_rows} predictions for {rows} test rows; give one for each, in their order, or "
                "name the column that tells rows apart as `key`"
            )
        return table
    import pyarrow.compute as pc

    asked = datasets.read_table(test, [key])[key].combine_chunks()
    known = table[key].combine_chunks()
    for what, values in (("predictions", known), ("test rows", asked)):
        if len(values.unique()) < len(values):
            raise DataError(f"the {what} hold a value of the key {key!r} twice; a key names one row")
    places = pc.index_in(asked, value_set=known.cast(asked.type))
    if places.null_count:
        absent = asked.filter(places.is_null())[0].as_py()
        raise DataError(
            f"{places.null_count} of {rows} test rows have no prediction (first: {key} {absent!r}); predict them all"
        )
    return table.take(places)


def _answers(values: "pa.ChunkedArray", column: str, task: str, classes: Sequence[str]) -> np.ndarray:
    import pyarrow as pa

    if values.null_count and task != TEXT:
        raise DataError(f"{values.null_count} predictions are missing; a model has to answer every row")
    if task == TEXT:
        if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
            raise SchemaError(f"predictions {column!r} are of type {values.type}; generated texts are strings")
        return np.array([text or "" for text in values.to_pylist()], dtype=object)
    try:
        if task == "multiclass":
            flat = values.combine_chunks().flatten().cast(pa.float64()).to_numpy(zero_copy_only=False)
            answers = flat.reshape(len(values), -1)
        else:
            answers = values.cast(pa.float64()).to_numpy()
    except (pa.ArrowException, AttributeError, ValueError):
        wanted = f"lists of {len(classes)} probabilities" if task == "multiclass" else "numbers"
        raise SchemaError(f"predictions {column!r} are of type {values.type}; task {task!r} takes {wanted}") from None
    return check_answers(answers, task, len(classes), "predictions' model")
