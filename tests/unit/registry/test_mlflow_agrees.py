"""MLflow itself makes the same tables, reads what is registered, and would have written the same rows."""

import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fairlead.registry import database, schema, store
from fairlead.settings import settings
from fairlead.verdicts import Verdict


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every look-up of a host: MLflow must not try the network."""

    def refuse(*asked: Any, **_: Any) -> None:
        raise AssertionError(f"MLflow asked for the host {asked[0]}")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    schema.quiet_mlflow()


@pytest.mark.filterwarnings("ignore")
def test_the_tables_are_those_that_mlflow_makes(request: pytest.FixtureRequest) -> None:
    """schema.sql is where the installed MLflow's migrations lead; --regenerate-golden writes it anew."""
    made = schema.made_by_mlflow()
    if request.config.getoption("--regenerate-golden"):
        schema.FILE.write_text(made)
    assert _clauses(schema.FILE.read_text()) == _clauses(made)
    assert f"INSERT INTO \"alembic_version\" VALUES('{schema.REVISION}')" in made


def _clauses(sql: str) -> list[str]:
    """The lines of SQL in one order: a table's constraints come in another one each time."""
    return sorted(line.strip().rstrip(",") for line in sql.splitlines())


def _rows(path: Path, table: str) -> list[dict[str, Any]]:
    """A table's rows in order, without times."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]  # noqa: S608 - the test's own names
    times = {"creation_time", "last_updated_time"}
    assert all(row[column] > 1e12 for row in rows for column in times & set(row))
    plain = [{column: value for column, value in row.items() if column not in times} for row in rows]
    return sorted(plain, key=str)


@pytest.mark.filterwarnings("ignore")
def test_the_rows_are_those_that_mlflow_writes(package: Path, other: Path, tmp_path: Path) -> None:
    """Two versions, tags and aliases: column for column as MLflow's client leaves them, which also reads ours."""
    from mlflow import MlflowClient

    verdict = Verdict("evaluation", "sha256:0", "approved")
    ours = [store.register(path, "flights", [verdict]) for path in (package, other)]
    store.set_alias("flights", "1", "champion")
    mine, theirs = database.sqlite_path(settings().registry_uri), tmp_path / "theirs.db"
    schema.create(theirs)

    client = MlflowClient(f"sqlite:///{theirs}", f"sqlite:///{theirs}")
    client.create_registered_model("flights")
    for done in ours:
        tags = {"fairlead.digest": done.digest}
        tags |= {f"fairlead.lineage.{key}": value for key, value in done.lineage.items()}
        version = client.create_model_version("flights", done.uri, tags=tags)
        client.set_registered_model_alias("flights", "challenger", version.version)
    client.set_registered_model_alias("flights", "champion", "1")

    for table in ("registered_models", "model_versions", "model_version_tags", "registered_model_aliases"):
        assert _rows(mine, table) == _rows(theirs, table)
    reader = MlflowClient(f"sqlite:///{mine}", f"sqlite:///{mine}")
    assert reader.get_model_version_by_alias("flights", "champion").source == ours[0].uri
    assert reader.get_registered_model("flights").aliases == {"champion": 1, "challenger": 2}
    reader.delete_model_version("flights", "2")
    assert [known.version for known in store.versions("flights")] == ["1"]
