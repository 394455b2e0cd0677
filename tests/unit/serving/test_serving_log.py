"""The prediction log and the feedback log: lines, journals and the thread that writes them."""

import json
import os
import resource
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from models import tiny_package

from fairlead_serving import journal, prediction_log
from fairlead_serving.journal import Segment, left_behind, read_journal
from fairlead_serving.log_lines import FeedbackLines, PredictionLines
from fairlead_serving.log_schema import LogSchema
from fairlead_serving.package import ModelPackage
from fairlead_serving.prediction_log import Journals, JsonLinesLog
from fairlead_serving.query import Inputs, Query, Scored


class Numbers:
    """Writes one line per number, as feedback."""

    schema = LogSchema("feedback")

    def lines(self, entry: list[int]) -> Iterator[bytes]:
        """Write one line per number."""
        for number in entry:
            yield orjson.dumps({"request_id": str(number), "outcome": number}, option=orjson.OPT_APPEND_NEWLINE)

    def weigh(self, entry: list[int], rows: int) -> int:
        """Weigh a hundred bytes a number."""
        return 100 * len(entry) + 0 * rows


def journals(folder: Path, **options: Any) -> Journals:
    """Make a writer's journals."""
    return Journals(folder, "abc", lambda: Numbers.schema, **options)


def open_log(folder: Path, counts: Counter[str] | None = None, form: Any = None, **options: Any) -> JsonLinesLog:
    """Open a log of numbers."""
    found = counts if counts is not None else Counter()
    return JsonLinesLog(
        journals(folder), form or Numbers(), lambda result, rows: found.update({result: rows}), **options
    )


def read(folder: Path) -> list[int]:
    """Read the numbers of all journals, in order."""
    tables = [read_journal(path).table for path in sorted(folder.glob("*.jsonl"))]
    return [int(outcome) for table in tables for outcome in table["outcome"].to_pylist()]


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_rows_reach_the_disk_in_order(tmp_path: Path) -> None:
    """What is offered is written line by line, soon and without closing."""
    counts: Counter[str] = Counter()
    log = open_log(tmp_path, counts)
    assert log.offer([1, 2], 2)
    assert log.offer([3])
    wait_for(lambda: counts["written"] == 3)
    assert read(tmp_path) == [1, 2, 3]
    log.close()
    assert not log.offer([4])
    assert counts == {"written": 3, "dropped": 1}


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    """The last rows before a stop are kept."""
    log = open_log(tmp_path)
    for number in range(500):
        log.offer([number])
    log.close()
    assert read(tmp_path) == list(range(500))


def test_a_torn_last_line_is_not_read(tmp_path: Path) -> None:
    """A journal that a killed process left with half a line is read up to there, and a garbled line is passed over."""
    path = tmp_path / "feedback-abc-000001.jsonl"
    os.close(journal.open_journal(path, orjson.dumps(Numbers.schema.to_json()) + b"\n"))
    with path.open("ab") as file:
        file.write(b'{"request_id":"1","outcome":1}\n{"request_id":"2","outc')
    stretch = read_journal(path)
    assert (stretch.table["outcome"].to_pylist(), stretch.rows) == ([1.0], 1)
    with path.open("ab") as file:
        file.write(b'\n{"request_id":"3","outcome":3}\n')
    assert read_journal(path).table["position"].to_pylist() == [0, 2]
    rest = read_journal(path, stretch.rows, stretch.end)
    assert (rest.table["outcome"].to_pylist(), rest.table["position"].to_pylist(), rest.rows) == ([3.0], [2], 3)


def test_a_reading_goes_on_by_position_alone(tmp_path: Path) -> None:
    """Where the byte is not known, as after a change of place, the rows before the position are passed over."""
    written = journals(tmp_path)
    written.append(b"".join(Numbers().lines(list(range(10)))))
    path = tmp_path / "feedback-abc-000001.jsonl"
    assert read_journal(path, 7).table["position"].to_pylist() == [7, 8, 9]
    written.close()


def test_journals_follow_one_another(tmp_path: Path) -> None:
    """One that has grown, or is old, is closed and the next one opened; each begins with its schema."""
    written = journals(tmp_path, most_bytes=600, most_seconds=0.2)
    for number in range(20):
        written.append(b"".join(Numbers().lines([number])))
    names = sorted(path.name for path in tmp_path.glob("*"))
    assert names[:2] == ["feedback-abc-000001.jsonl", "feedback-abc-000002.jsonl"]
    assert read(tmp_path) == list(range(20))
    written.append(b"".join(Numbers().lines([20])))
    before = len(list(tmp_path.glob("*")))
    assert written.seconds_left is not None
    time.sleep(0.25)
    written.close_old()
    assert written.seconds_left is None
    written.append(b"".join(Numbers().lines([21])))
    assert len(list(tmp_path.glob("*"))) == before + 1
    assert all(json.loads(path.read_text().splitlines()[0])["fairlead"] == 1 for path in tmp_path.glob("*.jsonl"))


def test_an_idle_log_closes_its_journal(tmp_path: Path) -> None:
    """Without a single new row, an old journal is closed, so that it can become Parquet."""
    log = JsonLinesLog(journals(tmp_path, most_seconds=0.3), Numbers(), lambda *_: None)
    log.offer([1])
    wait_for(lambda: bool(list(tmp_path.glob("*.jsonl"))))
    path = next(tmp_path.glob("*.jsonl"))
    with left_behind(path) as free:
        assert not free
    time.sleep(0.5)
    with left_behind(path) as free:
        assert free
    log.close()


def test_a_journal_that_was_removed_is_begun_anew(tmp_path: Path) -> None:
    """Somebody who tidies the folder loses what lay there, not what comes."""
    written = journals(tmp_path)
    written.append(b"".join(Numbers().lines([1])))
    (tmp_path / "feedback-abc-000001.jsonl").unlink()
    written.append(b"".join(Numbers().lines([2])))
    assert read(tmp_path) == [2]


def test_names_of_journals() -> None:
    """A name says its log, writer and number; names of other servers are read too, and are not ours."""
    segment = Segment("predictions", "0a1b-20260101T000000ff", 12)
    assert Segment.of_journal(segment.journal) == segment
    assert Segment.of_part("predictions", segment.part("2026-01-01").rpartition("/")[2]) == segment
    other = Segment.of_journal("predictions-a-1.jsonl")
    assert other is not None
    assert (other.own, other.journal) == (False, "predictions-a-1.jsonl")
    assert Segment.of_journal("other.jsonl") is None


def test_a_full_disk_delays_nothing_and_loses_little(tmp_path: Path) -> None:
    """While the disk refuses, offers stay instant, rows wait as far as there is room, and the rest is counted.

    The file size limit of this process plays the full disk: a write beyond it fails half-way, as on a real one.
    """
    counts: Counter[str] = Counter()
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    log = open_log(tmp_path, counts, maximum_rows=100)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, former[1]))
        log.offer(list(range(50)), 50)  # 50 lines do not fit into 500 bytes
        time.sleep(0.3)
        started = time.perf_counter()
        taken = sum(log.offer([number]) for number in range(50, 150))
        assert time.perf_counter() - started < 0.1
        assert (taken, counts["dropped"]) == (50, 50)
        assert read(tmp_path) == []  # no torn line
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
        signal.signal(signal.SIGXFSZ, ignored)
    wait_for(lambda: counts["written"] == 100)
    assert read(tmp_path) == list(range(100))
    log.close()


def test_a_slow_disk_delays_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes its time to sync holds up the writer only; closing does not wait for it for ever."""
    release = threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda _: release.wait(10))
    log = open_log(tmp_path, maximum_rows=10)
    started = time.perf_counter()
    taken = sum(log.offer([number]) for number in range(30))
    assert time.perf_counter() - started < 0.1
    assert taken == 10
    log.close(0.2)
    assert time.perf_counter() - started < 1
    release.set()


def test_what_waits_takes_no_more_memory_than_it_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries are weighed: where the disk hangs, heavy ones fill the queue sooner than its rows would."""
    release = threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda _: release.wait(10))
    log = open_log(tmp_path, maximum_bytes=1000)
    assert [log.offer([0] * 4, 1) for _ in range(4)] == [True, True, False, False]
    release.set()
    log.close()


def test_a_folder_that_vanishes_comes_back(tmp_path: Path) -> None:
    """A log whose folder is not there yet waits for it."""
    counts: Counter[str] = Counter()
    log = open_log(tmp_path / "later", counts)
    log.offer([1])
    time.sleep(0.15)
    (tmp_path / "later").mkdir()
    wait_for(lambda: counts["written"] == 1)
    log.close()


def test_an_entry_that_is_no_json_does_not_end_the_log(tmp_path: Path) -> None:
    """The writer outlives an entry that cannot be written."""

    class Anything(Numbers):
        def lines(self, entry: Any) -> Iterator[bytes]:
            yield orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)

        def weigh(self, entry: Any, rows: int) -> int:
            return 0 * rows

    log = open_log(tmp_path, form=Anything())
    log.offer({"bad": object()})
    log.offer({"request_id": "2", "outcome": 2})
    log.close()
    assert read(tmp_path) == [2]


def test_a_prediction_makes_a_line_per_row(tmp_path: Path) -> None:
    """A line has everything that monitoring, the join with feedback and `fairlead why` need; so has the table."""
    request = {"fields": {"hour": "float"}}
    tiny_package(tmp_path / "package", numeric={"hour": 1.0, "rate": 1.0}, categorical={"carrier": {"AA": 1.0}})
    package = ModelPackage.open(tmp_path / "package")
    trace = "0af7651916cd43dd8448eb211c80319c"
    query = Query("v1", "id-1", request, 2, received=1372681800.5, traceparent=f"00-{trace}-b7ad6b7169203331-01")
    columns = {"carrier": ["AA", None], "hour": np.array([8.0, np.nan], np.float32), "rate": [0.5, None]}
    times = {"carriers": [1372672800, 0]}
    inputs = Inputs(columns, 2, [1372674600.0, 1372674601.0], [[], ["rate"]], times, {"carriers": ["rate"]})
    outputs = {"probability": np.array([0.25, 0.5], np.float32), "late": np.array([False, True])}
    form = PredictionLines("tiny", "sha256:ab", package.manifest)
    text = b"".join(form.lines(Scored(query, inputs, outputs, 0.00123456)))
    lines = [json.loads(line) for line in text.splitlines()]
    assert lines[0] == {
        "request_id": "id-1", "row": 0, "digest": "sha256:ab", "time": "2013-07-01T12:30:00.500000+00:00",
        "as_of": "2013-07-01T10:30:00+00:00", "seconds": 0.001235, "protocol": "v1", "trace_id": trace,
        "probability": 0.25, "decision": False, "features": {"carrier": "AA", "hour": 8.0, "rate": 0.5},
        "times": {"carriers": 1372672800}, "stale": [],
    }  # fmt: skip
    assert lines[1]["features"] == {"carrier": None, "hour": None, "rate": None}
    fast = journal.parse_lines("predictions", form.schema, text, 5)
    slow = journal.parse_lines("predictions", form.schema, text + b"garbled\n", 5)
    assert fast.equals(slow)
    assert fast.schema == form.schema.table
    row = fast.to_pylist()[1]
    assert (row["model"], row["position"], row["decision"], row["stale"]) == ("tiny", 6, True, ["rate"])
    assert [str(value) for value in fast["event_time_rate"].to_pylist()] == ["2013-07-01 10:00:00+00:00", "None"]


def test_feedback_makes_a_line() -> None:
    """The time is written as ISO 8601."""
    feedback = {"request_id": "a", "row": 0, "outcome": 1, "time": 0.0}
    assert [json.loads(line) for line in FeedbackLines().lines(feedback)] == [
        {"request_id": "a", "row": 0, "outcome": 1, "time": "1970-01-01T00:00:00+00:00"}
    ]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """The server finds out at its start, not at its first prediction."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        prediction_log.prepare_folder(tmp_path / "file" / "logs")
    prediction_log.prepare_folder(tmp_path / "logs")
    assert (tmp_path / "logs").is_dir()
