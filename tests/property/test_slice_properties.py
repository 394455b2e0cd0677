"""What holds for corrections, for figures of slices, and for the search: errors by simulation."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn.metrics import roc_auc_score

from fairlead.evaluation.corrections import corrected, holm
from fairlead.evaluation.discovery import conditions, halves, search
from fairlead.evaluation.estimates import AreaFigure, Blocks, MeanFigure
from fairlead.evaluation.grouping import cut
from fairlead.evaluation.slice_metrics import row_costs
from fairlead.evaluation.slice_spec import Correction

P_VALUES = hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 1))


def _holm_by_hand(p_values: np.ndarray) -> list[float]:
    """Each p-value's largest level at which the step-down procedure keeps its hypothesis."""
    order, found, largest = sorted(range(len(p_values)), key=lambda n: p_values[n]), [0.0] * len(p_values), 0.0
    for place, n in enumerate(order):
        largest = max(largest, min(1.0, p_values[n] * (len(p_values) - place)))
        found[n] = largest
    return found


@given(P_VALUES)
def test_holm_is_the_step_down_procedure(p_values: np.ndarray) -> None:
    """It agrees with stepping down by hand."""
    assert np.allclose(holm(p_values), _holm_by_hand(p_values))


@given(P_VALUES, st.sampled_from(["holm", "benjamini-hochberg"]))
def test_corrections_are_monotone(p_values: np.ndarray, correction: Correction) -> None:
    """No p-value becomes smaller, their order stays, and the order in which they come does not matter."""
    found = corrected(p_values, correction)
    assert (found >= p_values - 1e-12).all()
    assert (found <= 1 + 1e-12).all()
    order = np.argsort(p_values, kind="stable")
    assert (np.diff(found[order]) >= -1e-12).all()
    shuffled = np.random.default_rng(len(p_values)).permutation(len(p_values))
    assert np.allclose(corrected(p_values[shuffled], correction), found[shuffled])


@given(P_VALUES)
def test_controlling_any_error_is_stricter_than_their_share(p_values: np.ndarray) -> None:
    """Holm rejects nothing that Benjamini and Hochberg keep."""
    assert (corrected(p_values, "holm") >= corrected(p_values, "benjamini-hochberg") - 1e-12).all()


@given(P_VALUES, st.floats(0, 1))
def test_one_hypothesis_more_never_helps(p_values: np.ndarray, further: float) -> None:
    """A larger family makes no corrected p-value smaller under Holm."""
    larger = holm(np.append(p_values, further))[:-1]
    assert (larger >= holm(p_values) - 1e-12).all()


@given(st.integers(0, 10_000), st.integers(5, 80))
def test_the_gap_of_a_mean_is_welchs(seed: int, size: int) -> None:
    """Value and one-sided p-value are those of SciPy's Welch test; for less-is-worse figures, of the other side."""
    rng = np.random.default_rng(seed)
    values, rows = rng.normal(size=200), rng.permutation(200)[:size]
    rest = np.setdiff1d(np.arange(200), rows)
    for worse, side in ((1, "greater"), (-1, "less")):
        found = MeanFigure(values, worse=worse).gap(rows)
        expected = stats.ttest_ind(values[rows], values[rest], equal_var=False, alternative=side)
        assert np.isclose(found.value, worse * (values[rows].mean() - values[rest].mean()))
        assert np.isclose(found.p_above(0), expected.pvalue, rtol=1e-6)


@given(st.integers(0, 10_000))
def test_a_figure_of_some_rows_only_ignores_the_others(seed: int) -> None:
    """Recall and the like are means over the rows that they are defined for."""
    rng = np.random.default_rng(seed)
    values, defined, rows = rng.normal(size=100), rng.random(100) < 0.5, rng.permutation(100)[:40]
    found = MeanFigure(values, defined).of(rows)
    kept = rows[defined[rows]]
    assert found.cases == kept.size
    assert np.isclose(found.value, values[kept].mean())
    interval = found.interval(0.9)
    low, high = stats.t.interval(0.9, kept.size - 1, values[kept].mean(), stats.sem(values[kept]))
    assert np.allclose([interval.low, interval.high], [low, high])


@given(st.integers(0, 10_000))
def test_blocks_of_one_row_are_no_blocks(seed: int) -> None:
    """Errors between blocks are those between rows where each row is a block of its own."""
    rng = np.random.default_rng(seed)
    values, rows = rng.normal(size=300), rng.permutation(300)[:100]
    single = Blocks(np.arange(300), 300)
    plain, blocked = MeanFigure(values), MeanFigure(values, blocks=single)
    assert np.isclose(blocked.of(rows).error, plain.of(rows).error)
    assert np.isclose(blocked.gap(rows).error, plain.gap(rows).error, rtol=0.02)
    labels = (values > 0).astype(int)
    scores = values + rng.normal(size=300)
    area, other = AreaFigure(labels, scores), AreaFigure(labels, scores, single)
    assert np.isclose(other.of(rows).error, area.of(rows).error, rtol=0.03)


@given(st.integers(0, 10_000))
def test_the_gap_of_an_area_is_that_of_the_areas(seed: int) -> None:
    """It is scikit-learn's area of the other rows less that of the slice."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 200)
    scores = np.round(rng.normal(size=200) + labels, 1)
    rows = rng.permutation(200)[:80]
    rest = np.setdiff1d(np.arange(200), rows)
    expected = roc_auc_score(labels[rest], scores[rest]) - roc_auc_score(labels[rows], scores[rows])
    assert np.isclose(AreaFigure(labels, scores).gap(rows).value, expected)


def test_a_test_of_a_gap_holds_its_level() -> None:
    """Of 1,000 slices of skewed losses that differ by chance only, about 5 % have p < 0.05; so have areas."""
    rng = np.random.default_rng(3)
    means, areas = 0, 0
    for _ in range(1000):
        labels = rng.integers(0, 2, 600)
        scores = rng.normal(size=600) + labels
        rows = np.arange(200)
        means += MeanFigure(rng.exponential(size=600)).gap(rows).p_above(0) < 0.05
        areas += AreaFigure(labels, scores).gap(rows).p_above(0) < 0.05
    assert 0.025 <= means / 1000 <= 0.075
    assert 0.025 <= areas / 1000 <= 0.075


def _days(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Losses of 40 days of 50 rows, which share their day's weather; a slice holds more rows on some days."""
    days = np.repeat(np.arange(40), 50)
    losses = rng.normal(size=40)[days] + rng.normal(size=2000)
    rows = np.flatnonzero(rng.random(2000) < rng.random(40)[days])
    return days, losses, rows


def test_dependent_rows_need_blocks() -> None:
    """Days that share their weather: taken for independent, rows raise false alarms; between days, the level holds."""
    rng, naive, honest = np.random.default_rng(5), 0, 0
    for _ in range(400):
        days, losses, rows = _days(rng)
        naive += MeanFigure(losses).gap(rows).p_above(0) < 0.05
        honest += MeanFigure(losses, blocks=Blocks(days, 40)).gap(rows).p_above(0) < 0.05
    assert naive / 400 > 0.15
    assert 0.02 <= honest / 400 <= 0.09


def _columns(rng: np.random.Generator, count: int) -> dict[str, pa.DictionaryArray]:
    words = np.array(["a", "b", "c", "d"])
    found = {f"word{n}": pa.array(words[rng.integers(0, 4, count)]).dictionary_encode() for n in range(3)}
    return found | {f"number{n}": pa.array(rng.normal(size=count)).dictionary_encode() for n in range(3)}


def _confirmed(columns: dict[str, pa.DictionaryArray], losses: np.ndarray, seed: int, where: str) -> bool:
    """Whether any slice that the search finds is worse by the corrected test on the rows that decide."""
    searched, deciding = halves(losses.size, seed)
    simple = conditions(columns, 4, 30)
    found = search(simple, losses, searched, length=2, beam=10, keep=5, fewest=30)
    rows = deciding if where == "other half" else searched
    figure = MeanFigure(losses[rows])
    masks = [np.logical_and.reduce([simple[n].holds[rows] for n in candidate.conditions]) for candidate in found]
    p_values = np.array([figure.gap(np.flatnonzero(mask)).p_above(0) for mask in masks])
    return bool((corrected(p_values, "holm") < 0.05).any())


def test_a_search_where_nothing_is_to_be_found_raises_few_alarms() -> None:
    """Of 200 searches in noise at most about 5 % confirm a slice; tested on the searched rows, nearly all would."""
    rng, honest, naive = np.random.default_rng(7), 0, 0
    for seed in range(200):
        columns, losses = _columns(rng, 1000), rng.exponential(size=1000)
        honest += _confirmed(columns, losses, seed, "other half")
        naive += seed < 50 and _confirmed(columns, losses, seed, "same half")
    assert honest / 200 <= 0.095  # 5 % and three standard errors
    assert naive / 50 >= 0.5


def test_a_search_finds_what_is_there() -> None:
    """A slice of two conditions with worse losses is found, and the other half confirms it."""
    rng = np.random.default_rng(11)
    columns = _columns(rng, 4000)
    bad = (np.array(columns["word0"].to_pylist()) == "b") & (np.array(columns["number1"].to_pylist()) > 0.7)
    losses = rng.exponential(size=4000) + 1.0 * bad
    simple = conditions(columns, 4, 50)
    searched, deciding = halves(4000, 1)
    best = search(simple, losses, searched, length=2, beam=20, keep=3, fewest=50)[0]
    assert {simple[n].column for n in best.conditions} == {"word0", "number1"}
    assert {simple[n].text.split(" from")[0] for n in best.conditions} >= {"word0 is b"}
    mask = np.logical_and.reduce([simple[n].holds[deciding] for n in best.conditions])
    assert MeanFigure(losses[deciding]).gap(np.flatnonzero(mask)).p_above(0) < 1e-6


@given(st.integers(0, 1000), st.integers(1, 3))
def test_candidates_are_what_they_say(seed: int, length: int) -> None:
    """Rows and gap of a candidate are those of its conditions on the searched rows; none looks at the others."""
    rng = np.random.default_rng(seed)
    columns, losses = _columns(rng, 300), rng.normal(size=300)
    simple = conditions(columns, 3, 10)
    searched, deciding = halves(300, seed)
    found = search(simple, losses, searched, length=length, beam=5, keep=4, fewest=10)
    for candidate in found:
        mask = np.logical_and.reduce([simple[n].holds[searched] for n in candidate.conditions])
        gap = losses[searched][mask].mean() - losses[searched][~mask].mean()
        assert mask.sum() == candidate.rows >= 10
        assert np.isclose(gap, candidate.gap, atol=1e-4)
        assert len({simple[n].column for n in candidate.conditions}) == len(candidate.conditions) <= length
    other = losses.copy()
    other[deciding] = rng.normal(size=deciding.size) * 100
    assert search(simple, other, searched, length=length, beam=5, keep=4, fewest=10) == found


@given(st.integers(0, 1000), st.integers(1, 40))
def test_halves_share_no_block(seed: int, blocks: int) -> None:
    """Every row is in one half, and rows of a block are in the same."""
    codes = np.random.default_rng(seed).integers(0, blocks, 200)
    searched, deciding = halves(200, seed, codes)
    assert sorted([*searched.tolist(), *deciding.tolist()]) == list(range(200))
    assert not set(codes[searched]) & set(codes[deciding])
    plain = halves(200, seed)
    assert [half.size for half in plain] == [100, 100]


@given(hnp.arrays(np.float64, st.integers(1, 200), elements=st.floats(-100, 100)), st.integers(2, 8))
def test_quantiles_cut_every_row_once(values: np.ndarray, parts: int) -> None:
    """Parts are in order, equal numbers are together, and every row has a part."""
    groups = cut(values, parts)
    assert sum(rows.size for _, rows in groups.members()) == values.size
    assert len(groups.members()) <= parts
    order = np.argsort(values, kind="stable")
    assert (np.diff(groups.codes[order]) >= 0).all()
    for value in np.unique(values):
        assert len(set(groups.codes[values == value])) == 1


@pytest.mark.parametrize("count", [1, 5])
def test_missing_numbers_are_a_part_of_their_own(count: int) -> None:
    """Missing and infinite values are cut off first."""
    groups = cut(np.array([np.nan] * count + [1.0, 2.0, 3.0, 4.0, np.inf]), 2)
    named = {name: rows.size for name, rows in groups.members()}
    assert named == {"1 to 2.5": 2, "2.5 to 4": 2, "(missing)": count + 1}


@given(st.integers(0, 10_000), st.integers(2, 6))
def test_excess_is_what_a_model_did_not_expect(seed: int, classes: int) -> None:
    """Weighted by its own probabilities, a model's excess of log loss is nothing; yes/no is the case of two classes."""
    shares = np.random.default_rng(seed).dirichlet(np.ones(classes), 30).clip(1e-6)
    shares /= shares.sum(axis=1, keepdims=True)
    each = [row_costs("multiclass", "excess_log_loss", np.full(30, code), shares) for code in range(classes)]
    assert np.allclose(np.sum(np.stack(each, axis=1) * shares, axis=1), 0, atol=1e-5)
    yes, two = shares[:, 0], np.stack([1 - shares[:, 0], shares[:, 0]], axis=1)
    labels = np.arange(30) % 2
    binary = row_costs("binary", "excess_log_loss", labels, yes)
    assert np.allclose(binary, row_costs("multiclass", "excess_log_loss", labels, two), atol=1e-5)
