"""What holds for the bootstrap over units: clusters, strata, coverage by simulation, and the influence functions."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference

from fairlead.evaluation.binary_figures import binary_figures
from fairlead.evaluation.calibration_metrics import calibration_figures, reliability
from fairlead.evaluation.figure_names import Method
from fairlead.evaluation.ranking_figures import ranking_figures
from fairlead.evaluation.regression_figures import quantile_interval, regression_figures
from fairlead.evaluation.resampling import BLOCKS, Interval, ratio, resampling


@given(st.integers(2, 80), st.integers(1, 8), st.integers(0, 50))
def test_clusters_are_drawn_whole(clusters: int, size: int, seed: int) -> None:
    """Copies of rows that are drawn with their originals change no interval of a mean."""
    values = np.random.default_rng(seed).normal(size=clusters)
    alone = resampling(clusters, resamples=100, seed=seed).mean(values)
    codes = np.repeat(np.arange(clusters), size)
    together = resampling(codes.size, resamples=100, seed=seed, clusters=codes).mean(np.repeat(values, size))
    assert np.allclose((alone.low, alone.high), (together.low, together.high))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 50))
def test_strata_keep_their_rows(ones: int, zeros: int, seed: int) -> None:
    """Each class has as many rows in every resample as in the data."""
    labels = np.repeat([1, 0], [ones, zeros])
    drawn = resampling(labels.size, resamples=100, seed=seed, strata=labels)
    assert np.all(drawn.draw(drawn.sums(labels == 1)) == ones)
    assert np.all(drawn.draw(drawn.counts()) == labels.size)


@given(st.integers(1, 3 * BLOCKS), st.integers(0, 20))
def test_every_row_is_in_one_unit(rows: int, seed: int) -> None:
    """Units are no more than blocks, of equal size but for one row, and sums over them are sums over rows."""
    drawn = resampling(rows, resamples=100, seed=seed)
    counts = drawn.counts()
    assert drawn.units <= BLOCKS
    assert drawn.independent == rows
    assert counts.sum() == rows
    assert counts.max() - counts.min() <= 1
    values = np.arange(rows, dtype=np.float64)
    assert np.isclose(drawn.sums(values).sum(), values.sum())
    cells = drawn.cell_sums(np.arange(rows) % 3, 3, values)
    assert np.allclose(cells.sum(axis=0), drawn.sums(values))


def test_clusters_and_strata_exclude_each_other() -> None:
    """A cluster with both classes cannot be cut."""
    with pytest.raises(ValueError, match="cannot both be kept"):
        resampling(4, resamples=100, seed=0, clusters=np.arange(4), strata=np.arange(4))


def test_what_is_undefined_has_no_interval() -> None:
    """A ratio by nothing is NaN, and so are its ends; a few undefined resamples are left out."""
    drawn = resampling(10, resamples=100, seed=0)
    found = drawn.interval(ratio, drawn.counts(), np.zeros(10))
    assert np.isnan([found.low, found.high]).all()
    rare = np.zeros(10)
    rare[:4] = 1
    assert np.isfinite(drawn.interval(ratio, drawn.sums(rare), drawn.sums(rare)).low)


def share_held(truth: float, intervals: Callable[[int], Interval], runs: int = 300) -> float:
    """How many of so many intervals hold the truth."""
    found = [intervals(seed) for seed in range(runs)]
    return sum(of.low <= truth <= of.high for of in found) / runs


def test_clustered_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Rows of a day share its weather: by day the 90 % interval holds; by row it holds far less often."""

    def draw(seed: int, *, by_day: bool) -> Interval:
        rng = np.random.default_rng(seed)
        values = np.repeat(rng.normal(1, 1, 60), 20) + rng.normal(0, 1, 1200)
        days = np.repeat(np.arange(60), 20) if by_day else None
        return resampling(1200, resamples=300, seed=seed, confidence=0.9, clusters=days).mean(values)

    assert 0.85 <= share_held(1, lambda seed: draw(seed, by_day=True)) <= 0.95
    assert share_held(1, lambda seed: draw(seed, by_day=False)) < 0.6


def test_accelerated_intervals_hold_a_skewed_mean_better() -> None:
    """For 40 rows of a heavy tail, BCa comes nearer to 90 % than percentiles, which are too low."""

    def draw(seed: int, method: Method) -> Interval:
        values = np.random.default_rng(seed).lognormal(0, 1, 40)
        return resampling(40, resamples=400, seed=seed, confidence=0.9, method=method).mean(values)

    truth = float(np.exp(0.5))
    plain = share_held(truth, partial(draw, method="percentile"), 600)
    better = share_held(truth, partial(draw, method="bca"), 600)
    assert plain < better
    assert 0.82 <= better <= 0.94


BINARY = {
    "roc_auc": reference.roc_auc_score,
    "average_precision": reference.average_precision_score,
    "brier_resolution": None,
    "expected_calibration_error": None,
    "f1": lambda labels, p: reference.f1_score(labels, p >= 0.5),
    "log_loss": reference.log_loss,
}


def _binary(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of a model that is too sure of itself."""
    rng = np.random.default_rng(seed)
    logit = rng.normal(-0.7, 1.2, count)
    labels = (rng.random(count) < 1 / (1 + np.exp(-logit))).astype(np.int8)
    return labels, 1 / (1 + np.exp(-1.8 * logit - 0.5))


@pytest.mark.parametrize("name", list(BINARY))
def test_binary_intervals_hold_the_truth_as_often_as_they_say(name: str) -> None:
    """The truth is that of 400,000 rows; intervals are of 600; linear forms are as good as sorting anew."""
    truth = binary_figures(*_binary(400_000, 10**6), 0.5, resampling(400_000, resamples=2, seed=0))[name].estimate
    held = 0
    for seed in range(150):
        labels, probabilities = _binary(600, seed)
        drawn = resampling(600, resamples=200, seed=seed, confidence=0.9)
        of = binary_figures(labels, probabilities, 0.5, drawn)[name]
        held += of.low <= truth <= of.high
    assert 0.82 <= held / 150 <= 0.97


@pytest.mark.parametrize("name", [name for name, of in BINARY.items() if of])
def test_linear_forms_have_the_spread_of_the_classical_bootstrap(name: str) -> None:
    """Scikit-learn's figure of 400 resamples has the deviation that the interval tells."""
    labels, probabilities = _binary(1500, 5)
    rng = np.random.default_rng(1)
    of = BINARY[name]
    assert of is not None
    classical = [of(labels[rows], probabilities[rows]) for rows in rng.integers(0, 1500, (400, 1500))]
    found = binary_figures(labels, probabilities, 0.5, resampling(1500, resamples=1000, seed=2))[name]
    assert (found.high - found.low) / 3.92 == pytest.approx(np.std(classical), rel=0.12)


def test_quantile_and_ratio_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """The median error, R² and RMSE of 300 rows, in 90 % intervals; NDCG of 80 groups."""

    def regression(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        truth = rng.normal(5, 2, count)
        return truth, truth + rng.standard_t(5, count)

    big = regression_figures(*regression(400_000, 10**6), resampling(400_000, resamples=2, seed=0))
    held = dict.fromkeys(("median_absolute_error", "r2", "root_mean_squared_error"), 0)
    for seed in range(200):
        drawn = resampling(300, resamples=200, seed=seed, confidence=0.9)
        figures = regression_figures(*regression(300, seed), drawn)
        for name in held:
            held[name] += figures[name].low <= big[name].estimate <= figures[name].high
    assert all(0.82 <= count / 200 <= 0.96 for count in held.values()), held


def test_group_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """NDCG of 80 groups, resampled by group."""

    def rows(groups: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)
        relevance = rng.integers(0, 4, groups * 6).astype(np.float64)
        return relevance, relevance + rng.normal(0, 2, relevance.size), np.repeat(np.arange(groups), 6)

    truth = ranking_figures(*rows(60_000, 10**6), [3], resampling(60_000, resamples=2, seed=0))["ndcg"].estimate

    def draw(seed: int) -> Interval:
        drawn = resampling(80, resamples=200, seed=seed, confidence=0.9)
        return ranking_figures(*rows(80, seed), [3], drawn)["ndcg"]

    assert 0.83 <= share_held(truth, draw, 200) <= 0.96


@given(st.integers(20, 300), st.integers(0, 100))
def test_the_parts_of_the_brier_score_make_it(count: int, seed: int) -> None:
    """Reliability less resolution, uncertainty and what bins blur add up, for ties too."""
    rng = np.random.default_rng(seed)
    probabilities = np.round(rng.random(count), 1)
    labels = (rng.random(count) < 0.4).astype(np.int8)
    found = calibration_figures(labels, probabilities, resampling(count, resamples=10, seed=0))
    total = (
        found["brier_reliability"].estimate - found["brier_resolution"].estimate
        + found["brier_uncertainty"].estimate + found["brier_within_bins"].estimate
    )  # fmt: skip
    assert np.isclose(total, np.mean((probabilities - labels) ** 2))
    assert found["calibration_error_debiased"].estimate ** 2 <= found["brier_reliability"].estimate + 1e-12


def test_the_debiased_error_of_a_calibrated_model_is_nearly_none() -> None:
    """The plain error of 1,000 calibrated rows is the noise of its bins; the debiased one takes it off."""
    plain, debiased = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        probabilities = rng.random(1000)
        labels = (rng.random(1000) < probabilities).astype(np.int8)
        found = calibration_figures(labels, probabilities, resampling(1000, resamples=10, seed=0))
        plain.append(found["expected_calibration_error"].estimate)
        debiased.append(found["calibration_error_debiased"].estimate ** 2)
    assert np.mean(plain) > 0.025
    assert np.sqrt(np.mean(debiased)) < 0.025


def test_bars_of_the_reliability_diagram_hold_the_truth() -> None:
    """Of a calibrated model, nearly all 95 % bars cross the diagonal."""
    rng = np.random.default_rng(3)
    probabilities = rng.random(6000)
    labels = (rng.random(6000) < probabilities).astype(np.int8)
    bins = reliability(labels, probabilities, resampling(6000, resamples=500, seed=0))
    assert bins.counts.sum() == 6000
    held = (bins.low <= bins.predicted) & (bins.predicted <= bins.high)
    assert held.mean() >= 0.8


@given(st.integers(1, 200), st.floats(0.05, 0.95), st.integers(0, 20))
def test_the_interval_of_a_quantile_lies_within_the_values(count: int, share: float, seed: int) -> None:
    """It holds its estimate, and no end leaves the values."""
    values = np.random.default_rng(seed).exponential(size=count)
    found = quantile_interval(values, share, resampling(count, resamples=100, seed=seed))
    assert values.min() <= found.low <= found.estimate <= found.high <= values.max()
