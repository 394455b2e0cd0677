"""How each baseline is fitted, by scikit-learn."""

import os
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairlead.evaluation.scoring import Predictor, Tensors
from fairlead_serving.package import Manifest, ModelPackage

BOOSTING_ROUNDS = 100
MOST_CATEGORIES = 255  # of one column, which is what scikit-learn's histograms have room for
MOST_PIXELS = 32  # of an image's height and width; a larger one is averaged down


@dataclass(frozen=True)
class Training:
    """What a baseline is fitted on.

    Attributes:
        rows: (N, W) float32, see `matrix`.
        labels: (N,) as `read_labels` gives them.
        package: The model whose inputs these are.
        seed: Of the fit.
    """

    rows: np.ndarray
    labels: np.ndarray
    package: ModelPackage
    seed: int

    @property
    def manifest(self) -> Manifest:
        """What the judged package is."""
        return self.package.manifest

    @property
    def numbers(self) -> int:
        """How many columns of `rows` are numbers; the rest are codes."""
        return int(self.rows.shape[1]) - len(self.manifest.categorical)


Predict = Callable[[np.ndarray], np.ndarray]
Fitted = tuple[Predict, str]


def matrix(tensors: Tensors) -> np.ndarray:
    """Inputs side by side: numbers, pixels, then categories as codes.

    Args:
        tensors: As the package encodes N rows.

    Returns:
        (N, W) float32.
    """
    images = [_pixels(value) for name, value in tensors.items() if name not in ("numeric", "categorical")]
    numbers = [tensors["numeric"]] if "numeric" in tensors else []
    codes = [tensors["categorical"]] if "categorical" in tensors else []
    return np.concatenate([part.astype(np.float32) for part in (*numbers, *images, *codes)], 1)


def _pixels(images: np.ndarray) -> np.ndarray:
    """Grey values between 0 and 1, at most 32 x 32 of them: uint8 (N, H, W, C) to float32 (N, pixels)."""
    grey = images.mean(axis=3, dtype=np.float32) / 255  # (N, H, W)
    step = -(-max(grey.shape[1:]) // MOST_PIXELS)
    if step > 1:
        height, width = (size // step * step for size in grey.shape[1:])
        blocks = grey[:, :height, :width].reshape(len(grey), height // step, step, width // step, step)
        grey = blocks.mean(axis=(2, 4))
    return np.asarray(grey.reshape(len(grey), -1))


def on_tensors(predict: Predict) -> Predictor:
    """A predictor as `score` takes it."""

    def of(tensors: Tensors) -> np.ndarray:
        with few_threads():
            return predict(matrix(tensors))

    return of


def few_threads() -> AbstractContextManager[Any]:
    """Half of the cores, since OpenMP's threads spin while they wait for each other.

    On two cores that other processes use too, gradient boosting took 4 s with one thread and 120 s with two.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    limits: AbstractContextManager[Any] = threadpool_limits(max(1, (os.cpu_count() or 1) // 2), user_api="openmp")
    return limits


def _fit_majority(training: Training) -> Fitted:
    labels, classes = training.labels, len(training.manifest.classes)
    if training.manifest.task == "binary":
        rate = float(labels.mean())
        return lambda asked: np.full(len(asked), rate), ""
    shares = (np.bincount(labels, minlength=classes) / labels.size).astype(np.float32)
    return lambda asked: np.tile(shares, (len(asked), 1)), ""


def _fit_mean(training: Training) -> Fitted:
    mean = float(training.labels.mean())
    return lambda asked: np.full(len(asked), mean), ""


def _columns(training: Training) -> Any:
    """Makes numbers scaled and complete, and categories one column a value."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    first, width = training.numbers, training.rows.shape[1]
    numbers = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
    categories = OneHotEncoder(handle_unknown="ignore", dtype=np.float32)
    parts = [("n", numbers, slice(0, first)), ("c", categories, slice(first, width))]
    return ColumnTransformer([part for part in parts if part[2].stop > part[2].start])


def _fit_logistic(training: Training) -> Fitted:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(_columns(training), LogisticRegression(tol=1e-3, max_iter=300, random_state=training.seed))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(training.rows, training.labels)
    short = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
    note = "The logistic regression had not converged after 300 iterations." if short else ""
    return _probabilities(model, training.manifest), note


def _fit_linear(training: Training) -> Fitted:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(_columns(training), Ridge(random_state=training.seed))
    model.fit(training.rows, training.labels)
    return _numbers(model), ""


def _fit_boosting(training: Training) -> Fitted:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    first, manifest = training.numbers, training.manifest
    of_classes = manifest.task in ("binary", "multiclass")
    kind = HistGradientBoostingClassifier if of_classes else HistGradientBoostingRegressor
    model = kind(
        max_iter=BOOSTING_ROUNDS, early_stopping=False, random_state=training.seed,
        categorical_features=np.arange(training.rows.shape[1]) >= first,
    )  # fmt: skip
    folded = [i.name for i in manifest.categorical if len(i.vocabulary) + 2 > MOST_CATEGORIES]
    model.fit(_folded(training.rows, first), training.labels)
    predict = _probabilities(model, manifest) if of_classes else _numbers(model)
    merged = f" and saw the rarer values of {', '.join(folded)} as one" if folded else ""
    note = f"Gradient boosting took {BOOSTING_ROUNDS} rounds, untuned{merged}."
    return lambda asked: predict(_folded(asked, first)), note


def _folded(rows: np.ndarray, first: int) -> np.ndarray:
    """Codes beyond the room of a histogram become `unknown` (vocabularies begin with the commonest values)."""
    rows = rows.copy()
    codes = rows[:, first:]
    codes[codes >= MOST_CATEGORIES] = 1
    return rows


def _probabilities(model: Any, manifest: Manifest) -> Predict:
    """P(label=1) (N,), or of all K classes (N, K): one that no training row has gets 0."""
    if manifest.task == "binary":
        return lambda asked: np.asarray(model.predict_proba(asked)[:, 1], dtype=np.float64)

    def predict(asked: np.ndarray) -> np.ndarray:
        found = np.zeros((len(asked), len(manifest.classes)), dtype=np.float32)
        found[:, model.classes_] = model.predict_proba(asked)
        return found

    return predict


def _numbers(model: Any) -> Predict:
    return lambda asked: np.asarray(model.predict(asked), dtype=np.float64)


FITS: dict[str, Callable[[Training], Fitted]] = {
    "majority": _fit_majority,
    "mean": _fit_mean,
    "logistic-regression": _fit_logistic,
    "linear-regression": _fit_linear,
    "gradient-boosting": _fit_boosting,
}
"""By name; each takes the training rows, and gives a predictor and what a reader must know of it."""
