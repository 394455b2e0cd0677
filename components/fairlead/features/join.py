"""The point-in-time join: Feast's own, in pieces that bound its time and memory.

Feast's DuckDB store pairs each entity row with every feature row of its key before it throws away those outside the
ttl: the cost grows with entity rows times history. So the rows are taken in order of time, some at once, and Feast is
shown only the part of each table that these rows can see: none after the last of them, and of those before the first
of them only each key's latest. Feast makes its query once, as that alone takes it a third of a second; DuckDB runs it
for every piece. benchmarks/point_in_time_join.py has the figures.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.datasets import parquet_glob
from fairlead.errors import SchemaError, nearest
from fairlead.features import query
from fairlead.features.declarations import Lookup, find_service, limit_ages, load_declarations, lookups
from fairlead.features.feast_library import quiet
from fairlead.features.store import temporary_store
from fairlead.features.tables import EVENT_TIMESTAMP, FeatureTables
from fairlead.progress import step

if TYPE_CHECKING:
    import duckdb
    import feast
    import pyarrow as pa

ROWS_AT_ONCE = 4_000
_ROW = "fairlead_row"
_NEXT = "fairlead_next"


@dataclass(frozen=True)
class _Source:
    """One feature table, as the lookups that read it need it.

    Attributes:
        table: The table's name.
        keys: The key columns of all these lookups.
        ttl_seconds: The longest of their ttls; None: one is for ever.
    """

    table: str
    keys: list[str]
    ttl_seconds: float | None


def join_features(
    tables: FeatureTables,
    repository: str,
    service: str,
    rows: "pa.Table",
    limits: Mapping[str, float | None] | None = None,
    rows_at_once: int = ROWS_AT_ONCE,
) -> "tuple[pa.Table, list[Lookup]]":
    """Looks up what was known of each row at its event time.

    Args:
        tables: The feature tables.
        repository: The Feast repository.
        service: The feature service.
        rows: The entity keys and event_timestamp, N rows in order of event_timestamp; other columns are not used.
        limits: The age in seconds from which a view's values are not used, where that is shorter than its ttl.
        rows_at_once: Rows that Feast joins at a time.

    Returns:
        The features, N rows in the order of `rows`, columns in the order of the lookups; and the lookups.

    Raises:
        ConfigurationError: The repository or service does not fit the tables.
        SchemaError: The rows lack an entity key.
    """
    with tempfile.TemporaryDirectory(prefix="fairlead-join-") as folder:
        shown = replace(tables, path=Path(folder))
        declarations = load_declarations(repository, shown)
        limit_ages(declarations, limits or {})
        wanted = lookups(declarations, service)
        entities = _entities(rows, wanted)
        with temporary_store(declarations) as store, query.connect() as connection:
            asked = find_service(declarations, service)
            pieces = list(_join_pieces(store, asked, connection, tables, shown.path, wanted, entities, rows_at_once))
    return _concatenated(pieces, wanted), wanted


def keys_of(wanted: Sequence[Lookup]) -> list[str]:
    """The entity columns that lookups need, each once, sorted."""
    return sorted({column for lookup in wanted for column in lookup.keys.values()})


def _entities(rows: "pa.Table", wanted: Sequence[Lookup]) -> "pa.Table":
    import pyarrow as pa

    for column in (*keys_of(wanted), EVENT_TIMESTAMP):
        if column not in rows.column_names:
            raise SchemaError(f"the entity rows have no column {column!r}; {nearest(column, rows.column_names)}")
    entities = rows.select([*keys_of(wanted), EVENT_TIMESTAMP])
    return entities.append_column(_ROW, pa.array(range(rows.num_rows), pa.int64()))


def _sources(wanted: Sequence[Lookup]) -> list[_Source]:
    found = []
    for table in sorted({lookup.table for lookup in wanted}):
        readers = [lookup for lookup in wanted if lookup.table == table]
        ages = [lookup.ttl_seconds for lookup in readers if lookup.ttl_seconds is not None]
        longest = max(ages) if len(ages) == len(readers) else None
        found.append(_Source(table, sorted({key for lookup in readers for key in lookup.keys}), longest))
    return found


def _join_pieces(
    store: "feast.FeatureStore", service: "feast.FeatureService", connection: "duckdb.DuckDBPyConnection",
    tables: FeatureTables, folder: Path, wanted: Sequence[Lookup], entities: "pa.Table", rows_at_once: int,
) -> "Iterator[pa.Table]":  # fmt: skip
    ask: Callable[[pa.Table], pa.Table] | None = None
    sources = _sources(wanted) if entities.num_rows else []
    for source in sources:
        _load(connection, tables.path / source.table, source, entities)
    with step("point-in-time join", entities.num_rows) as progress:
        for start in range(0, entities.num_rows, rows_at_once):
            piece = entities.slice(start, rows_at_once)
            for source in sources:
                _show(connection, source, folder / source.table, piece, start)
            ask = ask or _feast_query(store, service, piece)
            yield ask(piece).sort_by(_ROW).select([name for lookup in wanted for name in lookup.features])
            progress.advance(piece.num_rows)


def _feast_query(
    store: "feast.FeatureStore", service: "feast.FeatureService", piece: "pa.Table"
) -> "Callable[[pa.Table], pa.Table]":
    """The query that Feast makes, to be run with other entity rows and over what its files hold by then."""
    import ibis  # type: ignore[import-untyped]
    from ibis.expr.operations import InMemoryTable  # type: ignore[import-untyped]

    with quiet():
        expression = store.get_historical_features(entity_df=piece.to_pandas(), features=service).table  # type: ignore[attr-defined]
        backend = expression.get_backend()
        sql = str(ibis.to_sql(expression, dialect="duckdb"))
    (given,) = (node.name for node in expression.op().find(InMemoryTable))

    def ask(rows: "pa.Table") -> "pa.Table":
        backend.con.register(given, rows)
        with query.errors_told("Feast's point-in-time join"):
            joined: pa.Table = backend.con.execute(sql).to_arrow_table()
        backend.con.unregister(given)
        return joined

    return ask


def _load(connection: "duckdb.DuckDBPyConnection", path: Path, source: _Source, entities: "pa.Table") -> None:
    """Loads what any entity row can see of a table, and notes when each row is superseded by its key's next."""
    first, last = _span(entities)
    keys = ", ".join(query.quoted(key) for key in source.keys)
    pattern = parquet_glob(path).replace("'", "''")
    with query.errors_told(f"feature table {source.table}"):
        connection.execute(
            f"CREATE TEMP TABLE {query.quoted(source.table)} AS SELECT *, "  # noqa: S608 - names are quoted
            f"lead({EVENT_TIMESTAMP}) OVER (PARTITION BY {keys} ORDER BY {EVENT_TIMESTAMP}) AS {_NEXT} "
            f"FROM read_parquet('{pattern}') WHERE {_visible(source, first, last)} ORDER BY {EVENT_TIMESTAMP}"
        )


def _show(
    connection: "duckdb.DuckDBPyConnection", source: _Source, target: Path, piece: "pa.Table", number: int
) -> None:
    """Puts the part of a table that a piece of the entity rows can see where Feast reads it."""
    first, last = _span(piece)
    target.mkdir(exist_ok=True)
    before = list(target.glob("*.parquet"))
    # Each piece has a file name of its own, so that nothing DuckDB remembers of the last one's file is used again.
    file = str(target / f"part-{number:010d}.parquet").replace("'", "''")
    useful = f"({_NEXT} IS NULL OR {_NEXT} > '{first.isoformat()}')"
    with query.errors_told(f"feature table {source.table}"):
        connection.execute(
            f"COPY (SELECT * EXCLUDE {_NEXT} FROM {query.quoted(source.table)} "  # noqa: S608 - names are quoted
            f"WHERE {_visible(source, first, last)} AND {useful}) TO '{file}' (COMPRESSION uncompressed)"
        )
    for old in before:
        old.unlink()


def _span(rows: "pa.Table") -> tuple[datetime, datetime]:
    import pyarrow.compute as pc

    ends = pc.min_max(rows.column(EVENT_TIMESTAMP)).as_py()
    return ends["min"], ends["max"]


def _visible(source: _Source, first: datetime, last: datetime) -> str:
    """The condition for rows that a question between two moments may be answered with."""
    condition = f"{EVENT_TIMESTAMP} <= '{last.isoformat()}'"
    if source.ttl_seconds is None:
        return condition
    earliest = first - timedelta(seconds=source.ttl_seconds)
    return f"{condition} AND {EVENT_TIMESTAMP} >= '{earliest.isoformat()}'"


def _concatenated(pieces: "list[pa.Table]", wanted: Sequence[Lookup]) -> "pa.Table":
    import pyarrow as pa

    if pieces:
        return pa.concat_tables(pieces)
    return pa.table({name: pa.array([], pa.float32()) for lookup in wanted for name in lookup.features})
