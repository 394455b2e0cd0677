"""What is known about flights before they leave: entities, feature views, and the service that the model asks.

The tables lie under the folder that FAIRLEAD_FEATURE_TABLES names, one folder of Parquet files a table; the queries
that make them are pipelines/fairlead_pipelines/flights/features/*.sql. A row's event_timestamp is when its values were
known. `ttl` is how long they may be used. Where a table has a row at every hour, as most have, a row is followed by the
next long before that: the short ttl changes no value, but without it Feast's join pairs each flight with every row of
the past. Feast enforces ttl in joins only; the server's limits are `request.freshness` of the problem.
"""

import os
from datetime import timedelta
from pathlib import Path

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float32

_TABLES = Path(os.environ.get("FAIRLEAD_FEATURE_TABLES", "../.fairlead/features/flights/tables"))
_HOURS = timedelta(hours=1)

carrier = Entity(name="carrier", join_keys=["carrier"], value_type=ValueType.STRING, description="Two-letter airline")
origin = Entity(name="origin", join_keys=["origin"], value_type=ValueType.STRING, description="EWR, JFK or LGA")
dest = Entity(name="dest", join_keys=["dest"], value_type=ValueType.STRING, description="Airport of destination")
tailnum = Entity(name="tailnum", join_keys=["tailnum"], value_type=ValueType.STRING, description="One aircraft")


def _view(name: str, entities: list[Entity], ttl: timedelta, features: dict[str, str]) -> FeatureView:
    """Declares the view of the table of the same name; `features` are descriptions by name."""
    return FeatureView(
        name=name,
        entities=entities,
        ttl=ttl,
        schema=[Field(name=feature, dtype=Float32, description=text) for feature, text in features.items()],
        source=FileSource(name=name, path=str(_TABLES / name / "*.parquet"), timestamp_field="event_timestamp"),
    )


carrier_delays = _view(
    "carrier_delays",
    [carrier],
    3 * _HOURS,
    {
        "carrier_late_rate_1d": "share of its landings of the last day that were 15 minutes late or more",
        "carrier_late_rate_7d": "the same over the last week",
        "carrier_departures_1d": "its flights that landed within the last day",
    },
)
origin_delays = _view(
    "origin_delays",
    [origin],
    2 * _HOURS,
    {
        "origin_departure_delay_3h": "mean delay of the departures of the last 3 hours, minutes",
        "origin_late_rate_3h": "share of them that left 15 minutes late or more",
        "origin_departures_3h": "their number",
    },
)
origin_weather = _view(
    "origin_weather",
    [origin],
    12 * _HOURS,
    {
        "origin_temp": "temperature, degrees Fahrenheit",
        "origin_wind_speed": "wind, miles an hour",
        "origin_precip": "precipitation of the hour, inches",
        "origin_visib": "visibility, miles",
        "origin_pressure": "pressure at sea level, millibars",
    },
)
dest_delays = _view(
    "dest_delays",
    [dest],
    6 * _HOURS,
    {
        "dest_late_rate_6h": "share of the landings of the last 6 hours that were 15 minutes late or more",
        "dest_arrival_delay_6h": "their mean delay, minutes",
    },
)
aircraft_state = _view(
    "aircraft_state",
    [tailnum],
    14 * 24 * _HOURS,
    {
        "aircraft_last_arrival_delay": "how late it landed last, minutes",
        "aircraft_hours_since_landing": "0, 3, 6, 12, 24 or 72: at least so many hours ago",
        "aircraft_late_rate_7d": "share of its landings of the last week that were 15 minutes late or more",
    },
)
route_delays = _view(
    "route_delays",
    [origin, dest],
    48 * _HOURS,
    {
        "route_late_rate_14d": "share of the landings of the last 14 days that were 15 minutes late or more",
        "route_arrival_delay_14d": "their mean delay, minutes",
        "route_distance": "distance, miles",
    },
)

flights = FeatureService(
    name="flights",
    features=[carrier_delays, origin_delays, origin_weather, dest_delays, aircraft_state, route_delays],
    description="What the flights model is asked with, beside the request itself",
)
