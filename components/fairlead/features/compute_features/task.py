"""The work of compute_features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fairlead import atomic
from fairlead.datasets import DatasetManifest
from fairlead.errors import ConfigurationError
from fairlead.features import query
from fairlead.features.compute_features import report as pages
from fairlead.features.compute_features.table import Table, make_table, write_table
from fairlead.features.spec import parse_moment
from fairlead.features.tables import FeatureTables, read_tables, write_manifest
from fairlead.progress import step


@dataclass(frozen=True)
class Computed:
    """What was computed.

    Attributes:
        tables: The feature tables.
        entity_rows: The rows to predict.
    """

    tables: FeatureTables
    entity_rows: DatasetManifest

    def features_metadata(self) -> dict[str, str | int]:
        """Flat values for the features artifact."""
        counts = {f"rows_{name}": manifest.row_count for name, manifest in self.tables.manifests.items()}
        as_of = self.tables.as_of.isoformat() if self.tables.as_of else ""
        return {"digest": self.tables.digest, "tables": len(counts), "rows": self.tables.rows, "as_of": as_of, **counts}

    def entity_rows_metadata(self) -> dict[str, str | int]:
        """Flat values for the entity rows artifact."""
        return self.entity_rows.metadata()


def compute_features(
    datasets: Sequence[Path | str],
    features: Path | str,
    entity_rows: Path | str,
    queries: Mapping[str, str],
    entity_rows_query: str,
    as_of: str = "",
    *,
    report: Path | str | None = None,
    memory_limit: str = query.MEMORY_LIMIT,
) -> Computed:
    """Runs the queries over the datasets and writes what they give.

    Args:
        datasets: Folders of the input datasets.
        features: Where the feature tables go.
        entity_rows: Where the rows to predict go.
        queries: Table name to SQL.
        entity_rows_query: The SQL of the rows to predict, or its name among the queries.
        as_of: The moment after which nothing is looked at (ISO 8601); empty: none.
        report: Where the HTML report goes, if anywhere.
        memory_limit: What DuckDB may hold in memory.

    Returns:
        What was computed.

    Raises:
        ConfigurationError: There are no queries, or one is no valid SQL.
        SchemaError: A result has no event_timestamp in UTC, or a column of a type that datasets do not hold.
        DataError: A result is empty, has missing times or keys, or two rows of one key and time.
        SourceError: An input dataset is not whole.
    """
    wanted, rows_name, rows_sql = _sort_out(queries, entity_rows_query)
    moment = parse_moment(as_of, "as_of") if as_of else None
    made: list[Table] = []
    with query.connect(memory_limit) as connection, step("features", len(wanted) + 1) as progress:
        views = query.create_views(connection, datasets)
        query.set_moment(connection, "as_of", moment)
        with atomic.directory(features) as folder:
            for name, sql in wanted.items():
                made.append(make_table(connection, name, sql, moment, views, entity_rows=False))
                write_table(connection, made[-1], folder / name)
                progress.advance()
            write_manifest(folder, moment, {table.name: table.keys for table in made})
        rows = make_table(connection, rows_name, rows_sql, moment, views, entity_rows=True)
        manifest = write_table(connection, rows, Path(entity_rows))
        progress.advance()
        if report is not None:
            pages.write_report(connection, [*made, rows], moment, report)
    return Computed(read_tables(features), manifest)


def _sort_out(queries: Mapping[str, str], entity_rows_query: str) -> tuple[dict[str, str], str, str]:
    """The queries of feature tables, and the name and SQL of the entity rows' query."""
    named = entity_rows_query.strip()
    name, sql = (named, queries[named]) if named in queries else ("entity_rows", entity_rows_query)
    wanted = {key: text for key, text in sorted(queries.items()) if key != name and text.strip() != sql.strip()}
    if not wanted:
        raise ConfigurationError("queries: there is none that makes a feature table; add a .sql file, one a table")
    for key in wanted:
        if not key.isidentifier():
            raise ConfigurationError(f"queries: {key!r} cannot name a table; use letters, digits and underscores")
    return wanted, name, sql
