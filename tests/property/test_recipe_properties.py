"""What must hold of every label, score and threshold: figures are scikit-learn's, rounding changes no side."""

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import accuracy_score, mean_absolute_error, ndcg_score, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from fairlead.training.recipes.forest_graph import round_down
from fairlead.training.scores import ndcg, validation_figures

floats = st.floats(-8, 8, width=32)  # beyond, scikit-learn cuts probabilities off
counts = st.integers(2, 40)


@given(st.data(), counts)
def test_binary_figures_are_scikit_learns(data: Any, count: int) -> None:
    """Log loss and ROC AUC from logits, ties included."""
    label = np.array([0, 1, *data.draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))], np.float32)
    raw = np.array(data.draw(st.lists(floats, min_size=len(label), max_size=len(label))))
    found = validation_figures("binary", label, raw)
    assert found["validation_roc_auc"] == pytest.approx(roc_auc_score(label, raw), abs=1e-12)
    expected = sklearn_log_loss(label, 1 / (1 + np.exp(-raw)), labels=[0, 1])
    assert found["validation_log_loss"] == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(st.data(), counts, st.integers(2, 5))
def test_multiclass_figures_are_scikit_learns(data: Any, count: int, classes: int) -> None:
    """Log loss and accuracy from logits, however large."""
    label = data.draw(arrays.arrays(np.int64, count, elements=st.integers(0, classes - 1)))
    raw = data.draw(arrays.arrays(np.float64, (count, classes), elements=floats))
    found = validation_figures("multiclass", label, raw)
    powers = np.exp(raw - raw.max(axis=1, keepdims=True))
    probability = powers / powers.sum(axis=1, keepdims=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rounding of sums
        expected = sklearn_log_loss(label, probability, labels=range(classes))
    assert found["validation_log_loss"] == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert found["validation_accuracy"] == accuracy_score(label, raw.argmax(axis=1))
    shifted = validation_figures("multiclass", label, raw + 1e6)
    assert shifted["validation_log_loss"] == pytest.approx(found["validation_log_loss"], abs=1e-6)


@given(st.data(), counts)
def test_regression_figures_are_scikit_learns(data: Any, count: int) -> None:
    """RMSE and MAE."""
    label, raw = (data.draw(arrays.arrays(np.float64, count, elements=floats)) for _ in range(2))
    found = validation_figures("regression", label, raw)
    assert found["validation_mae"] == pytest.approx(mean_absolute_error(label, raw), abs=1e-9)
    assert found["validation_rmse"] == pytest.approx(np.sqrt(np.mean((label - raw) ** 2)), abs=1e-9)


@given(st.data(), st.integers(1, 6), st.integers(2, 15))
def test_ndcg_is_scikit_learns_where_scores_differ(data: Any, groups: int, size: int) -> None:
    """The mean over groups, rows in any order; groups without relevance do not count."""
    relevance = data.draw(arrays.arrays(np.int64, (groups, size), elements=st.integers(0, 4)))
    order = np.random.default_rng(data.draw(st.integers(0, 99)))
    score = order.permuted(np.tile(np.arange(size, dtype=np.float64), (groups, 1)), axis=1)
    counted = relevance.max(axis=1) > 0
    shuffled = order.permutation(groups * size)
    group = np.repeat(np.arange(groups), size)
    found = ndcg(relevance.ravel()[shuffled], score.ravel()[shuffled], group[shuffled])
    if counted.any():
        assert found == pytest.approx(ndcg_score(relevance[counted], score[counted], k=10), abs=1e-9)
    else:
        assert np.isnan(found)


@given(arrays.arrays(np.int64, st.integers(2, 20), elements=st.integers(0, 3)))
def test_a_constant_score_earns_nothing_by_the_order_of_rows(relevance: Any) -> None:
    """Sorted rows and a score that knows nothing give the worst figure, not the best."""
    group = np.zeros(len(relevance), np.int64)
    constant = np.zeros(len(relevance))
    if relevance.max() > 0:
        best_first = np.sort(relevance)[::-1]
        assert ndcg(best_first, constant, group) == ndcg(np.sort(relevance), constant, group)
        assert ndcg(relevance, relevance.astype(float), group) == pytest.approx(1.0)


@given(st.floats(allow_nan=False), st.floats(width=32, allow_nan=False))
def test_rounded_thresholds_split_32_bit_numbers_alike(threshold: float, value: float) -> None:
    """No 32-bit number changes sides."""
    assert (np.float32(value) <= np.float32(round_down(threshold))) == (value <= threshold)
