"""Where the laptop platform keeps its files and sockets."""

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from fairlead.errors import PlatformError

_LONGEST_SOCKET_PATH = 100  # the kernel's limit is 107 bytes on Linux, 103 on macOS
# not TMPDIR: each step of a run has one of its own, and long, while the socket must be the same for all processes
_SHORT_FOLDER = Path("/tmp")  # noqa: S108 - the folder below is this user's alone, and that is checked


@dataclass(frozen=True)
class Places:
    """The files of one supervisor.

    Attributes:
        home: The platform's folder; everything but over-long socket paths is below it.
    """

    home: Path

    @property
    def state(self) -> Path:
        """The desired state and the processes that serve it."""
        return self.home / "state.json"

    @property
    def lock(self) -> Path:
        """The lock that the one supervisor of this folder holds."""
        return self.home / "supervisor.lock"

    @property
    def logs(self) -> Path:
        """One log file per process."""
        return self.home / "logs"

    @property
    def envoy(self) -> Path:
        """Envoy's configuration files."""
        return self.home / "envoy"

    @property
    def rollouts(self) -> Path:
        """State, history and lock of each service's rollout."""
        return self.home / "rollouts"

    @property
    def socket(self) -> Path:
        """The supervisor's own socket."""
        return self._socket_folder / "supervisor.sock"

    @property
    def admin_socket(self) -> Path:
        """Envoy's administration socket."""
        return self._socket_folder / "envoy.sock"

    def log(self, key: str) -> Path:
        """The log of one process."""
        return self.logs / f"{key}.log"

    def make(self) -> None:
        """Makes the folders; those with sockets are for this user only.

        Raises:
            PlatformError: The folder for sockets belongs to somebody else.
        """
        for folder in (self.home, self.logs, self.envoy, self.rollouts, self._socket_folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = self._socket_folder.lstat()
        if self._socket_folder.is_symlink() or owner.st_uid != os.getuid():
            raise PlatformError(f"{self._socket_folder} belongs to another user; choose a shorter FAIRLEAD_HOME")

    def remove_sockets(self) -> None:
        """Removes the sockets, and their folder where they have one of their own."""
        self.socket.unlink(missing_ok=True)
        self.admin_socket.unlink(missing_ok=True)
        if self._socket_folder != self.home:
            with contextlib.suppress(OSError):  # somebody put something else there
                self._socket_folder.rmdir()

    @property
    def _socket_folder(self) -> Path:
        if len(os.fsencode(self.home / "supervisor.sock")) <= _LONGEST_SOCKET_PATH:
            return self.home
        short = hashlib.sha256(os.fsencode(self.home)).hexdigest()[:12]
        return _SHORT_FOLDER / f"fairlead-{os.getuid()}-{short}"
