"""Folders as objects: `<address>/<file>` each, and a marker that lists them, written last.

A folder whose upload was killed has no marker and is taken for none. The marker lies at `<parent>/.whole/<name>`: what
lists the address finds the folder's files and nothing else, also where it lists by prefix, as KServe's storage
initializer does. It holds each file's size and SHA-256, with which every download is compared.
"""

import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from fairlead import atomic
from fairlead.errors import SourceError
from fairlead.objects.client import Address
from fairlead.progress import step

if TYPE_CHECKING:
    from fairlead.objects import Objects

MARKERS = ".whole"
PARALLEL_FILES = 4
_FORMAT = 1


@dataclass(frozen=True)
class Folder:
    """A folder of objects.

    Attributes:
        uri: Its address.
        files: Size in bytes and SHA-256 (empty where it is not known) by path below it, sorted.
        sent: The files that had to be sent, or that came.
    """

    uri: str
    files: Mapping[str, tuple[int, str]]
    sent: tuple[str, ...] = field(default=(), compare=False)

    @property
    def size(self) -> int:
        """All files' bytes."""
        return sum(size for size, _ in self.files.values())


def marker_uri(uri: str) -> str:
    """Where the marker of a folder lies.

    Raises:
        SourceError: The address names no folder.
    """
    address = Address.parse(uri)
    path = PurePosixPath(address.folder or "/")
    if not path.name:
        raise SourceError(f"{uri} names a bucket; write s3://BUCKET/FOLDER")
    return f"s3://{address.bucket}/{path.parent / MARKERS / path.name}"


def upload(objects: "Objects", folder: Path, uri: str) -> Folder:
    """Makes what lies below an address the same as a folder. What is there already is not sent again.

    Args:
        objects: Where.
        folder: The folder; links to files count as files, empty folders are left out.
        uri: The address.

    Returns:
        The folder.

    Raises:
        SourceError: A file cannot be read, changed meanwhile, or has a name that is no text; nothing is marked whole.
    """
    marker, base = marker_uri(uri), _base(uri)
    with step(f"hashing {folder}") as progress:
        paths = _files_of(folder)
        files = {name: (path.stat().st_size, _sha256(path)) for name, path in paths.items()}
        progress.advance(len(files))
    whole = find(objects, uri)
    if whole is not None and whole.files != files:
        objects.remove(marker)
    there = {one.uri.removeprefix(base) for one in objects.list(uri)}
    with step(f"uploading {uri}", sum(size for size, _ in files.values())) as progress:
        told = _together(progress.advance)

        def send(name: str) -> bool:
            absent = name not in there
            return objects.send(paths[name], f"{base}{name}", told, sha256=files[name][1], parallel=1, absent=absent)

        sent = tuple(name for name, new in zip(files, in_parallel(send, list(files)), strict=True) if new)
    objects.remove_all(f"{base}{name}" for name in sorted(there.difference(files)))
    listed = {name: {"size": size, "sha256": sha256} for name, (size, sha256) in files.items()}
    if whole is None or whole.files != files:
        objects.write_bytes(marker, json.dumps({"format": _FORMAT, "files": listed}, ensure_ascii=False).encode())
    return Folder(uri, files, sent)


def download(objects: "Objects", uri: str, folder: Path, *, marked: bool) -> Folder:
    """Brings a folder here, whole or not at all.

    Args:
        objects: From where.
        uri: The address.
        folder: Where to; what stood there is replaced.
        marked: Whether it was uploaded by us. Without a marker, as KFP's launcher uploads, all objects there count.

    Returns:
        The folder.

    Raises:
        SourceError: There is no whole folder, or a file is not what was uploaded.
    """
    found = find(objects, uri) if marked else _listed(objects, uri)
    if found is None or not (marked or found.files):
        reason = "no whole folder there" if marked else "nothing there"
        raise SourceError(f"{uri}: there is {reason}; {'upload it again' if marked else 'check the address'}")
    base = _base(uri)
    with atomic.directory(folder) as target, step(f"downloading {uri}", found.size) as progress:
        told = _together(progress.advance)

        def receive(name: str) -> None:
            size, sha256 = found.files[name]
            objects.receive(f"{base}{name}", target / name, told, sha256=sha256)
            if (target / name).stat().st_size != size:
                raise SourceError(f"{base}{name} is not as long as it was; it was replaced meanwhile: read it again")

        in_parallel(receive, list(found.files))
    return Folder(uri, found.files, tuple(found.files))


def find(objects: "Objects", uri: str) -> Folder | None:
    """What a whole folder holds; None where there is none.

    Raises:
        SourceError: Its marker is damaged, or of another version.
    """
    marker = marker_uri(uri)
    version = objects.find_version(marker)
    if version is None:
        return None
    try:
        content: dict[str, Any] = json.loads(version.content)
        if content["format"] != _FORMAT:
            raise SourceError(f"{marker} is of format {content['format']}, this fairlead reads {_FORMAT}; upload again")
        files = {str(name): (int(one["size"]), str(one["sha256"])) for name, one in content["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(f"{marker} is damaged ({error!r}); upload the folder again") from None
    return Folder(uri, {_below(name, uri): files[name] for name in sorted(files)})


def remove(objects: "Objects", uri: str) -> None:
    """Removes a folder; first its marker."""
    objects.remove(marker_uri(uri))
    objects.remove_all(one.uri for one in objects.list(uri))


def in_parallel(work: Callable[[str], Any], names: list[str]) -> list[Any]:
    """Does the same for many files, a few at once; after a failure no further one is begun.

    Args:
        work: What to do with a name.
        names: The names.

    Returns:
        What came of each.
    """
    with ThreadPoolExecutor(PARALLEL_FILES) as pool:
        futures = [pool.submit(work, name) for name in names]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        failed = [future for future in futures if not future.cancelled() and future.exception()]
        return [future.result() for future in failed or futures]


def _listed(objects: "Objects", uri: str) -> Folder:
    base = _base(uri)
    found = {one.uri.removeprefix(base): (one.size, "") for one in objects.list(uri) if f"/{MARKERS}/" not in one.uri}
    return Folder(uri, {_below(name, uri): found[name] for name in found})


def _base(uri: str) -> str:
    """What the addresses of a folder's files begin with."""
    address = Address.parse(uri)
    return f"s3://{address.bucket}/{address.folder}"


def _files_of(folder: Path) -> dict[str, Path]:
    """The files below a folder, by the path that they have there."""
    if not folder.is_dir():
        raise SourceError(f"{folder} cannot be uploaded: it is no folder")
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() and not path.is_file():
            raise SourceError(f"{path} cannot be uploaded: it is a link to a folder, or leads nowhere")
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            try:
                name.encode()
            except UnicodeEncodeError:
                raise SourceError(f"{name!r} in {folder} cannot be uploaded: its name is not UTF-8") from None
            found[name] = path
    return dict(sorted(found.items()))


def _below(name: str, uri: str) -> str:
    """Refuses a name that would leave the folder that is downloaded to."""
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or not name:
        raise SourceError(f"{uri} holds {name!r}, which leads out of it; it was not written by this library")
    return name


def _sha256(path: Path) -> str:
    from fairlead.objects.transport import file_sha256

    with path.open("rb") as file:
        return file_sha256(file)


def _together(advance: Callable[[int], None]) -> Callable[[int], None]:
    """Lets several threads tell how far they are."""
    lock = threading.Lock()

    def told(amount: int) -> None:
        with lock:
            advance(amount)

    return told
