"""Figures of every task beside independent implementations: scikit-learn, sacrebleu, or counting by hand."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from fairlead.evaluation.loss_names import LOSSES, default_loss
from fairlead.evaluation.losses import row_losses
from fairlead.evaluation.multiclass_figures import multiclass_figures
from fairlead.evaluation.ranking_metrics import group_figures, group_ndcg
from fairlead.evaluation.regression_figures import regression_figures
from fairlead.evaluation.resampling import resampling
from fairlead.evaluation.text_figures import text_figures
from fairlead.evaluation.text_metrics import common_length, edit_distance, rouge

FEW = settings(max_examples=40, deadline=None)


def classes(count: int, kinds: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws labels, not always of every class, and probabilities, often tied."""
    rng = np.random.default_rng(seed)
    raw = np.round(rng.random((count, kinds)), 1) + 0.05
    labels = rng.integers(0, max(2, int(rng.integers(2, kinds + 1))), count)
    labels[:2] = 0, 1
    return labels, (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)


@FEW
@given(st.integers(3, 120), st.integers(2, 6), st.integers(0, 10**6))
def test_multiclass_figures_agree_with_scikit_learn(count: int, kinds: int, seed: int) -> None:
    """Macro figures, correlations, areas, losses, and those of each class."""
    labels, probabilities = classes(count, kinds, seed)
    names = [f"c{k}" for k in range(kinds)]
    found = multiclass_figures(labels, probabilities, names, resampling(count, resamples=10, seed=0))
    answers = probabilities.argmax(axis=1)
    expected = {
        "accuracy": reference.accuracy_score(labels, answers),
        "macro_f1": reference.f1_score(labels, answers, average="macro", zero_division=0),
        "weighted_f1": reference.f1_score(labels, answers, average="weighted", zero_division=0),
        "macro_precision": reference.precision_score(labels, answers, average="macro", zero_division=0),
        "macro_recall": reference.recall_score(labels, answers, average="macro", zero_division=0),
        "matthews_correlation": reference.matthews_corrcoef(labels, answers),
        "log_loss": reference.log_loss(
            labels, probabilities.astype(float) / probabilities.sum(axis=1, keepdims=True, dtype=float),
            labels=range(kinds),
        ),
    }  # fmt: skip
    for name, value in expected.items():
        assert found[name].estimate == pytest.approx(value, abs=1e-6), name
    recalls = reference.recall_score(labels, answers, average=None, labels=range(kinds), zero_division=np.nan)
    assert found["balanced_accuracy"].estimate == pytest.approx(np.nanmean(recalls))
    for k, name in enumerate(names):
        assert found[f"recall_of_{name}"].estimate == pytest.approx(recalls[k], nan_ok=True)
    present = np.unique(labels)
    areas = [reference.roc_auc_score(labels == k, probabilities[:, k]) for k in present]
    assert found["roc_auc"].estimate == pytest.approx(np.mean(areas))
    if not (answers == answers[0]).all() or not (labels == labels[0]).all():
        assert found["cohens_kappa"].estimate == pytest.approx(reference.cohen_kappa_score(labels, answers))
    brier = np.mean(np.sum((probabilities.astype(float) - np.eye(kinds)[labels]) ** 2, axis=1))
    assert found["brier"].estimate == pytest.approx(brier, abs=1e-6)


@FEW
@given(st.integers(2, 60), st.integers(4, 8), st.integers(0, 10**6))
def test_the_top_three_count_ties_against_the_model(count: int, kinds: int, seed: int) -> None:
    """The truth is among the top three only where fewer than three classes are as probable."""
    labels, probabilities = classes(count, kinds, seed)
    found = multiclass_figures(
        labels, probabilities, [str(k) for k in range(kinds)], resampling(count, resamples=9, seed=0)
    )
    by_hand = [sum(p >= row[label] for p in row) <= 3 for row, label in zip(probabilities, labels, strict=True)]
    assert found["top_3_accuracy"].estimate == pytest.approx(np.mean(by_hand))


@FEW
@given(st.integers(3, 200), st.integers(0, 10**6), st.floats(-1e6, 1e6))
def test_regression_figures_agree_with_scikit_learn(count: int, seed: int, shift: float) -> None:
    """Also far from zero, where sums of squares would cancel."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=count) + shift
    said = truth + rng.normal(size=count) * 0.5
    found = regression_figures(truth, said, resampling(count, resamples=10, seed=0))
    expected = {
        "root_mean_squared_error": reference.root_mean_squared_error(truth, said),
        "mean_absolute_error": reference.mean_absolute_error(truth, said),
        "median_absolute_error": reference.median_absolute_error(truth, said),
        "r2": reference.r2_score(truth, said),
        "explained_variance": reference.explained_variance_score(truth, said),
        "correlation": np.corrcoef(truth, said)[0, 1],
        "mean_error": np.mean(said - truth),
        "squared_error": reference.mean_squared_error(truth, said),
    }
    for name, value in expected.items():
        assert found[name].estimate == pytest.approx(value, rel=1e-6, abs=1e-8), name


def test_constant_labels_leave_shares_of_variance_undefined() -> None:
    """R² and correlation of nothing to explain are not a number; errors are."""
    found = regression_figures(np.ones(20), np.arange(20.0), resampling(20, resamples=10, seed=0))
    assert np.isnan(found["correlation"].estimate)
    assert not np.isfinite(found["r2"].estimate)
    assert found["mean_error"].estimate == pytest.approx(8.5)


@st.composite
def ranked(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws a few groups of uneven length, with ties in scores and relevance, rows in any order."""
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=6))
    groups = np.repeat(np.arange(len(sizes)), sizes)
    count = groups.size
    relevance = np.array(draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)), dtype=float)
    scores = np.array(draw(st.lists(st.integers(0, 4), min_size=count, max_size=count)), dtype=float)
    order = np.array(draw(st.permutations(range(count))))
    return relevance[order], scores[order], groups[order]


@FEW
@given(ranked(), st.integers(1, 7))
def test_ndcg_agrees_with_scikit_learn_in_each_group(
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray], cutoff: int
) -> None:
    """With the same gains, ties averaged, cut off or not."""
    relevance, scores, groups = drawn
    for k in (None, cutoff):
        found = group_ndcg(relevance, scores, groups, k)
        for group in range(int(groups.max()) + 1):
            gains, said = 2 ** relevance[groups == group] - 1, scores[groups == group]
            if not gains.any():
                assert np.isnan(found[group])
            elif gains.size > 1:
                assert found[group] == pytest.approx(reference.ndcg_score([gains], [said], k=k))
            else:
                assert found[group] == 1


@FEW
@given(ranked(), st.integers(1, 4))
def test_group_figures_agree_with_counting_by_hand(
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray], cutoff: int
) -> None:
    """Precision and recall are means over all orders of ties; ranks and average precision put ties behind."""
    relevance, scores, groups = drawn
    found = group_figures(relevance, scores, groups, [cutoff])
    for group in range(int(groups.max()) + 1):
        hits, said = relevance[groups == group] > 0, scores[groups == group]
        got = {name: values[group] for name, values in found.items()}
        if not hits.any():
            assert all(np.isnan(value) for value in got.values())
            continue
        orders = [np.array(o) for o in itertools.permutations(range(hits.size)) if (np.diff(said[list(o)]) <= 0).all()]
        precisions = [hits[order][:cutoff].sum() / cutoff for order in orders]
        assert got[f"precision_at_{cutoff}"] == pytest.approx(np.mean(precisions))
        assert got[f"recall_at_{cutoff}"] == pytest.approx(np.mean(precisions) * cutoff / hits.sum())
        rank = min(int(np.sum(said >= value)) for value in said[hits])
        assert got["mrr"] == pytest.approx(1 / rank)
        assert got[f"hit_rate_at_{cutoff}"] == float(rank <= cutoff)
        assert got["map"] == pytest.approx(reference.average_precision_score(hits, said))


@FEW
@given(ranked())
def test_a_perfect_order_is_perfect_and_a_constant_earns_little(
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Scores that are the relevance give 1 everywhere; no order does better than them."""
    relevance, scores, groups = drawn
    perfect, any_order = group_ndcg(relevance, relevance, groups), group_ndcg(relevance, scores, groups)
    defined = np.isfinite(perfect)
    assert np.allclose(perfect[defined], 1)
    assert np.all(any_order[defined] <= 1)


TEXTS = st.lists(st.text("ab cé.", max_size=12), min_size=1, max_size=6)


@FEW
@given(st.data())
def test_text_figures_agree_with_sacrebleu(data: st.DataObject) -> None:
    """BLEU and chrF of the corpus, to the last digits; equal texts are perfect."""
    references = data.draw(TEXTS)
    texts = data.draw(st.lists(st.text("ab cé.", max_size=12), min_size=len(references), max_size=len(references)))
    found = text_figures(references, texts, resampling(len(texts), resamples=5, seed=0))
    assert found["chrf"].estimate == pytest.approx(sacrebleu.corpus_chrf(texts, [references]).score / 100, abs=1e-9)
    assert found["bleu"].estimate == pytest.approx(sacrebleu.corpus_bleu(texts, [references]).score / 100, abs=1e-9)
    same = text_figures(references, references, resampling(len(references), resamples=5, seed=0))
    assert same["exact_match"].estimate == same["rouge_l"].estimate == 1


def slow_distance(left: Sequence[str], right: Sequence[str]) -> int:
    """Levenshtein's distance by its definition."""
    if not left or not right:
        return len(left) + len(right)
    shorter = slow_distance(left[1:], right) + 1, slow_distance(left, right[1:]) + 1
    return min(*shorter, slow_distance(left[1:], right[1:]) + (left[0] != right[0]))


def slow_common(left: Sequence[str], right: Sequence[str]) -> int:
    """The longest common subsequence by its definition."""
    if not left or not right:
        return 0
    if left[0] == right[0]:
        return 1 + slow_common(left[1:], right[1:])
    return max(slow_common(left[1:], right), slow_common(left, right[1:]))


@FEW
@given(st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_distances_agree_with_their_definitions(left: str, right: str) -> None:
    """Edit distance and common subsequence, of strings and of words."""
    assert edit_distance(left, right) == edit_distance(right, left) == slow_distance(left, right)
    assert common_length(left, right) == slow_common(left, right)
    assert edit_distance(list(left), list(right)) == slow_distance(left, right)


def test_rouge_is_that_of_the_paper() -> None:
    """The example of Lin 2004: three of four words in order, two in order."""
    truth = "police killed the gunman"
    assert rouge(truth, "police kill the gunman")["rouge_l"] == 0.75
    assert rouge(truth, "the gunman kill police")["rouge_l"] == 0.5
    assert rouge(truth, "police kill the gunman")["rouge_2"] == pytest.approx(1 / 3)
    assert rouge("yes", "no")["rouge_2"] == 0
    assert rouge("yes", "Yes!")["rouge_2"] == 1


@FEW
@given(st.integers(2, 60), st.integers(0, 10**6))
def test_row_losses_average_to_the_figures(count: int, seed: int) -> None:
    """None is negative, a perfect answer costs nothing, and means are scikit-learn's losses."""
    rng = np.random.default_rng(seed)
    labels, said = rng.integers(0, 2, count).astype(np.int8), rng.random(count)
    assert row_losses("binary", labels, said, loss="brier").mean() == pytest.approx(np.mean((said - labels) ** 2))
    assert row_losses("binary", labels, labels.astype(float)).max() < 1e-6
    kinds, shares = classes(count, 3, seed)
    assert row_losses("multiclass", kinds, np.eye(3, dtype=np.float32)[kinds]).max() < 1e-6
    assert row_losses("multiclass", kinds, shares, loss="error_rate").mean() == pytest.approx(
        1 - reference.accuracy_score(kinds, shares.argmax(axis=1))
    )
    assert row_losses("regression", said, said).max() == 0
    assert row_losses("text-generation", ["a b"], ["a b"], loss="edit_distance")[0] == 0
    for task in LOSSES:
        assert default_loss(task) == LOSSES[task][0]
