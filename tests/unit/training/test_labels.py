"""Labels of each task, and those that cannot be learnt."""

import numpy as np
import pyarrow as pa
import pytest

from fairlead.errors import ConfigurationError, DataError, SchemaError
from fairlead.training.labels import check_label, encode_groups, encode_label, fit_classes
from fairlead.training.spec import ModelSpec
from fairlead.training.tabular import wanted_columns


def column(*values: object, times: int = 10, kind: pa.DataType | None = None) -> pa.ChunkedArray:
    """A column that repeats some values."""
    return pa.chunked_array([pa.array(list(values) * times, kind)])


def test_classes_are_sorted_texts() -> None:
    """Numbers and texts alike; each row gets its class's place."""
    values = column(10, 2, 2, 7)
    assert fit_classes(values) == ("10", "2", "7")
    assert encode_label(values, "multiclass", fit_classes(values), "y")[:4].tolist() == [0, 1, 1, 2]
    words = pa.chunked_array([pa.array(["b", "a"] * 10).dictionary_encode()])
    check_label(words, "multiclass", "y", "rows")
    assert encode_label(words, "multiclass", fit_classes(words), "y")[:2].tolist() == [1, 0]


@pytest.mark.parametrize("task", ["regression", "ranking"])
def test_numbers_stay_numbers(task: str) -> None:
    """Regression and ranking learn numbers."""
    values = column(1.5, 3, 0, kind=pa.float64())
    check_label(values, task, "y", "rows")
    assert encode_label(values, task, (), "y")[:3].tolist() == [1.5, 3.0, 0.0]


BAD: list[tuple[str, pa.ChunkedArray, type[Exception], str]] = [
    ("multiclass", column(1.5, 2.5), SchemaError, "double; the classes of a multiclass label"),
    ("multiclass", column("a", None), DataError, "missing in 10 of 20 rows"),
    ("multiclass", column("a", times=20), DataError, "is the same in all 20 rows"),
    ("multiclass", pa.chunked_array([pa.array([str(i) for i in range(50)])]), DataError, "50 classes in 50 rows"),
    ("regression", column("1", "2"), SchemaError, "string; task regression needs numbers"),
    ("regression", column(1.0, float("inf")), DataError, "infinite in 10 of 20"),
    ("regression", column(3.0, times=20), DataError, "is 3 in all 20 rows; a model needs different values"),
    ("ranking", column(1.0, -1.0), DataError, "relevance below 0"),
    ("binary", column(0, 1, times=9), DataError, "at least 20"),
]


@pytest.mark.parametrize(("task", "values", "error", "words"), BAD)
def test_what_cannot_be_learnt_is_refused(
    task: str, values: pa.ChunkedArray, error: type[Exception], words: str
) -> None:
    """Each reason is said with rows or values."""
    with pytest.raises(error, match=words):
        check_label(values, task, "y", "rows")


def test_groups_are_numbered() -> None:
    """In the order of their first rows; each row its own group, or none, cannot be ranked."""
    assert encode_groups(column("b", "a", "b", times=1), "g").tolist() == [0, 1, 0]
    with pytest.raises(DataError, match="of its own"):
        encode_groups(pa.chunked_array([pa.array(range(5))]), "g")
    with pytest.raises(DataError, match="missing in 1 of 3 rows"):
        encode_groups(column("a", "a", None, times=1), "g")


def test_label_and_group_are_no_inputs() -> None:
    """A label among the inputs predicts itself; a group that is an input or the label ranks nothing."""
    model = ModelSpec(task="ranking", numeric=["a"], group="g")
    assert wanted_columns(model, "y") == ["a", "y", "g"]
    with pytest.raises(ConfigurationError, match="label 'a' is among"):
        wanted_columns(model, "a")
    with pytest.raises(ConfigurationError, match=r"also model\.group"):
        wanted_columns(model, "g")
    with pytest.raises(ConfigurationError, match="group 'a' is among"):
        wanted_columns(ModelSpec(task="ranking", numeric=["a"], group="a"), "y")


def test_encoding_keeps_types() -> None:
    """Class numbers are whole, everything else is 32-bit float."""
    assert encode_label(column("a", "b"), "multiclass", ("a", "b"), "y").dtype == np.int64
    assert encode_label(column(True, False), "binary", (), "y").dtype == np.float32
