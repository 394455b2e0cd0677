"""What must hold of every table, search space and schedule: training and serving encode alike, grids are whole."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from fairlead.optimization.packaging import spread
from fairlead.training.engine.schedule import rate_at
from fairlead.training.scores import log_loss
from fairlead.training.spec import ModelSpec
from fairlead.training.tabular import encode, fit_vocabularies
from fairlead_serving.package import Manifest, ModelInput, ModelPackage

MODEL = ModelSpec(categorical=["word", "number"], numeric=["value"])

words = st.one_of(st.none(), st.text(max_size=3))
numbers = st.one_of(st.none(), st.integers(-3, 3))
values = st.one_of(st.none(), st.floats(width=32))
rows = st.lists(st.tuples(words, numbers, values), min_size=1, max_size=30)
fractions = st.floats(0, 1, width=32)


def as_table(given_rows: list[tuple[Any, Any, Any]]) -> pa.Table:
    """Rows as an Arrow table with a label."""
    word, number, value = (list(column) for column in zip(*given_rows, strict=True))
    return pa.table(
        {
            "word": pa.array(word, pa.string()),
            "number": pa.array(number, pa.int16()),
            "value": pa.array(value, pa.float32()),
            "late": pa.array([i % 2 for i in range(len(given_rows))], pa.int8()),
        }
    )


@given(rows, rows)
def test_training_encodes_as_serving_does(train: list[Any], later: list[Any]) -> None:
    """The arrays that a model is trained on are those that the server makes of the same values."""
    vocabularies = fit_vocabularies(as_table(train), MODEL.categorical)
    table = as_table(later)
    ours = encode(table, MODEL, vocabularies, "late")
    inputs = [ModelInput(name, "categorical", tuple(vocabularies[name])) for name in MODEL.categorical]
    manifest = Manifest("m", "binary", "late", (*inputs, ModelInput("value", "numeric")))
    codes = {entry.name: {v: n + 2 for n, v in enumerate(entry.vocabulary)} for entry in manifest.categorical}
    package = ModelPackage(Path(), "sha256:0", manifest, _codes=codes)
    theirs = package.encode({name: table[name].to_pylist() for name in ("word", "number", "value")})
    assert np.array_equal(ours.categorical, theirs["categorical"])
    assert np.array_equal(ours.numeric, theirs["numeric"], equal_nan=True)


@given(rows)
def test_vocabularies_depend_on_the_set_of_values_only(train: list[Any]) -> None:
    """Order and repetition of rows do not change a vocabulary, and no training value is unknown."""
    table = as_table(train)
    vocabularies = fit_vocabularies(table, MODEL.categorical)
    assert fit_vocabularies(as_table(train[::-1] + train), MODEL.categorical) == vocabularies
    assert not (encode(table, MODEL, vocabularies, "late").categorical == 1).any()


@given(st.lists(st.tuples(st.booleans(), fractions), min_size=1, max_size=50))
def test_log_loss_is_finite_and_least_for_the_truth(pairs: list[tuple[bool, float]]) -> None:
    """No prediction costs less than the truth or infinitely much."""
    label = np.array([truth for truth, _ in pairs], dtype=np.float32)
    probability = np.array([p for _, p in pairs], dtype=np.float32)
    loss = log_loss(label, probability)
    assert 0 <= log_loss(label, label) <= loss + 1e-9
    assert np.isfinite(loss)


@given(st.integers(0, 500), st.integers(1, 60))
def test_spread_rows_are_distinct_and_in_order(count: int, wanted: int) -> None:
    """A spread sample has as many rows as it may, each once, in the table's order."""
    taken = spread(pa.table({"row": np.arange(count)}), wanted)["row"].to_pylist()
    assert len(taken) == min(count, wanted)
    assert taken == sorted(set(taken))


@given(st.integers(1, 5000))
def test_the_learning_rate_warms_up_and_falls(steps: int) -> None:
    """The rate rises to its highest value once, then falls, and never reaches 0."""
    rates = [rate_at(step, steps) for step in range(min(steps, 400))]
    top = rates.index(max(rates))
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert 0 < min(rates) <= max(rates) <= 1
