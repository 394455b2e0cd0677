"""Simple models beside the one that is judged, by scikit-learn, fitted on the same training rows.

They see the inputs as the judged model's package encodes them: numbers with NaN for missing values, categories as codes
(0 missing, 1 unknown, then the package's vocabulary).
"""

import os
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fairlead import datasets
from fairlead.errors import DataError
from fairlead.evaluation.scoring import Predictor, Tensors, binary_labels, encode, read_batches
from fairlead.progress import step
from fairlead_serving.package import ModelPackage

BOOSTING_ROUNDS = 100
MOST_CATEGORIES = 255  # of one column, which is what scikit-learn's histograms have room for


@dataclass(frozen=True)
class Baselines:
    """Fitted baselines.

    Attributes:
        predictors: By name.
        rows: Training rows that they were fitted on.
        rows_given: Training rows that there are; more than `rows` where a random sample was drawn.
        notes: What a reader must know to judge them fairly.
    """

    predictors: dict[str, Predictor]
    rows: int
    rows_given: int
    notes: tuple[str, ...] = ()


def fit_baselines(
    names: Sequence[str], train: Path | str, label: str, package: ModelPackage, maximum_rows: int, seed: int
) -> Baselines:
    """Fits baselines on training rows.

    Args:
        names: Which of `fairlead.evaluation.spec.BASELINES`.
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
    given = datasets.read_manifest(train).row_count
    rows, labels = _sample(train, label, package, _chosen(given, maximum_rows, seed))
    if len(np.unique(labels)) == 1:
        raise DataError(
            f"label {label!r} is {labels[0]} in all {labels.size} training rows; baselines need both classes"
        )
    notes = []
    if labels.size < given:
        notes.append(f"The baselines were fitted on {labels.size:,} of the {given:,} training rows, drawn at random.")
    predictors = {}
    with step("fitting baselines", len(names)) as progress:
        for name in names:
            with _few_threads():
                predict, note = _FITS[name](rows, labels, package, seed)
            predictors[name] = _on_tensors(predict)
            notes += [note] if note else []
            progress.advance()
    return Baselines(predictors, labels.size, given, tuple(notes))


def _chosen(given: int, maximum: int, seed: int) -> np.ndarray:
    """Which rows are taken: (given,) bool."""
    mask = np.ones(given, dtype=bool)
    if given > maximum:
        mask[np.random.default_rng(seed).permutation(given)[maximum:]] = False
    return mask


def _sample(train: Path | str, label: str, package: ModelPackage, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The chosen rows, encoded: (N, F + C) float32, and labels (N,) int8."""
    import pyarrow as pa

    inputs = [i.name for i in package.manifest.inputs]
    rows, labels, position = [], [], 0
    for batch in read_batches(train, [label, *inputs]):
        wanted = chosen[position : position + batch.num_rows]
        position += batch.num_rows
        part = batch if wanted.all() else batch.filter(pa.array(wanted))
        labels.append(binary_labels(part, label))
        rows.append(_matrix(encode(part, package)))
    return np.concatenate(rows), np.concatenate(labels)


def _matrix(tensors: Tensors) -> np.ndarray:
    """Inputs side by side, numbers first: (N, F + C) float32, categories as codes."""
    return np.concatenate(
        [tensors[kind].astype(np.float32) for kind in ("numeric", "categorical") if kind in tensors], 1
    )


def _on_tensors(predict: Callable[[np.ndarray], np.ndarray]) -> Predictor:
    def on_tensors(tensors: Tensors) -> np.ndarray:
        with _few_threads():
            return predict(_matrix(tensors))

    return on_tensors


def _few_threads() -> AbstractContextManager[Any]:
    """Half of the cores, since OpenMP's threads spin while they wait for each other.

    On two cores that other processes use too, gradient boosting took 4 s with one thread and 120 s with two.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    limits: AbstractContextManager[Any] = threadpool_limits(max(1, (os.cpu_count() or 1) // 2), user_api="openmp")
    return limits


Fitted = tuple[Callable[[np.ndarray], np.ndarray], str]


def _fit_majority(rows: np.ndarray, labels: np.ndarray, package: ModelPackage, seed: int) -> Fitted:
    del rows, package, seed
    rate = float(labels.mean())
    return lambda asked: np.full(len(asked), rate), ""


def _fit_logistic(rows: np.ndarray, labels: np.ndarray, package: ModelPackage, seed: int) -> Fitted:
    from sklearn.compose import ColumnTransformer
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    first = len(package.manifest.numeric)
    numbers = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
    categories = OneHotEncoder(handle_unknown="ignore", dtype=np.float32)
    encode = ColumnTransformer([("n", numbers, slice(0, first)), ("c", categories, slice(first, rows.shape[1]))])
    model = make_pipeline(encode, LogisticRegression(tol=1e-3, max_iter=300, random_state=seed))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(rows, labels)
    short = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    return _probability(model), "The logistic regression had not converged after 300 iterations." if short else ""


def _fit_boosting(rows: np.ndarray, labels: np.ndarray, package: ModelPackage, seed: int) -> Fitted:
    from sklearn.ensemble import HistGradientBoostingClassifier

    first, width = len(package.manifest.numeric), rows.shape[1]
    categorical = np.arange(width) >= first
    model = HistGradientBoostingClassifier(
        max_iter=BOOSTING_ROUNDS, early_stopping=False, categorical_features=categorical, random_state=seed
    )
    folded = [i.name for i in package.manifest.categorical if len(i.vocabulary) + 2 > MOST_CATEGORIES]
    model.fit(_folded(rows, first), labels)
    predict = _probability(model)
    merged = f" and saw the rarer values of {', '.join(folded)} as one" if folded else ""
    note = f"Gradient boosting took {BOOSTING_ROUNDS} rounds, untuned{merged}."
    return lambda asked: predict(_folded(asked, first)), note


def _folded(rows: np.ndarray, first: int) -> np.ndarray:
    """Codes beyond the room of a histogram become `unknown` (vocabularies begin with the commonest values)."""
    rows = rows.copy()
    codes = rows[:, first:]
    codes[codes >= MOST_CATEGORIES] = 1
    return rows


def _probability(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    return lambda asked: np.asarray(model.predict_proba(asked)[:, 1], dtype=np.float64)


_FITS: dict[str, Callable[[np.ndarray, np.ndarray, ModelPackage, int], Fitted]] = {
    "majority": _fit_majority,
    "logistic-regression": _fit_logistic,
    "gradient-boosting": _fit_boosting,
}
