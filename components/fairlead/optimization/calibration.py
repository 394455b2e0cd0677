"""Calibrations of probabilities: fitted on validation rows, judged on folds that they were not fitted on.

scikit-learn's CalibratedClassifierCV wraps estimators, and its temperature and isotonic fits do not go into an ONNX
graph; the isotonic fit itself is scikit-learn's.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from fairlead.evaluation.losses import row_losses
from fairlead.evaluation.metrics import CERTAIN
from fairlead.evaluation.resampling import Interval, resampling

RESAMPLES = 1000
MOST_KNOTS = 512
_RANGE = (-4.0, 4.0)  # of the logarithm of the inverse temperature


@dataclass(frozen=True)
class Temperature:
    """Divides log odds (or the logarithms of several classes' probabilities) by a temperature.

    Attributes:
        temperature: Above 1 it makes the model less sure.
    """

    temperature: float

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrates (N,) or (N, K) probabilities: float64 of the same shape."""
        return _tempered(probabilities, 1 / self.temperature)

    @property
    def told(self) -> str:
        """What was fitted, in words."""
        return f"temperature {self.temperature:.3f}"


@dataclass(frozen=True)
class Isotonic:
    """A rising curve through points, straight between them and level outside.

    Attributes:
        x: (K,) float64, rising.
        y: (K,) float64, not falling, within (0, 1).
    """

    x: np.ndarray
    y: np.ndarray

    def apply(self, probabilities: np.ndarray) -> np.ndarray:
        """Calibrates (N,) probabilities: (N,) float64."""
        return np.asarray(np.interp(np.asarray(probabilities, dtype=np.float64), self.x, self.y))

    @property
    def told(self) -> str:
        """What was fitted, in words."""
        return f"isotonic curve of {self.x.size} points"


Calibration = Temperature | Isotonic


def _tempered(probabilities: np.ndarray, power: float) -> np.ndarray:
    from scipy.special import expit

    sure = np.clip(np.asarray(probabilities, dtype=np.float64), CERTAIN, 1 - CERTAIN)
    if sure.ndim == 1:
        return np.asarray(expit(power * (np.log(sure) - np.log(1 - sure))))
    logits = power * np.log(sure)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def fit_temperature(labels: np.ndarray, probabilities: np.ndarray) -> Temperature:
    """Fits the temperature that makes the log loss least; the loss is convex in its inverse.

    Args:
        labels: (N,) 0 or 1, or positions of classes.
        probabilities: (N,) P(label=1), or (N, K).
    """
    from scipy.optimize import minimize_scalar

    task = "binary" if probabilities.ndim == 1 else "multiclass"

    def loss(log_power: float) -> float:
        return float(row_losses(task, labels, _tempered(probabilities, float(np.exp(log_power)))).mean())

    found = minimize_scalar(loss, bounds=_RANGE, method="bounded", options={"xatol": 1e-6})
    return Temperature(float(np.exp(-found.x)))


def fit_isotonic(labels: np.ndarray, probabilities: np.ndarray) -> Isotonic:
    """Fits the rising curve that makes squared errors least (pool adjacent violators, by scikit-learn).

    Its ends are kept from 0 and 1 by half a row, as if one more row had been undecided: an end that rests on a few rows
    would otherwise be surer than they are.

    Args:
        labels: (N,) 0 or 1, both present.
        probabilities: (N,) P(label=1).
    """
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(out_of_bounds="clip").fit(np.asarray(probabilities, dtype=np.float64), labels)
    x, y = np.asarray(model.X_thresholds_, np.float64), np.asarray(model.y_thresholds_, np.float64)
    fitted = model.predict(np.asarray(probabilities, dtype=np.float64))
    below, above = (int(np.sum(fitted == end)) for end in (y[0], y[-1]))
    low, high = 0.5 / (below + 1), 1 - 0.5 / (above + 1)
    y = np.clip(y, min(low, high), max(low, high))
    if x.size > MOST_KNOTS:
        kept = np.unique(np.linspace(0, x.size - 1, MOST_KNOTS).astype(np.int64))
        x, y = x[kept], y[kept]
    return Isotonic(x, y)


FITS: dict[str, Callable[[np.ndarray, np.ndarray], Calibration]] = {
    "temperature": fit_temperature,
    "isotonic": fit_isotonic,
}


@dataclass(frozen=True)
class Trial:
    """What a calibration did on held-out folds.

    Attributes:
        method: Its name.
        probabilities: (N,) or (N, K), each row by the calibration that did not see it.
        gain: Log loss before less log loss after, in nats, with its interval.
    """

    method: str
    probabilities: np.ndarray
    gain: Interval


def deal_folds(labels: np.ndarray, folds: int, seed: int, clusters: np.ndarray | None = None) -> np.ndarray:
    """Deals rows into folds of about equal size, clusters whole, otherwise classes alike.

    Args:
        labels: (N,) classes.
        folds: How many.
        seed: The same seed deals the same.
        clusters: (N,) numbers, or None.

    Returns:
        (N,) int64 from 0.
    """
    rng = np.random.default_rng(seed)
    if clusters is not None:
        _, codes = np.unique(clusters, return_inverse=True)
        return np.asarray((rng.permutation(int(codes.max()) + 1) % folds)[codes])
    dealt = np.zeros(labels.size, dtype=np.int64)
    order = np.lexsort((rng.random(labels.size), labels))
    dealt[order] = np.arange(labels.size) % folds
    return dealt


def try_methods(
    methods: "tuple[str, ...]",
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    folds: int,
    confidence: float,
    seed: int,
    clusters: np.ndarray | None = None,
) -> list[Trial]:
    """Tries calibrations on held-out folds.

    Args:
        methods: Keys of `FITS`.
        labels: (N,) 0 or 1, or positions of classes.
        probabilities: (N,) or (N, K).
        folds: How many.
        confidence: Of the gains' intervals.
        seed: Of folds and bootstrap.
        clusters: (N,) numbers of rows that belong together, or None.

    Returns:
        One trial for each method; a fold whose others hold one class only is left as it was.
    """
    dealt = deal_folds(labels, folds, seed, clusters)
    drawn = resampling(labels.size, resamples=RESAMPLES, seed=seed, confidence=confidence, clusters=clusters)
    task = "binary" if probabilities.ndim == 1 else "multiclass"
    before = row_losses(task, labels, probabilities)
    found = []
    for method in methods:
        held = np.array(probabilities, dtype=np.float64)
        for fold in range(folds):
            inside = dealt == fold
            if inside.any() and np.unique(labels[~inside]).size > 1:
                held[inside] = FITS[method](labels[~inside], probabilities[~inside]).apply(probabilities[inside])
        found.append(Trial(method, held, drawn.mean(before - row_losses(task, labels, held))))
    return found


def best_trial(trials: list[Trial], minimum_gain: float) -> Trial | None:
    """The trial with the greatest gain among those that help beyond chance; None where none does."""
    helping = [trial for trial in trials if trial.gain.low > minimum_gain]
    return max(helping, key=lambda trial: trial.gain.estimate, default=None)


def describe(calibration: Calibration) -> Mapping[str, object]:
    """A calibration as a lineage records it."""
    if isinstance(calibration, Temperature):
        return {"method": "temperature", "temperature": calibration.temperature}
    return {"method": "isotonic", "points": int(calibration.x.size)}
