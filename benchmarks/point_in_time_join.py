"""Feast's point-in-time join beside a bare DuckDB ASOF join, over the same rows and feature views.

    python benchmarks/point_in_time_join.py            100,000 entity rows, 6 views
    python benchmarks/point_in_time_join.py 20000      fewer

Everything is made up from a seed. Both ways must give equal values; the last line is the ratio of their times. Feast's
own join in one piece is shown too: it is what fairlead.features.join would cost without cutting time into pieces.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fairlead.datasets import read_manifest, write_dataset
from fairlead.features import query
from fairlead.features.feast_library import import_feast
from fairlead.features.join import ROWS_AT_ONCE, join_features
from fairlead.features.leakage import asof_join
from fairlead.features.tables import FeatureTables, write_manifest

START = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 120
KEYS = {"hub": 3, "carrier": 16, "place": 100, "route": 220, "station": 3, "unit": 4000}
HOURS_BETWEEN_ROWS = {"hub": 1, "carrier": 1, "place": 4, "route": 24, "station": 1, "unit": 24}
REPOSITORY = """
import os
from datetime import timedelta
from pathlib import Path
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float32

tables = Path(os.environ["FAIRLEAD_FEATURE_TABLES"])
hours = {hours}
entities = {{name: Entity(name=name, join_keys=[name], value_type=ValueType.STRING) for name in hours}}
views = [
    FeatureView(
        name=f"{{name}}_view", entities=[entities[name]], ttl=timedelta(hours=2 * hours[name]),
        schema=[Field(name=f"{{name}}_{{at}}", dtype=Float32) for at in range(3)],
        source=FileSource(name=name, path=str(tables / name / "*.parquet"), timestamp_field="event_timestamp"),
    )
    for name in hours
]
globals().update({{view.name: view for view in views}}, **entities)
everything = FeatureService(name="everything", features=views)
"""


def times_of(seconds: np.ndarray[Any, Any]) -> pa.Array:
    """Seconds after the start as Arrow times in UTC."""
    micros = (seconds * 1_000_000).astype(np.int64) + int(START.timestamp()) * 1_000_000
    return pa.array(micros, pa.timestamp("us")).cast(pa.timestamp("us", "UTC"))


def make_table(folder: Path, name: str, random: np.random.Generator) -> None:
    """Writes one feature table: a row for each key at a steady pace."""
    pace = HOURS_BETWEEN_ROWS[name] * 3600
    steps, count = DAYS * 86400 // pace, KEYS[name]
    table = pa.table({
        name: pa.array([f"{name}{key}" for key in range(count)]).take(pa.array(np.tile(np.arange(count), steps))),
        "event_timestamp": times_of(np.repeat(np.arange(steps) * pace, count)),
        **{f"{name}_{at}": pa.array(random.random(steps * count), pa.float32()) for at in range(3)},
    })  # fmt: skip
    write_dataset(folder / name, [table], table.schema, name=name, source="made up", time_column="event_timestamp")


def make_world(folder: Path, rows: int) -> tuple[FeatureTables, pa.Table]:
    """Writes tables and a repository, and draws entity rows."""
    random = np.random.default_rng(7)
    (folder / "repository").mkdir()
    (folder / "repository" / "benchmark_features.py").write_text(REPOSITORY.format(hours=HOURS_BETWEEN_ROWS))
    for name in KEYS:
        make_table(folder / "tables", name, random)
    keys = {name: [name] for name in KEYS}
    write_manifest(folder / "tables", START + timedelta(days=DAYS), keys)
    manifests = {name: read_manifest(folder / "tables" / name) for name in KEYS}
    columns = {
        name: pa.array([f"{name}{key}" for key in random.integers(0, count, rows)]) for name, count in KEYS.items()
    }
    entities = pa.table({**columns, "event_timestamp": times_of(np.sort(random.integers(86400, DAYS * 86400, rows)))})
    return FeatureTables(folder / "tables", None, keys, manifests), entities


def timed(name: str, work: Callable[[], Any]) -> tuple[Any, float]:
    """Runs and prints the seconds."""
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    print(f"{name:34} {seconds:7.2f} s")
    return result, seconds


def main(rows: int) -> None:
    """Times the ways and checks that they agree."""
    timed("import feast", import_feast)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables, entities = make_world(folder, rows)
        total = sum(manifest.row_count for manifest in tables.manifests.values())
        print(f"{rows} entity rows, {len(KEYS)} views, {total} feature rows")
        repository = str(folder / "repository")
        timed("first join, 100 rows (imports)", lambda: join_features(tables, repository, "everything", entities[:100]))
        (joined, wanted), ours = timed(
            f"Feast, {ROWS_AT_ONCE} rows at once", lambda: join_features(tables, repository, "everything", entities)
        )
        timed("Feast, all rows at once", lambda: join_features(tables, repository, "everything", entities, {}, rows))
        with query.connect() as connection:
            found, bare = timed(
                "DuckDB ASOF", lambda: [asof_join(connection, tables, lookup, entities) for lookup in wanted]
            )
        for table in found:
            for column in table.column_names:
                if not joined.column(column).equals(table.column(column)):
                    raise SystemExit(f"{column} differs between the two joins")
        print(f"equal values; ratio {ours / bare:.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
