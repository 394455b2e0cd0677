"""Intervals of differences, over rows, clusters and trainings: they cover the truth as often as they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.evaluation.compare_models.differences import Excess, over_rows, over_training
from fairlead.evaluation.resampling import resampling

LEVEL = 0.9


def coverage(hits: list[bool]) -> float:
    """The share of intervals that hold the truth."""
    return float(np.mean(hits))


def trained(rng: np.random.Generator, seeds: int, rows: int, spread: tuple[float, float, float]) -> list[Excess]:
    """Trainings whose true mean difference is 0.3: noise of seeds, of rows, and of both together."""
    of_seed, of_row, of_both = spread
    row = rng.exponential(of_row, rows) - of_row  # skewed, as losses are
    return [Excess((0.3 + rng.normal(0, of_seed) + row + rng.normal(0, of_both, rows),)) for _ in range(seeds)]


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize("spread", [(0.05, 0.3, 0.3), (0.0, 0.5, 0.2), (0.2, 0.1, 0.1)], ids=["both", "rows", "seeds"])
def test_the_interval_over_trainings_covers_the_recipe(seeds: int, spread: tuple[float, float, float]) -> None:
    """At 90 %, the true mean difference of the recipe lies inside in 90 % of studies, whatever makes the noise.

    Where both parts are of one size and there are two seeds, Satterthwaite's degrees of freedom are a little too many;
    where seeds and rows act together only, the variance is counted twice and the interval is wide.
    """
    rng, hits = np.random.default_rng(11), []
    for study in range(400):
        drawn = resampling(150, resamples=200, seed=study, confidence=LEVEL)
        found = over_training(trained(rng, seeds, 150, spread), drawn).interval
        hits.append(found.low <= 0.3 <= found.high)
    assert 0.86 <= coverage(hits) <= 0.985


def test_the_interval_over_rows_alone_does_not_cover_the_recipe() -> None:
    """One training's interval over rows holds for that training; of the recipe it tells too much."""
    rng, own, recipe = np.random.default_rng(12), [], []
    for study in range(400):
        drawn = resampling(150, resamples=200, seed=study, confidence=LEVEL)
        of_seed = rng.normal(0, 0.1)
        found = over_rows(Excess((0.3 + of_seed + rng.normal(0, 0.5, 150),)), drawn)
        own.append(found.low <= 0.3 + of_seed <= found.high)
        recipe.append(found.low <= 0.3 <= found.high)
    assert 0.85 <= coverage(own) <= 0.94
    assert coverage(recipe) < 0.6


def test_clusters_drawn_whole_cover_where_rows_would_not() -> None:
    """40 days of 25 rows with a difference of their own each."""
    rng, days = np.random.default_rng(13), np.repeat(np.arange(40), 25)
    by_day: list[bool] = []
    by_row: list[bool] = []
    for study in range(300):
        excess = Excess((rng.normal(0, 0.5, 40)[days] + rng.normal(0, 0.5, days.size),))
        for hits, clusters in ((by_day, days), (by_row, None)):
            drawn = resampling(days.size, resamples=300, seed=study, confidence=LEVEL, clusters=clusters)
            found = over_rows(excess, drawn)
            hits.append(found.low <= 0 <= found.high)
    assert 0.84 <= coverage(by_day) <= 0.94
    assert coverage(by_row) < 0.5


@given(st.integers(2, 6), st.integers(20, 200), st.integers(0, 10_000), st.floats(-5, 5))
def test_a_shift_of_all_rows_shifts_the_interval(seeds: int, rows: int, seed: int, shift: float) -> None:
    """Both intervals move along, and the mean over trainings is the mean of their differences."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(seeds, rows))
    drawn = resampling(rows, resamples=100, seed=1)
    plain = over_training([Excess((row,)) for row in values], drawn)
    moved = over_training([Excess((row + shift,)) for row in values], drawn)
    assert plain.interval.estimate == pytest.approx(values.mean())
    assert moved.interval.low == pytest.approx(plain.interval.low + shift, abs=1e-6)
    assert moved.interval.high == pytest.approx(plain.interval.high + shift, abs=1e-6)
    assert plain.interval.low <= plain.interval.estimate <= plain.interval.high


@given(st.integers(30, 300), st.integers(0, 10_000))
def test_the_difference_of_areas_is_that_of_scikit_learn(rows: int, seed: int) -> None:
    """The placements' two means, minus the offset that they share, are the difference of the two areas."""
    from sklearn.metrics import roc_auc_score

    from fairlead.evaluation.compare_models.differences import excess
    from fairlead.evaluation.comparison_spec import AREA, ComparisonSpec
    from fairlead.evaluation.scoring import Scores

    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(rows) % 3 == 0).astype(np.int8)
    ours, theirs = rng.random(rows).round(2), rng.random(rows).round(2)
    scores = Scores(labels, {"ours": ours, "theirs": theirs})
    found = excess(scores, "ours", "theirs", AREA, {"ours": 0.5, "theirs": 0.5}, ComparisonSpec())
    assert found.difference == pytest.approx(roc_auc_score(labels, theirs) - roc_auc_score(labels, ours), abs=1e-12)
    drawn = resampling(rows, resamples=100, seed=1)
    whole = over_rows(found, drawn)
    assert whole.estimate == pytest.approx(found.difference, abs=1e-12)
