"""Columns that are computed from the request itself: one implementation for training and for serving.

A derived column is a calendar part of a timestamp field, read in a named time zone. Training calls `derive` on whole
tables and the server calls it on the few rows of a request, so both see the same number for the same flight.

    >>> derive({"leaves": ["2013-07-01T12:30:00Z"]},
    ...        [{"name": "hour", "field": "leaves", "part": "hour", "time_zone": "America/New_York"}])
    {'hour': array([8.], dtype=float32)}
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")


def _minute_of_day(local: pa.Array) -> pa.Array:
    return pc.add(pc.multiply(pc.hour(local), 60), pc.minute(local))


PARTS: dict[str, Callable[[pa.Array], pa.Array]] = {
    "hour": pc.hour,
    "minute": pc.minute,
    "minute_of_day": _minute_of_day,
    "weekday": pc.day_of_week,  # Monday = 0
    "month": pc.month,
    "day_of_year": pc.day_of_year,
}


def derive(fields: Mapping[str, Sequence[Any]], specs: Iterable[Mapping[str, Any]]) -> dict[str, np.ndarray]:
    """Computes each derived column.

    Args:
        fields: Columns of N values by name. A timestamp column holds datetimes with a zone, ISO 8601 strings with a
            zone, or is an Arrow timestamp array with a zone; None is a missing value.
        specs: Mappings with `name`, `field`, `part` (one of PARTS) and, if not UTC, `time_zone` (an IANA name).

    Returns:
        One array by name: (N,) float32, NaN where the field is missing.

    Raises:
        ValueError: A field is absent, a value is no timestamp or has no zone, or a part or time zone is unknown.
    """
    derived: dict[str, np.ndarray] = {}
    instants: dict[str, pa.Array] = {}
    for spec in specs:
        name = spec["field"]
        if name not in instants:
            instants[name] = timestamps(_column(fields, name), name)
        derived[spec["name"]] = _part(instants[name], spec)
    return derived


def timestamps(values: Any, field: str = "timestamp") -> pa.Array:
    """Reads timestamps into one Arrow array; a value without a zone is an error, never guessed.

    Args:
        values: N datetimes, ISO 8601 strings, or an Arrow, pandas or NumPy array of them; None is a missing value.
        field: The name of the field, for errors.

    Returns:
        (N,) timestamp[us, tz=UTC].

    Raises:
        ValueError: A value is not a timestamp or states no zone.
    """
    array = _arrow(values, field)
    if pa.types.is_null(array.type):
        return array.cast(UTC_MICROSECONDS)
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        return _from_text(array, field)
    if not pa.types.is_timestamp(array.type):
        raise ValueError(f"{field} must hold timestamps with a zone, like 2013-07-01T12:30:00Z; it holds {array.type}")
    if array.type.tz is None:
        raise ValueError(f"{field} holds timestamps without a zone; state it, like 2013-07-01T12:30:00Z or -04:00")
    return pc.cast(array, UTC_MICROSECONDS, safe=False)  # finer than a microsecond is of no use to a calendar


def _column(fields: Mapping[str, Sequence[Any]], name: str) -> Any:
    if name not in fields:
        raise ValueError(f"the field {name} is missing; there are {', '.join(sorted(fields)) or 'none'}")
    return fields[name]


def _arrow(values: Any, field: str) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        return values.combine_chunks()
    if isinstance(values, pa.Array):
        return values
    if hasattr(values, "dtype") and values.dtype != object:
        return pa.array(values)
    return _from_objects(list(values), field)


def _from_objects(values: list[Any], field: str) -> pa.Array:
    present = [value for value in values if value is not None]
    if all(isinstance(value, str) for value in present):
        return pa.array(values, pa.string())
    for row, value in enumerate(values):
        _check_object(value, row, field)
    return pa.array([_in_utc(value) for value in values], UTC_MICROSECONDS)


def _in_utc(value: Any) -> dt.datetime | None:
    """Shifts a moment to UTC here: Arrow's own shift was once seen to be left out, in a server under load."""
    if value is None:
        return None
    moment = dt.datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.astimezone(dt.UTC)


def _check_object(value: Any, row: int, field: str) -> None:
    if value is None:
        return
    if isinstance(value, str):
        _from_text(pa.array([value]), field)
    elif not isinstance(value, dt.datetime):
        raise ValueError(  # noqa: TRY004 - clients get one class of error for every bad value
            f"{field}, row {row}: {value!r} is no timestamp; send one like 2013-07-01T12:30:00Z"
        )
    elif value.utcoffset() is None:
        raise ValueError(f"{field}, row {row}: {value.isoformat()} states no zone; send one like 2013-07-01T12:30:00Z")


def _from_text(array: pa.Array, field: str) -> pa.Array:
    try:
        return array.cast(UTC_MICROSECONDS)
    except pa.ArrowInvalid:
        row = _first_unreadable(array)
        raise ValueError(
            f"{field}, row {row}: {array[row].as_py()!r} is no ISO 8601 timestamp with a zone; "
            "send one like 2013-07-01T12:30:00Z or 2013-07-01T08:30:00-04:00"
        ) from None


def _first_unreadable(array: pa.Array) -> int:
    for row in range(len(array)):
        try:
            array.slice(row, 1).cast(UTC_MICROSECONDS)
        except pa.ArrowInvalid:
            return row
    return 0


def _part(instants: pa.Array, spec: Mapping[str, Any]) -> np.ndarray:
    part, zone = spec.get("part"), spec.get("time_zone") or "UTC"
    if part not in PARTS:
        raise ValueError(f"{spec.get('name')}: the part {part!r} is unknown; there are {', '.join(PARTS)}")
    try:
        values = PARTS[part](instants.cast(pa.timestamp("us", tz=zone)))
    except pa.ArrowInvalid as error:
        raise ValueError(f"{spec.get('name')}: the time zone {zone!r} is unknown ({error}); use an IANA name") from None
    return np.asarray(values.cast(pa.float32()).to_numpy(zero_copy_only=False), dtype=np.float32)
