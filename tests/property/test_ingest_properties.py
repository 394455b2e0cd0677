"""What goes into a file comes out of the dataset, whatever the values."""

import csv
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.datasets import read_table
from fairlead.ingestion.ingest_dataset.task import ingest

COLUMNS = {"n": "int64", "x": "float64", "s": "string", "t": "timestamp", "b": "bool"}
YEARS = (datetime(1700, 1, 1), datetime(2200, 1, 1))  # noqa: DTZ001  Hypothesis wants bounds without a zone
TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=12
)
ROW = st.fixed_dictionaries({
    "n": st.none() | st.integers(-(2**63), 2**63 - 1),
    "x": st.none() | st.floats(allow_nan=False, allow_infinity=False),
    "s": st.none() | TEXT.filter(lambda text: text not in {"NA", "N/A", "NaN", "nan", "null", "NULL"}),
    "t": st.none() | st.datetimes(*YEARS, timezones=st.just(UTC)),
    "b": st.none() | st.booleans(),
})  # fmt: skip


def text(value: Any) -> Any:
    """A value as a file holds it."""
    return value.isoformat() if isinstance(value, datetime) else value


@settings(max_examples=40)
@given(rows=st.lists(ROW, min_size=1, max_size=20), kind=st.sampled_from(["csv", "jsonl", "parquet"]))
def test_values_come_through_unchanged(rows: list[dict[str, Any]], kind: str) -> None:
    """Integers, floats, texts with quotes and line ends, times and missing values, in every format."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{kind}"
        if kind == "parquet":
            types = {
                "t": pa.timestamp("us", tz="UTC"),
                "n": pa.int64(),
                "x": pa.float64(),
                "s": pa.string(),
                "b": pa.bool_(),
            }
            pq.write_table(pa.Table.from_pylist(rows, pa.schema([(name, types[name]) for name in COLUMNS])), path)
        elif kind == "jsonl":
            path.write_text("".join(json.dumps({name: text(v) for name, v in row.items()}) + "\n" for row in rows))
        else:
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(COLUMNS), lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
                writer.writeheader()
                writer.writerows({name: text(value) for name, value in row.items()} for row in rows)
        ingest(Path(folder) / "out", "t", str(path), {"columns": COLUMNS})
        assert read_table(Path(folder) / "out").to_pylist() == rows
