"""Predictions with their outcomes: what came late, twice, contradicting itself, or of no prediction that is known."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_KEYS = ["request_id", "row"]
OUTCOME, REPORTED = "outcome", "reported"


@dataclass(frozen=True)
class Joined:
    """Predictions, each with its outcome where one was reported.

    Attributes:
        table: The predictions' columns, and `outcome` and `reported` (when); null where there is none. A request that
            several versions answered has a row for each.
        known: Rows with an outcome.
        waiting: Rows without one yet.
        repeated: Reports that said again what was known.
        contradicted: Rows of requests whose reports differ; the one that was reported last counts.
        unknown: Reported rows whose prediction the log does not have.
        elsewhere: Reported rows whose prediction lies outside the period that was asked for.
        reused: Predictions left out because the same version answered the same request id and row again later.
    """

    table: pa.Table
    known: int = 0
    waiting: int = 0
    repeated: int = 0
    contradicted: int = 0
    unknown: int = 0
    elsewhere: int = 0
    reused: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """All counts by name."""
        names = ("known", "waiting", "repeated", "contradicted", "unknown", "elsewhere", "reused")
        return {name: getattr(self, name) for name in names}


def join(predictions: pa.Table, feedback: pa.Table, others: Iterable[pa.Table] = ()) -> Joined:
    """Joins predictions and feedback by request id and row.

    Args:
        predictions: (N rows) as the log has them.
        feedback: (M rows) as the log has them, of whatever time.
        others: Predictions outside the period (their `request_id`), asked for only where feedback is left over.
    """
    predictions, reused = _last_answers(predictions)
    if not feedback.num_rows or not predictions.num_rows:
        left = _settled(feedback).num_rows if feedback.num_rows else 0
        unknown = _unknown(_settled(feedback), others) if left else 0
        empty = _with(predictions, pa.nulls(predictions.num_rows), pa.nulls(predictions.num_rows))
        return Joined(empty, 0, predictions.num_rows, 0, 0, unknown, left - unknown, reused)
    settled = _settled(feedback)
    numbers = pa.array(range(predictions.num_rows), pa.int64())
    narrow = predictions.select(_KEYS).append_column("number", numbers)
    both = narrow.join(settled, _KEYS, join_type="left outer", use_threads=False).sort_by("number")
    known = both.num_rows - both[OUTCOME].null_count
    lonely = settled.join(narrow, _KEYS, join_type="left anti", use_threads=False)
    unknown = _unknown(lonely, others) if lonely.num_rows else 0
    return Joined(
        _with(predictions, both[OUTCOME], both[REPORTED]), known, both.num_rows - known,
        int(pc.sum(pc.subtract(settled["reports"], settled["values"])).as_py() or 0),
        int(pc.sum(pc.greater(settled["values"], 1)).as_py() or 0), unknown, lonely.num_rows - unknown, reused,
    )  # fmt: skip


def _settled(feedback: pa.Table) -> pa.Table:
    """One line per request and row: the last outcome, how often it was reported and with how many values."""
    ordered = feedback.select([*_KEYS, OUTCOME, "time"]).sort_by("time")
    grouped = pa.TableGroupBy(ordered, _KEYS, use_threads=False)
    found = grouped.aggregate([(OUTCOME, "last"), ("time", "last"), (OUTCOME, "count_distinct"), (OUTCOME, "count")])
    names = {
        f"{OUTCOME}_last": OUTCOME, "time_last": REPORTED, f"{OUTCOME}_count_distinct": "values",
        f"{OUTCOME}_count": "reports",
    }  # fmt: skip
    return found.rename_columns([names.get(name, name) for name in found.column_names])


def _last_answers(predictions: pa.Table) -> tuple[pa.Table, int]:
    """Leaves out all but the last answer of a version to a request id and row."""
    if not predictions.num_rows:
        return predictions, 0
    numbers = pa.array(range(predictions.num_rows), pa.int64())
    narrow = predictions.select([*_KEYS, "digest"]).append_column("number", numbers)
    last = pa.TableGroupBy(narrow, [*_KEYS, "digest"], use_threads=False).aggregate([("number", "max")])
    reused = predictions.num_rows - last.num_rows
    if not reused:
        return predictions, 0
    return predictions.take(last["number_max"].combine_chunks().sort()), reused


def _unknown(lonely: pa.Table, others: Iterable[pa.Table]) -> int:
    """How many reports no prediction of the others explains."""
    found = pa.array([False] * lonely.num_rows)
    for table in others:
        found = pc.or_(found, pc.is_in(lonely["request_id"].combine_chunks(), table["request_id"].combine_chunks()))
    return int(lonely.num_rows - (pc.sum(found).as_py() or 0))


def _with(predictions: pa.Table, outcomes: pa.Array, reported: pa.Array) -> pa.Table:
    table = predictions.append_column(OUTCOME, outcomes)
    return table.append_column(REPORTED, reported.cast(pa.timestamp("us", tz="UTC")))


def together(tables: Iterable[pa.Table]) -> pa.Table:
    """Puts tables of several models under one another.

    A column that some lack is null there. One that is a number here and a list of numbers there, as where a version
    tells more classes apart, is a list; one that is of other different types is text.
    """
    given = [table.replace_schema_metadata(None) for table in tables]
    filled = [table for table in given if table.num_rows] or given[:1]
    if not filled:
        return pa.table({})
    kinds = _disputed(filled)
    return pa.concat_tables([_reconcile(table, kinds) for table in filled], promote_options="default")


def _disputed(tables: list[pa.Table]) -> dict[str, pa.DataType]:
    """The columns whose types differ, and the type that holds all of them."""
    kinds: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for item in table.schema:
            if not pa.types.is_null(item.type):
                kinds.setdefault(item.name, set()).add(item.type)
    numbers = {pa.float64(), pa.list_(pa.float64())}
    return {
        name: pa.list_(pa.float64()) if found <= numbers else pa.string()
        for name, found in kinds.items()
        if len(found) > 1
    }


def _reconcile(table: pa.Table, kinds: dict[str, pa.DataType]) -> pa.Table:
    for name in kinds.keys() & set(table.column_names):
        kind, place = kinds[name], table.column_names.index(name)
        values = [_fit(value, kind) for value in table[name].to_pylist()]
        table = table.set_column(place, name, pa.array(values, kind))
    return table


def _fit(value: Any, kind: pa.DataType) -> Any:
    if value is None:
        return None
    if pa.types.is_list(kind):
        return value if isinstance(value, list) else [value]
    return str(value)
