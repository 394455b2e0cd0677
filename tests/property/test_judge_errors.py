"""What the sequential tests promise: few false alarms however often one looks, and power against what is bad."""

from math import log
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fairlead.deployment.judge import Judge
from fairlead.deployment.means import MeanComparison
from fairlead.deployment.rates import RateBound, RateComparison, block_log_e, mixture, rate_gains
from fairlead.deployment.sequential import differences, split_log_e
from fairlead.deployment.spec import RolloutSpec
from fairlead.platform.target import VersionMetrics, Window

CHECKS: list[dict[str, Any]] = [
    {"metric": "success_rate", "margin": 0.0},
    {"metric": "latency", "quantile": 0.95, "factor": 1.0, "floor_seconds": 0.0},
    {"metric": "log_loss", "margin": 0.0},
]
Array = NDArray[np.float64]


def rejections(canary: Array, stable: Array, margin: float, alpha: float, trials: tuple[int, int], seed: int) -> Array:
    """Runs many rate comparisons at once, looking after each block; (runs,) of the look that rejected, or 0.

    The rates have shape (runs, looks): they may drift.
    """
    generator, (runs, looks) = np.random.default_rng(seed), canary.shape
    seen, parts, rejected = np.zeros((4, runs)), np.zeros((2, 5, runs)), np.zeros(runs)
    for look in range(looks):
        bad = generator.binomial(trials[0], canary[:, look])
        worse = generator.binomial(trials[1], stable[:, look])
        block = np.array([bad, trials[0] - bad, worse, trials[1] - worse], dtype=np.float64)
        beliefs = [(seen[i] + 0.18) / (seen[i] + seen[i + 1] + 0.36) for i in (0, 2)]
        parts = parts + rate_gains(block, beliefs[0], beliefs[1], np.full(runs, margin))
        seen += block
        log_e = mixture(parts)[0]
        rejected = np.where((rejected == 0) & (log_e >= -log(alpha)), look + 1, rejected)
    return rejected


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5])
def test_a_bound_is_rarely_taken_for_broken(rate: float) -> None:
    """400 canaries that disagree just as often as allowed, looked at 60 times each: at most alpha are rejected."""
    generator, rejected, covered = np.random.default_rng(10), 0, 0
    for _ in range(400):
        test, inside = RateBound(rate, 0.05), True
        for _ in range(60):
            bad = int(generator.binomial(20, rate))
            test.update(bad, 20 - bad)
            inside &= test.interval.lower <= rate <= test.interval.upper
        rejected += test.rejected
        covered += inside
    assert rejected <= 20
    assert covered >= 360  # both ends hold at all looks together with 1 - 2 alpha


def test_a_broken_bound_is_found() -> None:
    """Answers that disagree three times as often as allowed are rejected within 300 requests."""
    generator, test = np.random.default_rng(11), RateBound(0.05, 0.05 / 3)
    for _ in range(15):
        bad = int(generator.binomial(20, 0.15))
        test.update(bad, 20 - bad)
    assert test.rejected
    second = RateBound(0.05, 0.05 / 3)
    second.restore(test.state())
    assert second.state() == test.state()
    assert second.interval == test.interval


def test_equal_distributions_of_answers_are_rarely_told_apart() -> None:
    """60 canaries whose answers come from the same distribution, looked at 8 times: hardly any are rejected."""
    section = {"checks": [{"metric": "score_distribution", "margin": 0.001}], "minimum_requests": 10**6}
    spec, generator, rejected = RolloutSpec.parse(section, where="rollout"), np.random.default_rng(12), 0
    for _ in range(60):
        judge = Judge(spec)
        looks = [judge.look(_scores(generator)) for _ in range(8)]
        rejected += "roll_back" in looks
    assert rejected <= 6


def _scores(generator: np.random.Generator) -> Window:
    stable, canary = (VersionMetrics(scores=tuple(generator.beta(2, 5, n).tolist())) for n in (120, 60))
    return Window(stable, canary, {})


def test_many_runs_at_once_are_the_comparison_itself() -> None:
    """What the simulations of this file look at is what judges canaries."""
    generator, margin = np.random.default_rng(8), 0.005
    single, parts, seen = RateComparison(margin, 0.05), np.zeros((2, 5, 1)), np.zeros(4)
    for _ in range(30):
        bad, worse = generator.binomial(10, 0.05), generator.binomial(40, 0.01)
        block = np.array([bad, 10 - bad, worse, 40 - worse], dtype=np.float64)
        beliefs = [(seen[i] + 0.18) / (seen[i] + seen[i + 1] + 0.36) for i in (0, 2)]
        parts = parts + rate_gains(block, beliefs[0], beliefs[1], np.array([margin]))
        seen += block
        single.update(*(int(n) for n in block))
        assert single.log_e == pytest.approx(float(mixture(parts)[0, 0]), abs=1e-9)


def test_what_is_known_of_the_stable_version_makes_the_test_quicker_and_no_less_honest() -> None:
    """Beliefs from before count as no evidence: alone they reject nothing, and wrong ones raise no false alarms."""
    alone = RateComparison(0.0, 0.05)
    alone.learn(5, 495)
    assert alone.log_e == 0
    generator, rejected = np.random.default_rng(9), 0
    for _ in range(200):
        misled = RateComparison(0.0, 0.05)
        misled.learn(0, 10_000)  # it was perfect; now both versions fail at 10 %
        for _ in range(20):
            bad, worse = generator.binomial(10, 0.1), generator.binomial(30, 0.1)
            misled.update(bad, 10 - bad, worse, 30 - worse)
        rejected += misled.rejected
    assert rejected <= 10


@pytest.mark.parametrize("rate", [0.002, 0.05, 0.5])
@pytest.mark.parametrize("margin", [0.0, 0.005])
def test_false_alarms_of_rates_stay_below_alpha(rate: float, margin: float) -> None:
    """2,000 canaries just as bad as the margin allows, looked at 150 times each: at most alpha are rejected."""
    stable = np.full((2000, 150), rate)
    rejected = rejections(stable + margin, stable, margin, 0.05, (10, 40), seed=1)
    assert np.mean(rejected > 0) <= 0.05


def test_false_alarms_stay_below_alpha_when_both_versions_drift() -> None:
    """A rate that swings for both versions alike, as in an outage, is no evidence against the canary."""
    swing = np.where(np.arange(150) % 50 < 25, 0.01, 0.4)
    rates = np.tile(swing, (2000, 1))
    assert np.mean(rejections(rates, rates, 0.0, 0.05, (25, 25), seed=2) > 0) <= 0.05


def test_ten_per_cent_of_errors_are_found_quickly() -> None:
    """Against 1 % at the stable version, nearly every such canary is rejected within 300 of its requests."""
    stable = np.full((1000, 30), 0.01)
    rejected = rejections(np.full((1000, 30), 0.10), stable, 0.005, 0.05 / 3, (10, 40), seed=3)
    assert np.mean(rejected > 0) >= 0.97
    assert np.median(rejected[rejected > 0]) * 10 <= 120


def test_false_alarms_of_means_stay_below_alpha() -> None:
    """300 canaries with the same skewed losses, looked at 20 times each: at most alpha are rejected."""
    generator, rejected = np.random.default_rng(4), 0
    for _ in range(300):
        test = MeanComparison(0.0, 0.05, 4.6)
        for _ in range(20):
            losses = np.clip(generator.gamma(0.6, 0.9, 15), 0.01, 4.6)
            test.update(losses[:5], losses[5:])
            if test.rejected:
                rejected += 1
                break
    assert rejected <= 15


def test_worse_losses_are_found() -> None:
    """A canary whose loss is larger by 0.5 nats is rejected within 300 outcomes."""
    generator, test = np.random.default_rng(5), MeanComparison(0.05, 0.05 / 3, 4.6)
    for _ in range(30):
        test.update(
            np.clip(generator.gamma(1.2, 0.45, 10) + 0.5, 0, 4.6), np.clip(generator.gamma(1.2, 0.45, 20), 0, 4.6)
        )
    assert test.rejected
    assert 0.05 <= test.interval.lower <= 0.5 <= test.interval.upper


def test_a_whole_judge_rolls_back_at_most_alpha_of_canaries_that_are_as_good() -> None:
    """500 rollouts with three checks without any margin, each looked at 15 times: at most alpha are rolled back."""
    spec = RolloutSpec.parse({"alpha": 0.05, "checks": CHECKS, "minimum_requests": 10**6}, where="rollout")
    generator = np.random.default_rng(6)
    rolled_back = sum(_rolled_back(spec, generator) for _ in range(500))
    assert rolled_back <= 25


def _rolled_back(spec: RolloutSpec, generator: np.random.Generator) -> bool:
    judge = Judge(spec)
    judge.prepare(_metrics(generator, 200))
    return any(
        judge.look(Window(_metrics(generator, 40), _metrics(generator, 20), {})) == "roll_back" for _ in range(10)
    )


def _metrics(generator: np.random.Generator, attempts: int) -> VersionMetrics:
    failed = int(generator.binomial(attempts, 0.05))
    slow = int(generator.binomial(attempts - failed, 0.04))
    outcomes = [(0.3, int(outcome)) for outcome in generator.random(attempts // 3) < 0.3]
    latencies = {0.01: attempts - failed - slow, 0.1: slow}
    return VersionMetrics(attempts - failed, failed, latencies, tuple(outcomes))


@given(
    share=st.floats(0.01, 0.99),
    counts=st.lists(st.integers(0, 60), min_size=4, max_size=4),
    beliefs=st.tuples(st.floats(0.001, 0.999), st.floats(0.001, 0.999)),
    margin=st.floats(0, 0.5),
)
@settings(max_examples=200)
def test_a_block_is_an_e_variable(share: float, counts: list[int], beliefs: tuple[float, float], margin: float) -> None:
    """Whatever is believed, the expected e-value of a block is at most 1 at every point of the hypothesis."""
    canary_trials, stable_trials = 1 + counts[0] % 3, 1 + counts[1] % 4
    stable = share
    canary = min(1.0, stable + margin * (counts[2] % 11) / 10)
    expectation = 0.0
    for bad in range(canary_trials + 1):
        for worse in range(stable_trials + 1):
            chance = _binomial(canary_trials, bad, canary) * _binomial(stable_trials, worse, stable)
            block = (bad, canary_trials - bad, worse, stable_trials - worse)
            bet = beliefs[0] - beliefs[1] > margin
            expectation += chance * (np.exp(block_log_e(block, *beliefs, np.array([margin]))[0]) if bet else 1)
    assert expectation <= 1 + 1e-6


def _binomial(trials: int, successes: int, rate: float) -> float:
    from math import comb

    return comb(trials, successes) * rate**successes * (1 - rate) ** (trials - successes)


@given(
    blocks=st.lists(st.lists(st.integers(0, 30), min_size=4, max_size=4), max_size=8),
    cut=st.integers(0, 8),
    margin=st.floats(0, 0.2),
)
def test_a_restored_comparison_goes_on_as_if_never_interrupted(
    blocks: list[list[int]], cut: int, margin: float
) -> None:
    """State that went through JSON gives the same figures."""
    whole, first = RateComparison(margin, 0.05), RateComparison(margin, 0.05)
    for block in blocks:
        whole.update(*block)
    for block in blocks[:cut]:
        first.update(*block)
    second = RateComparison(margin, 0.05)
    second.restore(first.state())
    for block in blocks[cut:]:
        second.update(*block)
    assert second.state() == whole.state()


@given(rate=st.floats(0.05, 0.9), margin=st.floats(0, 0.3), seed=st.integers(0, 1000))
@settings(max_examples=30)
def test_bounds_hold_the_estimate(rate: float, margin: float, seed: int) -> None:
    """The bounds stand on their sides of the observed difference, and within what is possible."""
    generator, test = np.random.default_rng(seed), RateComparison(margin, 0.05)
    for _ in range(10):
        bad, worse = generator.binomial(30, rate), generator.binomial(30, 0.05)
        test.update(bad, 30 - bad, worse, 30 - worse)
    interval = test.interval
    assert -1 <= interval.lower <= interval.estimate <= interval.upper <= 1


@pytest.mark.parametrize("share", [0.01, 0.05, 0.5])
def test_a_right_split_is_rarely_doubted_and_a_wrong_one_is(share: float) -> None:
    """Looking after every 20 requests: right splits are rarely doubted at 0.01, four times the share always."""
    generator = np.random.default_rng(7)
    doubted = {"right": 0, "wrong": 0}
    for kind, real in (("right", share), ("wrong", min(0.9, 4 * share))):
        for _ in range(300):
            canary = np.cumsum(generator.binomial(20, real, 150))
            total = 20 * np.arange(1, 151)
            values = (split_log_e(int(c), int(n - c), share) for c, n in zip(canary, total, strict=True))
            doubted[kind] += any(value >= log(100) for value in values)
    assert doubted["right"] <= 3 + 6  # a binomial's spread above its expectation
    assert doubted["wrong"] == 300


def test_the_margin_is_among_the_differences() -> None:
    """The grid holds the margin exactly, so that the decision is made at it and not beside it."""
    assert 0.0123 in differences(0.0123)
    assert np.all(np.diff(differences(0.05, 4.6)) > 0)
