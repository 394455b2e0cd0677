"""Shapley values have the properties that define them, whatever the model."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead_serving.shapley import Budget, Shapley, shapley_values

Model = Callable[[np.ndarray], np.ndarray]
MANY = Budget(pairs=256, evaluations=10**6, seconds=60)


def explain(model: Model, row: np.ndarray, background: np.ndarray, budget: Budget = MANY, seed: int = 0) -> Shapley:
    """Explain a row of a model of arrays (N, M)."""

    def evaluate(masks: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return model(np.where(masks, row, background[rows]))

    return shapley_values(evaluate, len(row), len(background), budget, seed=seed)


def exact(model: Model, row: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Shapley values by their definition: all subsets, all background rows."""
    features = range(len(row))

    def value(chosen: tuple[int, ...]) -> float:
        mask = np.isin(features, chosen)
        return float(model(np.where(mask, row, background)).mean())

    found = np.zeros(len(row))
    for feature in features:
        others = [other for other in features if other != feature]
        for size in range(len(row)):
            weight = math.factorial(size) * math.factorial(len(row) - size - 1) / math.factorial(len(row))
            for chosen in itertools.combinations(others, size):
                found[feature] += weight * (value((*chosen, feature)) - value(chosen))
    return found


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.random.Generator, int, int]:
    """A seeded generator, a number of features and of background rows."""
    return np.random.default_rng(draw(st.integers(0, 10**6))), draw(st.integers(1, 12)), draw(st.integers(1, 80))


def crooked(rng: np.random.Generator, features: int) -> Model:
    """A model with interactions, kinks and jumps."""
    weights, pairs = rng.normal(size=features), rng.normal(size=(features, features))
    return lambda rows: np.tanh(rows @ weights) + np.sin(((rows @ pairs) * rows).sum(axis=1)) + (rows[:, 0] > 0)


@given(cases(), st.integers(1, 40))
def test_efficiency(case: tuple[np.random.Generator, int, int], pairs: int) -> None:
    """The base plus the values is the prediction, with however few orders."""
    rng, features, rows = case
    model, row, background = crooked(rng, features), rng.normal(size=features), rng.normal(size=(rows, features))
    found = explain(model, row, background, Budget(pairs=pairs, seconds=60))
    assert found.base + found.values.sum() == pytest.approx(found.prediction, abs=1e-9)
    assert found.prediction == pytest.approx(float(model(row[None])[0]))
    assert found.evaluations == 1 + found.pairs * (2 * features - 1)


@given(cases())
def test_dummy(case: tuple[np.random.Generator, int, int]) -> None:
    """A feature that the model does not read, or whose value is everybody's, moved nothing, without any error."""
    rng, features, rows = case
    model, row = crooked(rng, features), rng.normal(size=features + 2)
    background = rng.normal(size=(rows, features + 2))
    background[:, 0] = row[0]
    found = explain(lambda full: model(full[:, :features]), row, background)
    for idle in (0, features, features + 1):
        assert abs(found.values[idle]) < 1e-12
        assert found.errors[idle] < 1e-12


@given(cases())
def test_exact_on_linear_models(case: tuple[np.random.Generator, int, int]) -> None:
    """With every background row used equally, a linear model's values are weight times distance to the mean."""
    rng, features, rows = case
    weights, row = rng.normal(size=features), rng.normal(size=features)
    background = rng.normal(size=(rows, features))
    found = explain(lambda full: full @ weights, row, background, Budget(pairs=2 * rows, evaluations=10**6, seconds=60))
    if found.pairs % rows == 0:
        assert found.values == pytest.approx(weights * (row - background.mean(axis=0)), abs=1e-9)


@given(st.integers(0, 10**6))
def test_symmetry(seed: int) -> None:
    """Two features that play the same part get the same, within the stated errors."""
    rng = np.random.default_rng(seed)
    row, background = rng.normal(size=5), rng.normal(size=(40, 5))
    row[1], background[:, 1] = row[0], background[:, 0]
    weights = rng.normal(size=4)

    def model(full: np.ndarray) -> np.ndarray:
        answer: np.ndarray = np.tanh(np.column_stack([full[:, 0] + full[:, 1], full[:, 2:]]) @ weights) * full[:, 2]
        return answer

    found = explain(model, row, background)
    spread = float(np.hypot(found.errors[0], found.errors[1]))
    assert abs(found.values[0] - found.values[1]) <= 5 * spread + 1e-12


@given(st.integers(0, 10**6))
def test_the_definition_lies_within_the_stated_errors(seed: int) -> None:
    """All subsets counted out, the estimate is within five of its standard errors, which are small at its cost."""
    rng = np.random.default_rng(seed)
    row, background = rng.normal(size=5), rng.normal(size=(32, 5))
    model = crooked(rng, 5)
    found, truth = explain(model, row, background), exact(model, row, background)
    assert np.all(np.abs(found.values - truth) <= 5 * found.errors + 1e-9)


def test_the_budget_is_kept() -> None:
    """Neither rows nor seconds go over it but for the fewest orders; one and the same seed gives one answer."""
    rng = np.random.default_rng(0)
    model, row, background = crooked(rng, 50), rng.normal(size=50), rng.normal(size=(64, 50))
    cheap = explain(model, row, background, Budget(pairs=64, evaluations=2000, seconds=60))
    assert cheap.evaluations <= 2000
    assert cheap.pairs == 2000 // 99
    again = explain(model, row, background, Budget(pairs=64, evaluations=2000, seconds=60))
    assert np.array_equal(cheap.values, again.values)
    ticks = itertools.count()

    def evaluate(masks: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return model(np.where(masks, row, background[rows]))

    slow = shapley_values(evaluate, 50, 64, Budget(seconds=1.5), clock=lambda: float(next(ticks)))
    assert slow.pairs < 10
    assert slow.base + slow.values.sum() == pytest.approx(slow.prediction)
