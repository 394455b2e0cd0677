"""Processes that outlive whoever started them: started in a session of their own, adopted by pid and creation time."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from fairlead.errors import PlatformError
from fairlead.platform.laptop.state import ProcessRecord

MARK = "FAIRLEAD_LAPTOP"  # in each process's environment: the platform folder that it belongs to
_CLOCK_TOLERANCE_SECONDS = 2.0  # creation times are computed from the boot time, which may be adjusted
_LARGEST_LOG_BYTES = 20 << 20
_POLL_SECONDS = 0.05


@dataclass
class Process:
    """One running process.

    Attributes:
        record: Its pid and creation time.
        handle: psutil's view of it.
        child: Set where this supervisor started it, and so has to reap it.
    """

    record: ProcessRecord
    handle: psutil.Process
    child: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether it runs; reaps a child that does not."""
        if self.child is not None:
            return self.child.poll() is None
        try:
            return bool(self.handle.is_running() and self.handle.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    @property
    def exit_code(self) -> int | None:
        """The exit status (negative: the signal), where it is known."""
        return None if self.child is None else self.child.poll()

    @property
    def memory_bytes(self) -> int:
        """What it holds of the machine's memory; 0 where it is gone."""
        try:
            return int(self.handle.memory_info().rss)
        except psutil.NoSuchProcess:
            return 0

    async def stop(self, grace_seconds: float) -> None:
        """Asks it to end, waits, and kills it if it does not."""
        for signal_process in (self.handle.terminate, self.handle.kill):
            try:
                if self.alive:
                    signal_process()
            except psutil.NoSuchProcess:
                return
            if await self.ended(grace_seconds):
                return

    async def ended(self, timeout_seconds: float) -> bool:
        """Waits for its end; tells whether it came in time."""
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        while self.alive:
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True


def start(command: Sequence[str], log: Path, home: Path, *, orphan: bool = False) -> Process:
    """Starts a process that lives on without this one.

    Args:
        command: The program's path and its arguments.
        log: The file to which both its outputs are appended.
        home: The platform's folder: its working folder, and its mark.
        orphan: Start it as nobody's child: for a program that ends with its parent. Its exit status is unknown then.

    Returns:
        The process.

    Raises:
        PlatformError: The program cannot be started.
    """
    _shorten(log)
    launcher = [sys.executable, "-I", "-S", str(Path(__file__).with_name("orphan.py"))] if orphan else []
    try:
        with log.open("ab") as output:
            child = subprocess.Popen(
                [*launcher, *command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if orphan else output,
                stderr=output, cwd=home, start_new_session=True, env={**os.environ, MARK: str(home), "TZ": "UTC"},
            )  # fmt: skip
        pid = int(child.communicate()[0]) if orphan else child.pid
        handle = psutil.Process(pid)
        record = ProcessRecord(pid=pid, created=handle.create_time())
    except (OSError, ValueError, psutil.NoSuchProcess) as error:
        raise PlatformError(f"{command[0]} cannot be started ({error}); see {log}") from None
    return Process(record, handle, None if orphan else child)


def adopt(record: ProcessRecord) -> Process | None:
    """Finds a process that an earlier supervisor started; None where it has ended."""
    try:
        handle = psutil.Process(record.pid)
        same = abs(handle.create_time() - record.created) < _CLOCK_TOLERANCE_SECONDS
    except psutil.NoSuchProcess:
        return None
    found = Process(record, handle)
    return found if same and found.alive else None


def strays(home: Path, known: set[int]) -> list[Process]:
    """Finds processes of this platform that no record names: their supervisor died before it could note them."""
    found = []
    for handle in psutil.process_iter():
        try:
            mine = handle.pid not in known and handle.ppid() not in known and handle.pid != os.getpid()
            if mine and handle.environ().get(MARK) == str(home):
                found.append(Process(ProcessRecord(pid=handle.pid, created=handle.create_time()), handle))
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def log_tail(log: Path, lines: int = 15) -> str:
    """Gives the last lines of a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8192))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.strip().splitlines()[-lines:])


def free_port(host: str, preferred: int = 0) -> int:
    """Gives a port that is free now: the preferred one if it is."""
    if preferred and port_is_free(host, preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def port_is_free(host: str, port: int) -> bool:
    """Tells whether a server could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # ports of finished connections are free
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError:
            return False
    return True


def _shorten(log: Path) -> None:
    """Sets a log aside that has grown large; one older log is kept."""
    if log.exists() and log.stat().st_size > _LARGEST_LOG_BYTES:
        log.replace(log.with_suffix(".log.1"))
