"""One object at a time: streamed both ways in bounded memory, compared by SHA-256, taken up again after a cut."""

import hashlib
import io
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import urllib3

from fairlead.errors import PlatformError, SourceError
from fairlead.objects.client import Address, connect
from fairlead.objects.errors import ObjectConflictError, explained
from fairlead.settings import Settings

if TYPE_CHECKING:
    from minio.datatypes import Object
    from urllib3 import BaseHTTPResponse

PART_BYTES = 16 << 20
PARALLEL_PARTS = 3
_MOST_PARTS = 10_000
_PIECE = 1 << 20
_ATTEMPTS = 5
_LISTED = 1000  # names looked at to find one that is near
_LOST = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"}

Told = Callable[[int], None]
"""Is given the number of bytes that were moved since."""


class Head(NamedTuple):
    """What is known of an object before its bytes come: its size, and the SHA-256 that its uploader gave, if any."""

    size: int
    sha256: str


class Transport:
    """The minio client, with errors told and what it has no verb for; several threads may use it.

    Args:
        place: The settings.

    Raises:
        ConfigurationError: Endpoint, credentials or certificates cannot be used.
    """

    def __init__(self, place: Settings) -> None:
        self.endpoint = place.s3_endpoint
        self._client, self._pool = connect(place)

    def stat(self, address: Address) -> "Object | None":
        """What an object is; None where there is none."""
        from minio.error import S3Error

        with explained(address.uri, self.endpoint):
            try:
                return self._client.stat_object(address.bucket, address.key)
            except S3Error:
                pass  # the answer to a HEAD has no text: a GET tells whether object or bucket is missing, or what else
            try:
                self._client.get_object(address.bucket, address.key, length=1).close()
            except S3Error as error:
                if error.code == "NoSuchKey":
                    return None
                if error.code != "InvalidRange":  # it has just been written, and is empty
                    raise
            return self._client.stat_object(address.bucket, address.key)

    def holds(self, address: Address, size: int, sha256: str) -> bool:
        """Whether an object is one of that size and SHA-256, as far as that can be seen."""
        from minio.error import S3Error

        try:
            found = self._client.stat_object(address.bucket, address.key)
        except S3Error:
            return False  # whatever is wrong, writing it tells
        return found.size == size and _metadata(found, "sha256") == sha256

    def send(self, path: Path, address: Address, told: Told, sha256: str, parallel: int, *, absent: bool) -> bool:
        """Sends a file, unless the object holds the same already.

        Args:
            path: The file.
            address: The object's.
            told: Is told of what was read.
            sha256: The file's, if it is known.
            parallel: How many parts are under way at once.
            absent: Whether it is known that there is no such object.

        Returns:
            Whether it was sent.

        Raises:
            SourceError: The file cannot be read, or changed meanwhile; then the object is not there.
        """
        with _opened(path) as file, explained(address.uri, self.endpoint):
            before = os.fstat(file.fileno())
            sha256 = sha256 or file_sha256(file)
            if not absent and self.holds(address, before.st_size, sha256):
                told(before.st_size)
                return False
            self._put(address, _Read(file, told), before.st_size, {"sha256": sha256}, parallel)
            after = os.fstat(file.fileno())
            if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                self._client.remove_object(address.bucket, address.key)
                raise SourceError(f"{path} changed while it was uploaded to {address.uri}; upload it again")
        return True

    def pieces(self, address: Address, begun: Callable[[Head], None]) -> Iterator[bytes]:
        """The object's bytes; where the connection is cut, the rest is asked for.

        Args:
            address: The object's.
            begun: Is told what the object is, before its first piece.

        Yields:
            The pieces.

        Raises:
            SourceError: There is no such object, it was replaced meanwhile, or ends too early.
        """
        etag, done, size = "", 0, -1
        for attempt in range(_ATTEMPTS):
            with explained(address.uri, self.endpoint), self._get(address, etag, done) as answer:
                if size < 0:
                    etag, size = answer.headers["ETag"], int(answer.headers["Content-Length"])
                    begun(Head(size, answer.headers.get("x-amz-meta-sha256", "")))
                try:
                    while piece := answer.read(_PIECE):
                        done += len(piece)
                        yield piece
                except urllib3.exceptions.HTTPError:
                    if attempt + 1 == _ATTEMPTS:
                        raise
            if done >= size:
                return
        raise SourceError(f"{address.uri}: {done:,} of {size:,} bytes came; read it again")

    def read(self, address: Address) -> tuple[bytes, str] | None:
        """A small object's bytes and ETag, of the same moment; None where there is none."""
        from minio.error import S3Error

        with explained(address.uri, self.endpoint):
            try:
                with self._client.get_object(address.bucket, address.key) as answer:
                    return answer.read(), answer.headers["ETag"].replace('"', "")
            except S3Error as error:
                if error.code == "NoSuchKey":
                    return None
                raise

    def write(self, address: Address, content: bytes) -> None:
        """Writes a small object; what was there is replaced at once."""
        with explained(address.uri, self.endpoint):
            self._put_bytes(address, content, {})

    def replace(self, address: Address, content: bytes, etag: str) -> str:
        """Writes a small object if it still has an ETag (empty: if there is none yet).

        Returns:
            Its new ETag.

        Raises:
            ObjectConflictError: It was written meanwhile.
        """
        from minio.error import S3Error

        writer = uuid.uuid4().hex
        condition = {"If-Match": f'"{etag}"'} if etag else {"If-None-Match": "*"}
        with explained(address.uri, self.endpoint):
            try:
                with self._pool.condition(condition):
                    return self._put_bytes(address, content, {"writer": writer})
            except S3Error as error:
                if error.code not in _LOST:
                    raise
        now = self.stat(address)  # an answer that was cut off makes the client ask twice: it may be ours
        if now is not None and _metadata(now, "writer") == writer:
            return str(now.etag)
        raise ObjectConflictError(f"{address.uri} was written by somebody else meanwhile; read it again")

    def remove(self, address: Address) -> None:
        """Removes an object, where there is one."""
        with explained(address.uri, self.endpoint):
            self._client.remove_object(address.bucket, address.key)

    def remove_all(self, bucket: str, keys: Iterable[str]) -> None:
        """Removes many objects.

        Raises:
            PlatformError: The server did not remove one.
        """
        from minio.deleteobjects import DeleteObject

        with explained(f"s3://{bucket}", self.endpoint):
            for error in self._client.remove_objects(bucket, (DeleteObject(key) for key in keys)):
                raise PlatformError(f"s3://{bucket}/{error.name} cannot be removed: {error.message} ({error.code})")

    def list(self, bucket: str, prefix: str) -> "Iterator[Object]":
        """The objects whose keys begin with a prefix, in their order; without what consoles make of empty folders."""
        with explained(f"s3://{bucket}/{prefix}", self.endpoint):
            for found in self._client.list_objects(bucket, prefix=prefix, recursive=True):
                if not str(found.object_name).endswith("/"):
                    yield found

    def _get(self, address: Address, etag: str, offset: int) -> "BaseHTTPResponse":
        from minio.error import S3Error

        try:
            return self._client.get_object(
                address.bucket, address.key, offset, request_headers={"If-Match": etag} if etag else None
            )
        except S3Error as error:
            if error.code == "NoSuchKey":
                raise SourceError(f"{address.uri} does not exist; {self._neighbours(address)}") from None
            raise

    def _neighbours(self, address: Address) -> str:
        folder = address.key.rpartition("/")[0]
        prefix = f"{folder}/" if folder else ""
        found = islice(self._client.list_objects(address.bucket, prefix=prefix), _LISTED)
        names = [str(item.object_name) for item in found]
        near, place = get_close_matches(address.key, names, n=3, cutoff=0.4) or names[:3], f"s3://{address.bucket}/"
        return f"nearest in {place}{prefix}: {', '.join(near)}" if near else f"{place}{prefix} holds nothing"

    def _put_bytes(self, address: Address, content: bytes, metadata: dict[str, str]) -> str:
        sha256 = hashlib.sha256(content).hexdigest()
        return self._put(address, io.BytesIO(content), len(content), {"sha256": sha256, **metadata}, 1)

    def _put(
        self, address: Address, source: "io.BytesIO | _Read", size: int, metadata: dict[str, str], parallel: int
    ) -> str:
        made = self._client.put_object(
            address.bucket, address.key, source, size,  # type: ignore[arg-type]  # nothing but its read() is used
            metadata=dict(metadata), part_size=part_bytes(size), num_parallel_uploads=parallel,
        )  # fmt: skip
        return str(made.etag)


class _Read:
    """A file that tells how much of it was read."""

    def __init__(self, file: BinaryIO, told: Told) -> None:
        self._file, self._told = file, told

    def read(self, size: int) -> bytes:
        piece = self._file.read(size)
        self._told(len(piece))
        return piece


def part_bytes(size: int) -> int:
    """The parts of an upload: as large as the number that S3 allows demands, and no larger."""
    return max(PART_BYTES, -(-size // _MOST_PARTS))


def file_sha256(file: BinaryIO) -> str:
    """The SHA-256 of an open file, which stands at its beginning afterwards."""
    file.seek(0)
    found = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # opened as a BufferedReader
    file.seek(0)
    return found


def modified(found: "Object") -> datetime:
    """When an object was written, by the server's clock."""
    return found.last_modified or datetime.fromtimestamp(0, UTC)


def _metadata(found: "Object", name: str) -> str:
    return str((found.metadata or {}).get(f"x-amz-meta-{name}", ""))


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise SourceError(f"{path} cannot be uploaded: {error.strerror}") from None
    with file:
        yield file
