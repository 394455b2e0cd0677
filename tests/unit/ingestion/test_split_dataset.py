"""Rows are divided as told, and every row is accounted for."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from fairlead.datasets import read_table, write_dataset
from fairlead.errors import DataError, FairleadError, SchemaError, SourceError
from fairlead.ingestion.split_dataset.task import Split, split
from fairlead.ingestion.validate_dataset.task import validate

SETS = ("train", "validation", "test")
START = datetime(2013, 1, 1, tzinfo=UTC)
BY_TIME = {"by": "time", "column": "t", "train_until": "2013-01-03", "validation_until": "2013-01-04"}


def hours(path: Path, count: int = 120, **columns: Any) -> Path:
    """Write a row an hour from 2013-01-01 on, with an entity, a label and a number."""
    table = pa.table({
        "t": pa.array([START + timedelta(hours=n) for n in range(count)], pa.timestamp("us", tz="UTC")),
        "who": [f"e{n % 40}" for n in range(count)], "n": range(count),
        "late": pa.array([n % 5 == 0 for n in range(count)]).cast(pa.int8()), **columns,
    })  # fmt: skip
    write_dataset(path, table.to_batches(), table.schema, name="hours", source="test", time_column="t")
    return path


def divided(
    folder: Path, spec: dict[str, Any], label: str = "late", **columns: Any
) -> tuple[Split, dict[str, pa.Table]]:
    """Split the hours; give the account and the sets."""
    data = hours(folder / "data", **columns)
    result = split(data, {name: folder / name for name in SETS}, spec, "late")
    return result, {name: read_table(folder / name) for name in SETS}


def test_by_time_with_a_gap(tmp_path: Path) -> None:
    """Bounds are half open; the gap before each later set, and what lies outside, is left out and counted."""
    spec = {**BY_TIME, "start": "2013-01-01T02:00:00Z", "test_until": "2013-01-05", "embargo_seconds": 7200.0}
    result, sets = divided(tmp_path, spec)
    assert sets["train"]["n"].to_pylist() == list(range(2, 46))
    assert sets["validation"]["n"].to_pylist() == list(range(48, 70))
    assert sets["test"]["n"].to_pylist() == list(range(72, 96))
    assert result.left_out == {
        "before_start": 2, "embargo_before_validation": 2, "embargo_before_test": 2, "after_test": 24,
    }  # fmt: skip
    assert result.metadata("test")["total_rows"] == 120
    assert result.sets["test"].time_range == ["2013-01-04T00:00:00+00:00", "2013-01-04T23:00:00+00:00"]


def test_by_time_without_outer_bounds(tmp_path: Path) -> None:
    """Without start and test_until every row has a set."""
    result, sets = divided(tmp_path, BY_TIME)
    assert [sets[name].num_rows for name in SETS] == [48, 24, 48]
    assert sum(result.left_out.values()) == 0


def test_by_entity_keeps_each_entity_together(tmp_path: Path) -> None:
    """No entity is in two sets; another seed chooses others; the same entities go to the same sets in other data."""
    spec = {"by": "entity", "column": "who", "fractions": {"train": 0.5, "validation": 0.25, "test": 0.25}}
    _, sets = divided(tmp_path, spec)
    owners = [set(sets[name]["who"].to_pylist()) for name in SETS]
    assert sum(len(owner) for owner in owners) == len(set.union(*owners)) == 40
    _, more = divided(tmp_path / "more", spec, n=range(1000, 1120))
    assert [set(more[name]["who"].to_pylist()) for name in SETS] == owners
    _, other = divided(tmp_path / "other", {**spec, "seed": 8})
    assert [set(other[name]["who"].to_pylist()) for name in SETS] != owners


def test_stratified_keeps_label_shares_exactly(tmp_path: Path) -> None:
    """Each label is divided in the fractions; the seed decides which rows, repeatably."""
    spec = {"by": "stratified", "fractions": {"train": 0.5, "validation": 0.25, "test": 0.25}}
    _, sets = divided(tmp_path, spec)
    assert {name: Counter(sets[name]["late"].to_pylist()) for name in SETS} == {
        "train": {0: 48, 1: 12}, "validation": {0: 24, 1: 6}, "test": {0: 24, 1: 6},
    }  # fmt: skip
    assert sorted(n for name in SETS for n in sets[name]["n"].to_pylist()) == list(range(120))
    _, again = divided(tmp_path / "again", spec)
    assert all(again[name].equals(sets[name]) for name in SETS)
    _, other = divided(tmp_path / "other", {**spec, "seed": 8})
    assert not other["test"].equals(sets["test"])


def test_splits_do_not_depend_on_how_rows_are_filed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same rows in several files are divided the same."""
    spec, count = {"by": "stratified"}, 150_000
    one = split(hours(tmp_path / "one", count), {name: tmp_path / "a" / name for name in SETS}, spec, "late")
    monkeypatch.setattr("fairlead.datasets.ROWS_PER_FILE", 70_000)
    many = split(hours(tmp_path / "many", count), {name: tmp_path / "b" / name for name in SETS}, spec, "late")
    assert len(list((tmp_path / "many").glob("*.parquet"))) > 1
    assert [many.sets[name].digest for name in SETS] == [one.sets[name].digest for name in SETS]
    assert [one.sets[name].row_count for name in SETS] == [120_000, 15_000, 15_000]


@pytest.mark.parametrize(
    ("spec", "columns", "kind", "message"),
    [
        (
            {**BY_TIME, "start": "2012-01-01", "train_until": "2012-01-05"},
            {},
            DataError,
            "the train set of 'hours' would be empty .*times go from 2013-01-01",
        ),
        ({**BY_TIME, "validation_until": "2014-01-01"}, {}, DataError, "the test set of 'hours' would be empty"),
        (
            BY_TIME,
            {"late": [0] * 80 + [1] * 40},
            DataError,
            "label 'late' has one class only .0. in the 48 rows of the train set",
        ),
        (BY_TIME, {"late": [None, *range(119)]}, DataError, "column 'late' has missing values .first in rows 1;"),
        (
            BY_TIME,
            {"t": pa.array([None, *[START] * 119], pa.timestamp("us", tz="UTC"))},
            DataError,
            "column 't' has missing",
        ),
        (
            {"by": "entity", "column": "who"},
            {"who": ["a"] * 118 + [None] * 2},
            DataError,
            "'who' .*first in rows 119, 120;",
        ),
        ({"by": "entity", "column": "who"}, {"who": ["a"] * 120}, DataError, "would be empty"),
        ({"by": "stratified"}, {"late": [0] * 118 + [1] * 2}, DataError, "one class only"),
        ({"by": "stratified"}, {"late": [n / 7 for n in range(120)]}, SchemaError, "classes, not measurements"),
        ({**BY_TIME, "column": "tt"}, {}, SchemaError, "no column 'tt'; did you mean 't'|no column 'tt'; allowed"),
        ({**BY_TIME, "column": "n"}, {}, SchemaError, "'n' is int64; a split by time needs a timestamp"),
    ],
)
def test_splits_that_cannot_be_used_are_refused(
    tmp_path: Path, spec: dict[str, Any], columns: dict[str, Any], kind: type[FairleadError], message: str
) -> None:
    """Empty sets, one class, missing values and columns that do not serve; nothing is written."""
    with pytest.raises(kind, match=message):
        divided(tmp_path, spec, **columns)
    assert not any((tmp_path / name).exists() for name in SETS)


def test_the_split_component_tells_the_account(tmp_path: Path) -> None:
    """The contract's body passes everything on; each artifact's metadata accounts for all rows."""
    from fairlead.ingestion.split_dataset.component import split_dataset

    sets = {name: SimpleNamespace(path=str(tmp_path / name), metadata={}) for name in SETS}
    data = SimpleNamespace(path=str(hours(tmp_path / "data")))
    split_dataset.python_func(dataset=data, **sets, split={**BY_TIME, "embargo_seconds": 3600.0}, label="late")
    figures = sets["test"].metadata
    placed = sum(figures[f"{name}_rows"] for name in SETS)
    assert placed + sum(count for name, count in figures.items() if name.startswith("left_out_")) == 120
    assert sets["train"].metadata["rows"] == figures["train_rows"] == 47


def test_a_damaged_dataset_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that was cut after the dataset was made is named; no set and no report is made of the rest."""
    monkeypatch.setattr("fairlead.datasets.ROWS_PER_FILE", 70_000)
    last = max(hours(tmp_path / "data", 150_000).glob("*.parquet"))
    last.write_bytes(last.read_bytes()[:-100])
    with pytest.raises(SourceError, match=r"dataset .*data cannot be read: it is truncated"):
        split(tmp_path / "data", {name: tmp_path / name for name in SETS}, {"by": "stratified"}, "late")
    with pytest.raises(SourceError, match=r"dataset .*data cannot be read: it is truncated"):
        validate(tmp_path / "data", tmp_path / "report.html", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
