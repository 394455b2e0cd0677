"""Publishing feature tables where servers and people find them, and telling whether their past has changed."""

import shutil
from datetime import datetime
from pathlib import Path

from fairlead import atomic
from fairlead.datasets import parquet_glob
from fairlead.errors import SourceError
from fairlead.features import query
from fairlead.features.tables import EVENT_TIMESTAMP, FeatureTables, read_tables


def publish(tables: FeatureTables, target: Path) -> FeatureTables:
    """Copies the tables to their public place, unless the same ones lie there.

    Args:
        tables: The tables.
        target: The public folder; what lies there is replaced as a whole.

    Returns:
        The tables as published.
    """
    try:
        there = read_tables(target)
        if there.digest == tables.digest and there.as_of == tables.as_of:
            return there
    except SourceError:
        pass  # nothing there yet, or not whole: it is replaced
    with atomic.directory(target) as folder:
        shutil.copytree(tables.path, folder, dirs_exist_ok=True)
    return read_tables(target)


def fingerprint(tables: FeatureTables, moment: datetime) -> dict[str, str]:
    """A fingerprint of each table's rows up to a moment: equal if no row of the past has changed.

    Args:
        tables: The tables.
        moment: The last event time that counts.

    Returns:
        Row count and the sum of the rows' hashes, by table.
    """
    found = {}
    with query.connect() as connection:
        for name in sorted(tables.manifests):
            pattern = parquet_glob(tables.path / name).replace("'", "''")
            sql = (
                f"SELECT count(*), sum(hash(t)::HUGEINT) FROM read_parquet('{pattern}') t "  # noqa: S608
                f"WHERE {EVENT_TIMESTAMP} <= '{moment.isoformat()}'"
            )
            with query.errors_told(f"feature table {name}"):
                count, total = connection.execute(sql).fetchone() or (0, 0)
            found[name] = f"{count}:{total}"
    return found
