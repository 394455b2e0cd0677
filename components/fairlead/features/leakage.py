"""An independent look at a join's result: DuckDB's ASOF join over the whole tables, compared value by value."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fairlead.errors import LeakageError
from fairlead.features import query
from fairlead.features.declarations import Lookup
from fairlead.features.tables import EVENT_TIMESTAMP, FeatureTables

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

SAMPLE = 1000


def check_join(
    tables: FeatureTables, wanted: Sequence[Lookup], rows: "pa.Table", joined: "pa.Table", sample: int = SAMPLE
) -> int:
    """Proves on a sample that each joined value is the latest known at the row's event time, and none is later.

    Args:
        tables: The feature tables.
        wanted: What was looked up.
        rows: Entity keys and event_timestamp, N rows.
        joined: The features that were found, N rows in the same order.
        sample: How many rows are looked at, spread evenly.

    Returns:
        The number of values compared, all equal.

    Raises:
        LeakageError: A value differs.
    """
    import numpy as np

    count: int = min(sample, rows.num_rows)
    chosen = np.linspace(0, rows.num_rows - 1, num=count).astype(np.int64) if count else np.array([], np.int64)
    entities, found = rows.take(chosen), joined.take(chosen)
    with query.connect() as connection:
        for lookup in wanted:
            expected = asof_join(connection, tables, lookup, entities)
            for name in lookup.features:
                _compare(lookup, name, entities, found.column(name), expected.column(name))
    return count * sum(len(lookup.features) for lookup in wanted)


def asof_join(
    connection: "duckdb.DuckDBPyConnection", tables: FeatureTables, lookup: Lookup, rows: "pa.Table"
) -> "pa.Table":
    """The latest row of one table at or before each entity row, unless it is older than the ttl.

    Args:
        connection: DuckDB.
        tables: The feature tables.
        lookup: What to look up.
        rows: Entity keys and event_timestamp, N rows.

    Returns:
        The lookup's features, N rows in order.
    """
    import pyarrow as pa

    numbered = rows.select([*lookup.keys.values(), EVENT_TIMESTAMP])
    numbered = numbered.append_column("fairlead_row", pa.array(range(rows.num_rows), pa.int64()))
    connection.register("fairlead_numbered", numbered)
    # A table, as DuckDB does not know an Arrow table's size and would then compare every row with every other.
    connection.execute("CREATE TEMP TABLE fairlead_entities AS FROM fairlead_numbered")
    query.create_view(connection, lookup.table, tables.path / lookup.table)
    table = query.quoted(lookup.table)
    fresh = "true"
    if lookup.ttl_seconds is not None:
        age = f"epoch_us(e.{EVENT_TIMESTAMP}) - epoch_us(f.{EVENT_TIMESTAMP})"
        fresh = f"{age} <= {round(lookup.ttl_seconds * 1_000_000)}"
    values = ", ".join(f"CASE WHEN {fresh} THEN f.{query.quoted(n)} END AS {query.quoted(n)}" for n in lookup.features)
    equal = " AND ".join(f"f.{query.quoted(key)} = e.{query.quoted(column)}" for key, column in lookup.keys.items())
    first_key, first_column = (query.quoted(name) for name in next(iter(lookup.keys.items())))
    mentioned = f"(FROM {table} WHERE {first_key} IN (SELECT {first_column} FROM fairlead_entities))"  # noqa: S608
    sql = (
        f"SELECT {values} FROM fairlead_entities e ASOF LEFT JOIN {mentioned} f "  # noqa: S608 - names are quoted
        f"ON {equal} AND e.{EVENT_TIMESTAMP} >= f.{EVENT_TIMESTAMP} ORDER BY e.fairlead_row"
    )
    with query.errors_told(f"feature table {lookup.table}"):
        result = connection.execute(sql).to_arrow_table()
        connection.execute(f"DROP VIEW {table}")
    connection.execute("DROP TABLE fairlead_entities")
    connection.unregister("fairlead_numbered")
    return result


def _compare(
    lookup: Lookup, name: str, rows: "pa.Table", found: "pa.ChunkedArray", expected: "pa.ChunkedArray"
) -> None:
    wrong = [
        at for at, (a, b) in enumerate(zip(found.to_pylist(), expected.to_pylist(), strict=True)) if not same(a, b)
    ]
    if wrong:
        at = wrong[0]
        keys = ", ".join(f"{column}={rows.column(column)[at].as_py()}" for column in lookup.keys.values())
        raise LeakageError(
            f"{lookup.view}: {name} of {keys} at {rows.column(EVENT_TIMESTAMP)[at].as_py().isoformat()} was joined as "
            f"{found[at].as_py()}, but {expected[at].as_py()} was the latest known by then ({len(wrong)} of "
            f"{rows.num_rows} sampled rows differ); do not train on this, and report it with the tables' digest"
        )


def same(one: object, other: object) -> bool:
    """Whether two values are equal; a missing value and NaN equal each other."""
    one, other = (None if value != value else value for value in (one, other))  # noqa: PLR0124 - NaN
    return one == other
