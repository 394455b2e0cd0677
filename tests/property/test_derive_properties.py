"""derive agrees with Python's own calendar at every moment and in every zone."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from fairlead_serving.derive import PARTS, derive

ZONES = ("UTC", "America/New_York", "Europe/Madrid", "Asia/Kathmandu", "Australia/Lord_Howe")
moments = st.datetimes(datetime(1990, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def by_python(moment: datetime, zone: str) -> dict[str, float]:
    """The parts as Python finds them."""
    local = moment.astimezone(ZoneInfo(zone))
    return {
        "hour": local.hour, "minute": local.minute, "minute_of_day": local.hour * 60 + local.minute,
        "weekday": local.weekday(), "month": local.month, "day_of_year": local.timetuple().tm_yday,
    }  # fmt: skip


@given(st.lists(moments, min_size=1, max_size=5), st.sampled_from(ZONES))
def test_parts_are_pythons(times: list[datetime], zone: str) -> None:
    """Each part of each moment."""
    specs = [{"name": part, "field": "at", "part": part, "time_zone": zone} for part in PARTS]
    found = derive({"at": times}, specs)
    for row, moment in enumerate(times):
        assert {name: values[row] for name, values in found.items()} == by_python(moment, zone)


@given(st.lists(moments | st.none(), max_size=5), st.sampled_from(ZONES))
def test_one_row_at_a_time_gives_the_same(times: list[datetime | None], zone: str) -> None:
    """Serving a row alone, as text, equals training on all rows as Arrow times."""
    specs = [{"name": "m", "field": "at", "part": "minute_of_day", "time_zone": zone}]
    together = derive({"at": pa.array(times, pa.timestamp("us", "UTC"))}, specs)["m"]
    texts = [time.isoformat() if time else None for time in times]
    alone = [derive({"at": [text]}, specs)["m"][0] for text in texts]
    assert [repr(a) for a in alone] == [repr(b) for b in together]
