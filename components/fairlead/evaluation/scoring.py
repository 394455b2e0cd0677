"""Predictions over a dataset in batches: rows pass through, only labels, predictions and asked-for columns stay."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead import datasets
from fairlead.errors import ConfigurationError, PackageError
from fairlead.evaluation.labels import read_labels
from fairlead.evaluation.losses import row_losses
from fairlead.evaluation.rows import (
    BATCH_ROWS,
    Tensors,
    batch_rows,
    check_columns,
    check_labels,
    encode,
    encoded,
    joined,
    read_batches,
    spans,
)
from fairlead.progress import step
from fairlead_serving.package import OUTPUTS, ModelPackage, PackageInvalidError

__all__ = [
    "BATCH_ROWS",
    "Contestant",
    "Predictor",
    "Scores",
    "Tensors",
    "batch_rows",
    "check_answers",
    "check_columns",
    "encode",
    "open_package",
    "package_predictor",
    "read_batches",
    "score",
    "with_groups",
]

if TYPE_CHECKING:
    import pyarrow as pa

SUM_TOLERANCE = 1e-3  # of the probabilities of one row, in float32

Predictor = Callable[[Tensors], np.ndarray]
"""Inputs as the package encodes them, N rows, to its output: (N,) float64, or (N, K) float32 for K classes."""


@dataclass(frozen=True)
class Scores:
    """What stays of the rows.

    Attributes:
        labels: (N,): binary int8, 0 or 1, both present; multiclass int64, positions in `classes`; regression and
            ranking float64; text strings.
        predictions: By model: P(label=1) float64 (N,); P(class) float32 (N, K); predictions or scores float64 (N,);
            texts (N,).
        columns: By column that was asked for, its N values as a dictionary-encoded Arrow array.
        task: A key of `fairlead.evaluation.losses.LOSSES`.
        classes: Of a multiclass model: the K classes.
        groups: Of a ranking: (N,) int64, from 0 to G - 1.
    """

    labels: np.ndarray
    predictions: dict[str, np.ndarray]
    columns: "dict[str, pa.DictionaryArray]" = field(default_factory=dict)
    task: str = "binary"
    classes: tuple[str, ...] = ()
    groups: np.ndarray | None = None

    def codes(self, column: str, seconds: int | None = None) -> np.ndarray:
        """Numbers the distinct values of a kept column, or the spans of time that they lie in.

        Args:
            column: Its name.
            seconds: The length of a span, such as 86400 for days; the column then holds times.

        Returns:
            (N,) int64 from 0; missing values are one of their own.

        Raises:
            SchemaError: Spans are asked for, and the column holds no times.
        """
        values = self.columns[column]
        parts = np.arange(len(values.dictionary)) if seconds is None else spans(values.dictionary, column, seconds)
        places = values.indices.fill_null(len(values.dictionary)).to_numpy()
        missing = parts.max(initial=-1) + 1
        return np.asarray(np.append(parts, missing)[places], dtype=np.int64)

    def losses(self, model: str, loss: str = "", *, cutoff: int | None = None, threshold: float = 0.5) -> np.ndarray:
        """What each row (of a ranking: each group) costs a model; see `row_losses`."""
        answers = self.predictions[model]
        return row_losses(
            self.task, self.labels, answers, loss=loss, groups=self.groups, cutoff=cutoff, threshold=threshold
        )


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
        The predictor. It raises PackageError where an answer is none of the package's task.
    """
    task = package.manifest.task

    def predict(tensors: Tensors) -> np.ndarray:
        (found,) = package.load().run([OUTPUTS[task]], dict(tensors))
        return check_answers(np.asarray(found), task, len(package.manifest.classes), role)

    return predict


def check_answers(answers: np.ndarray, task: str, classes: int, role: str = "model") -> np.ndarray:
    """Makes sure that answers are what the task calls for.

    Args:
        answers: (N,), or (N, K) for a multiclass model.
        task: The task.
        classes: K.
        role: What the model is called in errors.

    Returns:
        The answers: float64 (N,), or float32 (N, K).

    Raises:
        PackageError: An answer is no probability, no number, or of another shape.
    """
    wanted = f"({answers.shape[0]}, {classes})" if task == "multiclass" else f"({answers.shape[0]},)"
    if str(answers.shape) != wanted:
        raise PackageError(f"the {role} answers in shape {answers.shape} where {wanted} belongs; export it again")
    if task in ("binary", "multiclass"):
        wrong = ~((answers >= 0) & (answers <= 1))
        _refuse(answers, wrong, "a probability belongs", role)
    else:
        _refuse(answers, ~np.isfinite(answers), "a finite number belongs", role)
    if task == "multiclass":
        totals = answers.sum(axis=1, dtype=np.float64)
        _refuse(totals, np.abs(totals - 1) > SUM_TOLERANCE, "the sum of all classes' probabilities, 1, belongs", role)
        return answers.astype(np.float32, copy=False)
    return answers.astype(np.float64)


def _refuse(answers: np.ndarray, wrong: np.ndarray, belongs: str, role: str) -> None:
    if wrong.any():
        raise PackageError(
            f"the {role} answers {answers[wrong][0]} where {belongs} ({int(wrong.sum())} of {wrong.size}); it was "
            "exported or trained wrongly"
        )


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


def score(
    path: Path | str,
    label: str,
    models: Mapping[str, Contestant],
    columns: Sequence[str] = (),
    group: str = "",
    kind: tuple[str, tuple[str, ...]] | None = None,
) -> Scores:
    """Predicts every row of a dataset with several models of one task.

    Args:
        path: The dataset's folder.
        label: The label's column.
        models: By name.
        columns: Further columns to keep: slices, clusters.
        group: Of a ranking: the column whose values are ordered one by one, such as a query or a user.
        kind: Task and classes, where no model tells them because there is none.

    Returns:
        Labels, predictions and kept columns, rows in order.

    Raises:
        ConfigurationError: The models are of different tasks or classes, or a ranking names no group.
        DataError: Labels are missing, none of the task, or (binary) all alike.
        SchemaError: Columns do not fit a model.
        SourceError: The dataset is unfinished or corrupt.
    """
    task, classes = kind if kind and not models else _common_task(models)
    if task == "ranking" and not group:
        raise ConfigurationError("a ranking is judged group by group; name the column as `group`")
    kept = list(dict.fromkeys([*columns, *([group] if task == "ranking" else [])]))
    packages = [model.package for model in models.values()]
    wanted = [label, *(i.name for package in packages for i in package.manifest.inputs), *kept]
    labels: list[np.ndarray] = []
    found: dict[str, list[np.ndarray]] = {name: [] for name in models}
    parts: dict[str, list[Any]] = {column: [] for column in kept}
    with step("predicting rows", datasets.read_manifest(path).row_count) as progress:
        for batch in read_batches(path, wanted, batch_rows(packages)):
            labels.append(read_labels(batch, label, task, classes))
            for name, answers in _predict(batch, models):
                found[name].append(answers)
            for column in kept:
                parts[column].append(encoded(batch.column(column)))
            progress.advance(batch.num_rows)
    truth = check_labels(np.concatenate(labels) if labels else np.zeros(0), label, path, task)
    made = {column: joined(pieces) for column, pieces in parts.items()}
    scores = Scores(truth, {name: np.concatenate(p) for name, p in found.items()}, made, task, classes)
    return scores if task != "ranking" else with_groups(scores, group)


def _common_task(models: Mapping[str, Contestant]) -> tuple[str, tuple[str, ...]]:
    """The task and classes that all models share."""
    kinds = {(model.package.manifest.task, model.package.manifest.classes) for model in models.values()}
    if len(kinds) > 1:
        said = "; ".join(
            f"{name}: {m.package.manifest.task} {m.package.manifest.classes}" for name, m in models.items()
        )
        raise ConfigurationError(f"models of different tasks or classes cannot be judged on the same rows ({said})")
    return kinds.pop()


def _predict(batch: "pa.RecordBatch", models: Mapping[str, Contestant]) -> Iterator[tuple[str, np.ndarray]]:
    """Each model's answers; a package that several share encodes the rows once."""
    tensors: dict[str, Tensors] = {}
    for name, model in models.items():
        digest = model.package.digest
        if digest not in tensors:
            tensors[digest] = encode(batch, model.package, model.role)
        yield name, model.predict(tensors[digest])


def with_groups(scores: Scores, group: str) -> Scores:
    """Numbers the groups of a ranking from 0, without gaps."""
    from dataclasses import replace

    _, codes = np.unique(scores.codes(group), return_inverse=True)
    return replace(scores, groups=codes.astype(np.int64))
