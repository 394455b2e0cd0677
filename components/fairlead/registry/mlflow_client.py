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
from fairlead.registry.lock import locked

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from sqlalchemy.engine import URL

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",  # no connection outlives its use, so none is left to close
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # a server that is down is told after 15 s, by default after 5 minutes
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def is_server(uri: str) -> bool:
    """Whether the registry is a server, which keeps packages itself, and not a database beside our files."""
    return uri.startswith(("http://", "https://"))


def is_file(uri: str) -> bool:
    """Whether the registry is an SQLite file, beside which other files of ours can lie."""
    return sqlite_file(uri) is not None


def is_unused(uri: str) -> bool:
    """Whether nothing was ever registered: there is no SQLite file yet, and asking must not make one."""
    file = sqlite_file(uri)
    return file is not None and not file.exists()


def sqlite_file(uri: str) -> Path | None:
    """The SQLite file that an address names; None for a server, another database, and one in memory.

    Looked at without SQLAlchemy, whose import takes half a second: deployments ask for verdicts, which are files.
    """
    scheme, separator, path = uri.partition(":///")
    found = separator and scheme.partition("+")[0] == "sqlite" and path.partition("?")[0] not in {"", ":memory:"}
    return Path(path.partition("?")[0]).absolute() if found else None


@contextmanager
def reading(uri: str, token: str = "") -> "Iterator[MlflowClient]":
    """Opens the registry.

    Args:
        uri: MLflow's address; an SQLite file that does not exist is made.
        token: What a server demands; MLflow takes it from the environment alone.

    Yields:
        The client.

    Raises:
        StateError: MLflow or the database refuses: corrupt, locked, of another version, or out of reach.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if token:
        os.environ["MLFLOW_TRACKING_TOKEN"] = token
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
def writing(uri: str, home: Path) -> Iterator[None]:
    """Keeps other writers out; the SQLite file is made, whole or not at all, if there is none.

    Args:
        uri: The registry's address.
        home: Where the lock is, if the registry is not a file.

    Yields:
        Nothing.

    Raises:
        StateError: As for `reading`; or another process held it for WAIT_SECONDS, or its folder cannot be written to.
    """
    file = sqlite_file(uri)
    with locked(file.parent if file else home):
        if file and not file.exists():
            _make(file)
        yield


def _make(file: Path) -> None:
    """MLflow makes its tables in some fifty steps: killed amid them, it could not go on."""
    for left in file.parent.glob(".new-registry-*"):  # by one that was killed: nobody else is here
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=".new-registry-", dir=file.parent) as folder:
        with reading(f"sqlite:///{folder}/{file.name}"):
            pass
        (Path(folder) / file.name).replace(file)


def _address(uri: str) -> "URL":
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(uri)
    except ArgumentError:
        raise ConfigurationError(
            f"the registry's address is {uri!r}; an SQLite file (sqlite:////absolute/path/mlflow.db), a database, an "
            "MLflow server (http://mlflow:5000) or a Kubeflow Model Registry (model-registry+https://host:443) is "
            "allowed: set FAIRLEAD_REGISTRY_URI, or unset it"
        ) from None


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
        advice = "If it is a server, see that it runs and that FAIRLEAD_REGISTRY_URI is its address"
    return StateError(f"{told}\n{advice}")
