"""One writer at a time on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fairlead.errors import StateError

WAIT_SECONDS = 120.0
"""How long a writer waits for another; registering one package takes a few seconds, more where it is uploaded."""


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Holds the registry's lock; the kernel frees it if the process dies.

    Args:
        home: The folder that the lock is in; it is made.

    Yields:
        Nothing.

    Raises:
        StateError: Another process held it for WAIT_SECONDS, or the folder cannot be written to.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(home / "registry.lock", timeout=WAIT_SECONDS)
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise StateError(
            f"another process has held the registry {home} for {WAIT_SECONDS:.0f} s; wait for it, or end it"
        ) from None
    except OSError as error:
        raise StateError(
            f"the registry {home} cannot be written to: {error}; set FAIRLEAD_HOME to a folder that can"
        ) from None
    try:
        yield
    finally:
        lock.release()
