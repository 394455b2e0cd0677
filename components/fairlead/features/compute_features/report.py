"""The report of compute_features: what each table holds."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead import plots
from fairlead.features import query
from fairlead.features.compute_features.table import Table
from fairlead.features.tables import EVENT_TIMESTAMP
from fairlead.pages import Page
from fairlead.values import percent

if TYPE_CHECKING:
    import duckdb

_NUMBERS = ("FLOAT", "DOUBLE", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")


def write_report(
    connection: "duckdb.DuckDBPyConnection", tables: list[Table], as_of: datetime | None, path: Path | str
) -> None:
    """Writes the page: one section a table.

    Args:
        connection: DuckDB, holding the tables.
        tables: The tables; the last gives the rows to predict.
        as_of: The moment after which nothing was looked at.
        path: The HTML file.
    """
    page = Page("Feature tables")
    page.facts({"Tables": len(tables) - 1, "As of": as_of or "everything", "Rows to predict": tables[-1].rows})
    page.heading("Tables")
    headers = ["table", "keys", "distinct", "rows", "left out, known later", "from", "until"]
    page.table(headers, [_overview(connection, table) for table in tables])
    statistics = {table.name: _statistics(connection, table) for table in tables}
    page.heading("Columns")
    headers = ["table", "column", "missing", "mean", "deviation", "least", "median", "greatest"]
    page.table(headers, [_row(name, *row) for name, rows in statistics.items() for row in rows])
    missing = {str(row[0]): float(row[1]) for table in tables[:-1] for row in statistics[table.name] if row[1]}
    if missing:
        figure, axes = plots.figure(7, 1 + 0.24 * len(missing))
        plots.bars(axes, list(missing), [100 * share for share in missing.values()])
        plots.label(axes, x="rows without a value, %")
        page.heading("Missing values").figure(figure, "Where a table's own rows have no value.")
    page.write(path)


def _overview(connection: "duckdb.DuckDBPyConnection", table: Table) -> list[Any]:
    keys = ", ".join(query.quoted(key) for key in table.keys)
    sql = f"SELECT min({EVENT_TIMESTAMP})::VARCHAR, max({EVENT_TIMESTAMP})::VARCHAR FROM {table.relation}"  # noqa: S608
    first, last = connection.execute(sql).fetchone() or ("", "")
    distinct = connection.execute(f"SELECT count(*) FROM (SELECT DISTINCT {keys} FROM {table.relation})").fetchone()  # noqa: S608
    left_out = table.all_rows - table.rows
    return [table.name, ", ".join(table.keys), distinct[0] if distinct else 0, table.rows, left_out, first, last]


def _row(table: str, column: str, missing: float, *figures: Any) -> list[Any]:
    return [table, column, percent(missing) if missing else "", *figures]


def _statistics(connection: "duckdb.DuckDBPyConnection", table: Table) -> list[list[Any]]:
    """Of each column: name, share missing, mean, deviation, least, median, greatest; all in one pass."""
    kinds = connection.execute(f"DESCRIBE {table.relation}").fetchall()
    numeric = {name for name, kind, *_ in kinds if kind in _NUMBERS}
    wanted: list[str] = []
    for column in table.values:
        name = query.quoted(column)
        wanted.append(f"1 - count({name}) / count(*)")
        functions = ("avg", "stddev_pop", "min", "median", "max")
        wanted += [f"{function}({name})" if column in numeric else "NULL" for function in functions]
    if not wanted:
        return []
    row = connection.execute(f"SELECT {', '.join(wanted)} FROM {table.relation}").fetchone() or ()  # noqa: S608
    return [[column, *row[6 * at : 6 * at + 6]] for at, column in enumerate(table.values)]
