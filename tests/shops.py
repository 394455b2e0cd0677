"""A small world of features: shops, their visits, and whether the next hour will be busy.

`make_world(folder)` writes the visits and the Feast repository, and computes feature tables and entity rows.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from fairlead.datasets import write_dataset
from fairlead.features.build_training_set.task import TrainingSet
from fairlead.features.compute_features.task import Computed, compute_features

START = datetime(2024, 3, 1, tzinfo=UTC)
HOURS = 24 * 12
SHOPS = ("north", "south", "west")

QUERIES = {
    "shop_guests": """
        SELECT shop, opened + INTERVAL 1 HOUR AS event_timestamp,
            guests::FLOAT AS guests_last,
            (avg(guests) OVER (PARTITION BY shop ORDER BY opened ROWS 23 PRECEDING))::FLOAT AS guests_mean_1d
        FROM visits WHERE opened + INTERVAL 1 HOUR <= getvariable('as_of')
    """,
    "town_guests": """
        SELECT town, date_trunc('day', opened) + INTERVAL 1 DAY AS event_timestamp, sum(guests)::BIGINT AS town_total
        FROM visits GROUP BY ALL
    """,
    "rows": """
        SELECT shop, town, opened, opened - INTERVAL 2 HOUR AS event_timestamp,
            CASE WHEN opened + INTERVAL 1 HOUR <= getvariable('as_of') AND guests IS NOT NULL
                THEN (guests >= 6)::TINYINT END AS busy,
            CASE WHEN opened + INTERVAL 1 HOUR <= getvariable('as_of') AND guests IS NOT NULL
                THEN opened + INTERVAL 1 HOUR END AS known
        FROM visits
    """,
}

REPOSITORY = '''
"""Shops."""
import os
from datetime import timedelta
from pathlib import Path

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float32, Int64

tables = Path(os.environ["FAIRLEAD_FEATURE_TABLES"])
shop = Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING)
town = Entity(name="town", join_keys=["town"], value_type=ValueType.STRING)
shop_guests = FeatureView(
    name="shop_guests", entities=[shop], ttl=timedelta(hours=6),
    schema=[Field(name="guests_last", dtype=Float32), Field(name="guests_mean_1d", dtype=Float32)],
    source=FileSource(
        name="shop_guests", path=str(tables / "shop_guests" / "*.parquet"), timestamp_field="event_timestamp"
    ),
)
town_guests = FeatureView(
    name="town_guests", entities=[town], schema=[Field(name="town_total", dtype=Int64)],
    source=FileSource(
        name="town_guests", path=str(tables / "town_guests" / "*.parquet"), timestamp_field="event_timestamp"
    ),
)
shops = FeatureService(name="shops", features=[shop_guests, town_guests])
'''

REQUEST: dict[str, Any] = {
    "fields": {"shop": "string", "town": "string", "opened": "timestamp"},
    "prediction_time": {"field": "opened", "minus_seconds": 7200.0},
    "derive": [{"name": "hour", "field": "opened", "part": "hour", "time_zone": "Europe/Madrid"}],
    "freshness": {"maximum_age_seconds": 86400.0 * 30},
}
LABEL = {"column": "busy", "known_at": "known"}
WINDOW = ["2024-03-03", "2024-03-10"]
AS_OF = "2024-03-11T00:00:00+00:00"


def make_visits() -> pa.Table:
    """Three shops, one row an hour; south is closed for two days; every 17th hour of north was not counted."""
    rows = [
        {"shop": shop, "town": "east" if shop == "west" else "mid", "opened": START + timedelta(hours=hour),
         "guests": None if shop == "north" and hour % 17 == 0 else (hour * (at + 3) + hour // 24) % 11}
        for hour in range(HOURS) for at, shop in enumerate(SHOPS)
        if not (shop == "south" and 24 * 6 <= hour < 24 * 8)
    ]  # fmt: skip
    kinds = [
        ("shop", pa.string()),
        ("town", pa.string()),
        ("opened", pa.timestamp("us", "UTC")),
        ("guests", pa.int64()),
    ]
    return pa.Table.from_pylist(rows, pa.schema(kinds))


@dataclass
class World:
    """Files of the small world and what the stages before made of them."""

    folder: Path
    visits: Path
    repository: Path
    computed: Computed
    built: TrainingSet | None = None

    @property
    def features(self) -> Path:
        """The feature tables."""
        return self.folder / "features"

    @property
    def rows(self) -> Path:
        """The entity rows."""
        return self.folder / "rows"

    @property
    def training_set(self) -> Path:
        """The training set."""
        return self.folder / "training_set"


def write_visits(folder: Path, table: pa.Table) -> Path:
    """Writes the dataset `visits`."""
    write_dataset(folder / "visits", [table], table.schema, name="visits", source="made up", time_column="opened")
    return folder / "visits"


def make_world(folder: Path) -> World:
    """The small world, its features computed."""
    repository = folder / "repository"
    repository.mkdir()
    (repository / "shops_features.py").write_text(REPOSITORY)
    visits = write_visits(folder, make_visits())
    computed = compute_features(
        [visits], folder / "features", folder / "rows", QUERIES, "rows", AS_OF, report=folder / "features.html"
    )
    return World(folder, visits, repository, computed)
