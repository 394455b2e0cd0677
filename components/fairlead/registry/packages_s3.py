"""Packages in S3 and whatever speaks its protocol: `<home>/<name>/<64 hex digits>/<file>`.

Below a package's address lie its files and nothing else, so that KServe's storage initializer, which downloads whatever
begins with the address, brings just the package. Markers of whole packages lie at `<home>/<name>/.whole/<digits>`.
"""

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from fairlead.errors import PackageError, SourceError
from fairlead.objects import Address, Folder, Objects, Stored
from fairlead.objects.folders import MARKERS
from fairlead.registry.records import KeptPackage, Registered
from fairlead_serving.package import package_digest

_DIGITS = re.compile(r"[0-9a-f]{64}")


class S3Packages:
    """A package store of objects; see fairlead.registry.records.PackageStore.

    Args:
        home: s3://BUCKET/PREFIX.
        connect: Makes the connection when the first package is asked for.
    """

    def __init__(self, home: str, connect: Callable[[], Objects] = Objects.connect) -> None:
        self.home, self._connect = home.rstrip("/"), connect

    @cached_property
    def _objects(self) -> Objects:
        return self._connect()

    def place(self, name: str, digest: str) -> str:
        """Where a package is, or would be: what KServe takes as storageUri."""
        return f"{self.home}/{name}/{digest.removeprefix('sha256:')}"

    def keep(self, package: Path, name: str, digest: str) -> str:
        """Uploads a package; files that are there unharmed already are left alone.

        Raises:
            PackageError: It changed while it was uploaded, or holds an empty file.
        """
        empty = [file for file in sorted(package.rglob("*")) if file.is_file() and not file.stat().st_size]
        if empty:
            raise PackageError(
                f"{empty[0]} is empty: KServe's storage initializer leaves empty files out, so that the package would "
                "not be the one that was judged; remove the file and export the package again"
            )
        uri = self.place(name, digest)
        uploaded = _digest_of(self._objects.upload_folder(package, uri).files)
        if uploaded != digest:
            self._objects.remove_folder(uri)
            raise PackageError(
                f"package {package} changed while it was uploaded ({uploaded}, was {digest}); register it again"
            )
        return uri

    def copy(self, known: Registered, folder: Path) -> None:
        """Fills a folder with a registered package: from here, or from where it was registered before.

        Raises:
            OSError: It is gone, or was tampered with.
            ConfigurationError, PlatformError: The object store cannot be used.
        """
        try:
            self._bring(known, folder)
        except SourceError as error:
            raise OSError(str(error)) from None
        found = package_digest(folder)
        if found != known.digest:
            raise OSError(f"{known.uri} is not what was registered ({found} instead of {known.digest})")

    def remove(self, name: str, digest: str) -> None:
        """Removes a package: from then on it is not whole, its files go after that."""
        self._objects.remove_folder(self.place(name, digest))

    def kept(self) -> Iterator[KeptPackage]:
        """All packages here, and what uploads and removals that were killed have left."""
        found: dict[tuple[str, str], list[Stored]] = {}
        for one in self._objects.list(self.home):
            name, _, rest = Address.parse(one.uri).key.removeprefix(Address.parse(self.home).folder).partition("/")
            digits = rest.partition("/")[0]
            if digits != MARKERS and _DIGITS.fullmatch(digits):
                found.setdefault((name, digits), []).append(one)
        for (name, digits), files in sorted(found.items()):
            age = datetime.now(UTC) - max(file.modified for file in files)
            yield KeptPackage(name, f"sha256:{digits}", sum(file.size for file in files), age.total_seconds())

    def _bring(self, known: Registered, folder: Path) -> Folder | None:
        here = self.place(known.name, known.digest)
        if self._objects.find_folder(here) is None:
            if known.uri.startswith(("s3://", "minio://")):
                return self._objects.download_folder(known.uri, folder)
            if known.uri and Path(known.uri).is_dir():
                shutil.copytree(known.uri, folder, dirs_exist_ok=True)
                return None
        return self._objects.download_folder(here, folder)


def _digest_of(files: Mapping[str, tuple[int, str]]) -> str:
    """What fairlead_serving.package.package_digest says of a folder with these files."""
    whole = hashlib.sha256()
    for name in sorted(files, key=lambda name: Path(name).parts):
        whole.update(f"{name}\0{files[name][1]}\n".encode())
    return f"sha256:{whole.hexdigest()}"
