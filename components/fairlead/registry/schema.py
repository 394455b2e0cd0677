"""The tables of MLflow's SQLite registry, as SQL that MLflow's own migrations led to.

    python -m fairlead.registry.schema    # writes schema.sql anew, after another MLflow was installed

MLflow makes these tables in 6 s of computing, most of it its import; this takes 20 ms. A test compares the two.
"""

import logging
import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from fairlead import atomic

FILE = Path(__file__).with_name("schema.sql")

REVISION = "dc11669786a5"
"""The last migration of MLflow 3.17, as the table alembic_version names it."""

MLFLOW = "3.17"


def create(path: Path) -> None:
    """Makes an empty registry, whole or not at all.

    Args:
        path: The SQLite file to make; what stood there is replaced.

    Raises:
        OSError: The file system refuses.
        sqlite3.OperationalError: The disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-registry-", dir=path.parent) as folder:
        fresh = Path(folder) / "mlflow.db"
        with closing(sqlite3.connect(fresh)) as connection:
            connection.execute("PRAGMA synchronous = OFF")  # nobody sees the file before it is synced as a whole
            connection.executescript(FILE.read_text())
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.replace(path)


def made_by_mlflow() -> str:
    """Lets the installed MLflow make its tables.

    Returns:
        The SQL that makes the same tables, indexes and first rows.
    """
    quiet_mlflow()
    with tempfile.TemporaryDirectory() as folder:
        import mlflow.store.db.utils as mlflow_tables
        from sqlalchemy import create_engine, event

        engine = create_engine(f"sqlite:///{folder}/mlflow.db")
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
        # What `mlflow server` does at its start; MLflow has no public call for it.
        mlflow_tables._initialize_tables(engine)  # type: ignore[no-untyped-call]  # noqa: SLF001
        engine.dispose()
        with closing(sqlite3.connect(f"{folder}/mlflow.db")) as connection:
            return "\n".join(connection.iterdump()) + "\n"


def quiet_mlflow() -> None:
    """Before MLflow is imported: no telemetry, and none of its messages about migrations."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["DO_NOT_TRACK"] = "true"
    for name in ("mlflow", "mlflow.store.db.utils", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


if __name__ == "__main__":
    atomic.write_text(FILE, made_by_mlflow())
