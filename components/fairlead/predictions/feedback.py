"""Outcomes from a file into a service's log: what airlines, warehouses and people report in bulk, days later."""

import datetime as dt
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from fairlead.errors import DataError, SourceError
from fairlead.objects import Objects
from fairlead.predictions import PredictionLog
from fairlead_serving.journal import Segment, parse_lines
from fairlead_serving.log_lines import FeedbackLines
from fairlead_serving.partitions import by_day, parquet_bytes
from fairlead_serving.prediction_log import Journals

_COLUMNS = {"request_id", "outcome", "row", "time"}
_NEEDED = ("request_id", "outcome")
_AT_ONCE = 10_000
_NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)


@dataclass(frozen=True)
class Ingested:
    """What became of a file of outcomes.

    Attributes:
        rows: Outcomes that were put into the log.
        known: Those among them whose request id the log has.
    """

    rows: int
    known: int


def ingest(file: Path, location: Path | str, model: str = "") -> Ingested:
    """Puts the outcomes of a file into a log; may be repeated, for what is reported twice counts once.

    Args:
        file: CSV, JSON lines or Parquet with the columns request_id, outcome and, if need be, row (0) and time (now).
        location: The log: a folder, or s3://BUCKET/PREFIX.
        model: The service, for the log's metadata.

    Raises:
        SourceError: The file or the log cannot be read or written.
        DataError: A column is lacking or unknown, or a value is none.
    """
    table = _check(_read(file), file)
    texts = not any(fits(table["outcome"].type) for fits in _NUMBERS)
    form = FeedbackLines(model, "multiclass" if texts else "binary")
    stem = f"{dt.datetime.now(dt.UTC).strftime('%Y%m%dT%H%M%S')}{secrets.token_hex(4)}000"
    if str(location).startswith("s3://"):
        _publish(str(location).rstrip("/"), stem, form, b"".join(_lines(table, form)))
    else:
        _append(Path(location), stem, form, _lines(table, form))
    return Ingested(table.num_rows, _count_known(table["request_id"].combine_chunks(), PredictionLog.open(location)))


def _count_known(ids: pa.Array, log: PredictionLog) -> int:
    found = pa.array([False] * len(ids))
    for known in log.request_ids():
        found = pc.or_(found, pc.is_in(ids, value_set=known.unique()))
    return int(pc.sum(found).as_py() or 0)


def _read(file: Path) -> pa.Table:
    from pyarrow import csv, json
    from pyarrow import parquet as pq

    readers = {".csv": csv.read_csv, ".jsonl": json.read_json, ".ndjson": json.read_json, ".parquet": pq.read_table}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise SourceError(f"{file}: outcomes are read from {', '.join(readers)}")
    try:
        return reader(str(file))
    except (OSError, pa.ArrowException) as error:
        raise SourceError(f"{file} cannot be read: {error}") from None


def _check(table: pa.Table, file: Path) -> pa.Table:
    lacking = [name for name in _NEEDED if name not in table.column_names]
    unknown = sorted(set(table.column_names) - _COLUMNS)
    if lacking or unknown:
        what = f"lacks the column {lacking[0]}" if lacking else f"has the column {unknown[0]}, which means nothing here"
        raise DataError(f"{file} {what}; its columns are request_id, outcome and, if need be, row and time")
    if not table.num_rows:
        raise DataError(f"{file} has no rows")
    for name in table.column_names:
        if table[name].null_count:
            row = pc.index(table[name].is_null(), value=True).as_py()
            raise DataError(f"{file}, row {row}: {name} is empty; leave rows without outcome out of the file")
    return table.set_column(table.column_names.index("request_id"), "request_id", table["request_id"].cast(pa.string()))


def _lines(table: pa.Table, form: FeedbackLines) -> Iterator[bytes]:
    now = dt.datetime.now(dt.UTC).timestamp()
    for batch in table.to_batches(_AT_ONCE):
        yield b"".join(line for row in batch.to_pylist() for line in form.lines(_entry(row, form, now)))


def _entry(row: Mapping[str, Any], form: FeedbackLines, now: float) -> dict[str, Any]:
    outcome, time = row["outcome"], row.get("time", now)
    if isinstance(time, str):
        time = dt.datetime.fromisoformat(time)
    if isinstance(time, dt.datetime):
        time = (time if time.tzinfo else time.replace(tzinfo=dt.UTC)).timestamp()
    plain = str(outcome) if form.schema.outcome == "text" else float(outcome)
    return {"request_id": row["request_id"], "row": int(row.get("row", 0)), "outcome": plain, "time": float(time)}


def _append(folder: Path, stem: str, form: FeedbackLines, lines: Iterator[bytes]) -> None:
    """Writes a journal, which readers see at once, and which the next server of the folder makes Parquet of."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        journals = Journals(folder, stem, lambda: form.schema)
        for content in lines:
            journals.append(content)
        journals.close()
    except OSError as error:
        raise SourceError(f"the log {folder} cannot be written: {error}; what was written before is repeated") from None


def _publish(prefix: str, stem: str, form: FeedbackLines, content: bytes) -> None:
    objects, segment = Objects.connect(), Segment("feedback", stem, 1)
    for day, rows in by_day(parse_lines("feedback", form.schema, content, 0)):
        objects.write_bytes(f"{prefix}/{segment.part(day)}", parquet_bytes(rows))
