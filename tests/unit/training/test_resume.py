"""A training that is killed and started again ends with the bits of one that was not: kill -9 on real processes."""

import json
import logging
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from unit.training.toy_learnable import (
    HEAD_THEN_ALL,
    Toy,
    ignore,
    read_fitted,
    same_bits,
    toy_spec,
    write_fitted,
)

from fairlead import atomic
from fairlead.training.engine.lightning import fit
from fairlead.training.engine.plain import fit_plain
from fairlead.training.engine.snapshots import Clock, Snapshot, SnapshotFolder
from fairlead.training.engine.trace import read
from fairlead.training.recipes.protocol import Epoch, Fitted

WAYS = {"plain": fit_plain, "lightning": fit}
EVERY_STEP = toy_spec(save_every_seconds=0)
STEPS = 50  # of a toy's two phases
POINTS = sorted(random.Random(20261121).sample(range(1, STEPS), 6))  # steps; drawn once, so that a failure comes again


def in_a_process(work: Callable[[], None]) -> int:
    """Runs something in a forked process, which has all imports already.

    Returns:
        Its exit status, negative where a signal ended it.
    """
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_at(step: int) -> Callable[[float, Epoch | None], None]:
    """An observer that kills its process after so many steps."""
    seen = 0

    def observe(_done: float, epoch: Epoch | None) -> None:
        nonlocal seen
        seen += epoch is None
        if seen >= step:
            os.kill(os.getpid(), signal.SIGKILL)

    return observe


def train(way: str, work: Path, observe: Any = ignore, spec: Any = EVERY_STEP) -> Fitted:
    """Trains a toy in two phases."""
    return WAYS[way](Toy(phases=HEAD_THEN_ALL), spec, observe, work)


@pytest.fixture(scope="module")
def whole() -> Fitted:
    """What a training gives that nobody kills, and that keeps no snapshots."""
    return fit_plain(Toy(phases=HEAD_THEN_ALL), EVERY_STEP, ignore)


@pytest.mark.parametrize("step", POINTS)
@pytest.mark.parametrize("way", WAYS)
def test_killed_at_a_random_step_it_goes_on_to_the_same_bits(
    way: str, step: int, whole: Fitted, tmp_path: Path
) -> None:
    """Kill -9 after a step; the next process does only what is left, and every bit agrees."""
    assert in_a_process(lambda: _ignore(train(way, tmp_path, kill_at(step)))) == -signal.SIGKILL
    newest = SnapshotFolder(tmp_path / "snapshots").newest()
    assert newest is None or newest.number >= step - 1
    steps = []
    again = train(way, tmp_path, lambda _done, epoch: steps.append(1) if epoch is None else None)
    assert same_bits(again, whole)
    assert len(steps) == STEPS - (newest.number if newest else 0)


def _ignore(_value: object) -> None:
    """For a lambda's result."""


@pytest.mark.parametrize("place", ["_sync_tree", "_take_place", "_sync_folder"])
@pytest.mark.parametrize("number", [1, 7, 23])
def test_killed_inside_the_write_of_a_snapshot(
    place: str, number: int, whole: Fitted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the files are safe, before the folder has its name, after: what is there is whole, and bits agree."""
    real, calls = getattr(atomic, place), 0

    def kill(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
        real(*arguments)

    monkeypatch.setattr(atomic, place, kill)
    assert in_a_process(lambda: _ignore(train("plain", tmp_path))) == -signal.SIGKILL
    monkeypatch.undo()
    assert same_bits(train("plain", tmp_path), whole)
    assert not [entry for entry in (tmp_path / "snapshots").iterdir() if entry.name.startswith(".")], "swept"


def test_killed_again_and_again_at_random_moments(whole: Fitted, tmp_path: Path) -> None:
    """Killed from outside, wherever it happens to be, as often as it takes; the last attempt's bits agree."""
    moments, out, kills = random.Random(7), tmp_path / "out", 0
    deadline = time.monotonic() + 30
    while not out.exists() and time.monotonic() < deadline:
        child = os.fork()
        if child == 0:
            write_fitted(train("plain", tmp_path / "work"), out)
            os._exit(0)
        time.sleep(moments.uniform(0.02, 0.25 + 0.05 * kills))
        os.kill(child, signal.SIGKILL)
        kills += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        if out.exists() and not (out / "epochs.json").exists():
            out.rename(tmp_path / f"half-{kills}")
    assert kills >= 2
    assert same_bits(read_fitted(out), whole)


@pytest.mark.parametrize("way", WAYS)
def test_what_one_way_began_the_other_finishes(way: str, whole: Fitted, tmp_path: Path) -> None:
    """Snapshots know no framework."""
    other = "lightning" if way == "plain" else "plain"
    in_a_process(lambda: _ignore(train(way, tmp_path, kill_at(17))))
    assert same_bits(train(other, tmp_path), whole)


@pytest.mark.parametrize("changes", [{"accumulate": 3}, {"precision": "bf16"}], ids=["parts", "bf16"])
def test_parts_and_precision_go_on_too(changes: dict[str, Any], tmp_path: Path) -> None:
    """With accumulation and in lower precision."""
    spec = toy_spec(save_every_seconds=0, **changes)
    in_a_process(lambda: _ignore(train("lightning", tmp_path, kill_at(27), spec)))
    assert same_bits(train("lightning", tmp_path, ignore, spec), fit(Toy(phases=HEAD_THEN_ALL), spec, ignore))


def test_only_the_last_snapshots_are_kept(tmp_path: Path) -> None:
    """As many as `keep_snapshots` says, the newest."""
    in_a_process(
        lambda: _ignore(train("plain", tmp_path, kill_at(20), toy_spec(save_every_seconds=0, keep_snapshots=3)))
    )
    assert sorted(int(entry.name) for entry in (tmp_path / "snapshots").iterdir()) == [17, 18, 19]


@pytest.mark.parametrize("damage", ["tensors.safetensors", "snapshot.json", "truncated", "missing", "swapped"])
def test_a_damaged_snapshot_is_passed_over_with_a_warning(
    damage: str, whole: Fitted, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One flipped bit, a short or missing file, another snapshot's tensors: the one before is used, bits agree."""
    in_a_process(lambda: _ignore(train("plain", tmp_path, kill_at(33))))
    before, newest = sorted((tmp_path / "snapshots").iterdir())
    if damage == "truncated":
        (newest / "tensors.safetensors").write_bytes((newest / "tensors.safetensors").read_bytes()[:-9])
    elif damage == "missing":
        (newest / "tensors.safetensors").unlink()
    elif damage == "swapped":
        (newest / "tensors.safetensors").write_bytes((before / "tensors.safetensors").read_bytes())
    else:
        content = bytearray((newest / damage).read_bytes())
        content[len(content) // 2] ^= 1
        (newest / damage).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert same_bits(train("plain", tmp_path), whole)
    assert "goes on from the snapshot before" in caplog.text
    assert newest.name in caplog.text


def test_without_any_good_snapshot_it_starts_anew(
    whole: Fitted, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All damaged: a warning for each, and a whole training."""
    in_a_process(lambda: _ignore(train("plain", tmp_path, kill_at(33))))
    for folder in (tmp_path / "snapshots").iterdir():
        (folder / "snapshot.json").write_text("{}")
    assert same_bits(train("plain", tmp_path), whole)
    assert caplog.text.count("goes on from the snapshot before") == 2


def test_a_snapshot_is_numbers_and_json(tmp_path: Path) -> None:
    """Nothing in it can run code when it is opened."""
    in_a_process(lambda: _ignore(train("plain", tmp_path, kill_at(33))))
    newest = max((tmp_path / "snapshots").iterdir())
    assert sorted(file.name for file in newest.iterdir()) == ["snapshot.json", "tensors.safetensors"]
    facts = json.loads((newest / "snapshot.json").read_text())["facts"]
    assert facts["position"]["steps"] == 32
    assert len(facts["keeper"]["epochs"]) == 3


def test_a_resumed_trace_has_each_step_once(tmp_path: Path) -> None:
    """What happened after the snapshot happens again, and is not told twice."""
    in_a_process(lambda: _ignore(train("plain", tmp_path, kill_at(33))))
    train("plain", tmp_path)
    steps = [line["step"] for line in read(tmp_path / "trace.jsonl") if "epoch" not in line]
    assert steps == list(range(1, STEPS + 1))


def test_a_finished_training_is_not_done_again(whole: Fitted, tmp_path: Path) -> None:
    """After the last step, only the result is read; a task that died in its report costs no training."""
    train("plain", tmp_path)
    steps: list[float] = []
    assert same_bits(train("plain", tmp_path, lambda done, _epoch: steps.append(done)), whole)
    assert steps == []


def test_snapshots_are_taken_by_the_clock(tmp_path: Path) -> None:
    """None in a short training; and asking costs less than a question at each step."""
    train("plain", tmp_path, ignore, toy_spec(save_every_seconds=60))
    assert not (tmp_path / "snapshots").exists()
    clock, asked, step = Clock(0.05, 0), 0, 0
    saved = []
    for step in range(1, 200):
        time.sleep(0.001)
        if step >= clock.ask_at:
            asked += 1
            due, clock.ask_at = clock.ask(step)
            if due:
                saved.append(step)
    assert 1 < len(saved) < 10
    assert asked < 60


def test_writing_and_reading_keeps_every_bit(tmp_path: Path) -> None:
    """Numbers of each type come back as they were, not-a-numbers too."""
    tensors = {"a": torch.tensor([1.5, float("nan"), -0.0]), "b": torch.arange(3), "c": torch.zeros(0)}
    folder = SnapshotFolder(tmp_path / "s")
    folder.write(Snapshot(7, tensors, {"position": {}}))
    found = folder.newest()
    assert found is not None
    assert found.number == 7
    for name, value in tensors.items():
        assert found.tensors[name].numpy().tobytes() == value.numpy().tobytes()
