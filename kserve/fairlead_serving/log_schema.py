"""What the prediction log holds: its columns, by model, as JSON lines in a journal and as Parquet for everybody.

Version 1. A row of `predictions`, in this order:

    request_id   string                 the client's, or the server's; unique with `row` and `digest`
    row          int32                  the row within its request, from 0
    model        string                 the name under which it was served
    digest       string                 the package that predicted, sha256:…
    time         timestamp[us, UTC]     when the request arrived
    as_of        timestamp[us, UTC]     the prediction time: features known later were not used
    seconds      double                 from arrival to the prediction
    protocol     string                 v1, v2 or grpc
    trace_id     string or null         the W3C trace that the request belonged to
    probability | prediction | score    double; of several classes list<double>
    decision     bool | string          what was decided; of yes/no and of several classes only
    feature_X    double | string        each input of the model as it was used; null where missing; images as digests
    event_time_X timestamp[us, UTC]     of features that were looked up: when they were observed
    stale        list<string>           features that were not fresh (`future:X`: known only after `as_of`)
    position     int64                  the row's place in the journal that it was first written to

A row of `feedback`: request_id, row, outcome (double; of several classes string), time (when reported), position.

Features are columns, not a map: a column keeps its type, is read alone (DuckDB and pandas read two of fifty features
without touching the others), is filtered by its statistics, and needs no unpacking: `SELECT feature_hour` and
`frame.feature_hour`. The price is that versions with other inputs have other columns, which DuckDB's
`union_by_name = true` and the reader `fairlead.predictions` put together. Parquet files carry the version and the model
as metadata (`fairlead.log`).
"""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa

VERSION = 1
METADATA = b"fairlead.log"
FEATURE, EVENT_TIME = "feature_", "event_time_"
MOMENT = pa.timestamp("us", tz="UTC")
POSITION = "position"
NUMBER, TEXT, BOOL = "number", "text", "bool"
_TYPES = {NUMBER: pa.float64(), TEXT: pa.string(), BOOL: pa.bool_()}
_OUTPUTS = ("probability", "prediction", "score")


@dataclass(frozen=True)
class LogSchema:
    """The columns of one model's log.

    Attributes:
        log: `predictions` or `feedback`.
        model: The name under which the model is served.
        digest: The package's digest.
        output: The name of the model's output.
        classes: How many classes it tells apart; 0 where its output is one number.
        decision: `bool`, `text`, or empty where nothing is decided.
        features: `number` or `text` by input.
        views: The features of each view that has event times.
        outcome: `number` or `text`.
    """

    log: str
    model: str = ""
    digest: str = ""
    output: str = "probability"
    classes: int = 0
    decision: str = ""
    features: Mapping[str, str] = field(default_factory=dict)
    views: Mapping[str, Sequence[str]] = field(default_factory=dict)
    outcome: str = NUMBER

    def to_json(self) -> dict[str, Any]:
        """The first line of a journal, and the metadata of a Parquet file."""
        views = {name: list(features) for name, features in self.views.items()}
        return {
            "fairlead": VERSION, "log": self.log, "model": self.model, "digest": self.digest, "output": self.output,
            "classes": self.classes, "decision": self.decision, "features": dict(self.features), "views": views,
            "outcome": self.outcome,
        }  # fmt: skip

    @classmethod
    def from_json(cls, content: Any) -> "LogSchema | None":
        """Reads a journal's first line; None where it is none that this version knows."""
        if not isinstance(content, dict) or content.get("fairlead") != VERSION:
            return None
        known = {name: content[name] for name in cls.__dataclass_fields__ if name in content}
        return cls(**known)

    @cached_property
    def lines(self) -> pa.Schema:
        """The types of a journal's lines, for Arrow's JSON reader."""
        if self.log == "feedback":
            return pa.schema([*_named("request_id", "row"), ("outcome", _TYPES[self.outcome]), ("time", MOMENT)])
        return pa.schema([
            *_named("request_id", "row", "digest", "time", "as_of", "seconds", "protocol", "trace_id"),
            (self.output, self._output_type),
            *([("decision", _TYPES[self.decision])] if self.decision else []),
            ("features", pa.struct([(name, _TYPES[kind]) for name, kind in self.features.items()])),
            ("times", pa.struct([(name, pa.int64()) for name in self.views])),
            ("stale", pa.list_(pa.string())),
        ])  # fmt: skip

    @cached_property
    def table(self) -> pa.Schema:
        """The columns of a Parquet file."""
        metadata = {METADATA: json.dumps(self.to_json()).encode()}
        if self.log == "feedback":
            return pa.schema([*self.lines, pa.field(POSITION, pa.int64())], metadata)
        return pa.schema([
            *_named("request_id", "row", "model", "digest", "time", "as_of", "seconds", "protocol", "trace_id"),
            (self.output, self._output_type),
            *([("decision", _TYPES[self.decision])] if self.decision else []),
            *((FEATURE + name, _TYPES[kind]) for name, kind in self.features.items()),
            *((EVENT_TIME + name, MOMENT) for features in self.views.values() for name in features),
            ("stale", pa.list_(pa.string())),
            (POSITION, pa.int64()),
        ], metadata)  # fmt: skip

    @property
    def _output_type(self) -> pa.DataType:
        return pa.list_(pa.float64()) if self.classes else pa.float64()


_FIXED = {
    "request_id": pa.string(), "row": pa.int32(), "model": pa.string(), "digest": pa.string(), "time": MOMENT,
    "as_of": MOMENT, "seconds": pa.float64(), "protocol": pa.string(), "trace_id": pa.string(),
}  # fmt: skip


def _named(*names: str) -> list[tuple[str, pa.DataType]]:
    return [(name, _FIXED[name]) for name in names]


def flatten(schema: LogSchema, lines: pa.Table, first: int) -> pa.Table:
    """Turns a journal's lines into the columns of the log.

    Args:
        schema: The log's.
        lines: (N rows) with `schema.lines`.
        first: The position of the first one.

    Returns:
        (N rows) with `schema.table`.
    """
    positions = pa.array(range(first, first + lines.num_rows), pa.int64())
    if schema.log == "feedback":
        return lines.append_column(POSITION, positions).cast(schema.table)
    features, times = _children(lines["features"]), _children(lines["times"])
    columns: dict[str, Any] = {name: lines[name] for name in lines.column_names if name not in ("features", "times")}
    columns["model"] = pa.repeat(pa.scalar(schema.model), lines.num_rows)
    columns |= {FEATURE + name: values for name, values in features.items()}
    for view, names in schema.views.items():
        moments = _moments(times[view])
        columns |= {EVENT_TIME + name: moments for name in names}
    columns[POSITION] = positions
    return pa.table([columns[name] for name in schema.table.names], schema=schema.table)


def _children(column: pa.ChunkedArray) -> dict[str, pa.Array]:
    whole = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    names = [whole.type.field(number).name for number in range(whole.type.num_fields)]
    return dict(zip(names, whole.flatten(), strict=True))


def _moments(seconds: pa.Array) -> pa.Array:
    """Seconds since 1970 as moments; 0 and null are none."""
    import pyarrow.compute as pc

    known = pc.if_else(pc.equal(seconds, 0), None, seconds)
    return pc.multiply(known, 1_000_000).cast(MOMENT)


def guess_schema(log: str, entries: Sequence[Mapping[str, Any]]) -> LogSchema:
    """The schema of lines that no header describes, as older versions and other servers write them."""
    if log == "feedback":
        texts = any(isinstance(entry.get("outcome"), str) for entry in entries)
        return LogSchema(log, outcome=TEXT if texts else NUMBER)
    first = entries[0] if entries else {}
    output = next((name for name in _OUTPUTS if any(name in entry for entry in entries)), "probability")
    lists = [entry[output] for entry in entries if isinstance(entry.get(output), list)]
    features: dict[str, str] = {}
    for entry in entries:
        for name, value in (entry.get("features") or {}).items():
            if value is not None and features.get(name) != TEXT:
                features[name] = TEXT if isinstance(value, str) else NUMBER
    return LogSchema(
        log, str(first.get("model", "")), str(first.get("digest", "")), output, max(map(len, lists), default=0),
        features=features,
    )  # fmt: skip


def table_of_entries(schema: LogSchema, entries: Sequence[tuple[int, Mapping[str, Any]]]) -> pa.Table:
    """Turns parsed lines into the columns of the log, one by one; what does not fit a column becomes null.

    Args:
        schema: The log's.
        entries: Positions and lines.

    Returns:
        (N rows) with `schema.table`.
    """
    views = {name: view for view, names in schema.views.items() for name in names}
    columns = []
    for item in schema.table:
        values = [position if item.name == POSITION else _value(item.name, entry, views) for position, entry in entries]
        columns.append(pa.array([_fit(value, item.type) for value in values], item.type))
    table = pa.table(columns, schema=schema.table)
    if schema.log == "predictions" and schema.model:
        place = schema.table.get_field_index("model")
        return table.set_column(place, "model", pa.repeat(pa.scalar(schema.model), table.num_rows))
    return table


def _value(name: str, entry: Mapping[str, Any], views: Mapping[str, str]) -> Any:
    if name in entry:
        return entry[name]
    if name == "row":
        return 0
    if name.startswith(FEATURE):
        return (entry.get("features") or {}).get(name.removeprefix(FEATURE))
    if name.startswith(EVENT_TIME):
        seconds = (entry.get("times") or {}).get(views[name.removeprefix(EVENT_TIME)])
        return dt.datetime.fromtimestamp(seconds, dt.UTC) if seconds else None
    return None


def _fit(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    try:
        return _convert(value, kind)
    except (TypeError, ValueError):
        return None


def _convert(value: Any, kind: pa.DataType) -> Any:
    if pa.types.is_timestamp(kind):
        moment = value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(value)
        return moment.astimezone(dt.UTC)
    if pa.types.is_floating(kind):
        return float(value)
    if pa.types.is_integer(kind):
        return int(value)
    if pa.types.is_list(kind):
        return [_convert(part, kind.value_type) for part in (value if isinstance(value, list) else [value])]
    if pa.types.is_boolean(kind):
        return bool(value)
    return str(value)
