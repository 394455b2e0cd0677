"""Writes are whole or not there."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead import atomic

KILLED = """
import os, signal, sys
from pathlib import Path
from fairlead import atomic
with atomic.directory(sys.argv[1]) as folder:
    (folder / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """When the content cannot be serialised, what stood there before still stands, and nothing is left beside it."""
    target = tmp_path / "state.json"
    atomic.write_json(target, {"version": 1})
    with pytest.raises(ValueError, match="JSON"):
        atomic.write_json(target, {"version": float("nan")})
    assert json.loads(target.read_text()) == {"version": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["state.json"]


def test_a_directory_appears_only_when_its_block_ends_well(tmp_path: Path) -> None:
    """An exception inside the block leaves the older directory whole and no leftovers."""
    target = tmp_path / "set"
    with atomic.directory(target) as folder:
        (folder / "a").write_text("old")

    def fail() -> None:
        with atomic.directory(target) as folder:
            (folder / "a").write_text("new")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        fail()
    assert (target / "a").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_a_new_directory_replaces_the_old_one_whole(tmp_path: Path) -> None:
    """Files of the older directory do not shine through."""
    target = tmp_path / "set"
    for name in ("a", "b"):
        with atomic.directory(target) as folder:
            (folder / name).write_text(name)
    assert [p.name for p in target.iterdir()] == ["b"]


def test_a_killed_writer_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    """After SIGKILL inside the block, the target does not exist."""
    target = tmp_path / "set"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not target.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_refusing_file_system_raises(tmp_path: Path) -> None:
    """An OSError of the file system reaches the caller."""
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        atomic.write_text(tmp_path / "x", "x")


def test_a_file_appears_only_when_its_block_ends_well(tmp_path: Path) -> None:
    """What is written piece by piece replaces the older file at the end, or not at all."""
    target = tmp_path / "new" / "file"
    with atomic.file(target) as opened:
        opened.write(b"one, ")
        opened.write(b"two")
        assert not target.exists()

    def fail() -> None:
        with atomic.file(target) as again:
            again.write(b"half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert target.read_bytes() == b"one, two"
    assert [path.name for path in target.parent.iterdir()] == ["file"]
