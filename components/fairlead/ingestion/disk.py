"""A full disk, said in words."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fairlead.errors import StateError

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def full_disk_explained(path: Path | str) -> Iterator[None]:
    """Turns "no space left" into an error that says where, and how much is free.

    Args:
        path: What is being written.

    Raises:
        StateError: The disk is full; nothing half-written stands at the path.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StateError(_message(Path(path))) from None


def _message(path: Path) -> str:
    folder = next(parent for parent in (path.absolute(), *path.absolute().parents) if parent.is_dir())
    usage = shutil.disk_usage(folder)
    return (
        f"the disk is full: {path} could not be written ({_mebibytes(usage.free)} free of {_mebibytes(usage.total)} "
        f"at {folder}); nothing half-written is left there; "
        "make room, or set FAIRLEAD_HOME to a larger disk, and run again"
    )


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
