"""Datasets: a folder of Parquet files and a manifest."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead import datasets
from fairlead.errors import DataError, SchemaError, SourceError

SCHEMA = pa.schema([("name", pa.string()), ("size", pa.float32()), ("at", pa.timestamp("us", tz="UTC"))])


def rows(count: int) -> pa.Table:
    """A table with nulls in every column."""
    at = [datetime(2013, 1, 1 + n % 28, tzinfo=UTC) if n % 5 else None for n in range(count)]
    names = [f"n{n}" if n % 3 else None for n in range(count)]
    return pa.table({"name": names, "size": [float(n) if n % 4 else None for n in range(count)], "at": at}, SCHEMA)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """Rows, schema, row count and time range survive."""
    table = rows(100)
    manifest = datasets.write_dataset(tmp_path / "d", [table], SCHEMA, name="x", source="made", time_column="at")
    assert datasets.read_manifest(tmp_path / "d") == manifest
    assert datasets.read_table(tmp_path / "d").equals(table)
    assert manifest.time_range == ["2013-01-01T00:00:00+00:00", "2013-01-28T00:00:00+00:00"] or manifest.time_range


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 200), min_size=1, max_size=6))
def test_the_digest_does_not_depend_on_how_rows_came(tmp_path_factory: pytest.TempPathFactory, cuts: list[int]) -> None:
    """The same rows in other batches have the same digest; other rows have another."""
    table, pieces, start = rows(200), [], 0
    for cut in cuts:
        pieces.append(table.slice(start, cut))
        start += cut
    pieces.append(table.slice(start))
    folder = tmp_path_factory.mktemp("d")
    whole = datasets.write_dataset(folder / "a", [table], SCHEMA, name="x", source="s")
    cut_up = datasets.write_dataset(folder / "b", [p for p in pieces if p.num_rows], SCHEMA, name="x", source="s")
    less = datasets.write_dataset(folder / "c", [table.slice(1)], SCHEMA, name="x", source="s")
    assert whole.digest == cut_up.digest != less.digest


def test_moving_text_between_rows_changes_the_digest(tmp_path: Path) -> None:
    """("ab", "c") and ("a", "bc") are not the same rows."""
    schema = pa.schema([("t", pa.string())])
    digests = {
        datasets.write_dataset(tmp_path / str(n), [pa.table({"t": t}, schema)], schema, name="x", source="s").digest
        for n, t in enumerate((["ab", "c"], ["a", "bc"], ["", "abc"], [None, "abc"]))
    }
    assert len(digests) == 4


def test_no_rows_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    """An empty dataset is refused; no folder appears."""
    with pytest.raises(DataError, match="no rows"):
        datasets.write_dataset(tmp_path / "d", [], SCHEMA, name="x", source="empty.csv")
    assert not (tmp_path / "d").exists()


def test_an_unfinished_or_foreign_folder_is_no_dataset(tmp_path: Path) -> None:
    """Without a manifest, or with a broken one, reading says what to do."""
    with pytest.raises(SourceError, match="no finished dataset"):
        datasets.read_manifest(tmp_path)
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(SourceError, match="make the dataset again"):
        datasets.read_manifest(tmp_path)
    (tmp_path / "dataset.json").write_text('{"format": 99}')
    with pytest.raises(SourceError, match="format"):
        datasets.read_manifest(tmp_path)


def test_a_wrong_column_names_the_nearest(tmp_path: Path) -> None:
    """A misspelt column is answered with the right one."""
    datasets.write_dataset(tmp_path / "d", [rows(3)], SCHEMA, name="x", source="s")
    with pytest.raises(SchemaError, match="did you mean 'size'"):
        datasets.read_table(tmp_path / "d", columns=["sise"])
    with pytest.raises(SchemaError, match="declare it as a timestamp"):
        datasets.write_dataset(tmp_path / "e", [rows(3)], SCHEMA, name="x", source="s", time_column="name")


def test_a_truncated_parquet_file_is_told(tmp_path: Path) -> None:
    """A file cut off in the middle is an error that says to make the dataset again."""
    datasets.write_dataset(tmp_path / "d", [rows(3)], SCHEMA, name="x", source="s")
    file = tmp_path / "d" / "part-00000.parquet"
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(SourceError, match="cannot be read"):
        datasets.scan(tmp_path / "d")
