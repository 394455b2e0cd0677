"""MLflow's client as the registry uses it: quiet, without telemetry, one writer at a time, errors told in our words."""

import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.errors import ConfigurationError, StateError
from fairlead.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from sqlalchemy.engine import URL

WAIT_SECONDS = 120.0
"""How long a writer waits for another; registering one package takes a few seconds, more where it is uploaded."""

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",  # no connection outlives its use, so none is left to close
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # a server that is down is told after 15 s, by default after 5 minutes
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def is_server(place: Settings) -> bool:
    """Whether the registry is a server, which keeps packages itself, and not a database beside our files."""
    return _address(place.registry_uri).drivername in {"http", "https"}


def is_unused(place: Settings) -> bool:
    """Whether nothing was ever registered: there is no SQLite file yet, and asking must not make one."""
    file = _sqlite_file(place.registry_uri)
    return file is not None and not file.exists()


@contextmanager
def reading(uri: str) -> "Iterator[MlflowClient]":
    """Opens the registry.

    Args:
        uri: MLflow's address; an SQLite file that does not exist is made.

    Yields:
        The client.

    Raises:
        StateError: MLflow or the database refuses: corrupt, locked, of another version, or out of reach.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # MLflow's uses of SQLAlchemy 2.1
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from requests import RequestException
        from sqlalchemy.exc import SQLAlchemyError

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is raised, and told once
        try:
            yield MlflowClient(uri, uri)
        except (MlflowException, SQLAlchemyError, RequestException) as error:
            raise _unusable(uri, error) from None


@contextmanager
def writing(place: Settings) -> "Iterator[MlflowClient]":
    """Opens the registry when no other process writes to it; the file is made, whole or not at all, if there is none.

    Args:
        place: Whose registry.

    Yields:
        The client.

    Raises:
        StateError: As for `reading`; or another process held it for WAIT_SECONDS, or its folder cannot be written to.
    """
    file = _sqlite_file(place.registry_uri)
    with _locked(file.parent if file else place.registry_home):
        if file and not file.exists():
            _make(file)
        with reading(place.registry_uri) as client:
            yield client


def _make(file: Path) -> None:
    """MLflow makes its tables in some fifty steps: killed amid them, it could not go on."""
    for left in file.parent.glob(".new-registry-*"):  # by one that was killed: nobody else is here
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=".new-registry-", dir=file.parent) as folder:
        with reading(f"sqlite:///{folder}/{file.name}"):
            pass
        (Path(folder) / file.name).replace(file)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
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


def _address(uri: str) -> "URL":
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(uri)
    except ArgumentError:
        raise ConfigurationError(
            f"tracking_uri is {uri!r}; an SQLite file (sqlite:////absolute/path/mlflow.db), a database or a server "
            "(http://mlflow:5000) is allowed: set FAIRLEAD_TRACKING_URI, or unset it"
        ) from None


def _sqlite_file(uri: str) -> Path | None:
    address = _address(uri)
    is_file = address.get_backend_name() == "sqlite" and address.database not in {None, "", ":memory:"}
    return Path(str(address.database)).absolute() if is_file else None


def _unusable(uri: str, error: Exception) -> StateError:
    """Says what to do; MLflow wraps most of the database's exceptions in its own."""
    from sqlalchemy.exc import DatabaseError, OperationalError, SQLAlchemyError

    shown = _address(uri).render_as_string(hide_password=True)
    cause = error if isinstance(error, SQLAlchemyError) else error.__cause__ or error
    reason = getattr(cause, "orig", error)  # SQLite's own words, without the statement
    told = f"the registry {shown} cannot be used: {str(reason).replace(uri, shown)}"
    if isinstance(cause, OperationalError):
        advice = "Another program may hold it (an `mlflow` command?), or the disk may be full or read-only"
    elif isinstance(cause, DatabaseError):
        advice = (
            "It is corrupt: move the file away and register again; packages and verdicts are files of their own beside"
        )
    elif "database schema" in str(error):
        advice = "If a newer MLflow wrote it, use the fairlead that brings that MLflow"
    else:
        advice = "If it is a server, see that it runs and that FAIRLEAD_TRACKING_URI is its address"
    return StateError(f"{told}\n{advice}")
