"""The folder of a training under way: found again by what is trained, held by one process, removed at the end."""

import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fairlead.errors import ConfigurationError, DataError, SchemaError, SourceError
from fairlead.settings import settings
from fairlead.training.job import Job

FORGOTTEN_DAYS = 14
_DAY = 86_400.0

logger = logging.getLogger(__name__)


@contextmanager
def work_folder(job: Job) -> Iterator[Path]:
    """Gives the folder in which a training keeps what it needs to go on after a kill.

    The same data, sections, code and libraries give the same folder, so that KFP's retry and a rerun by hand find it.
    It is removed when training ends, well or with an error that would come again; after a kill it is still there.

    Args:
        job: The training.

    Yields:
        The folder; another, temporary one where another process is at the same training.
    """
    home = settings().work_home
    home.mkdir(parents=True, exist_ok=True)
    _forget(home)
    path = home / f"training-{job.digest()[:24]}"
    lock = hold(path.with_suffix(".lock"))
    if lock is None:
        logger.warning("another process is at the same training; this one starts anew, in a folder of its own")
        with tempfile.TemporaryDirectory(prefix="training-", dir=home) as folder:
            yield Path(folder)
        return
    try:
        path.mkdir(exist_ok=True)
        yield path
        shutil.rmtree(path)
    except (ConfigurationError, DataError, SchemaError, SourceError):
        shutil.rmtree(path, ignore_errors=True)
        raise
    finally:
        path.with_suffix(".lock").unlink(missing_ok=True)
        os.close(lock)


def hold(path: Path) -> int | None:
    """Locks a file until its descriptor is closed or the process dies.

    Returns:
        The descriptor, or None where another process holds it.
    """
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        os.close(descriptor)  # the holder before has just removed the file: what was locked is no longer it


def _forget(home: Path) -> None:
    """Removes the folders of trainings that nobody has gone on with for a long time."""
    for path in home.glob("training-*"):
        with suppress(FileNotFoundError):
            if path.is_dir() and time.time() - path.stat().st_mtime > FORGOTTEN_DAYS * _DAY:
                shutil.rmtree(path, ignore_errors=True)
                path.with_suffix(".lock").unlink(missing_ok=True)
