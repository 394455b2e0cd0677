"""The independent point-in-time join agrees with a walk through all rows, whatever the history."""

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.datasets import read_manifest, write_dataset
from fairlead.features import query
from fairlead.features.declarations import Lookup
from fairlead.features.leakage import asof_join
from fairlead.features.tables import FeatureTables

START = datetime(2024, 1, 1, tzinfo=UTC)
keys = st.sampled_from(["a", "b", ""])
hours = st.integers(0, 30)
history = st.dictionaries(st.tuples(keys, hours), st.none() | st.integers(0, 99), min_size=1, max_size=25)
questions = st.lists(st.tuples(keys | st.none(), hours), max_size=12)


def moment(hour: int) -> datetime:
    """Hours after the start."""
    return START + timedelta(hours=hour)


def by_walking(
    events: dict[tuple[str, int], int | None], key: str | None, hour: int, ttl_hours: int | None
) -> int | None:
    """The latest value at or before the hour, if not too old."""
    known = [at for (name, at) in events if name == key and at <= hour]
    if key is None or not known or (ttl_hours is not None and hour - max(known) > ttl_hours):
        return None
    return events[(key, max(known))]


def table_of(events: dict[tuple[str, int], int | None], folder: Path) -> FeatureTables:
    """The history as a feature table."""
    time = pa.timestamp("us", "UTC")
    rows = [{"key": key, "event_timestamp": moment(at), "value": value} for (key, at), value in events.items()]
    table = pa.Table.from_pylist(
        rows, pa.schema([("key", pa.string()), ("event_timestamp", time), ("value", pa.int64())])
    )
    write_dataset(folder / "events", [table], table.schema, name="events", source="made up")
    return FeatureTables(folder, None, {"events": ["key"]}, {"events": read_manifest(folder / "events")})


@settings(max_examples=40)
@given(history, questions, st.none() | st.integers(0, 10))
def test_the_latest_known_value_and_nothing_later(
    events: dict[tuple[str, int], int | None], asked: list[tuple[str | None, int]], ttl_hours: int | None
) -> None:
    """For every key, moment and ttl."""
    entities = pa.table({
        "who": pa.array([key for key, _ in asked], pa.string()),
        "event_timestamp": pa.array([moment(hour) for _, hour in asked], pa.timestamp("us", "UTC")),
    })  # fmt: skip
    ttl = None if ttl_hours is None else ttl_hours * 3600.0
    with tempfile.TemporaryDirectory() as folder, query.connect() as connection:
        lookup = Lookup("events", "events", {"key": "who"}, ["value"], ttl)
        found = asof_join(connection, table_of(events, Path(folder)), lookup, entities)
    assert found.column("value").to_pylist() == [by_walking(events, key, hour, ttl_hours) for key, hour in asked]
