"""What becomes of every entity row: used, without a label, or outside the window; and what may not be used at all."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from fairlead.errors import ConfigurationError, DataError, LeakageError, SchemaError, nearest
from fairlead.features import query
from fairlead.features.spec import LabelSpec, RequestSpec, parse_moment
from fairlead.features.tables import EVENT_TIMESTAMP

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


@dataclass(frozen=True)
class Account:
    """What became of the entity rows; the last three add up to the first.

    Attributes:
        rows: Rows that came.
        used: Rows of the training set.
        without_label: Rows inside the window whose answer is missing.
        outside_window: Rows before or after the window.
    """

    rows: int
    used: int
    without_label: int
    outside_window: int


def read_window(window: list[str]) -> tuple[datetime, datetime]:
    """Reads the window's ends.

    Raises:
        ConfigurationError: It is not two moments, the first before the second.
    """
    if len(window) != 2:  # noqa: PLR2004 - a window has two ends
        raise ConfigurationError(f"window: {window} must be two moments, from and to, such as [2013-02-01, 2013-06-01]")
    start, end = (parse_moment(str(value), "window") for value in window)
    if start >= end:
        raise ConfigurationError(f"window: {window[0]} is not before {window[1]}; give the earlier moment first")
    return start, end


def check_columns(rows: "pa.Schema", label: LabelSpec, request: RequestSpec) -> list[str]:
    """The columns that the training set needs of the entity rows.

    Raises:
        SchemaError: One is absent.
        LeakageError: The label is a field of the request.
    """
    if label.column in request.fields:
        raise LeakageError(
            f"the label {label.column!r} is a field of the request; no client can send it: remove it there"
        )
    wanted = [*request.fields, EVENT_TIMESTAMP, label.column, *([label.known_at] if label.known_at else [])]
    for column in wanted:
        if column not in rows.names:
            raise SchemaError(f"the entity rows have no column {column!r}; {nearest(column, rows.names)}")
    return list(dict.fromkeys(wanted))


def take_rows(
    rows: "pa.Table", label: LabelSpec, request: RequestSpec, window: tuple[datetime, datetime], as_of: datetime | None
) -> "tuple[pa.Table, Account]":
    """Takes the rows that can be trained on, in order of time, and accounts for the others.

    Args:
        rows: The entity rows.
        label: The label.
        request: The request.
        window: First event time taken and the first not taken any more.
        as_of: The pipeline's now.

    Returns:
        The rows to use and the account.

    Raises:
        DataError: A row comes twice, its event time is not the request's, or no row can be used.
        LeakageError: A label was known before the question, or was not yet known as of now.
    """
    with query.connect() as connection:
        connection.register("entity_rows", rows)
        _refuse(connection, label, request, as_of)
        start, end = (f"'{moment.isoformat()}'::TIMESTAMPTZ" for moment in window)
        inside = f"{EVENT_TIMESTAMP} >= {start} AND {EVENT_TIMESTAMP} < {end}"
        known = f"{query.quoted(label.column)} IS NOT NULL"
        order = ", ".join(query.quoted(name) for name in (EVENT_TIMESTAMP, *request.fields))
        used = connection.execute(
            f"SELECT * FROM entity_rows WHERE {inside} AND {known} ORDER BY {order}"  # noqa: S608 - names are quoted
        ).to_arrow_table()
        counts = f"SELECT count(*) FILTER ({inside} AND NOT {known}), count(*) FILTER (NOT ({inside})) FROM entity_rows"  # noqa: S608
        without, outside = connection.execute(counts).fetchone() or (0, 0)
    account = Account(rows.num_rows, used.num_rows, int(without), int(outside))
    if used.num_rows == 0:
        raise DataError(
            f"no row can be trained on: of {account.rows} entity rows {account.outside_window} lie outside the window "
            f"[{window[0].isoformat()}, {window[1].isoformat()}) and {account.without_label} have no {label.column}"
        )
    return used, account


def _refuse(
    connection: "duckdb.DuckDBPyConnection", label: LabelSpec, request: RequestSpec, as_of: datetime | None
) -> None:
    fields = [query.quoted(name) for name in (*request.fields, EVENT_TIMESTAMP)]
    shown = f"SELECT {', '.join(fields)} FROM entity_rows"  # noqa: S608 - names are quoted
    twice = _first(connection, f"{shown} GROUP BY ALL HAVING count(*) > 1")
    if twice:
        raise DataError(
            f"{twice[0]} entity rows come more than once, such as ({twice[1]}); aggregate them in the query of the rows"
        )
    moment = request.prediction_time
    if moment is not None:
        asked = f"{query.quoted(moment.field)} - to_microseconds({round(moment.minus_seconds * 1_000_000)})"
        other = _first(connection, f"{shown} WHERE {EVENT_TIMESTAMP} <> {asked}")
        if other:
            raise DataError(
                f"{other[0]} entity rows have another event_timestamp than {moment.field} less "
                f"{moment.minus_seconds:g} s, when a server would answer, such as ({other[1]}); change the query of "
                "the rows or request.prediction_time"
            )
    if label.known_at:
        _refuse_labels(connection, label, shown, as_of)


def _refuse_labels(
    connection: "duckdb.DuckDBPyConnection", label: LabelSpec, rows: str, as_of: datetime | None
) -> None:
    known_at, present = query.quoted(str(label.known_at)), f"{query.quoted(label.column)} IS NOT NULL"
    shown = f"{rows} WHERE {present} AND"
    unknown = _first(connection, f"{shown} {known_at} IS NULL")
    if unknown:
        raise LeakageError(f"{unknown[0]} rows have a label but no {label.known_at}, such as ({unknown[1]})")
    early = _first(connection, f"{shown} {known_at} <= {EVENT_TIMESTAMP}")
    if early:
        raise LeakageError(
            f"{early[0]} rows have a label that was known before the question ({label.known_at} <= {EVENT_TIMESTAMP}), "
            f"such as ({early[1]}); there is nothing to predict for them"
        )
    late = _first(connection, f"{shown} {known_at} > '{as_of.isoformat()}'") if as_of else None
    if late:
        raise LeakageError(
            f"{late[0]} rows have a label that was not known as of {as_of}, such as ({late[1]}); let the query of the "
            f"rows give none where {label.known_at} > getvariable('as_of')"
        )


def _first(connection: "duckdb.DuckDBPyConnection", sql: str) -> tuple[int, str] | None:
    """How many rows a query gives, and the first of them as text; None for no rows."""
    rows = connection.execute(f"SELECT * FROM ({sql}) ORDER BY ALL LIMIT 1").fetchall()  # noqa: S608
    if not rows:
        return None
    count = connection.execute(f"SELECT count(*) FROM ({sql})").fetchone()  # noqa: S608
    return (int(count[0]) if count else 0), ", ".join(str(value) for value in rows[0])
