"""Simple models beside the one that is judged, by scikit-learn, fitted on the same training rows.

They see the inputs as the judged model's package encodes them: numbers with NaN for missing values, images as pixels
between 0 and 1 (averaged down to 32 x 32), categories as codes (0 missing, 1 unknown, then the package's vocabulary).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fairlead import datasets
from fairlead.errors import ConfigurationError, DataError, SchemaError, nearest
from fairlead.evaluation.baseline_fits import FITS, Training, few_threads, matrix, on_tensors
from fairlead.evaluation.figure_names import TASK_BASELINES
from fairlead.evaluation.labels import read_labels
from fairlead.evaluation.scoring import Predictor, batch_rows, encode, read_batches
from fairlead.progress import step
from fairlead_serving.package import ModelPackage

BY_COLUMN = ("popularity", "copy")
"""Baselines that look at a column of the rows instead of the model's inputs; `column_baseline` makes them."""


@dataclass(frozen=True)
class Baselines:
    """Fitted baselines.

    Attributes:
        predictors: By name; those of `BY_COLUMN` are not among them.
        rows: Training rows that they were fitted on.
        rows_given: Training rows that there are; more than `rows` where a random sample was drawn.
        notes: What a reader must know to judge them fairly.
    """

    predictors: dict[str, Predictor]
    rows: int
    rows_given: int
    notes: tuple[str, ...] = ()


def check_baselines(names: Sequence[str], task: str) -> None:
    """Makes sure that a task has such baselines.

    Raises:
        ConfigurationError: It does not.
    """
    for name in names:
        if name not in TASK_BASELINES[task]:
            known = list(TASK_BASELINES[task])
            raise ConfigurationError(f"a {task} model has no baseline {name!r}; {nearest(name, known)}")


def fit_baselines(
    names: Sequence[str], train: Path | str, label: str, package: ModelPackage, maximum_rows: int, seed: int
) -> Baselines:
    """Fits baselines on training rows.

    Args:
        names: Which of `fairlead.evaluation.figure_names.TASK_BASELINES`; those of `BY_COLUMN` are passed over.
        train: The training dataset's folder.
        label: The label's column.
        package: The model whose inputs they share.
        maximum_rows: Where there are more, so many are drawn at random.
        seed: Of that draw and of the fits.

    Returns:
        The fitted baselines, in the order of `names`.

    Raises:
        DataError: All training labels are alike.
        SchemaError: A training column does not fit the model.
        SourceError: The dataset is unfinished or corrupt.
    """
    wanted = [name for name in names if name not in BY_COLUMN]
    if not wanted:
        return Baselines({}, 0, 0)
    given = datasets.read_manifest(train).row_count
    training = _sample(train, label, package, _chosen(given, maximum_rows, seed), seed)
    rows = training.labels.size
    if len(np.unique(training.labels)) == 1 and package.manifest.task in ("binary", "multiclass"):
        raise DataError(
            f"label {label!r} is {training.labels[0]} in all {rows} training rows; baselines need both classes"
        )
    notes = [f"The baselines were fitted on {rows:,} of the {given:,} training rows, drawn at random."]
    notes = notes if rows < given else []
    predictors = {}
    with step("fitting baselines", len(wanted)) as progress:
        for name in wanted:
            with few_threads():
                predict, note = FITS[name](training)
            predictors[name] = on_tensors(predict)
            notes += [note] if note else []
            progress.advance()
    return Baselines(predictors, rows, given, tuple(notes))


def _chosen(given: int, maximum: int, seed: int) -> np.ndarray:
    """Which rows are taken: (given,) bool."""
    mask = np.ones(given, dtype=bool)
    if given > maximum:
        mask[np.random.default_rng(seed).permutation(given)[maximum:]] = False
    return mask


def _sample(train: Path | str, label: str, package: ModelPackage, chosen: np.ndarray, seed: int) -> Training:
    """The chosen rows, encoded, and their labels."""
    import pyarrow as pa

    manifest = package.manifest
    rows, labels, position = [], [], 0
    for batch in read_batches(train, [label, *(i.name for i in manifest.inputs)], batch_rows([package])):
        wanted = chosen[position : position + batch.num_rows]
        position += batch.num_rows
        part = batch if wanted.all() else batch.filter(pa.array(wanted))
        if part.num_rows:
            labels.append(read_labels(part, label, manifest.task, manifest.classes))
            rows.append(matrix(encode(part, package)))
    if not rows:
        raise DataError(f"dataset {train} has no rows; baselines need training rows")
    return Training(np.concatenate(rows), np.concatenate(labels), package, seed)


def column_baseline(
    name: str, test: Path | str, train: Path | str | None, label: str, column: str
) -> "np.ndarray | None":
    """What a baseline that looks at one column answers on the test rows.

    Args:
        name: `popularity` (of an item: its relevant training rows) or `copy` (the given text itself).
        test: The test dataset's folder.
        train: The training dataset's folder, for popularity.
        label: The label's column.
        column: The column of items, or of given texts.

    Returns:
        (N,) float64 scores or N texts; None where popularity has no training rows.

    Raises:
        SchemaError: A dataset lacks the column.
    """
    for path in (test, *([train] if train is not None and name == "popularity" else [])):
        present = list(datasets.read_manifest(path).columns)
        if column not in present:
            raise SchemaError(f"dataset {path} has no column {column!r}; {nearest(column, present)}")
    asked = datasets.read_table(test, [column])[column]
    if name == "copy":
        return np.array([text or "" for text in asked.to_pylist()], dtype=object)
    return None if train is None else _popularity(train, label, column, asked.to_pylist())


def _popularity(train: Path | str, label: str, column: str, asked: list[object]) -> np.ndarray:
    """How many relevant training rows each asked item has: (N,) float64."""
    counts: dict[object, float] = {}
    for batch in read_batches(train, [label, column]):
        relevant = read_labels(batch, label, "ranking") > 0
        for item in batch.column(column).filter(relevant.tolist()).value_counts().to_pylist():
            counts[item["values"]] = counts.get(item["values"], 0.0) + item["counts"]
    return np.array([counts.get(item, 0.0) for item in asked])
