"""The prediction log and the feedback log."""

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

from fairlead_serving import prediction_log
from fairlead_serving.prediction_log import JsonLinesLog, feedback_lines, prediction_lines
from fairlead_serving.query import Inputs, Query, Scored


def number_lines(entry: list[int]) -> Iterator[bytes]:
    """Write one line per number."""
    for number in entry:
        yield orjson.dumps({"number": number}, option=orjson.OPT_APPEND_NEWLINE)


def read(path: Path) -> list[Any]:
    """Read the lines of a log."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def wait_for(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_rows_reach_the_disk_in_order(tmp_path: Path) -> None:
    """What is offered is written line by line, soon and without closing."""
    counts: Counter[str] = Counter()
    log = JsonLinesLog(tmp_path / "log.jsonl", number_lines, lambda result, rows: counts.update({result: rows}))
    assert log.offer([1, 2], 2)
    assert log.offer([3])
    wait_for(lambda: counts["written"] == 3)
    assert [line["number"] for line in read(log.path)] == [1, 2, 3]
    log.close()
    assert not log.offer([4])


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    """The last rows before a stop are kept."""
    log = JsonLinesLog(tmp_path / "log.jsonl", number_lines, lambda *_: None)
    for number in range(500):
        log.offer([number])
    log.close()
    assert [line["number"] for line in read(log.path)] == list(range(500))


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    """A file that a killed process left with half a line goes on with whole lines."""
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"number":1}\n{"num')
    log = JsonLinesLog(path, number_lines, lambda *_: None)
    log.offer([2])
    log.close()
    assert [line["number"] for line in read(path)] == [1, 2]


def test_a_long_torn_line_is_found(tmp_path: Path) -> None:
    """The last line end is looked for through the whole file."""
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"number":1}\n' + b"x" * 200_000)
    log = JsonLinesLog(path, number_lines, lambda *_: None)
    log.offer([2])
    log.close()
    assert [line["number"] for line in read(path)] == [1, 2]


def test_a_full_disk_delays_nothing_and_loses_little(tmp_path: Path) -> None:
    """While the disk refuses, offers stay instant, rows wait as far as there is room, and the rest is counted.

    The file size limit of this process plays the full disk: a write beyond it fails half-way, as on a real one.
    """
    counts: Counter[str] = Counter()
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    log = JsonLinesLog(
        tmp_path / "log.jsonl", number_lines, lambda result, rows: counts.update({result: rows}), maximum_rows=100
    )
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, former[1]))
        log.offer(list(range(50)), 50)  # 50 lines do not fit into 100 bytes
        time.sleep(0.3)
        started = time.perf_counter()
        taken = sum(log.offer([number]) for number in range(50, 150))
        assert time.perf_counter() - started < 0.1
        assert (taken, counts["dropped"]) == (50, 50)
        assert not log.path.exists() or log.path.read_bytes() == b""  # no torn line
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
        signal.signal(signal.SIGXFSZ, ignored)
    wait_for(lambda: counts["written"] == 100)
    assert [line["number"] for line in read(log.path)] == list(range(100))
    log.close()


def test_a_slow_disk_delays_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that takes its time to sync holds up the writer only."""
    release = threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda _: release.wait(10))
    log = JsonLinesLog(tmp_path / "log.jsonl", number_lines, lambda *_: None, maximum_rows=10)
    started = time.perf_counter()
    taken = sum(log.offer([number]) for number in range(30))
    assert time.perf_counter() - started < 0.1
    assert taken == 10
    release.set()
    log.close()


def test_a_folder_that_vanishes_comes_back(tmp_path: Path) -> None:
    """A log whose folder is not there yet waits for it."""
    counts: Counter[str] = Counter()
    path = tmp_path / "later" / "log.jsonl"
    log = JsonLinesLog(path, number_lines, lambda result, rows: counts.update({result: rows}))
    log.offer([1])
    time.sleep(0.15)
    path.parent.mkdir()
    wait_for(lambda: counts["written"] == 1)
    log.close()


def test_an_entry_that_is_no_json_does_not_end_the_log(tmp_path: Path) -> None:
    """The writer outlives an entry that cannot be written."""
    log = JsonLinesLog(tmp_path / "log.jsonl", lambda entry: iter([orjson.dumps(entry) + b"\n"]), lambda *_: None)
    log.offer({"bad": object()})
    log.offer({"number": 2})
    log.close()
    assert read(log.path) == [{"number": 2}]


def test_a_prediction_makes_a_line_per_row() -> None:
    """A line has everything that monitoring and the join with feedback need."""
    query = Query("v1", "id-1", {}, 2, received=1372681800.5)
    columns = {"carrier": ["AA", None], "hour": np.array([8.0, np.nan], np.float32), "rate": [0.5, None]}
    inputs = Inputs(columns, 2, [1372674600.0, 1372674601.0], [[], ["rate"]])
    outputs = {"probability": np.array([0.25, 0.5], np.float32)}
    lines = [json.loads(line) for line in prediction_lines("sha256:ab")(Scored(query, inputs, outputs, 0.00123456))]
    assert lines[0] == {
        "request_id": "id-1", "row": 0, "digest": "sha256:ab", "time": "2013-07-01T12:30:00.500000+00:00",
        "as_of": "2013-07-01T10:30:00+00:00", "probability": 0.25,
        "features": {"carrier": "AA", "hour": 8.0, "rate": 0.5}, "stale": [], "seconds": 0.001235,
    }  # fmt: skip
    assert lines[1]["features"] == {"carrier": None, "hour": None, "rate": None}
    assert lines[1]["stale"] == ["rate"]


def test_feedback_makes_a_line() -> None:
    """The time is written as ISO 8601."""
    feedback = {"request_id": "a", "row": 0, "outcome": 1, "time": 0.0}
    assert [json.loads(line) for line in feedback_lines(feedback)] == [
        {"request_id": "a", "row": 0, "outcome": 1, "time": "1970-01-01T00:00:00+00:00"}
    ]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """The server finds out at its start, not at its first prediction."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        prediction_log.prepare_folder(tmp_path / "file" / "logs")
    prediction_log.prepare_folder(tmp_path / "logs")
    assert (tmp_path / "logs").is_dir()
