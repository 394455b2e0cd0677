"""Notes as files beside an SQLite registry: `<home>/<kind>/<name>/<digest>/<key>`, readable without MLflow."""

import re
import shutil
from pathlib import Path
from typing import get_args

from fairlead import atomic
from fairlead.errors import ConfigurationError
from fairlead.registry.records import NoteKind, Notes

_SUFFIXES: dict[NoteKind, str] = {"verdicts": ".json", "documents": ".md", "deployments": ".json"}
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")


def check_key(key: str) -> str:
    """Gives a note's key if it can be a file's name and part of a tag's.

    Raises:
        ConfigurationError: It holds other characters than letters, digits, dots, dashes and underscores.
    """
    if not _KEY.fullmatch(key):
        raise ConfigurationError(
            f"{key!r} cannot be kept in the registry: letters, digits, dots, dashes and underscores are allowed"
        )
    return key


class FolderNotes:
    """Texts in files, each written whole or not at all.

    Args:
        home: The registry's folder.
    """

    def __init__(self, home: Path) -> None:
        self.home = home

    def read(self, name: str, kind: NoteKind, digest: str = "") -> Notes:
        """Reads the notes of one kind; see Registry.notes."""
        notes: Notes = {}
        for file in sorted((self.home / kind / name).glob(f"{_hex(digest) or '*'}/*{_SUFFIXES[kind]}")):
            key = file.name.removesuffix(_SUFFIXES[kind])
            if not file.name.startswith("."):  # an unfinished file of a writer that was killed
                notes.setdefault(f"sha256:{file.parent.name}", {})[key] = file.read_text(encoding="utf-8")
        return notes

    def write(self, name: str, digest: str, kind: NoteKind, key: str, text: str) -> None:
        """Writes a note."""
        atomic.write_text(self._file(name, digest, kind, key), text)

    def remove(self, name: str, digest: str, kind: NoteKind, key: str) -> None:
        """Removes a note, where there is one."""
        self._file(name, digest, kind, key).unlink(missing_ok=True)

    def remove_all(self, name: str, digest: str) -> None:
        """Removes all notes of a package."""
        for kind in get_args(NoteKind):
            shutil.rmtree(self.home / kind / name / _hex(digest), ignore_errors=True)

    def _file(self, name: str, digest: str, kind: NoteKind, key: str) -> Path:
        return self.home / kind / name / _hex(digest) / f"{check_key(key)}{_SUFFIXES[kind]}"


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
