"""Snapshots of a training under way: whole or not there, checked by digest, the last few kept. No pickle.

A snapshot is a folder: `tensors.safetensors`, and `snapshot.json` with the facts, the digest of the tensors and a
digest of itself. One that a kill or a full disk damaged is passed over for the one before.
"""

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead import atomic

if TYPE_CHECKING:
    from torch import Tensor

TENSORS, FACTS = "tensors.safetensors", "snapshot.json"
_FORMAT = 1

logger = logging.getLogger(__name__)


class DamagedError(Exception):
    """A snapshot is not what was written."""


@dataclass(frozen=True)
class Snapshot:
    """A training under way.

    Attributes:
        number: Which step it was taken after, counted over the whole training.
        tensors: Weights, the optimiser's state, best weights, losses.
        facts: JSON values: the position, the learning curve.
    """

    number: int
    tensors: "dict[str, Tensor]"
    facts: dict[str, Any]


class Clock:
    """Says when the next snapshot is due.

    Several processes must save at the same step. They ask at steps that the first of them foresees from the time that
    the last steps took, rather than at each step, which would make them wait for each other.
    """

    def __init__(self, seconds: float, steps: int) -> None:
        """Starts the clock after so many steps."""
        self.seconds, self.saved_at, self.saved_steps = seconds, time.monotonic(), steps
        self.ask_at = steps + 1

    def ask(self, steps: int) -> tuple[bool, int]:
        """Says whether to save now, and at which step to ask again."""
        now = time.monotonic()
        elapsed, done = now - self.saved_at, max(1, steps - self.saved_steps)
        if elapsed >= self.seconds:
            self.saved_at, self.saved_steps = now, steps
            return True, steps + max(1, int(done * self.seconds / max(elapsed, 1e-9)))
        left = int(done * (self.seconds - elapsed) / max(elapsed, 1e-9))
        return False, steps + max(1, min(left, 2 * done))  # the first steps say little about those to come


class SnapshotFolder:
    """The snapshots of one training."""

    def __init__(self, path: Path, keep: int = 2) -> None:
        """Opens a folder, which need not be there yet.

        Args:
            path: The folder.
            keep: How many to keep: the newest ones.
        """
        self.path, self.keep = path, keep

    def write(self, snapshot: Snapshot) -> None:
        """Writes a snapshot, then removes those that are too old."""
        from safetensors.torch import save

        content = save(snapshot.tensors)
        facts = {"format": _FORMAT, "tensors": _digest(content), **snapshot.facts}
        with atomic.directory(self.path / f"{snapshot.number:012d}") as folder:
            (folder / TENSORS).write_bytes(content)
            (folder / FACTS).write_text(json.dumps({"digest": _digest_of(facts), "facts": facts}))
        for old in self._folders()[self.keep :]:
            shutil.rmtree(old, ignore_errors=True)
        self._sweep()

    def newest(self) -> Snapshot | None:
        """Reads the newest snapshot that is undamaged; warns of each damaged one, and removes it."""
        for folder in self._folders():
            try:
                return _read(folder)
            except DamagedError as error:
                logger.warning("%s: %s; training goes on from the snapshot before it", folder, error)
                shutil.rmtree(folder, ignore_errors=True)
        return None

    def _folders(self) -> list[Path]:
        """The finished snapshots, newest first."""
        return sorted((f for f in self._entries() if f.name.isdigit()), key=lambda f: f.name, reverse=True)

    def _sweep(self) -> None:
        """Removes what writes that were killed have left."""
        for entry in self._entries():
            if entry.name.startswith("."):
                shutil.rmtree(entry, ignore_errors=True)

    def _entries(self) -> Iterator[Path]:
        return self.path.iterdir() if self.path.is_dir() else iter(())


def _read(folder: Path) -> Snapshot:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        content = json.loads((folder / FACTS).read_text())
        facts, tensors = content["facts"], (folder / TENSORS).read_bytes()
        if content["digest"] != _digest_of(facts) or facts["tensors"] != _digest(tensors):
            raise DamagedError("its content is not what its digest says")
        if facts["format"] != _FORMAT:
            raise DamagedError(f"it is of another format than {_FORMAT}")
        return Snapshot(int(folder.name), load(tensors), facts)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DamagedError(f"it cannot be read ({error})") from None


def _digest_of(facts: dict[str, Any]) -> str:
    return _digest(json.dumps(facts, sort_keys=True).encode())


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
