"""Tables become arrays, and what cannot be trained on is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from unit.training.late_rows import MODEL, late_table, write_table

from fairlead.errors import ConfigurationError, DataError, SchemaError, SourceError
from fairlead.training.scores import log_loss, roc_auc
from fairlead.training.spec import ModelSpec
from fairlead.training.tabular import describe_numbers, encode, fit_vocabularies, read_rows

SPEC = ModelSpec.parse(MODEL, "model")


def read(path: Path, table: pa.Table, label: str = "late", **options: Any) -> pa.Table:
    """Writes a table as a dataset and reads it as a model would."""
    write_table(path, table)
    return read_rows(path, SPEC, label, **options)


def replaced(column: str, values: pa.Array, count: int = 100) -> pa.Table:
    """Rows with one column replaced."""
    table = late_table(count)
    return table.set_column(table.schema.get_field_index(column), column, values)


def test_missing_and_unknown_have_codes_of_their_own(tmp_path: Path) -> None:
    """Missing is 0, unknown 1, the words of the training rows follow in order; numbers keep their gaps as NaN."""
    train = read(tmp_path / "train", late_table(100))
    words = fit_vocabularies(train, SPEC.categorical)
    assert words == {"carrier": ["AA", "B6", "DL", "UA"], "gate": ["0", "1", "2"]}
    other = train.slice(0, 3).set_column(0, "carrier", pa.array([None, "ZZ", "B6"]))
    rows = encode(other, SPEC, words, "late")
    assert rows.categorical[:, 0].tolist() == [0, 1, 3]
    assert rows.numeric.dtype == np.float32
    assert np.isnan(encode(train, SPEC, words, "late").numeric[:, 1]).sum() == train["wind"].null_count


def test_only_the_latest_rows_are_taken(tmp_path: Path) -> None:
    """`latest` goes by the time column, whatever the order of rows, and keeps that order."""
    table = late_table(100)
    latest = read(tmp_path / "rows", table.take(np.arange(100)[::-1]), latest=30)
    assert latest["hour"].to_pylist() == table["hour"].slice(70).to_pylist()[::-1]


def test_without_a_time_column_the_last_rows_are_the_latest(tmp_path: Path) -> None:
    """Where a dataset has no time, its order decides."""
    write_table(tmp_path / "rows", late_table(100), time_column=None)
    rows = read_rows(tmp_path / "rows", SPEC, "late", latest=30)
    assert rows["hour"].to_pylist() == late_table(100)["hour"].slice(70).to_pylist()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (pa.array([1] * 100), "is 1 in all 100 rows"),
        (pa.array([0, None] * 50), "missing in 50 of 100 rows .first rows: 1, 3"),
        (pa.array([0.0, float("nan")] * 50), "missing in 50 of 100 rows"),
        (pa.array([0, 2] * 50), "not 0 or 1 in 50 of 100 rows"),
    ],
)
def test_labels_that_teach_nothing_are_refused(tmp_path: Path, values: pa.Array, words: str) -> None:
    """A label with one class, gaps or other values is refused, naming rows."""
    with pytest.raises(DataError, match=words):
        read(tmp_path / "rows", replaced("late", values))


def test_boolean_labels_are_taken(tmp_path: Path) -> None:
    """True and false are 1 and 0."""
    rows = read(tmp_path / "rows", replaced("late", pa.array([True, False] * 50)))
    assert encode(rows, SPEC, fit_vocabularies(rows, SPEC.categorical), "late").label[:2].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("late", pa.array(["yes", "no"] * 50), "label 'late' is string"),
        ("wind", pa.array(["calm", "storm"] * 50), "'wind' is string, no number"),
        ("carrier", pa.array([0.5, 1.5] * 50), "'carrier' is double"),
    ],
)
def test_columns_of_a_wrong_type_are_refused(tmp_path: Path, column: str, values: pa.Array, words: str) -> None:
    """A column whose type the model cannot take is refused by name."""
    with pytest.raises(SchemaError, match=words):
        read(tmp_path / "rows", replaced(column, values))


def test_absent_columns_are_named_with_the_nearest(tmp_path: Path) -> None:
    """Every absent column is named, with the likeliest present one."""
    table = late_table(100).rename_columns(["carriers", "gate", "hour", "winds", "always", "late", "at"])
    with pytest.raises(SchemaError, match=r"(?s)'carrier': did you mean 'carriers'.*'wind': did you mean 'winds'"):
        read(tmp_path / "rows", table)


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    """Nothing is trained on a handful of rows."""
    with pytest.raises(DataError, match="has 19 rows; a model needs at least 20"):
        read(tmp_path / "rows", late_table(19))


def test_the_label_cannot_be_an_input(tmp_path: Path) -> None:
    """A label among the inputs would predict itself."""
    with pytest.raises(ConfigurationError, match="among the model's inputs"):
        read(tmp_path / "rows", late_table(100), label="hour")


def test_an_unfinished_dataset_is_refused(tmp_path: Path) -> None:
    """A folder without a manifest is no dataset."""
    with pytest.raises(SourceError, match=r"dataset\.json is missing"):
        read_rows(tmp_path, SPEC, "late")


def test_numbers_are_described(tmp_path: Path) -> None:
    """The statistics of the checkpoint are those of the values that are there."""
    rows = read(tmp_path / "rows", late_table(100))
    wind = describe_numbers(encode(rows, SPEC, fit_vocabularies(rows, SPEC.categorical), "late"), SPEC)["wind"]
    values = np.array(rows["wind"].drop_null(), dtype=np.float64)
    assert wind["median"] == pytest.approx(float(np.median(values)))
    assert wind["missing_share"] == pytest.approx(rows["wind"].null_count / 100)


def test_log_loss_of_a_coin_is_log_two() -> None:
    """A probability of one half costs log 2 nats; certainty in the wrong costs much, but not infinitely much."""
    label = np.array([0, 1], dtype=np.float32)
    assert log_loss(label, np.array([0.5, 0.5], dtype=np.float32)) == pytest.approx(np.log(2))
    assert 10 < log_loss(label, np.array([1.0, 0.0], dtype=np.float32)) < 20


@pytest.mark.parametrize("digits", [1, 9])
def test_roc_auc_is_scikit_learns(digits: int) -> None:
    """With and without equal scores; a score that is no number makes it none."""
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(3)
    label = (random.random(500) < 0.3).astype(np.float32)
    score = np.round(random.normal(size=500) + 0.5 * label, digits)
    assert roc_auc(label, score) == pytest.approx(roc_auc_score(label, score), abs=1e-12)
    assert np.isnan(roc_auc(label, np.where(label > 0, np.nan, score)))
