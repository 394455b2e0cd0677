"""One query's result: made, checked, and written as a dataset."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.datasets import TIMESTAMP, DatasetManifest, write_dataset
from fairlead.errors import DataError, SchemaError
from fairlead.features import query
from fairlead.features.tables import EVENT_TIMESTAMP

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_TYPES = {
    "string", "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "float", "double", "date32[day]",
    TIMESTAMP,
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """A query's result, held by DuckDB under its name with the prefix `made_`.

    Attributes:
        name: The query's name.
        keys: The columns before event_timestamp.
        values: The columns after it.
        all_rows: Rows that the query gave.
        rows: Rows of them that were known by as_of.
    """

    name: str
    keys: list[str]
    values: list[str]
    all_rows: int
    rows: int

    @property
    def relation(self) -> str:
        """The quoted name by which DuckDB knows the rows."""
        return query.quoted(f"made_{self.name}")


def make_table(
    connection: "duckdb.DuckDBPyConnection", name: str, sql: str, as_of: datetime | None, views: list[str], *,
    entity_rows: bool,
) -> Table:  # fmt: skip
    """Runs a query, keeps the rows known by as_of, and checks them.

    Args:
        connection: DuckDB, with views over the datasets.
        name: The query's name.
        sql: The query.
        as_of: The moment after which rows are dropped; None: none are.
        views: The datasets' names, for messages.
        entity_rows: Whether these are the rows to predict, whose keys may be missing and which need no values.

    Returns:
        The table.

    Raises:
        ConfigurationError: The SQL is wrong.
        SchemaError: A column is absent or of a wrong type.
        DataError: There are no rows, or they are not distinct in time.
    """
    raw = query.quoted(f"raw_{name}")
    body = sql.strip().rstrip(";")
    with query.errors_told(f"{name}.sql", f"\nThe query may read: {', '.join(views)}."):
        connection.execute(f"CREATE TEMP TABLE {raw} AS {body}")
        columns = _check_columns(connection, raw, name)
        all_rows = _count(connection, raw)
        made = query.quoted(f"made_{name}")
        limit = f"WHERE {EVENT_TIMESTAMP} <= '{as_of.isoformat()}'" if as_of else ""
        connection.execute(f"CREATE TEMP VIEW {made} AS SELECT * FROM {raw} {limit}")  # noqa: S608 - names are quoted
        at = columns.index(EVENT_TIMESTAMP)
        table = Table(name, columns[:at], columns[at + 1 :], all_rows, _count(connection, made))
        _check_rows(connection, raw, table, entity_rows=entity_rows)
    return table


def write_table(connection: "duckdb.DuckDBPyConnection", table: Table, path: Path) -> DatasetManifest:
    """Writes a table as a dataset, in an order that depends on its rows alone.

    Args:
        connection: DuckDB.
        table: The table.
        path: The dataset's folder.

    Returns:
        The dataset's manifest.
    """
    order = ", ".join(query.quoted(column) for column in (EVENT_TIMESTAMP, *table.keys, *table.values))
    with query.errors_told(f"{table.name}.sql"):
        reader = query.stream(connection, f"SELECT * FROM {table.relation} ORDER BY {order}")  # noqa: S608
        schema = reader.schema
        return write_dataset(
            path, reader, schema, name=table.name, source=f"query {table.name}.sql", time_column=EVENT_TIMESTAMP
        )


def _check_columns(connection: "duckdb.DuckDBPyConnection", relation: str, name: str) -> list[str]:
    schema = query.stream(connection, f"SELECT * FROM {relation} LIMIT 0").schema  # noqa: S608
    if EVENT_TIMESTAMP not in schema.names:
        raise SchemaError(f"{name}.sql gives no column {EVENT_TIMESTAMP}; it gives {', '.join(schema.names)}")
    for field in schema:
        _check_type(field, name)
    return list(schema.names)


def _check_type(field: "pa.Field", name: str) -> None:
    kind = str(field.type)
    if kind == "timestamp[us]":
        raise SchemaError(
            f"{name}.sql: the column {field.name} holds timestamps without a zone; "
            f"say which it is, such as {field.name} AT TIME ZONE 'UTC'"
        )
    if field.name == EVENT_TIMESTAMP and kind != TIMESTAMP:
        raise SchemaError(f"{name}.sql: {EVENT_TIMESTAMP} is {kind}; make it TIMESTAMPTZ, the time of knowing the row")
    if kind not in _TYPES:
        raise SchemaError(
            f"{name}.sql: the column {field.name} is {kind}, which datasets do not hold; cast it, such as {field.name}"
            "::FLOAT or ::BIGINT"
        )


def _check_rows(connection: "duckdb.DuckDBPyConnection", raw: str, table: Table, *, entity_rows: bool) -> None:
    if table.all_rows == 0:
        raise DataError(f"{table.name}.sql gives no rows; look at its filters and joins")
    if table.rows == 0:
        raise DataError(f"{table.name}.sql gives no rows that were known by as_of; choose a later as_of")
    if not table.keys:
        raise SchemaError(f"{table.name}.sql gives no entity keys; put them before {EVENT_TIMESTAMP}")
    if not table.values and not entity_rows:
        raise SchemaError(f"{table.name}.sql gives no features; put them after {EVENT_TIMESTAMP}")
    _check_missing(connection, raw, table, [EVENT_TIMESTAMP] if entity_rows else [EVENT_TIMESTAMP, *table.keys])
    _check_distinct(connection, raw, table)


def _check_missing(connection: "duckdb.DuckDBPyConnection", raw: str, table: Table, columns: list[str]) -> None:
    counts = ", ".join(f"count(*) - count({query.quoted(column)})" for column in columns)
    row = connection.execute(f"SELECT {counts} FROM {raw}").fetchone() or ()  # noqa: S608 - names are quoted
    for column, missing in zip(columns, row, strict=True):
        if missing:
            raise DataError(
                f"{table.name}.sql: {column} is missing in {missing} rows; leave such rows out in the query"
            )


def _check_distinct(connection: "duckdb.DuckDBPyConnection", raw: str, table: Table) -> None:
    """Looks at all rows, also those after as_of, so that an error does not wait for its day."""
    columns = ", ".join(query.quoted(column) for column in (*table.keys, EVENT_TIMESTAMP))
    twice = connection.execute(
        f"SELECT {columns}, count(*) FROM {raw} GROUP BY {columns} HAVING count(*) > 1 ORDER BY {columns} LIMIT 3"  # noqa: S608
    ).fetchall()
    if twice:
        rows = "; ".join(f"{', '.join(str(value) for value in row[:-1])} ({row[-1]} times)" for row in twice)
        raise DataError(
            f"{table.name}.sql gives several rows of one ({', '.join(table.keys)}) and {EVENT_TIMESTAMP}: {rows}; "
            "aggregate them in the query"
        )


def _count(connection: "duckdb.DuckDBPyConnection", relation: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {relation}").fetchone()  # noqa: S608 - names are quoted
    return int(row[0]) if row else 0
