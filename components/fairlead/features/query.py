"""SQL over datasets, run by DuckDB in bounded memory."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.datasets import parquet_glob, read_manifest
from fairlead.errors import ConfigurationError, DataError, FairleadError, SourceError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

MEMORY_LIMIT = "2GB"  # beyond it DuckDB spills to disk
_ROWS_PER_BATCH = 100_000


@contextmanager
def connect(memory_limit: str = MEMORY_LIMIT) -> "Iterator[duckdb.DuckDBPyConnection]":
    """Opens DuckDB in memory: all clocks in UTC, spilling to a folder that goes with it.

    Args:
        memory_limit: What it may hold in memory.

    Yields:
        The connection.
    """
    import duckdb

    with (
        tempfile.TemporaryDirectory(prefix="fairlead-duckdb-") as folder,
        duckdb.connect(config={"memory_limit": memory_limit, "temp_directory": folder}) as connection,
    ):
        connection.execute("SET autoinstall_known_extensions = false")
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def create_views(connection: "duckdb.DuckDBPyConnection", datasets: Sequence[Path | str]) -> list[str]:
    """Makes a view over each dataset, under the dataset's name.

    Args:
        connection: DuckDB.
        datasets: The datasets' folders.

    Returns:
        The views' names.

    Raises:
        ConfigurationError: Two datasets have one name.
        SourceError: A dataset is not whole.
    """
    names: list[str] = []
    for path in datasets:
        name = read_manifest(path).name
        if name in names:
            raise ConfigurationError(
                f"two input datasets are named {name!r}; give each a name of its own when ingesting"
            )
        create_view(connection, name, path)
        names.append(name)
    return names


def create_view(connection: "duckdb.DuckDBPyConnection", name: str, path: Path | str) -> None:
    """Makes one view over a dataset.

    Raises:
        SourceError: The dataset is not whole.
    """
    pattern = parquet_glob(path).replace("'", "''")
    with errors_told(f"dataset {name!r}"):
        connection.execute(f"CREATE VIEW {quoted(name)} AS SELECT * FROM read_parquet('{pattern}')")  # noqa: S608


def set_moment(connection: "duckdb.DuckDBPyConnection", name: str, moment: datetime | None) -> None:
    """Sets a variable that queries read by getvariable(name); None is infinity, later than every moment."""
    value = moment.isoformat() if moment else "infinity"
    connection.execute(f"SET VARIABLE {name} = '{value}'::TIMESTAMPTZ")


def quoted(name: str) -> str:
    """An identifier in double quotes, safe inside SQL."""
    return '"' + name.replace('"', '""') + '"'


def stream(connection: "duckdb.DuckDBPyConnection", sql: str) -> "pa.RecordBatchReader":
    """Runs a query and gives its rows in batches."""
    return connection.execute(sql).to_arrow_reader(_ROWS_PER_BATCH)


@contextmanager
def errors_told(where: str, hint: str = "") -> Iterator[None]:
    """Turns DuckDB's errors into fairlead's, which say where they came from.

    Args:
        where: What was run: `the query flights.sql`.
        hint: What may help, appended to the message.

    Raises:
        ConfigurationError: The SQL is wrong.
        SourceError: A file is missing or corrupt.
        DataError: A value does not fit, or memory does not suffice.
    """
    import duckdb

    kinds: dict[type[duckdb.Error], type[FairleadError]] = {
        duckdb.IOException: SourceError,
        duckdb.InvalidInputException: SourceError,
        duckdb.ConversionException: DataError,
        duckdb.OutOfRangeException: DataError,
        duckdb.OutOfMemoryException: DataError,
    }
    try:
        yield
    except duckdb.Error as error:
        kind = next((ours for theirs, ours in kinds.items() if isinstance(error, theirs)), ConfigurationError)
        raise kind(f"{where}: {str(error).strip()}{hint}") from None
