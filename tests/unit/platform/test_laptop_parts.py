"""The parts of the laptop platform that need no running process."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from fairlead.errors import PlatformError, StateError
from fairlead.platform.laptop import processes
from fairlead.platform.laptop.client import connect
from fairlead.platform.laptop.counters import VersionCounters, read_counters
from fairlead.platform.laptop.envoy import refuse_taken_port
from fairlead.platform.laptop.outcomes import OutcomeReader
from fairlead.platform.laptop.places import Places
from fairlead.platform.laptop.state import PlatformState, ProcessRecord, ServiceState, check_name


def test_state_survives_being_written(tmp_path: Path) -> None:
    """What is saved is loaded; a missing file is an empty state."""
    state = PlatformState(port=9, services={"m": ServiceState(name="m", stable="d")})
    state.save(tmp_path / "state.json")
    assert PlatformState.load(tmp_path / "state.json") == state
    assert PlatformState.load(tmp_path / "none.json") == PlatformState()


@pytest.mark.parametrize("content", ["", "{", '{"format": 99}', '{"services": 3}', '{"surprise": 1}'])
def test_state_that_is_not_ours_is_refused(tmp_path: Path, content: str) -> None:
    """A corrupt state, or one of another version, is named and never overwritten."""
    (tmp_path / "state.json").write_text(content)
    with pytest.raises(StateError, match=r"state\.json"):
        PlatformState.load(tmp_path / "state.json")
    assert (tmp_path / "state.json").read_text() == content


@pytest.mark.parametrize("name", ["", "a/b", "a.b", "-a", "a b", "ü", "a" * 101])
def test_names_that_cannot_stand_in_paths_are_refused(name: str) -> None:
    """The message says what may stand in a name."""
    with pytest.raises(PlatformError, match="letters, digits"):
        check_name(name)


def test_a_taken_port_is_named_with_the_setting() -> None:
    """The error says which port, and what to change."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PlatformError, match=rf"port {port} .*FAIRLEAD_SERVING_PORT"):
            refuse_taken_port("127.0.0.1", port)
    refuse_taken_port("127.0.0.1", port)


def test_nothing_is_started_unasked(own_state: Path) -> None:
    """Looking for a platform that is not there makes nothing."""
    with pytest.raises(PlatformError, match="nothing runs here"):
        connect(start=False)
    assert not own_state.exists()


def test_sockets_move_where_the_path_is_too_long(tmp_path: Path) -> None:
    """The kernel's limit on socket paths does not limit where the state may be."""
    near, far = Places(Path("/x")), Places(tmp_path / ("d" * 100))
    assert near.socket.parent == near.home
    assert len(str(far.socket)) < 100
    assert far.socket != Places(tmp_path / ("e" * 100)).socket
    far.make()
    assert far.socket.parent.stat().st_mode & 0o077 == 0
    far.remove_sockets()
    assert not far.socket.parent.exists()


def test_a_pid_that_was_used_again_is_not_adopted() -> None:
    """Only the process that was created at the noted time is taken over."""
    import os

    import psutil

    created = psutil.Process().create_time()
    assert processes.adopt(ProcessRecord(pid=os.getpid(), created=created)) is not None
    assert processes.adopt(ProcessRecord(pid=os.getpid(), created=created - 100)) is None
    assert processes.adopt(ProcessRecord(pid=2**22 + 1, created=created)) is None


STATS: list[dict[str, Any]] = [
    {"name": "cluster.m-a.upstream_rq_2xx", "value": 90},
    {"name": "cluster.m-a.upstream_rq_completed", "value": 95},
    {"name": "cluster.m-a.upstream_rq_total", "value": 100},
    {"name": "cluster.m-a.retry.upstream_rq_completed", "value": 3},
    {"name": "cluster.m-a.upstream_rq_pending_failure_eject", "value": 7},
    {"name": "cluster.m-a.upstream_rq_per_try_timeout", "value": 2},
    {"name": "cluster.m-a.upstream_rq_retry", "value": 4},
    {
        "histograms": [
            {
                "name": "cluster.m-a.upstream_rq_time",
                "buckets": [{"upper_bound": 10, "cumulative": 60}, {"upper_bound": 50, "cumulative": 95}],
            }
        ]
    },
]


def test_attempts_are_counted_from_envoys_counters() -> None:
    """Refused connections, broken ones, time-outs and retried answers are the version's failures."""
    counts = read_counters(STATS, "m-a")
    assert counts == VersionCounters(first_attempts=103, succeeded=90, failed=17, seconds={0.01: 60, 0.05: 35})
    assert read_counters(STATS, "m-b") == VersionCounters()


def test_counters_are_subtracted_and_survive_a_restart() -> None:
    """Between two readings the difference counts; after a restart of Envoy, all of the new one."""
    early = VersionCounters(first_attempts=5, succeeded=5, seconds={0.01: 5})
    late = VersionCounters(first_attempts=9, succeeded=7, failed=2, seconds={0.01: 6, 0.05: 1})
    between = VersionCounters(first_attempts=4, succeeded=2, failed=2, seconds={0.01: 1, 0.05: 1})
    assert late.since(early) == between
    assert early.since(late) == early


def write(file: Path, *entries: dict[str, Any], end: str = "\n") -> None:
    """Appends JSON lines."""
    with file.open("a") as stream:
        stream.write("\n".join(json.dumps(entry) for entry in entries) + end)


def test_outcomes_are_joined_with_their_predictions(tmp_path: Path) -> None:
    """By request and row, over several files and readings, whichever half comes first; what is older does not count."""
    predictions, feedback = tmp_path / "predictions-a-1.jsonl", tmp_path / "feedback-1.jsonl"
    write(predictions, {"request_id": "old", "row": 0, "digest": "a", "probability": 0.9})
    reader = OutcomeReader(tmp_path, ["a", "b"])
    cursor = reader.begin()
    write(predictions, {"request_id": "1", "row": 0, "digest": "a", "probability": 0.2})
    write(tmp_path / "predictions-b-2.jsonl", {"request_id": "2", "row": 0, "digest": "b", "probability": 0.7})
    write(feedback, {"request_id": "1", "row": 0, "outcome": 1}, {"request_id": "old", "row": 0, "outcome": 1})
    write(
        tmp_path / "feedback-2.jsonl",
        {"request_id": "2", "row": 0, "outcome": 0},
        {"request_id": "3", "row": 0},
        end="",
    )
    found, cursor = reader.read(cursor)
    assert found.outcomes == {"a": [(0.2, 1)], "b": [(0.7, 0)]}
    write(feedback, {"request_id": "4", "row": 1, "outcome": 1})
    found, cursor = reader.read(cursor)
    assert found.outcomes == {"a": [], "b": []}
    write(predictions, {"request_id": "4", "row": 1, "digest": "a", "probability": 0.4})
    assert reader.read(cursor)[0].outcomes == {"a": [(0.4, 1)], "b": []}


def test_outcomes_are_read_on_by_another_process(tmp_path: Path) -> None:
    """A new reader with the old cursor finds predictions of before, and counts no feedback twice."""
    first = OutcomeReader(tmp_path, ["a"])
    cursor = first.begin()
    write(
        tmp_path / "predictions-a-1.jsonl", *({"request_id": str(n), "digest": "a", "probability": 0.5} for n in (1, 2))
    )
    write(tmp_path / "feedback-1.jsonl", {"request_id": "1", "outcome": 1})
    found, cursor = first.read(cursor)
    assert found.outcomes == {"a": [(0.5, 1)]}
    write(tmp_path / "feedback-1.jsonl", {"request_id": "2", "outcome": 0})
    assert OutcomeReader(tmp_path, ["a"]).read(json.loads(json.dumps(cursor)))[0].outcomes == {"a": [(0.5, 0)]}


def test_answers_of_both_versions_to_one_row_are_pairs(tmp_path: Path) -> None:
    """A shadowed request is logged by both servers, in any order and file; each pair is told once."""
    reader = OutcomeReader(tmp_path, ["a", "b"])
    cursor = reader.begin()
    write(tmp_path / "predictions-b-1.jsonl", {"request_id": "1", "digest": "b", "probability": 0.9})
    first, cursor = reader.read(cursor)
    write(
        tmp_path / "predictions-a-1.jsonl",
        {"request_id": "1", "digest": "a", "probability": 0.2},
        {"request_id": "2", "digest": "a", "probability": [0.1, 0.7, 0.2]},
    )
    write(tmp_path / "predictions-a-2.jsonl", {"request_id": "3", "digest": "a", "prediction": 12.5})
    write(tmp_path / "predictions-b-1.jsonl", {"request_id": "2", "digest": "b", "probability": [0.6, 0.3, 0.1]})
    write(tmp_path / "feedback-1.jsonl", {"request_id": "2", "outcome": "cat"})
    second, cursor = reader.read(cursor)
    assert (first.scores, first.pairs) == ({"a": [], "b": [0.9]}, [])
    assert second.scores == {"a": [0.2, 0.7, 12.5], "b": [0.6]}
    assert second.pairs == [{"a": 0.2, "b": 0.9}, {"a": (0.1, 0.7, 0.2), "b": (0.6, 0.3, 0.1)}]
    assert second.outcomes == {"a": [], "b": []}  # a class is no outcome of a yes/no question
    assert reader.read(cursor)[0].pairs == []


def test_lines_that_were_cut_off_are_skipped(tmp_path: Path) -> None:
    """A crash of a server leaves half a line; the rest still counts."""
    reader = OutcomeReader(tmp_path, ["a"])
    cursor = reader.begin()
    with (tmp_path / "predictions-a-1.jsonl").open("w") as file:
        file.write('{"request_id": "1", "dig\n')
    write(tmp_path / "predictions-a-1.jsonl", {"request_id": "2", "digest": "a", "probability": 0.5})
    write(tmp_path / "feedback-1.jsonl", {"request_id": "2", "outcome": 0})
    assert reader.read(cursor)[0].outcomes == {"a": [(0.5, 0)]}
