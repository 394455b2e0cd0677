"""Packages kept in a folder: `<home>/<name>/<digest>/`, whole or not at all."""

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from fairlead import atomic
from fairlead.errors import PackageError
from fairlead.registry.records import KeptPackage, Registered
from fairlead_serving.package import package_digest

_DIGITS = re.compile(r"[0-9a-f]{64}")


class FolderPackages:
    """A package store in a folder of this machine, or one that several machines mount.

    Args:
        home: The folder.
    """

    def __init__(self, home: Path) -> None:
        self.home = home

    def place(self, name: str, digest: str) -> Path:
        """Where a package is, or would be."""
        return self.home / name / digest.removeprefix("sha256:")

    def keep(self, package: Path, name: str, digest: str) -> str:
        """Copies a package; what is there already is kept if it is unharmed."""
        target = self.place(name, digest)
        if target.is_dir() and any(target.iterdir()) and package_digest(target) == digest:
            return str(target)
        with atomic.directory(target) as folder:
            shutil.copytree(package, folder, dirs_exist_ok=True)
            copied = package_digest(folder)
            if copied != digest:
                raise PackageError(
                    f"package {package} changed while it was copied ({copied}, was {digest}); register it again"
                )
        return str(target)

    def copy(self, known: Registered, folder: Path) -> None:
        """Fills a folder with a registered package: from its address, or from the copy here if that is elsewhere."""
        here = self.place(known.name, known.digest)
        shutil.copytree(here if here.is_dir() else known.uri, folder, dirs_exist_ok=True)

    def remove(self, name: str, digest: str) -> None:
        """Removes a package: it is out of the way at once, its files go after that."""
        target = self.place(name, digest)
        if target.is_dir():
            gone = target.with_name(f".{target.name}.gone")
            shutil.rmtree(gone, ignore_errors=True)
            target.rename(gone)
            shutil.rmtree(gone)

    def kept(self) -> Iterator[KeptPackage]:
        """All packages here, and what copies and removals that were killed have left."""
        for folder in sorted(self.home.glob("*/*")):
            digits = _DIGITS.search(folder.name)
            if folder.is_dir() and digits:
                digest = f"sha256:{folder.name}" if folder.name == digits.group() else folder.name
                age = time.time() - folder.stat().st_mtime
                yield KeptPackage(folder.parent.name, digest, _size(folder), age)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
