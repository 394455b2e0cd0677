"""Reading prediction logs: cursors that give each row once, requests by id, outcomes joined."""

import datetime as dt
import json
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest
from logged import MOMENT, log_outcomes, log_predictions
from models import tiny_package

from fairlead.errors import DataError, SourceError
from fairlead.predictions import Period, PredictionLog
from fairlead.predictions.feedback import ingest
from fairlead.predictions.join import together
from fairlead_serving.package import ModelPackage
from fairlead_serving.partitions import FolderTarget, Publisher


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    """A package."""
    return ModelPackage.open(tiny_package(tmp_path_factory.mktemp("reader") / "package"))


def publish(folder: Path) -> None:
    """Make Parquet of what is closed."""
    Publisher(folder, FolderTarget(folder), lambda *_: None, lambda *_: None, every_seconds=3600).close()


def ids(table: pa.Table) -> list[str]:
    """Request ids, in order."""
    return list(table["request_id"].to_pylist()) if table.num_rows else []


def test_an_empty_log_has_nothing(tmp_path: Path) -> None:
    """A folder that is not there yet is an empty log, with cursors."""
    log = PredictionLog.open(tmp_path / "none")
    table, cursor = log.predictions()
    assert (table.num_rows, log.find("x").num_rows, log.begins()) == (0, 0, None)
    assert log.predictions(cursor)[0].num_rows == 0
    assert log.joined().counts["known"] == 0


def test_a_cursor_survives_the_change_into_parquet(tmp_path: Path, package: ModelPackage) -> None:
    """Whenever journals become Parquet, in another process's hands or not, each row is given once."""
    log = PredictionLog.open(tmp_path)
    log_predictions(tmp_path, package, ["a", "b"], stem="one")
    first, cursor = log.predictions()
    publish(tmp_path)
    log_predictions(tmp_path, package, ["c"], stem="two")
    again = PredictionLog.open(tmp_path)
    second, after = again.predictions(json.loads(json.dumps(cursor)))
    publish(tmp_path)
    third, _ = again.predictions(after)
    assert (ids(first), ids(second), ids(third)) == (["a", "b"], ["c"], [])
    assert sorted(ids(again.predictions()[0])) == ["a", "b", "c"]


def test_the_cursor_of_now_leaves_out_what_was(tmp_path: Path, package: ModelPackage) -> None:
    """Of journals and of Parquet."""
    log_predictions(tmp_path, package, ["a"], stem="one")
    publish(tmp_path)
    log_predictions(tmp_path, package, ["b"], stem="two")
    log = PredictionLog.open(tmp_path)
    now = log.end()
    publish(tmp_path)
    log_predictions(tmp_path, package, ["c"], stem="three")
    assert ids(log.predictions(now)[0]) == ["c"]


def test_a_large_log_is_read_in_pieces(tmp_path: Path, package: ModelPackage) -> None:
    """About as many rows as are asked for come at a time, and none is left out."""
    for number in range(6):
        log_predictions(tmp_path, package, [f"{number}{letter}" for letter in "abc"], stem=f"w{number}")
    log, seen, cursor = PredictionLog.open(tmp_path), [], None
    while True:
        table, cursor = log.predictions(cursor, most_rows=4)
        if not table.num_rows:
            break
        assert table.num_rows <= 6
        seen += ids(table)
    assert sorted(seen) == sorted(f"{number}{letter}" for number in range(6) for letter in "abc")


def test_reading_while_others_write_and_publish(tmp_path: Path, package: ModelPackage) -> None:
    """With a writer and a publisher at work all the time, nothing is given twice or left out."""
    stop = threading.Event()

    def write() -> None:
        for number in range(30):
            log_predictions(tmp_path, package, [f"{number}-{part}" for part in range(5)], stem=f"w{number:03d}")
        stop.set()

    def tidy() -> None:
        while not stop.is_set():
            publish(tmp_path)

    threads = [threading.Thread(target=write), threading.Thread(target=tidy)]
    for thread in threads:
        thread.start()
    log, seen, cursor = PredictionLog.open(tmp_path), [], None
    while any(thread.is_alive() for thread in threads):
        table, cursor = log.predictions(cursor)
        seen += ids(table)
        time.sleep(0.005)
    seen += ids(log.predictions(cursor)[0])
    assert sorted(seen) == sorted(f"{number}-{part}" for number in range(30) for part in range(5))


def test_requests_are_found_by_id(tmp_path: Path, package: ModelPackage) -> None:
    """In journals and partitions, with all rows; and how far back the log goes is known."""
    log_predictions(tmp_path, package, ["a", "b"], rows=2, stem="one")
    publish(tmp_path)
    log_predictions(tmp_path, package, ["c"], stem="two", at=MOMENT + dt.timedelta(days=1))
    log = PredictionLog.open(tmp_path)
    assert log.find("b")["row"].to_pylist() == [0, 1]
    assert log.find("c")["feature_carrier"].to_pylist() == ["DL"]
    assert log.find("d").num_rows == 0
    assert log.begins() == MOMENT


def test_outcomes_are_joined_whatever_they_are(tmp_path: Path, package: ModelPackage) -> None:
    """Late, repeated, contradicting, unknown and of another period: each is counted, and the last report counts."""
    log_predictions(tmp_path, package, ["plain", "late", "twice", "corrected", "silent"], stem="one")
    log_predictions(tmp_path, package, ["before"], stem="two", at=MOMENT - dt.timedelta(days=3))
    late = MOMENT + dt.timedelta(days=40)
    log_outcomes(tmp_path, [("plain", 1), ("twice", 0), ("corrected", 1), ("nobody", 1), ("before", 1)], stem="one")
    log_outcomes(tmp_path, [("twice", 0), ("corrected", 0), ("late", 1)], stem="two", at=late)
    log = PredictionLog.open(tmp_path)
    found = log.joined(Period(since=MOMENT))
    outcomes = dict(zip(ids(found.table), found.table["outcome"].to_pylist(), strict=True))
    assert outcomes == {"plain": 1, "late": 1, "twice": 0, "corrected": 0, "silent": None}
    assert found.counts == {
        "known": 4, "waiting": 1, "repeated": 1, "contradicted": 1, "unknown": 1, "elsewhere": 1, "reused": 0,
    }  # fmt: skip
    assert log.joined().counts["unknown"] == 1
    assert log.joined().counts["known"] == 5
    assert log.joined(Period(until=MOMENT)).table.num_rows == 1


def test_several_answers_to_one_request(tmp_path: Path, package: ModelPackage) -> None:
    """Two versions' answers get the outcome each; the same version's earlier answer is left out and counted."""
    other = ModelPackage.open(tiny_package(tmp_path / "other", bias=0.5))
    folder = tmp_path / "log"
    log_predictions(folder, package, ["a", "a"], stem="one")
    log_predictions(folder, other, ["a"], stem="two")
    log_outcomes(folder, [("a", 1)])
    found = PredictionLog.open(folder).joined()
    assert (found.reused, found.known, found.table["outcome"].to_pylist()) == (1, 2, [1, 1])


def test_versions_with_other_inputs_stand_in_one_table() -> None:
    """What a version does not have is null; a number here and a list there are lists; other disputes are text."""
    one = pa.table({"probability": [0.5], "feature_a": [1.0]})
    two = pa.table({"probability": [[0.2, 0.8]], "feature_a": ["x"], "feature_b": [2.0]})
    assert together([one, two]).to_pylist() == [
        {"probability": [0.5], "feature_a": "1.0", "feature_b": None},
        {"probability": [0.2, 0.8], "feature_a": "x", "feature_b": 2.0},
    ]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_outcomes_come_from_files(tmp_path: Path, package: ModelPackage, kind: str) -> None:
    """Of each format; a file that is put in twice counts once."""
    import pandas as pd

    folder, file = tmp_path / "log", tmp_path / f"outcomes.{kind}"
    log_predictions(folder, package, ["a", "b"])
    frame = pd.DataFrame({"request_id": ["a", "b", "c"], "outcome": [1, 0, 1]})
    writers = {
        "csv": lambda: frame.to_csv(file, index=False), "parquet": lambda: frame.to_parquet(file),
        "jsonl": lambda: frame.to_json(file, orient="records", lines=True),
    }  # fmt: skip
    writers[kind]()
    found = ingest(file, folder, "flights")
    assert (found.rows, found.known) == (3, 2)
    ingest(file, folder, "flights")
    joined = PredictionLog.open(folder).joined()
    assert joined.table["outcome"].to_pylist() == [1, 0]
    assert (joined.known, joined.unknown, joined.contradicted) == (2, 1, 0)


@pytest.mark.parametrize(
    ("content", "error", "text"),
    [
        ("request_id\n1\n", DataError, "lacks the column outcome"),
        ("request_id,outcome,weight\n1,1,1\n", DataError, "the column weight, which means nothing here"),
        ("request_id,outcome\n1,\n2,1\n", DataError, "row 0: outcome is empty"),
        ("request_id,outcome\n", DataError, "has no rows"),
        ("", SourceError, "cannot be read"),
    ],
)
def test_files_that_are_none_are_refused(tmp_path: Path, content: str, error: type[Exception], text: str) -> None:
    """The error says the file, the column and the row."""
    file = tmp_path / "outcomes.csv"
    file.write_text(content)
    with pytest.raises(error, match=text):
        ingest(file, tmp_path / "log")
    assert not (tmp_path / "log").exists()
