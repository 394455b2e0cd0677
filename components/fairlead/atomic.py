"""Writes that are either whole or not there: temporary sibling, fsync, rename."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO


def write_bytes(path: Path | str, content: bytes) -> None:
    """Writes a file that appears whole or not at all.

    Args:
        path: Where; missing parent folders are made.
        content: The file's bytes.

    Raises:
        OSError: The file system refuses; what stood at `path` before still stands.
    """
    with file(path) as opened:
        opened.write(content)


@contextmanager
def file(path: Path | str) -> Iterator[BinaryIO]:
    """Gives a temporary file that becomes `path` when the block ends well.

    A file that stood at `path` is replaced; if the block raises or the process dies, it still stands.

    Args:
        path: Where; missing parent folders are made.

    Yields:
        The file to write, on the same file system.

    Raises:
        OSError: The file system refuses.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as opened:
            yield opened
            opened.flush()
            os.fsync(opened.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def write_text(path: Path | str, content: str) -> None:
    """Writes a UTF-8 file that appears whole or not at all."""
    write_bytes(path, content.encode())


def write_json(path: Path | str, content: Any) -> None:
    """Writes a JSON file (indented, keys in the order given) that appears whole or not at all."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def directory(path: Path | str) -> Iterator[Path]:
    """Gives a temporary folder that becomes `path` when the block ends well.

    A folder that stood at `path` is replaced; if the block raises or the process dies, it still stands.

    Args:
        path: Where the finished folder is to be.

    Yields:
        The folder to fill, on the same file system.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        _sync_tree(temporary)
        _take_place(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _take_place(temporary: Path, target: Path) -> None:
    """Renames `temporary` to `target`; an older folder moves aside first and goes last."""
    old = None
    if target.is_symlink() or target.is_file():
        target.unlink()
    elif target.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
        target.replace(old)
    temporary.replace(target)
    _sync_folder(target.parent)
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


def _sync_tree(root: Path) -> None:
    for folder, _, files in os.walk(root):
        for name in files:
            with (Path(folder) / name).open("rb") as file:
                os.fsync(file.fileno())
        _sync_folder(Path(folder))


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # some file systems cannot sync a folder; the rename is still atomic there
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
