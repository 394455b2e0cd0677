"""The registry's SQLite file: MLflow's, read and written without importing MLflow.

The MLflow UI and client read and write the same file. Its rows are written here by SQL, for two reasons. Importing
MLflow takes 4 s and 140 MB, and each task of a pipeline is a new process. And MLflow's client has no transaction that
spans version, tags and alias: killed in between, it leaves a version that no alias points at. The schema's revision is
compared first, so that another MLflow's file is refused instead of misread; a test compares every row with what
MLflow's client writes.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fairlead.errors import ConfigurationError, StateError
from fairlead.registry import schema

WAIT_SECONDS = 60.0


def sqlite_path(uri: str) -> Path:
    """Where the SQLite file of a registry address is.

    Args:
        uri: Such as `sqlite:////home/me/.fairlead/registry/mlflow.db`.

    Returns:
        The absolute path.

    Raises:
        ConfigurationError: The address is no SQLite file.
    """
    path = uri.removeprefix("sqlite:///")
    if path == uri or not path or path.startswith(":memory:"):
        raise ConfigurationError(
            f"tracking_uri is {uri!r}; the registry of this version is an SQLite file: set FAIRLEAD_TRACKING_URI to "
            "sqlite:////absolute/path/mlflow.db, or unset it"
        )
    return Path(path).absolute()


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Holds the registry, so that registrations happen one after another.

    Args:
        home: The registry's folder; made if absent.

    Raises:
        StateError: Another process held it for WAIT_SECONDS, or the folder cannot be written to.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(home / "registry.lock", timeout=WAIT_SECONDS)
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise StateError(
            f"another process has held the registry {home} for {WAIT_SECONDS:.0f} s; wait for it, or end it"
        ) from None
    except OSError as error:
        raise StateError(
            f"the registry {home} cannot be written to: {error}; set FAIRLEAD_HOME to a folder that can"
        ) from None
    try:
        yield
    finally:
        lock.release()


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """Opens the registry to read.

    Args:
        path: The SQLite file.

    Yields:
        A connection that sees one state throughout, or None where nothing was ever registered.

    Raises:
        StateError: The file is corrupt, or of another version.
    """
    if _is_new(path):
        yield None
        return
    with _connection(path) as connection:
        connection.execute("BEGIN")
        yield connection


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Opens the registry to write, in one transaction: all of the block's changes are kept, or none.

    The file is made if there is none; the caller holds `locked`.

    Args:
        path: The SQLite file.

    Yields:
        A connection inside a transaction.

    Raises:
        StateError: The file is corrupt, of another version, or locked by a program that does not finish.
    """
    with _connection(path, make=True) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")


def _is_new(path: Path) -> bool:
    """No file, or the empty one that a crash of another program left."""
    return not path.exists() or path.stat().st_size == 0


@contextmanager
def _connection(path: Path, *, make: bool = False) -> Iterator[sqlite3.Connection]:
    try:
        if make and _is_new(path):
            schema.create(path)
        # Readers too: after a crash in the middle of a commit, the next connection rolls it back, which is a write.
        connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=20, isolation_level=None)
        try:
            _check(connection, path)
            yield connection
        finally:
            connection.close()  # an open transaction is rolled back
    except sqlite3.OperationalError as error:
        raise StateError(
            f"the registry {path} cannot be used: {error}; another program may hold it (an `mlflow` command?), or the "
            "disk may be full or read-only. Put that right and run again: nothing is half written"
        ) from None
    except sqlite3.DatabaseError as error:
        raise StateError(
            f"the registry {path} is corrupt: {error}. Move the file away and register again; packages and verdicts "
            f"are files of their own beside it in {path.parent}"
        ) from None


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Refuses a damaged file and another version's."""
    (health,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if health != "ok":
        raise sqlite3.DatabaseError(health)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "alembic_version" not in tables or "model_versions" not in tables:
        raise StateError(
            f"{path} is an SQLite file, but no MLflow registry; move it away, or set tracking_uri to another"
        )
    revisions = [revision for (revision,) in connection.execute("SELECT version_num FROM alembic_version")]
    if revisions != [schema.REVISION]:
        raise StateError(
            f"the registry {path} has the schema {', '.join(revisions) or 'of no version'}; this version of fairlead "
            f"works with that of MLflow {schema.MLFLOW} ({schema.REVISION}). If the file is older: copy it, then run "
            f"`mlflow db upgrade sqlite:///{path}`. If it is newer: use the fairlead that wrote it"
        )
