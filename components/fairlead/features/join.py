"""The point-in-time join: Feast's own, in pieces that bound its time and memory.

Feast's DuckDB store pairs each entity row with every feature row of its key before it throws away those outside the
ttl: the cost grows with entity rows times history. So the rows are taken in order of time, some at once, and Feast is
shown only the part of each table that these rows can see. benchmarks/point_in_time_join.py has the figures.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
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

ROWS_AT_ONCE = 12_000
_ROW = "fairlead_row"


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


def _join_pieces(
    store: "feast.FeatureStore", service: "feast.FeatureService", connection: "duckdb.DuckDBPyConnection",
    tables: FeatureTables, folder: Path, wanted: Sequence[Lookup], entities: "pa.Table", rows_at_once: int,
) -> "Iterator[pa.Table]":  # fmt: skip
    with step("point-in-time join", entities.num_rows) as progress:
        for start in range(0, entities.num_rows, rows_at_once):
            piece = entities.slice(start, rows_at_once)
            for lookup in wanted:
                _show(connection, tables.path / lookup.table, folder / lookup.table, lookup, piece)
            with quiet():
                joined = store.get_historical_features(entity_df=piece.to_pandas(), features=service).to_arrow()
            yield joined.sort_by(_ROW).select([name for lookup in wanted for name in lookup.features])
            progress.advance(piece.num_rows)


def _show(
    connection: "duckdb.DuckDBPyConnection", source: Path, target: Path, lookup: Lookup, piece: "pa.Table"
) -> None:
    """Copies the part of a table that a piece of the entity rows can see."""
    import pyarrow.compute as pc

    span = pc.min_max(piece.column(EVENT_TIMESTAMP)).as_py()
    condition = f"{EVENT_TIMESTAMP} <= '{span['max'].isoformat()}'"
    if lookup.ttl_seconds is not None:
        earliest = span["min"] - timedelta(seconds=lookup.ttl_seconds)
        condition += f" AND {EVENT_TIMESTAMP} >= '{earliest.isoformat()}'"
    target.mkdir(exist_ok=True)
    pattern, file = (text.replace("'", "''") for text in (parquet_glob(source), str(target / "part-00000.parquet")))
    with query.errors_told(f"feature table {lookup.table}"):
        connection.execute(
            f"COPY (SELECT * FROM read_parquet('{pattern}') WHERE {condition}) TO '{file}' (COMPRESSION uncompressed)"  # noqa: S608
        )


def _concatenated(pieces: "list[pa.Table]", wanted: Sequence[Lookup]) -> "pa.Table":
    import pyarrow as pa

    if pieces:
        return pa.concat_tables(pieces)
    return pa.table({name: pa.array([], pa.float32()) for lookup in wanted for name in lookup.features})
