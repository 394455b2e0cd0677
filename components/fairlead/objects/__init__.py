"""Objects in S3 and whatever speaks its protocol: files, whole folders, and small documents that several write.

Files are streamed both ways in bounded memory, in parts where they are large; each object carries its SHA-256, with
which it is compared before it is sent again and after it was received. A folder is whole when its marker lies beside
it (see fairlead.objects.folders).
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

from fairlead import atomic
from fairlead.errors import SourceError
from fairlead.objects import folders
from fairlead.objects.client import Address
from fairlead.objects.errors import ObjectConflictError
from fairlead.objects.folders import Folder
from fairlead.objects.transport import PARALLEL_PARTS, Head, Told, Transport, modified
from fairlead.progress import step
from fairlead.settings import Settings, settings

__all__ = ["Address", "Folder", "ObjectConflictError", "Objects", "Stored", "Version"]


@dataclass(frozen=True)
class Stored:
    """An object as a listing tells of it.

    Attributes:
        uri: s3://BUCKET/KEY.
        size: In bytes.
        etag: What changes with its content.
        modified: When it was written, by the server's clock.
    """

    uri: str
    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True)
class Version:
    """A small object's content, and what tells whether it was replaced since.

    Attributes:
        content: All bytes.
        etag: What changes with it.
    """

    content: bytes
    etag: str


class Objects:
    """Files and folders at one endpoint. Several threads may use it, several processes may not.

    All verbs raise ConfigurationError where key, secret, token, region, bucket, policy or certificate is wrong, and
    PlatformError where the server gives no answer or cannot do it now; URIs are s3://BUCKET/KEY or minio://BUCKET/KEY.

    Args:
        transport: What moves one object.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @classmethod
    def connect(cls, place: Settings | None = None) -> Self:
        """Makes a client for the endpoint that the settings name; nothing is connected to before it is asked something.

        Raises:
            ConfigurationError: Endpoint, credentials or certificates cannot be used.
        """
        return cls(Transport(place or settings()))

    def upload_file(self, path: Path | str, uri: str) -> bool:
        """Sends a file; an object that holds the same already is left alone.

        Args:
            path: The file.
            uri: The object's address.

        Returns:
            Whether it was sent.

        Raises:
            SourceError: The file cannot be read, or changed meanwhile; then the object is not there.
        """
        file = Path(path)
        with step(f"uploading {uri}", file.stat().st_size if file.is_file() else None) as progress:
            return self.send(file, uri, progress.advance)

    def send(
        self,
        path: Path,
        uri: str,
        told: Told,
        *,
        sha256: str = "",
        parallel: int = PARALLEL_PARTS,
        absent: bool = False,
    ) -> bool:
        """As upload_file, within longer work.

        Args:
            path: The file.
            uri: The object's address.
            told: Is given the number of bytes that were read since.
            sha256: The file's, if it is known.
            parallel: How many parts are under way at once.
            absent: Whether it is known that there is no such object.

        Returns:
            Whether it was sent.
        """
        return self._transport.send(path, _object(uri), told, sha256, parallel, absent=absent)

    def download_file(self, uri: str, path: Path | str) -> None:
        """Brings an object here; the file is whole or not there.

        Raises:
            SourceError: There is no such object, it was replaced meanwhile, or is not what was uploaded.
        """
        with step(f"downloading {uri}") as progress:
            self.receive(uri, Path(path), progress.advance, begun=lambda head: progress.update(0, head.size))

    def receive(
        self, uri: str, path: Path, told: Told, *, sha256: str = "", begun: Callable[[Head], None] = lambda _: None
    ) -> None:
        """As download_file, within longer work.

        Args:
            uri: The object's address.
            path: The file to write.
            told: Is given the number of bytes that came since.
            sha256: What the object must be, if that is known; by default what its uploader said.
            begun: Is told what the object is.
        """
        found, heads = hashlib.sha256(), list[Head]()
        with atomic.file(path) as file:
            for piece in self._transport.pieces(_object(uri), heads.append):
                if not file.tell():
                    begun(heads[0])
                file.write(piece)
                found.update(piece)
                told(len(piece))
            wanted = sha256 or heads[0].sha256
            if wanted and found.hexdigest() != wanted:
                raise SourceError(f"{uri} is damaged: its SHA-256 is not what it was uploaded with; upload it again")

    def upload_folder(self, folder: Path | str, uri: str) -> Folder:
        """Makes what lies below an address the same as a folder; see fairlead.objects.folders.upload."""
        return folders.upload(self, Path(folder), uri)

    def download_folder(self, uri: str, folder: Path | str, *, marked: bool = True) -> Folder:
        """Brings a folder here, whole or not at all; see fairlead.objects.folders.download."""
        return folders.download(self, uri, Path(folder), marked=marked)

    def find_folder(self, uri: str) -> Folder | None:
        """What a whole folder holds; None where there is none, or only what a killed upload has left."""
        return folders.find(self, uri)

    def read_bytes(self, uri: str) -> bytes:
        """Reads a small object.

        Raises:
            SourceError: There is no such object.
        """
        return b"".join(self._transport.pieces(_object(uri), lambda _: None))

    def find_version(self, uri: str) -> Version | None:
        """Reads a small object that several write; None where there is none."""
        found = self._transport.read(_object(uri))
        return Version(*found) if found else None

    def write_bytes(self, uri: str, content: bytes) -> None:
        """Writes a small object; what was there is replaced at once."""
        self._transport.write(_object(uri), content)

    def replace_bytes(self, uri: str, content: bytes, before: Version | None) -> Version:
        """Writes a small object if it is still what it was: of several writers one does, the others are told.

        Args:
            uri: The object's address.
            content: What it is to hold.
            before: What find_version gave; None: there is none yet.

        Returns:
            The new version.

        Raises:
            ObjectConflictError: It was written meanwhile; read it again.
        """
        return Version(content, self._transport.replace(_object(uri), content, before.etag if before else ""))

    def exists(self, uri: str) -> bool:
        """Whether there is such an object."""
        return self._transport.stat(_object(uri)) is not None

    def remove(self, uri: str) -> None:
        """Removes an object, where there is one."""
        self._transport.remove(_object(uri))

    def remove_all(self, uris: Iterable[str]) -> None:
        """Removes many objects, a thousand at a time.

        Raises:
            PlatformError: The server did not remove one.
        """
        addresses = [_object(uri) for uri in uris]
        for bucket in sorted({address.bucket for address in addresses}):
            self._transport.remove_all(bucket, [address.key for address in addresses if address.bucket == bucket])

    def remove_folder(self, uri: str) -> None:
        """Removes everything below an address; first its marker, so that it is never taken for whole."""
        folders.remove(self, uri)

    def list(self, uri: str, *, beginning: str = "") -> Iterator[Stored]:
        """Lists what lies below an address, at any depth, in the order of keys.

        Args:
            uri: s3://BUCKET/FOLDER, or a whole bucket.
            beginning: What the names below it are to begin with.

        Yields:
            The objects.
        """
        address = Address.parse(uri)
        for found in self._transport.list(address.bucket, f"{address.folder}{beginning}"):
            place = Address(address.bucket, str(found.object_name))
            yield Stored(place.uri, found.size or 0, str(found.etag), modified(found))


def _object(uri: str) -> Address:
    address = Address.parse(uri)
    if not address.key or address.key.endswith("/"):
        raise SourceError(f"{uri} names no object; write s3://BUCKET/KEY")
    return address
