"""What holds for bootstrap intervals, and that the cells' shortcut is the bootstrap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import roc_auc_score

from fairlead.evaluation.intervals import (
    auc_difference_interval,
    auc_interval,
    mean_interval,
    placements,
)
from fairlead.evaluation.resampling import BLOCKS, resampling

VALUES = hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(-1000, 1000))


def _scored(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=count)
    labels = (rng.random(count) < 1 / (1 + np.exp(-scores))).astype(int)
    labels[:2] = (0, 1)
    return labels, scores


@given(VALUES, st.integers(0, 10))
def test_the_interval_of_a_mean_lies_within_the_values(values: np.ndarray, seed: int) -> None:
    """Means of resamples are means of values, so that no interval leaves their range."""
    found = mean_interval(values, 0.95, 200, seed)
    assert values.min() - 1e-6 <= found.low <= found.high <= values.max() + 1e-6
    assert np.isclose(found.estimate, values.mean())


@given(VALUES, st.integers(0, 10))
def test_the_same_seed_gives_the_same_interval(values: np.ndarray, seed: int) -> None:
    """A verdict can be computed again."""
    assert mean_interval(values, 0.9, 100, seed) == mean_interval(values, 0.9, 100, seed)


@given(VALUES, st.floats(-100, 100))
def test_the_interval_moves_with_the_values(values: np.ndarray, shift: float) -> None:
    """A constant added to all values is added to the interval."""
    plain, moved = mean_interval(values, 0.95, 100, 3), mean_interval(values + shift, 0.95, 100, 3)
    assert np.allclose([moved.low, moved.high], [plain.low + shift, plain.high + shift], atol=1e-6)


@given(VALUES)
def test_more_confidence_needs_a_wider_interval(values: np.ndarray) -> None:
    """An interval of less confidence lies within one of more."""
    narrow, wide = mean_interval(values, 0.8, 200, 1), mean_interval(values, 0.99, 200, 1)
    assert wide.low <= narrow.low
    assert narrow.high <= wide.high


@given(st.integers(2, 300), st.integers(0, 1000))
def test_placements_average_to_the_area(count: int, seed: int) -> None:
    """Both classes' placements average to the area under the ROC curve, ties included."""
    labels, scores = _scored(count, seed)
    tied = np.round(scores)
    ones, zeros = placements(labels, tied)
    assert np.isclose(ones.mean(), roc_auc_score(labels, tied))
    assert np.isclose(zeros.mean(), ones.mean())


@given(st.integers(2, 300), st.integers(0, 1000))
def test_a_model_does_not_differ_from_itself(count: int, seed: int) -> None:
    """The paired difference of a model with itself is exactly none."""
    labels, scores = _scored(count, seed)
    found = auc_difference_interval(labels, scores, scores, 0.95, 100, seed)
    assert (found.estimate, found.low, found.high) == (0, 0, 0)


@pytest.mark.parametrize("count", [BLOCKS // 4, 20 * BLOCKS])
def test_blocks_give_the_same_spread_as_drawing_rows(count: int) -> None:
    """Resampled means have the mean and deviation of the classical bootstrap, also where blocks hold many rows."""
    rng = np.random.default_rng(5)
    values = rng.exponential(size=count) ** 2  # a heavy tail, as log losses have
    prepared = resampling(count, resamples=4000, seed=5)
    drawn = prepared.draw(prepared.sums(values)) / prepared.draw(prepared.counts())
    assert np.isclose(drawn.mean(), values.mean(), rtol=0.01)
    assert np.isclose(drawn.std(), values.std() / np.sqrt(count), rtol=0.06)


def test_the_interval_of_the_area_is_the_classical_one() -> None:
    """It agrees with sorting and scoring each resample anew."""
    labels, scores = _scored(2000, 1)
    rng = np.random.default_rng(2)
    classical = [roc_auc_score(labels[rows], scores[rows]) for rows in rng.integers(0, 2000, (400, 2000))]
    low, high = np.quantile(classical, [0.025, 0.975])
    found = auc_interval(labels, scores, 0.95, 2000, 3)
    assert np.allclose([found.low, found.high], [low, high], atol=0.004)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Of 400 intervals of 90 %, about 90 % hold the true mean."""
    rng = np.random.default_rng(11)
    held = 0
    for seed in range(400):
        found = mean_interval(rng.normal(3, 1, 80), 0.9, 300, seed)
        held += found.low <= 3 <= found.high
    assert 0.85 <= held / 400 <= 0.94
