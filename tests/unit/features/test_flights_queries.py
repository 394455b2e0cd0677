"""The flights' queries: what is known when, and nothing sooner."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fairlead.datasets import write_dataset
from fairlead.features import query
from fairlead.features.compute_features.table import make_table

REPOSITORY_ROOT = Path(__file__).resolve().parents[3]
QUERIES = {
    file.stem: file.read_text()
    for file in sorted((REPOSITORY_ROOT / "pipelines/fairlead_pipelines/flights/features").glob("*.sql"))
}
FLIGHT_TYPES = {
    "carrier": pa.string(), "flight": pa.int32(), "tailnum": pa.string(), "origin": pa.string(), "dest": pa.string(),
    "dep_delay": pa.float32(), "arr_delay": pa.float32(), "air_time": pa.float32(), "distance": pa.float32(),
    "hour": pa.int8(), "minute": pa.int8(), "time_hour": pa.timestamp("us", "UTC"),
}  # fmt: skip
WEATHER_TYPES = {
    "origin": pa.string(), "temp": pa.float32(), "wind_speed": pa.float32(), "precip": pa.float32(),
    "visib": pa.float32(), "pressure": pa.float32(), "time_hour": pa.timestamp("us", "UTC"),
}  # fmt: skip
NINE = datetime(2013, 3, 5, 14, tzinfo=UTC)  # 9:00 in New York


def flight(number: int = 1, minute: int = 30, **changes: Any) -> dict[str, Any]:
    """A flight scheduled at 9:30 in New York that leaves 10 minutes late, flies 100 minutes and lands 20 late."""
    usual = {
        "carrier": "AA", "flight": number, "tailnum": "N1", "origin": "JFK", "dest": "BOS", "dep_delay": 10.0,
        "arr_delay": 20.0, "air_time": 100.0, "distance": 187.0, "hour": 9, "minute": minute, "time_hour": NINE,
    }  # fmt: skip
    return usual | changes


def run(folder: Path, name: str, flights: list[dict[str, Any]], as_of: datetime | None = None) -> list[dict[str, Any]]:
    """The rows of one query over some flights and two hours of weather."""
    hours = [
        {"origin": "JFK", "temp": 40.0, "time_hour": NINE},
        {"origin": "JFK", "time_hour": NINE + timedelta(hours=1)},
    ]
    for dataset, rows, kinds in (("flights", flights, FLIGHT_TYPES), ("weather", hours, WEATHER_TYPES)):
        table = pa.Table.from_pylist(rows, pa.schema(list(kinds.items())))
        write_dataset(folder / dataset, [table], table.schema, name=dataset, source="made up")
    with query.connect() as connection:
        views = query.create_views(connection, [folder / "flights", folder / "weather"])
        query.set_moment(connection, "as_of", as_of)
        table = make_table(connection, name, QUERIES[name], as_of, views, entity_rows=name == "flight_rows")
        order = ", ".join(["event_timestamp", *table.keys])
        found = query.stream(connection, f"SELECT * FROM {table.relation} ORDER BY {order}")  # noqa: S608
        return list(found.read_all().to_pylist())


def test_the_question_is_asked_two_hours_before_the_schedule(tmp_path: Path) -> None:
    """In UTC, whatever the local hour says; the answer is known at the landing."""
    (row,) = run(tmp_path, "flight_rows", [flight()])
    assert row["scheduled_departure"] == NINE + timedelta(minutes=30)
    assert row["event_timestamp"] == NINE - timedelta(minutes=90)
    assert (row["late"], row["label_timestamp"]) == (1, NINE + timedelta(minutes=30 + 10 + 100 + 30))


@pytest.mark.parametrize(("arr_delay", "late"), [(14.0, 0), (15.0, 1), (-20.0, 0)])
def test_fifteen_minutes_are_late(tmp_path: Path, arr_delay: float, late: int) -> None:
    """The limit itself counts as late."""
    assert run(tmp_path, "flight_rows", [flight(arr_delay=arr_delay)])[0]["late"] == late


def test_cancelled_and_diverted_flights_stay_without_an_answer(tmp_path: Path) -> None:
    """They have no label and no tail number perhaps, and are kept."""
    cancelled = flight(1, tailnum=None, dep_delay=None, arr_delay=None, air_time=None)
    diverted = flight(2, arr_delay=None, air_time=None)
    rows = run(tmp_path, "flight_rows", [cancelled, diverted, flight(3)])
    assert [(row["late"], row["label_timestamp"] is None) for row in rows] == [(None, True), (None, True), (1, False)]
    assert [row["tailnum"] for row in rows] == ["", "N1", "N1"]


def test_flights_still_in_the_air_have_no_answer(tmp_path: Path) -> None:
    """A label that is not known as of now is missing; a flight not yet asked about is not there."""
    landing = NINE + timedelta(minutes=170)
    assert run(tmp_path, "flight_rows", [flight()], landing)[0]["late"] == 1
    (row,) = run(tmp_path, "flight_rows", [flight()], landing - timedelta(seconds=1))
    assert (row["late"], row["label_timestamp"]) == (None, None)


def test_a_landing_is_known_after_it(tmp_path: Path) -> None:
    """At 16:50 it has landed: the row of 17:00 is the first to know."""
    for name in ("carrier_delays", "dest_delays"):
        first = run(tmp_path, name, [flight()])[0]
        assert first["event_timestamp"] == datetime(2013, 3, 5, 17, tzinfo=UTC)
    morning = run(tmp_path, "route_delays", [flight()])[0]
    assert morning["event_timestamp"] == datetime(2013, 3, 6, 9, tzinfo=UTC)
    assert (morning["route_late_rate_14d"], morning["route_arrival_delay_14d"]) == (1.0, 20.0)


def test_a_departure_is_known_after_it(tmp_path: Path) -> None:
    """At 14:40 it has left: the row of 15:00 is the first to know."""
    first = run(tmp_path, "origin_delays", [flight()])[0]
    assert first["event_timestamp"] == datetime(2013, 3, 5, 15, tzinfo=UTC)
    assert (first["origin_departures_3h"], first["origin_departure_delay_3h"]) == (1.0, 10.0)


def test_windows_close(tmp_path: Path) -> None:
    """What is older than the window no longer counts; rates of nothing are missing, counts are 0."""
    later = flight(2, time_hour=NINE + timedelta(days=2), arr_delay=0.0, dep_delay=0.0)
    carriers = run(tmp_path, "carrier_delays", [flight(), later])
    assert (carriers[24]["carrier_departures_1d"], carriers[24]["carrier_late_rate_1d"]) == (0.0, None)
    assert carriers[24]["carrier_late_rate_7d"] == 1.0
    assert carriers[-1]["carrier_late_rate_7d"] == 0.5
    origins = run(tmp_path, "origin_delays", [flight(), later])
    assert [row["origin_departures_3h"] for row in origins[4:8]] == [1.0, 1.0, 0.0, 0.0]
    dests = run(tmp_path, "dest_delays", [flight(), later])
    assert [row["dest_late_rate_6h"] for row in dests] == [1.0, None, 0.0, None]


def test_an_aircraft_ages_on_the_ground(tmp_path: Path) -> None:
    """A row at the landing and as it grows old, until the next landing takes over."""
    again = flight(2, time_hour=NINE + timedelta(hours=5), arr_delay=3.0)
    rows = run(tmp_path, "aircraft_state", [flight(), again, flight(3, tailnum=None), flight(4, tailnum="")])
    assert [row["aircraft_hours_since_landing"] for row in rows] == [0.0, 3.0, 0.0, 3.0, 6.0, 12.0, 24.0, 72.0]
    assert [row["aircraft_last_arrival_delay"] for row in rows[:3]] == [20.0, 20.0, 3.0]
    assert rows[2]["aircraft_late_rate_7d"] == 0.5


def test_weather_is_published_an_hour_later(tmp_path: Path) -> None:
    """Gaps in a row stay gaps."""
    rows = run(tmp_path, "origin_weather", [flight()])
    assert [row["event_timestamp"] for row in rows] == [NINE + timedelta(hours=1), NINE + timedelta(hours=2)]
    assert [row["origin_temp"] for row in rows] == [40.0, None]


def flights_of_three_days() -> list[dict[str, Any]]:
    """Some flights of three aircraft and two carriers."""
    return [
        flight(
            at, minute=(7 * at) % 60, carrier=("AA", "UA")[at % 2], tailnum=f"N{at % 3}", dest=("BOS", "ORD")[at % 2],
            time_hour=NINE + timedelta(hours=at), arr_delay=float((11 * at) % 45 - 10), dep_delay=float((5 * at) % 30),
        )
        for at in range(60)
    ]  # fmt: skip


@pytest.mark.parametrize("name", [name for name in QUERIES if name != "flight_rows"])
def test_the_future_changes_nothing(tmp_path: Path, name: str) -> None:
    """Whatever flights do later, rows of the past stay: both when they are filtered and when they are changed."""
    now = NINE + timedelta(hours=36)
    flights = flights_of_three_days()
    whole = [row for row in run(tmp_path / "a", name, flights) if row["event_timestamp"] <= now]
    assert run(tmp_path / "b", name, flights, now) == whole
    changed = [row | {"arr_delay": 200.0, "dep_delay": 199.0} if row["time_hour"] > now else row for row in flights]
    assert run(tmp_path / "c", name, changed, now) == whole
