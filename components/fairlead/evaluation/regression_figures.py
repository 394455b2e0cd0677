"""Every figure of predicted numbers with its interval; they are scikit-learn's, in a form that resamples."""

import numpy as np

from fairlead.evaluation.resampling import Interval, Resampling, ratio

_ROUNDING = 1e-12


def regression_figures(labels: np.ndarray, predictions: np.ndarray, drawn: Resampling) -> dict[str, Interval]:
    """Every figure of `fairlead.evaluation.spec.FIGURES["regression"]`.

    Args:
        labels: (N,) float64.
        predictions: (N,) float64.
        drawn: How rows are resampled.

    Returns:
        Interval by name. Errors are in the label's unit; `mean_error` is prediction minus truth: above 0, the model
        says too much. `weighted_absolute_percentage_error` is the sum of absolute errors by that of absolute labels,
        which zeros among the labels do not break. R² and correlations of labels that are all alike are NaN.
    """
    shift = float(labels.mean())  # large labels far from 0 would cancel in sums of squares
    truth, said = labels - shift, predictions - shift
    error = said - truth
    distance = np.abs(error)
    rows, squares = drawn.counts(), drawn.sums(error**2)
    moments = [drawn.sums(values) for values in (truth, truth**2, said, said**2, truth * said)]
    signed = drawn.sums(error)
    return {
        "root_mean_squared_error": drawn.interval(lambda s, n: np.sqrt(s / n), squares, rows),
        "mean_absolute_error": drawn.mean(distance),
        "median_absolute_error": quantile_interval(distance, 0.5, drawn),
        "absolute_error_90": quantile_interval(distance, 0.9, drawn),
        "mean_error": drawn.interval(ratio, signed, rows),
        "r2": drawn.interval(_explained, squares, moments[0], moments[1], rows, within=(-np.inf, 1.0)),
        "explained_variance": drawn.interval(
            lambda s, e, y, yy, n: 1 - (s - e**2 / n) / (yy - y**2 / n),
            squares, signed, moments[0], moments[1], rows, within=(-np.inf, 1.0),
        ),
        "correlation": drawn.interval(_correlation, *moments, rows, within=(-1.0, 1.0)),
        "weighted_absolute_percentage_error": drawn.interval(ratio, drawn.sums(distance), drawn.sums(np.abs(labels))),
        "squared_error": drawn.interval(ratio, squares, rows),
        "label_mean": drawn.mean(labels),
    }  # fmt: skip


def _explained(squares: np.ndarray, total: np.ndarray, total_squares: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.asarray(1 - squares / (total_squares - total**2 / rows))


def _correlation(
    y: np.ndarray, yy: np.ndarray, p: np.ndarray, pp: np.ndarray, yp: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """Pearson's, from sums; NaN where one side is constant but for rounding."""
    spread, others = yy - y**2 / rows, pp - p**2 / rows
    constant = (spread <= _ROUNDING * yy) | (others <= _ROUNDING * pp)
    return np.asarray(np.where(constant, np.nan, (yp - y * p / rows) / np.sqrt(np.abs(spread * others))))


def quantile_interval(values: np.ndarray, share: float, drawn: Resampling) -> Interval:
    """The interval of a quantile: that of the share of rows below it, carried back (Woodruff 1952).

    Args:
        values: (N,).
        share: Between 0 and 1.
        drawn: How rows are resampled; the method is `percentile` whatever it says.
    """
    estimate = float(np.quantile(values, share))
    below = drawn.interval(ratio, drawn.sums(values <= estimate), drawn.counts())
    if not np.isfinite(below.low):
        return Interval(estimate, np.nan, np.nan)
    ends = np.clip([share + below.low - below.estimate, share + below.high - below.estimate], 0, 1)
    low, high = np.quantile(values, ends)
    return Interval(estimate, float(min(low, estimate)), float(max(high, estimate)))
