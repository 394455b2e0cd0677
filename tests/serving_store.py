"""Makes a tiny Feast repository with a filled online store: SQLite, or Redis where its address is given.

python tests/serving_store.py FOLDER [HOST:PORT,password=…]

Views: `carriers` by carrier (rate; AA at 09:00, DL at 09:30, UA three days before, HA at 23:00, all of 2013-07-01) and
`routes` by origin and carrier (delay; JFK with AA). Feature service: `tiny`.
"""

import datetime as dt
import json
import sys
from pathlib import Path
from typing import Any

sys.modules["torch"] = None  # type: ignore[assignment] # Feast imports it without need

import pandas as pd  # noqa: E402
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, ValueType  # noqa: E402
from feast.types import Float32  # noqa: E402

CONFIGURATION = """project: tiny
provider: local
registry: registry.db
online_store: STORE
offline_store: {type: duckdb}
entity_key_serialization_version: 3
"""
DAY = pd.Timestamp("2013-07-01", tz="UTC")
CARRIERS = {"AA": (0.25, 9.0), "DL": (0.5, 9.5), "UA": (0.75, -72.0), "HA": (1.0, 23.0)}


def view(folder: Path, name: str, entities: list[Entity], feature: str) -> FeatureView:
    """Declare a view of one feature."""
    source = FileSource(name=f"{name}_source", path=str(folder / f"{name}.parquet"), timestamp_field="event_timestamp")
    schema = [Field(name=feature, dtype=Float32)]
    return FeatureView(name=name, entities=entities, ttl=dt.timedelta(days=1), schema=schema, source=source)


def main(folder: Path, redis: str = "") -> None:
    """Make the repository."""
    folder.mkdir(parents=True, exist_ok=True)
    online = {"type": "redis", "connection_string": redis} if redis else {"type": "sqlite", "path": "online.db"}
    (folder / "feature_store.yaml").write_text(CONFIGURATION.replace("STORE", json.dumps(online)))
    carrier = Entity(name="carrier", join_keys=["carrier"], value_type=ValueType.STRING)
    origin = Entity(name="origin", join_keys=["origin"], value_type=ValueType.STRING)
    columns = {"carrier": list(CARRIERS), "rate": [rate for rate, _ in CARRIERS.values()]}
    times = [DAY + pd.Timedelta(hours=hours) for _, hours in CARRIERS.values()]
    carriers = pd.DataFrame({**columns, "event_timestamp": times})
    routes = pd.DataFrame({"origin": ["JFK"], "carrier": ["AA"], "delay": [7.0], "event_timestamp": [DAY]})
    for name, frame in (("carriers", carriers), ("routes", routes)):
        frame.to_parquet(folder / f"{name}.parquet")
    views: list[Any] = [view(folder, "carriers", [carrier], "rate"), view(folder, "routes", [origin, carrier], "delay")]
    store = FeatureStore(repo_path=str(folder))
    store.apply([carrier, origin, *views, FeatureService(name="tiny", features=views)])
    store.write_to_online_store("carriers", carriers)
    store.write_to_online_store("routes", routes)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
