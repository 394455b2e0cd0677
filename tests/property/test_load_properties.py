"""Latencies: quantiles that were observed, and chances that agree with SciPy's."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fairlead.evaluation.serving_trial.latencies import Objective, can_tell, chance_of_at_least, quantile
from fairlead.evaluation.serving_trial.open_loop import constant, poisson

SHARES = st.floats(0.001, 0.999)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=300), SHARES)
def test_a_quantile_is_the_smallest_latency_that_covers_the_share(latencies: list[float], share: float) -> None:
    """It was observed; the share lies within it, and not within any smaller one."""
    values = np.array(latencies)
    found = quantile(values, share)
    assert found in values
    assert (values <= found).mean() >= share - 1e-9
    smaller = values[values < found]
    assert smaller.size == 0 or (values <= smaller.max()).mean() < share + 1e-9


@given(st.integers(0, 400), st.integers(1, 400), SHARES)
def test_the_chance_of_late_requests_is_the_binomial_one(late: int, requests: int, share: float) -> None:
    """SciPy's survival function, to ten digits."""
    wanted = float(stats.binom.sf(late - 1, requests, share))
    assert chance_of_at_least(late, requests, share) == pytest.approx(wanted, abs=1e-9)


@given(st.integers(1, 5000), st.floats(0.1, 10_000), st.integers(0, 99))
def test_arrivals_ascend_from_the_start_at_the_rate(count: int, rate: float, seed: int) -> None:
    """Both kinds have as many requests; constant ones are evenly spaced."""
    even, random = constant(rate, count / rate), poisson(rate, count / rate, seed)
    assert len(even) == len(random) == count
    assert even[0] == random[0] == 0
    assert (np.diff(random) >= 0).all()
    assert np.allclose(np.diff(even), 1 / rate)


def test_poisson_arrivals_have_exponential_gaps() -> None:
    """The gaps' distribution is exponential with the rate's mean (Kolmogorov-Smirnov)."""
    gaps = np.diff(poisson(50, 200, 3))
    assert stats.kstest(gaps, "expon", args=(0, 1 / 50)).pvalue > 0.01


@given(st.lists(st.one_of(st.floats(0, 0.2), st.just(math.inf)), min_size=1, max_size=400))
def test_what_is_surely_missed_is_not_met(latencies: list[float]) -> None:
    """The two never contradict each other; a failure counts as late."""
    values, objective = np.array(latencies), Objective(0.05, 0.9, 0.2)
    assert not (objective.met(values) and objective.surely_missed(values))
    worse = np.append(values, np.inf)
    assert objective.met(values) or not objective.met(worse)


def test_a_miss_is_called_sure_as_rarely_as_it_says() -> None:
    """Requests that are late with just the allowed chance are called surely missed in at most 5 % of runs."""
    rng, objective = np.random.default_rng(1), Objective(1.0, 0.99)
    runs = [objective.surely_missed(np.where(rng.random(300) < 0.01, 2.0, 0.5)) for _ in range(2000)]
    assert np.mean(runs) <= 0.05


def test_quantiles_that_so_few_cannot_tell_are_not_told() -> None:
    """The 99.9th percentile takes a thousand requests."""
    assert can_tell(0.99, 100)
    assert not can_tell(0.99, 99)
    assert can_tell(0.999, 1000)
    assert not can_tell(0.999, 999)
