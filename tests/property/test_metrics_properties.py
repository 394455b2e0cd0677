"""What holds for the figures of any model on any rows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as reference

from fairlead.evaluation.figure_names import FIGURES
from fairlead.evaluation.metrics import (
    binary_metrics,
    calibration_bins,
    clip,
    constant_log_loss,
    expected_calibration_error,
    ranking,
    row_log_losses,
)

PROBABILITIES = st.floats(0, 1, width=32)


@st.composite
def rows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Draw labels of both classes and probabilities, often tied."""
    count = draw(st.integers(2, 120))
    ones = draw(st.integers(1, count - 1))
    labels = np.array(draw(st.permutations([1] * ones + [0] * (count - ones))))
    pool = draw(st.lists(PROBABILITIES, min_size=1, max_size=20))
    probabilities = draw(hnp.arrays(np.float64, count, elements=st.sampled_from(pool)))
    return labels, probabilities


@given(rows())
def test_calibration_error_lies_between_zero_and_one(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    """The error is an average of distances between shares."""
    assert 0 <= expected_calibration_error(*drawn) <= 1


@given(rows(), st.randoms(use_true_random=False))
def test_calibration_error_ignores_the_order_of_rows(drawn: tuple[np.ndarray, np.ndarray], random: object) -> None:
    """Rows shuffled together give the same error, even with ties."""
    labels, probabilities = drawn
    order = np.array(sorted(range(labels.size), key=lambda _: random.random()))  # type: ignore[attr-defined]
    shuffled = expected_calibration_error(labels[order], probabilities[order])
    assert np.isclose(shuffled, expected_calibration_error(labels, probabilities))


@given(rows())
def test_the_base_rate_as_an_answer_is_calibrated(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    """A constant answer that is right on average has no calibration error."""
    labels, _ = drawn
    constant = np.full(labels.size, labels.mean())
    assert np.isclose(expected_calibration_error(labels, constant), 0, atol=1e-12)


@given(rows())
def test_the_truth_as_an_answer_is_calibrated(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    """Answers that are the labels themselves have no error, their opposites all of it."""
    labels, _ = drawn
    assert expected_calibration_error(labels, labels.astype(float)) == 0
    assert np.isclose(expected_calibration_error(labels, 1.0 - labels), 1)


@given(rows(), st.integers(1, 20))
def test_calibration_bins_hold_every_row_once(drawn: tuple[np.ndarray, np.ndarray], bins: int) -> None:
    """Bins are no more than asked for, ascend, hold all rows, and keep both totals."""
    labels, probabilities = drawn
    found = calibration_bins(labels, probabilities, bins)
    assert found.counts.size <= bins
    assert found.counts.sum() == labels.size
    assert np.all(np.diff(found.predicted) > 0)
    assert np.isclose(found.counts @ found.observed, labels.sum())
    assert np.isclose(found.counts @ found.predicted, probabilities.sum())


@given(st.integers(15, 3000))
def test_calibration_bins_have_equal_mass_without_ties(count: int) -> None:
    """Without ties, no bin holds more than one row more than another."""
    counts = calibration_bins(np.arange(count) % 2, np.linspace(0, 1, count)).counts
    assert counts.size == 15
    assert counts.max() - counts.min() <= 1


@given(rows())
def test_log_loss_is_the_mean_of_row_losses(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    """The rows' losses are finite, not negative, and average to the log loss."""
    losses = row_log_losses(*drawn)
    assert np.all(np.isfinite(losses))
    assert np.all(losses >= 0)
    assert np.isclose(losses.mean(), binary_metrics(*drawn, 0.5)["log_loss"])


@given(rows())
def test_no_constant_beats_the_best_constant(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    """The base rate of the rows is the constant answer with the least log loss."""
    labels, probabilities = drawn
    best = constant_log_loss(labels)
    for value in (labels.mean(), probabilities[0], 0.5):
        assert row_log_losses(labels, np.full(labels.size, value)).mean() >= best - 1e-6


@given(rows(), st.floats(0.01, 0.99))
def test_figures_agree_with_scikit_learn(drawn: tuple[np.ndarray, np.ndarray], threshold: float) -> None:
    """What is computed here for speed is what scikit-learn computes, ties and empty answers included."""
    labels, probabilities = drawn
    figures, answers = binary_metrics(labels, probabilities, threshold), probabilities >= threshold
    assert set(figures) <= set(FIGURES["binary"])
    assert all(np.isfinite(value) for value in figures.values())
    assert np.isclose(figures["brier"], reference.brier_score_loss(labels, probabilities))
    assert np.isclose(figures["accuracy"], reference.accuracy_score(labels, answers))
    assert np.isclose(figures["roc_auc"], reference.roc_auc_score(labels, probabilities))
    assert np.isclose(figures["average_precision"], reference.average_precision_score(labels, probabilities))
    assert np.isclose(figures["log_loss"], reference.log_loss(labels, clip(probabilities)))
    for name, score in (("precision", reference.precision_score), ("recall", reference.recall_score)):
        assert np.isclose(figures[name], score(labels, answers, zero_division=0))
    assert np.isclose(figures["f1"], reference.f1_score(labels, answers, zero_division=0))


@given(rows())
def test_the_roc_curve_agrees_with_scikit_learn(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    """Every threshold's rates are on it, from (0, 0) to (1, 1)."""
    false_rates, true_rates, _ = reference.roc_curve(*drawn, drop_intermediate=False)
    found = ranking(*drawn).roc
    assert np.allclose(found[0], false_rates)
    assert np.allclose(found[1], true_rates)
