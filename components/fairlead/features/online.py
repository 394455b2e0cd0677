"""The online store's SQLite file: made for concurrent readers, looked into, and replaced in one step."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from fairlead.errors import StateError

_BUSY_SECONDS = 30.0
_ADVICE = "stop what uses it (fairlead down), delete the folder {folder} and run the pipeline again; it is made anew"


def create(path: Path) -> None:
    """Makes an empty store in WAL mode, in which readers and one writer do not wait for each other.

    The mode is kept in the file, so that the connections that Feast opens later have it too.
    """
    with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def replace(path: Path, fresh: Path) -> None:
    """Puts a fresh store in the place of the old one, in one transaction.

    A rename would leave servers reading the old file; SQLite's backup changes what their open connections see.

    Args:
        path: The store that servers have open; made if it is not there.
        fresh: The store that was built beside it.

    Raises:
        StateError: The old store is corrupt.
    """
    with _told(path), closing(sqlite3.connect(fresh)) as source:
        create(path)
        with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as target:
            source.backup(target)


def check(path: Path) -> None:
    """Looks whether the store is whole.

    Raises:
        StateError: It is not SQLite, or it is damaged.
    """
    with _told(path), closing(_read(path)) as connection:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != ("ok",):
            raise sqlite3.DatabaseError(str(found))


def count_keys(path: Path) -> dict[str, int]:
    """Entity keys held, by Feast's table name (`<project>_<view>`)."""
    with _told(path), closing(_read(path)) as connection:
        sql = 'SELECT count(DISTINCT entity_key) FROM "{}"'
        return {table: connection.execute(sql.format(table)).fetchone()[0] for table in _tables(connection)}


def latest_event(path: Path) -> datetime | None:
    """The latest event time of any row held; None for an empty store."""
    with _told(path), closing(_read(path)) as connection:
        sql = 'SELECT max(event_ts) FROM "{}"'
        found = [connection.execute(sql.format(table)).fetchone()[0] for table in _tables(connection)]
    seconds = [int(value) for value in found if value is not None]
    # Feast writes a UTC time as if it were local, and reads it back the same way.
    return datetime.fromtimestamp(max(seconds)).replace(tzinfo=UTC) if seconds else None  # noqa: DTZ006


def _tables(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
    return [name for (name,) in rows if not name.startswith("sqlite_")]


def _read(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        advice = _ADVICE.format(folder=path.parent)
        raise StateError(f"the online store {path} cannot be used ({error}); {advice}") from None
