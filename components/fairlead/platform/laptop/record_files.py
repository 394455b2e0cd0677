"""What is kept of a service's rollouts on this machine: files, and a lock that the kernel frees."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fairlead import atomic
from fairlead.errors import StateError
from fairlead.platform.serving import InChargeError


class RecordFiles:
    """The files of one service's rollouts.

    Args:
        folder: The platform's folder of rollouts.
        name: The service.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.state, self.history = folder / f"{name}.json", folder / f"{name}.jsonl"
        self._lock, self._command = folder / f"{name}.lock", folder / f"{name}.command"

    @property
    def where(self) -> str:
        """The state's file."""
        return str(self.state)

    @contextmanager
    def charge(self) -> Iterator[None]:
        """Takes charge of the service's rollouts: one process at a time, freed by the kernel if it dies.

        Raises:
            InChargeError: Another process is in charge.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock.open("a+") as lock:
            try:
                fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise InChargeError(
                    f"process {lock.read().strip() or '?'} is in charge of {self.name}'s rollout; wait for its end, "
                    f"or tell it to end: fairlead rollback {self.name}"
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            self._command.unlink(missing_ok=True)
            yield

    def read(self) -> bytes | None:
        """The state of the latest rollout."""
        try:
            return self.state.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"{self.state} cannot be read: {error}") from None

    def write(self, content: bytes, *, urgent: bool = True) -> None:
        """Keeps the state at once, whole or not at all."""
        del urgent
        atomic.write_bytes(self.state, content)

    def command(self, word: str) -> None:
        """Leaves a word for the process in charge."""
        atomic.write_text(self._command, word)

    def commanded(self) -> str | None:
        """The word that was left."""
        try:
            return self._command.read_text().strip()
        except FileNotFoundError:
            return None

    def append(self, line: str) -> None:
        """Adds a line to the history."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.history.open("a", encoding="utf-8") as file:  # one short line: appended in one write
            file.write(line + "\n")

    def lines(self) -> list[str]:
        """The history, oldest first."""
        if not self.history.exists():
            return []
        return [line for line in self.history.read_text(encoding="utf-8").splitlines() if line.strip()]

    def keep(self, key: str, content: bytes) -> None:
        """Keeps a document of one version."""
        atomic.write_bytes(self._document(key), content)

    def kept(self, key: str) -> bytes | None:
        """A document of one version."""
        try:
            return self._document(key).read_bytes()
        except FileNotFoundError:
            return None

    def where_kept(self, key: str) -> str:
        """The document's file."""
        return str(self._document(key))

    def _document(self, key: str) -> Path:
        return self.folder / "policies" / self.name / f"{key.removeprefix('sha256:')}.json"
