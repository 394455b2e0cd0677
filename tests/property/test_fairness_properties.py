"""What holds for fairness figures: they are fairlearn's and those counted by hand, and their tests hold their level."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.evaluation import fairness
from fairlead.evaluation.corrections import corrected
from fairlead.evaluation.estimates import Blocks
from fairlead.evaluation.fairness import GroupFairness, compare_groups, fairlearn_figure
from fairlead.evaluation.grouping import Groups

NAMES = ("red", "green", "blue")


def _compare(codes: np.ndarray, labels: np.ndarray, answers: np.ndarray, **given: object) -> GroupFairness:
    options = {"minimum_rows": 1, "confidence": 0.95, "resamples": 200, "seed": 1, **given}
    return compare_groups("colour", Groups(NAMES, codes), labels, answers, **options)  # type: ignore[arg-type]


def _drawn(seed: int, count: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    codes, labels = rng.integers(0, 3, count), rng.integers(0, 2, count)
    return codes, labels, rng.random(count) < 0.3 + 0.2 * labels + shift * (codes == 0)


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the figures of hundreds of samples without fairlearn; that both are the same is tested by themselves."""

    def figure(metric: str, counts: np.ndarray) -> float:
        return float(fairness._differences(metric, fairness._rates(counts[None]))[0])

    monkeypatch.setattr(fairness, "fairlearn_figure", figure)


def _share(answers: np.ndarray, mask: np.ndarray) -> float:
    """The share of yes, by counting."""
    chosen = [bool(answer) for answer, inside in zip(answers, mask, strict=True) if inside]
    return sum(chosen) / len(chosen)


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.integers(300, 900))
def test_figures_are_those_counted_by_hand(seed: int, count: int) -> None:
    """Selection rates, true and false positive rates, and the four figures."""
    codes, labels, answers = _drawn(seed, count)
    found = _compare(codes, labels, answers)
    selected = [_share(answers, codes == n) for n in range(3)]
    true = [_share(answers, (codes == n) & (labels == 1)) for n in range(3)]
    false = [_share(answers, (codes == n) & (labels == 0)) for n in range(3)]
    by_name = {group.name: group for group in found.groups}
    for n, name in enumerate(NAMES):
        rates = by_name[name].rates
        assert np.isclose(rates["selection_rate"].estimate, selected[n])
        assert np.isclose(rates["true_positive_rate"].estimate, true[n])
        assert np.isclose(rates["false_positive_rate"].estimate, false[n])
        assert rates["selection_rate"].low <= selected[n] <= rates["selection_rate"].high
    figures = {name: interval.estimate for name, interval in found.figures.items()}
    expected = {
        "demographic_parity_difference": max(selected) - min(selected),
        "demographic_parity_ratio": min(selected) / max(selected),
        "equalized_odds_difference": max(max(true) - min(true), max(false) - min(false)),
        "equal_opportunity_difference": max(true) - min(true),
    }
    assert figures.keys() == expected.keys()
    assert all(np.isclose(figures[name], value) for name, value in expected.items())


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_weighted_counts_are_all_the_rows(seed: int) -> None:
    """Fairlearn says the same of the counts as of every single row."""
    import fairlearn.metrics  # type: ignore[import-untyped]

    codes, labels, answers = _drawn(seed, 300)
    counts = np.zeros((3, 2, 2))
    np.add.at(counts, (codes, labels, answers.astype(int)), 1)
    for metric in ("demographic_parity_ratio", "equalized_odds_difference"):
        compute = getattr(fairlearn.metrics, metric)
        assert np.isclose(fairlearn_figure(metric, counts), compute(labels, answers, sensitive_features=codes))


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.floats(0, 0.4))
def test_intervals_lie_around_the_figure_within_its_range(seed: int, shift: float) -> None:
    """Every interval is within 0 and 1."""
    for interval in _compare(*_drawn(seed, 600, shift)).figures.values():
        assert 0 <= interval.low <= interval.high <= 1


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_the_names_and_order_of_groups_do_not_matter(seed: int) -> None:
    """Groups that are renumbered give the same figures."""
    codes, labels, answers = _drawn(seed, 500)
    plain, other = _compare(codes, labels, answers), _compare(2 - codes, labels, answers)
    for name, interval in plain.figures.items():
        assert np.isclose(other.figures[name].estimate, interval.estimate)


@pytest.mark.usefixtures("quickly")
def test_equal_groups_are_seldom_called_unequal() -> None:
    """Of 300 samples of three equal groups, few are shown to differ by more than nothing, though all do as measured."""
    rejected, measured = 0, 0
    for seed in range(300):
        found = _compare(*_drawn(seed, 600), resamples=100)
        tests = found.table.violations("demographic_parity_difference", 0.0)
        rejected += bool((corrected(np.array([p for _, _, p, _ in tests]), "holm") < 0.05).any())
        measured += found.figures["demographic_parity_difference"].estimate > 0
    assert measured == 300
    assert rejected / 300 <= 0.09


def test_unequal_groups_are_found_and_named() -> None:
    """A group with a higher rate of yes is named against the others, and the difference that there is, is allowed."""
    found = _compare(*_drawn(1, 6000, 0.2))
    tests = found.table.violations("demographic_parity_difference", 0.05)
    shown = [words for words, _, p, _ in tests if p < 0.01]
    assert shown == ["red against green (selection rate)", "red against blue (selection rate)"] or sorted(shown) == [
        "red against blue (selection rate)",
        "red against green (selection rate)",
    ]
    assert min(p for _, _, p, _ in found.table.violations("demographic_parity_difference", 0.3)) > 0.5
    ratio = found.table.violations("demographic_parity_ratio", 0.95)
    assert min(ratio, key=lambda test: test[2])[1] < 0.85


@pytest.mark.usefixtures("quickly")
def test_intervals_hold_a_true_difference() -> None:
    """Of 200 intervals of 90 % for a real difference of 0.2, about 90 % hold it."""
    held = 0
    for seed in range(200):
        interval = _compare(*_drawn(seed, 2000, 0.2), confidence=0.9).figures["demographic_parity_difference"]
        held += interval.low <= 0.2 <= interval.high
    assert 0.83 <= held / 200 <= 0.96


def test_dependent_rows_make_intervals_wider() -> None:
    """Rows of a block that answer alike count as one; the figures themselves stay."""
    rng = np.random.default_rng(2)
    blocks = np.repeat(np.arange(60), 20)
    codes, labels = rng.integers(0, 3, 1200), rng.integers(0, 2, 1200)
    answers = (rng.random(60) < 0.5)[blocks]
    plain = _compare(codes, labels, answers).groups[0].rates["selection_rate"]
    blocked = _compare(codes, labels, answers, blocks=Blocks(blocks, 60)).groups[0].rates["selection_rate"]
    assert blocked.estimate == plain.estimate
    assert blocked.high - blocked.low > 2 * (plain.high - plain.low)


def test_groups_without_enough_rows_are_left_out_and_said() -> None:
    """A small group counts in no figure; one without enough true yes counts in no figure of the true yes."""
    codes = np.array([0] * 300 + [1] * 300 + [2] * 5)
    labels = np.array([0, 1] * 150 + [0] * 295 + [1] * 5 + [1] * 5)
    answers = np.array([True, False] * 302 + [True])
    found = _compare(codes, labels, answers, minimum_rows=50)
    assert [group.name for group in found.groups] == ["red", "green"]
    assert list(found.small) == [("blue", 5)]
    assert set(found.figures) == {"demographic_parity_difference", "demographic_parity_ratio"}
    assert _compare(codes, labels, answers, minimum_rows=400).figures == {}
