"""Files as streams of bytes: plain, gzip, and a member of a zip; what cannot be read is said in words."""

import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import Any, BinaryIO, cast

from fairlead.errors import SourceError, nearest
from fairlead.ingestion.sources import SUFFIXES, SourceFile
from fairlead.ingestion.spec import TableSpec

BLOCK_BYTES = 1 << 20  # what a reader parses at a time: memory stays bounded whatever the file's size
QUOTE = b'"'


class CountedStream(io.RawIOBase):
    """A stream of bytes that counts the quotation marks that went through it."""

    def __init__(self, inner: BinaryIO) -> None:
        super().__init__()
        self._inner = inner
        self.quotes = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Reads up to `size` bytes."""
        piece = self._inner.read(-1 if size is None else size)
        self.quotes += piece.count(QUOTE)
        return piece

    def readinto(self, target: Any, /) -> int:
        """Reads as much as fits into the target."""
        piece = self.read(len(target))
        target[: len(piece)] = piece
        return len(piece)


@contextmanager
def opened(file: SourceFile, spec: TableSpec) -> Iterator[CountedStream]:
    """Opens a file for reading, decompressed.

    Args:
        file: The file.
        spec: Tells the member of a zip.

    Yields:
        Its bytes.

    Raises:
        SourceError: It is empty, truncated, no gzip or zip as its name says, or the zip's member is not clear.
    """
    with readable(file.label):
        if file.path.stat().st_size == 0:
            raise SourceError(f"{file.label} is empty (0 bytes); get it again")
        with _raw(file, spec) as stream:
            yield CountedStream(stream)


@contextmanager
def _raw(file: SourceFile, spec: TableSpec) -> Iterator[BinaryIO]:
    import pyarrow as pa

    if file.compression == "zip":
        with _member(file, spec) as stream:
            yield stream
    elif file.compression == "gz":
        with pa.CompressedInputStream(pa.OSFile(str(file.path)), "gzip") as stream:
            yield cast("BinaryIO", stream)
    else:
        with file.path.open("rb") as stream:
            yield stream


@contextmanager
def readable(label: str) -> Iterator[None]:
    """Turns what readers raise about a file that is not whole into words.

    Raises:
        SourceError: The file cannot be read.
    """
    import zipfile

    import pyarrow as pa

    broken = (pa.ArrowException, OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError)
    try:
        yield
    except pa.ArrowMemoryError:
        raise
    except broken as error:
        raise SourceError(f"{label} cannot be read: {_reason(str(error))}") from None


def _reason(text: str) -> str:
    known = {
        "Truncated compressed stream": "it is truncated (the gzip stream ends early); get it again",
        "Compressed file ended": "it is truncated; get it again",
        "incorrect header check": "it is no gzip file, though its name says so; rename it or get it again",
        "not a zip file": "it is no zip file, or truncated; get it again",
        "Bad CRC-32": f"it is damaged ({text}); get it again",
        "password required": "the zip is encrypted; unpack it first",
        "magic bytes not found": "it is truncated or no Parquet file (no footer); get it again",
        "Empty CSV file": "it holds nothing, not even a header; get it again",
        "Empty JSON stream": "it holds no line; get it again",
        "straddling object": f"a row is longer than {BLOCK_BYTES >> 20} MiB, or a quotation mark is never closed",
    }
    return next((words for sign, words in known.items() if sign in text), f"{text}; get it again")


@contextmanager
def _member(file: SourceFile, spec: TableSpec) -> Iterator[BinaryIO]:
    import zipfile

    with zipfile.ZipFile(file.path) as archive:
        names = [name for name in archive.namelist() if _is_data(name)]
        with archive.open(_chosen(names, file.label, spec.member)) as stream:
            yield cast("BinaryIO", stream)


def _is_data(name: str) -> bool:
    return not name.endswith("/") and not any(part[:1] == "." or part == "__MACOSX" for part in name.split("/"))


def _chosen(names: list[str], label: str, member: str) -> str:
    """The member to read: the one that is named, else the only one."""
    if not names:
        raise SourceError(f"{label} holds no file; get it again")
    if member:
        if member not in names:
            raise SourceError(f"{label} holds no member {member!r}; {nearest(member, names)}; set `member`")
        return member
    if len(names) > 1:
        raise SourceError(f"{label} holds {len(names)} files ({', '.join(names)}); set `member` to one of them")
    suffix = PurePosixPath(names[0]).suffix.lower()
    if suffix not in {".txt", ".tsv", ".data", ""} and SUFFIXES.get(suffix) not in {"csv", "jsonl", "parquet"}:
        raise SourceError(f"{label} holds only {names[0]!r}, which is no csv or jsonl; set `member` if it is meant")
    return names[0]
