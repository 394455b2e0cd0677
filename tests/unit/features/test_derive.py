"""derive gives the same calendar parts for every way to write a time."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from fairlead_serving.derive import PARTS, derive, timestamps

SPECS = [{"name": part, "field": "leaves", "part": part, "time_zone": "America/New_York"} for part in PARTS]
NOON = datetime(2013, 7, 1, 16, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "values",
    [
        [NOON],
        [NOON.astimezone(timezone(timedelta(hours=9)))],
        ["2013-07-01T16:05:00Z"],
        ["2013-07-01 12:05:00-04:00"],
        np.array(["2013-07-01T16:05:00.000001+00:00"]),
        np.array([NOON], dtype=object),
        pa.array([NOON], pa.timestamp("ns", "Europe/Madrid")),
        pa.chunked_array([pa.array([NOON], pa.timestamp("us", "UTC"))]),
        pd.Series([pd.Timestamp(NOON)]),
        [pd.Timestamp(NOON)],
    ],
)
def test_every_way_to_write_a_time(values: Any) -> None:
    """Datetimes, texts, Arrow, pandas and NumPy give the same parts of New York's clock."""
    found = derive({"leaves": values}, SPECS)
    expected = {"hour": 12, "minute": 5, "minute_of_day": 725, "weekday": 0, "month": 7, "day_of_year": 182}
    assert {name: array.tolist() for name, array in found.items()} == {k: [float(v)] for k, v in expected.items()}
    assert all(array.dtype == np.float32 for array in found.values())


def test_summer_time_is_followed() -> None:
    """An hour apart in UTC, two apart on the wall clock when New York's clocks go forward."""
    found = derive({"leaves": ["2013-03-10T06:30:00Z", "2013-03-10T07:30:00Z"]}, SPECS)
    assert found["hour"].tolist() == [1.0, 3.0]


def test_missing_values_are_nan() -> None:
    """None stays missing, alone or among others."""
    assert np.isnan(derive({"leaves": [None]}, SPECS)["hour"]).all()
    assert np.isnan(derive({"leaves": [None, "2013-07-01T16:05:00Z"]}, SPECS)["hour"]).tolist() == [True, False]
    assert derive({"leaves": []}, SPECS)["hour"].shape == (0,)


@pytest.mark.parametrize(
    "value",
    ["2013-07-01T16:05:00", datetime(2013, 7, 1), np.datetime64("2013-07-01T16:05", "us"), "noon", 5, 5.5, True],  # noqa: DTZ001
)
def test_a_time_without_zone_or_no_time_is_refused(value: Any) -> None:
    """Nothing is guessed: the message names the field and shows how to write it."""
    values: Any = np.array([value]) if isinstance(value, np.generic) else [value]
    with pytest.raises(ValueError, match=r"leaves.*2013-07-01T12:30:00Z"):
        derive({"leaves": values}, SPECS)


def test_the_wrong_row_is_named() -> None:
    """Among many rows the message tells which."""
    with pytest.raises(ValueError, match="leaves, row 2: 'soon'"):
        derive({"leaves": ["2013-07-01T16:05:00Z", None, "soon"]}, SPECS)


def test_unknown_field_part_and_zone() -> None:
    """Each is named with what there is."""
    with pytest.raises(ValueError, match="the field leaves is missing; there are arrives"):
        derive({"arrives": []}, SPECS)
    with pytest.raises(ValueError, match="'century' is unknown; there are hour"):
        derive({"leaves": []}, [{"name": "c", "field": "leaves", "part": "century"}])
    with pytest.raises(ValueError, match="time zone 'Mars/North' is unknown"):
        derive({"leaves": [NOON]}, [{"name": "h", "field": "leaves", "part": "hour", "time_zone": "Mars/North"}])


def test_timestamps_are_utc_microseconds() -> None:
    """The common form of all times."""
    assert timestamps([NOON]).type == pa.timestamp("us", "UTC")
