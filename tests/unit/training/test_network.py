"""The torch module: imputation, scaling and missing values inside, chance only from its generator."""

import numpy as np
import pytest
import torch

from fairlead.training.recipes.network import Statistics, TabularNetwork, hide_categories

NAN = float("nan")


def network(numeric: np.ndarray[tuple[int, int], np.dtype[np.float32]], words: tuple[int, ...] = ()) -> TabularNetwork:
    """A network with fresh weights whose statistics are those of the rows."""
    torch.manual_seed(0)
    return TabularNetwork(Statistics.of(numeric), words, [8], 0.5).eval()


def test_statistics_ignore_missing_values_and_silence_constants() -> None:
    """The median stands in for gaps and infinities; a constant or empty column gets no weight."""
    rows = np.array([[1, 5, NAN, NAN], [3, 5, NAN, 2], [NAN, 5, NAN, np.inf], [2, 5, NAN, 4]], dtype=np.float32)
    statistics = Statistics.of(rows)
    assert statistics.median.tolist() == [2.0, 5.0, 0.0, 3.0]
    assert statistics.inverse_deviation[1:3].tolist() == [0.0, 0.0]
    assert statistics.indicated.tolist() == [1.0, 0.0, 1.0, 1.0]


def test_pieces_fill_one_after_another() -> None:
    """Each quantile bin goes from 0 to 1 while a value crosses it; what lies outside is clipped."""
    rows = np.arange(17, dtype=np.float32).reshape(-1, 1)
    statistics = Statistics.of(rows)
    assert statistics.bin_start[0].tolist() == [0, 2, 4, 6, 8, 10, 12, 14]
    assert statistics.bin_scale[0].tolist() == [0.5] * 8
    tied = Statistics.of(np.array([[0.0]] * 9 + [[1.0]], dtype=np.float32))
    assert np.isfinite(tied.bin_scale).all()


def test_a_missing_value_equals_the_median_where_training_saw_none() -> None:
    """Where training never saw a gap, a gap later cannot add noise: it is the median and nothing else."""
    made = network(np.array([[1.0], [2.0], [6.0]], dtype=np.float32))
    none = torch.zeros(1, 0, dtype=torch.int64)
    assert torch.equal(made(torch.tensor([[NAN]]), none), made(torch.tensor([[2.0]]), none))


def test_a_missing_value_counts_where_training_saw_some() -> None:
    """Where training saw gaps, a gap says more than the median does."""
    made = network(np.array([[1.0], [2.0], [NAN]], dtype=np.float32))
    none = torch.zeros(1, 0, dtype=torch.int64)
    assert not torch.equal(made(torch.tensor([[NAN]]), none), made(torch.tensor([[1.5]]), none))


def test_wild_values_are_clipped_and_infinity_is_missing() -> None:
    """Ten deviations or a million change nothing more; infinity is a gap."""
    made = network(np.array([[1.0], [2.0], [6.0]], dtype=np.float32))
    none = torch.zeros(4, 0, dtype=torch.int64)
    out = made(torch.tensor([[1e6], [1e9], [float("inf")], [NAN]]), none)
    assert out[0] == out[1]
    assert out[2] == out[3]
    assert torch.isfinite(out).all()


def test_an_unseen_missing_category_says_nothing_at_first() -> None:
    """The embedding of `missing` starts at zero."""
    made = network(np.zeros((3, 0), dtype=np.float32), words=(5,))
    weight = made.embeddings[0].weight
    assert isinstance(weight, torch.Tensor)
    assert not weight[0].any()
    assert weight[1].any()


@pytest.mark.parametrize(("share", "expected"), [(0.0, [0, 1, 2, 9]), (1.0, [0, 1, 1, 1])])
def test_hiding_spares_missing_categories(share: float, expected: list[int]) -> None:
    """Known codes become unknown; missing stays missing."""
    codes = torch.tensor([[0, 1, 2, 9]])
    assert hide_categories(codes, share, torch.Generator().manual_seed(0)).tolist() == [expected]


@pytest.mark.parametrize(("outputs", "shape"), [(1, (3,)), (2, (3, 2)), (5, (3, 5))])
def test_one_score_a_row_or_one_a_class(outputs: int, shape: tuple[int, ...]) -> None:
    """A single output is a number per row; classes have a column each."""
    made = TabularNetwork(Statistics.of(np.zeros((3, 2), np.float32)), [], [4], 0.0, outputs)
    assert made(torch.zeros(3, 2), torch.zeros(3, 0, dtype=torch.int64)).shape == shape
