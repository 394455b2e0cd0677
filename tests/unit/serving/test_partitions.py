"""Journals become Parquet, in a folder and below an S3 prefix, whoever left them behind and whatever goes wrong."""

import datetime as dt
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from fairlead.predictions import PredictionLog
from fairlead_serving.bucket import Bucket, BucketError
from fairlead_serving.errors import StartupError
from fairlead_serving.journal import left_behind
from fairlead_serving.log_lines import FeedbackLines
from fairlead_serving.partitions import BucketTarget, FolderTarget, Publisher
from fairlead_serving.prediction_log import Journals, Writer

ENTRY = {"row": 0, "outcome": 1, "time": dt.datetime(2026, 3, 1, 23, 59, 59, tzinfo=dt.UTC).timestamp()}
NEVER = 3600.0


class Notes:
    """What a publisher tells."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self.journals: Counter[str] = Counter()

    def publisher(self, folder: Path, target: Any = None, **options: Any) -> Publisher:
        """Make a publisher whose first pass is over and whose next comes when asked for."""
        made = Publisher(
            folder, target or FolderTarget(folder), lambda log, _, rows: self.dropped.update({log: rows}),
            lambda _, result: self.journals.update([result]), every_seconds=NEVER, **options,
        )  # fmt: skip
        time.sleep(0.05)
        return made


@pytest.fixture
def notes() -> Notes:
    """Collect what publishers tell."""
    return Notes()


def write(folder: Path, stem: str, ids: list[str], *, seconds: float = 0.0, close: bool = True) -> Journals:
    """Write a journal of feedback, one row after the other so many seconds later."""
    form = FeedbackLines()
    folder.mkdir(exist_ok=True)
    journals = Journals(folder, stem, lambda: form.schema)
    entries = [
        {**ENTRY, "request_id": name, "time": ENTRY["time"] + number * seconds} for number, name in enumerate(ids)
    ]
    journals.append(b"".join(line for entry in entries for line in form.lines(entry)))
    if close:
        journals.close()
    return journals


def ids(table: Any) -> list[str]:
    """The request ids of a table."""
    return [] if not table.num_rows else list(table["request_id"].to_pylist())


def test_closed_journals_become_partitions_by_day(tmp_path: Path, notes: Notes) -> None:
    """One file per day of the rows; the open journal stays, and the reader sees every row once, before and after."""
    write(tmp_path, "w1", ["a", "b", "c"], seconds=1)
    held = write(tmp_path, "w2", ["d"], close=False)
    log = PredictionLog.open(tmp_path)
    first, cursor = log.feedback()
    notes.publisher(tmp_path).close()
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    assert names == [
        "feedback-w2-000001.jsonl", "feedback/date=2026-03-01/w1-000001.parquet",
        "feedback/date=2026-03-02/w1-000001.parquet",
    ]  # fmt: skip
    assert sorted(ids(first)) == sorted(ids(log.feedback()[0])) == ["a", "b", "c", "d"]
    assert ids(log.feedback(cursor)[0]) == []
    assert (notes.journals, notes.dropped) == ({"published": 1}, {})
    held.close()


def test_anybody_can_read_the_files(tmp_path: Path, notes: Notes) -> None:
    """DuckDB and pandas read the partitions with their types; the metadata says what they are."""
    import duckdb
    import pandas as pd

    write(tmp_path, "w1", ["a", "b"], seconds=1)
    notes.publisher(tmp_path).close()
    day = dt.date(2026, 3, 1)
    files = duckdb.read_parquet(f"{tmp_path}/feedback/*/*.parquet", hive_partitioning=True)
    assert files.project("request_id, outcome, date").order("1").fetchall() == [
        ("a", 1.0, day),
        ("b", 1.0, day + dt.timedelta(days=1)),
    ]
    frame = pd.read_parquet(tmp_path / "feedback")
    assert (str(frame["outcome"].dtype), str(frame["time"].dtype)) == ("float64", "datetime64[us, UTC]")
    schema = pq.read_schema(next((tmp_path / "feedback").rglob("*.parquet")))
    assert b'"fairlead": 1' in schema.metadata[b"fairlead.log"]


def test_a_killed_publisher_leaves_nothing_twice(tmp_path: Path, notes: Notes) -> None:
    """Files beside a journal that is still there do not count, and are written again."""
    write(tmp_path, "w1", ["a", "b"], seconds=1)
    journal = tmp_path / "feedback-w1-000001.jsonl"
    content = journal.read_bytes()
    notes.publisher(tmp_path).close()
    journal.write_bytes(content)  # as if it had been killed before it removed the journal
    log = PredictionLog.open(tmp_path)
    assert sorted(ids(log.feedback()[0])) == ["a", "b"]
    notes.publisher(tmp_path).close()
    assert not journal.exists()
    assert sorted(ids(log.feedback()[0])) == ["a", "b"]


def test_a_killed_servers_journal_is_picked_up(tmp_path: Path, notes: Notes) -> None:
    """What a process that was killed had synced is there, for readers at once and as Parquet from the next process."""
    code = (
        "import sys, time; from pathlib import Path; from fairlead_serving.prediction_log import Writer\n"
        "from fairlead_serving.log_lines import FeedbackLines\n"
        "log = Writer.start(Path(sys.argv[1])).open(FeedbackLines(), lambda *_: None)\n"
        "while True:\n"
        "    now = time.time()\n"
        "    log.offer({'request_id': repr(now), 'row': 0, 'outcome': 1, 'time': now})\n"
        "    print(now, flush=True)\n"
        "    time.sleep(0.001)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        offered = [process.stdout.readline() for _ in range(700)]
        process.send_signal(signal.SIGKILL)
        offered += process.stdout.readlines()
    log = PredictionLog.open(tmp_path)
    found, cursor = log.feedback()
    last = max(float(name) for name in ids(found))
    lost = [float(line) for line in offered if line.endswith("\n") and float(line) > last]
    assert found.num_rows + len(lost) in (len(offered), len(offered) - 1)
    assert not lost or lost[-1] - last < 0.2 + 0.1  # the bound, and a slow disk of a busy machine
    notes.publisher(tmp_path).close()
    assert not list(tmp_path.glob("*.jsonl"))
    assert log.feedback(cursor)[0].num_rows == 0
    assert ids(log.feedback()[0]) == ids(found)


def test_old_partitions_are_forgotten(tmp_path: Path, notes: Notes) -> None:
    """Of the days before the kept ones nothing stays, and the reader goes on."""
    write(tmp_path, "w1", ["old"])
    form = FeedbackLines()
    recent = Journals(tmp_path, "w2", lambda: form.schema)
    recent.append(b"".join(form.lines({**ENTRY, "request_id": "new", "time": time.time()})))
    recent.close()
    notes.publisher(tmp_path).close()
    log = PredictionLog.open(tmp_path)
    assert sorted(ids(log.feedback()[0])) == ["new", "old"]
    notes.publisher(tmp_path, days=7).close()
    assert ids(log.feedback()[0]) == ["new"]
    assert not (tmp_path / "feedback" / "date=2026-03-01").exists()


def test_a_full_disk_leaves_the_journals(tmp_path: Path, notes: Notes) -> None:
    """Where no Parquet can be written nothing is lost: the journal waits, and no half file stays."""

    class Full(FolderTarget):
        def put(self, key: str, content: bytes) -> None:
            super().put(key, content[:10])
            with Path("/dev/full").open("wb", buffering=0) as device:
                device.write(content)

    write(tmp_path, "w1", ["a"])
    publisher = notes.publisher(tmp_path, Full(tmp_path))
    publisher.close()
    assert (tmp_path / "feedback-w1-000001.jsonl").exists()
    assert ids(PredictionLog.open(tmp_path).feedback()[0]) == ["a"]
    assert notes.journals["failed"] == 2
    notes.publisher(tmp_path).close()
    assert ids(PredictionLog.open(tmp_path).feedback()[0]) == ["a"]


def test_journals_that_wait_take_no_more_room_than_they_may(tmp_path: Path, notes: Notes) -> None:
    """Where the target stays away the oldest closed journals go, and their rows are counted."""

    class Away:
        def put(self, key: str, content: bytes) -> None:
            raise BucketError(f"away: {key} {len(content)}")

        def forget(self, log: str, first_day: str) -> None:
            raise BucketError(log + first_day)

    for number in range(4):
        write(tmp_path, f"w{number}", ["a", "b"])
        os.utime(tmp_path / f"feedback-w{number}-000001.jsonl", (number, number))
    size = (tmp_path / "feedback-w0-000001.jsonl").stat().st_size
    notes.publisher(tmp_path, Away(), spool_bytes=size * 2 + 10).close()
    assert [path.name for path in sorted(tmp_path.glob("*.jsonl"))] == [
        "feedback-w2-000001.jsonl", "feedback-w3-000001.jsonl"
    ]  # fmt: skip
    assert notes.dropped == {"feedback": 4}


def test_two_processes_do_not_publish_one_journal_twice(tmp_path: Path, notes: Notes) -> None:
    """Whoever holds a journal keeps it from others."""
    write(tmp_path, "w1", ["a"])
    path = tmp_path / "feedback-w1-000001.jsonl"
    with left_behind(path) as first, left_behind(path) as second:
        assert (first, second) == (True, False)
        notes.publisher(tmp_path).close()
        assert path.exists()
    notes.publisher(tmp_path).close()
    assert not path.exists()


@pytest.fixture
def black_hole() -> Iterator[str]:
    """An endpoint that takes connections and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_a_bucket_that_says_nothing_holds_up_only_the_publisher(
    tmp_path: Path, notes: Notes, black_hole: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows go on into journals at once, closing ends in time, and the journal is still there."""
    monkeypatch.setattr("fairlead_serving.bucket.READ_SECONDS", 2.0)
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "FAIRLEAD_S3_ENDPOINT": black_hole}
    target = BucketTarget(Bucket.open("s3://bucket/predictions", keys))
    writer = Writer.start(tmp_path)
    log = writer.open(FeedbackLines(), lambda *_: None)
    write(tmp_path, "dead", ["a"])
    publisher = notes.publisher(tmp_path, target, mark=writer.mark)
    started = time.monotonic()
    for _ in range(1000):
        assert log.offer({**ENTRY, "request_id": "x"})
    assert time.monotonic() - started < 0.5
    log.close()
    publisher.close(0.5)
    assert time.monotonic() - started < 2.5
    assert PredictionLog.open(tmp_path).feedback()[0].num_rows == 1001
    for thread in threading.enumerate():
        if thread.name == "publish":
            thread.join(10)


@pytest.mark.parametrize("address", ["s3:///x", "http://bucket/x", "s3://bucket/x?y"])
def test_addresses_that_are_none_are_refused(address: str) -> None:
    """At the start, not at the first prediction."""
    with pytest.raises(StartupError, match="give a folder or s3://BUCKET/PREFIX"):
        Bucket.open(address, {})


def test_settings_that_are_none_are_refused(tmp_path: Path) -> None:
    """An endpoint without scheme and certificates that are none."""
    with pytest.raises(StartupError, match="give http"):
        Bucket.open("s3://bucket/x", {"FAIRLEAD_S3_ENDPOINT": "minio:9000"})
    (tmp_path / "ca.pem").write_text("none")
    with pytest.raises(StartupError, match=r"ca\.pem"):
        Bucket.open("s3://bucket/x", {"FAIRLEAD_S3_CA_FILE": str(tmp_path / "ca.pem")})
