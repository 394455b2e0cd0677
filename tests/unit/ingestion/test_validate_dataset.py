"""Expectations hold, or the rows that break them are named."""

import math
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from fairlead.datasets import write_dataset
from fairlead.errors import ConfigurationError, DataError, FairleadError, SchemaError
from fairlead.ingestion.validate_dataset.report import bars
from fairlead.ingestion.validate_dataset.task import validate

UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")


def people(path: Path) -> Path:
    """Write five rows with something wrong in most columns; the missing values differ in kind."""
    table = pa.table({
        "id": pa.array([1, 2, 3, 3, 200], pa.int16()),
        "name": ["Ann", "Bob", None, "bob", "Eve<script>"],
        "share": [0.5, math.nan, None, 2.5, math.inf],
        "when": pa.array([datetime(2013, 1, day, tzinfo=UTC) for day in range(1, 6)], UTC_MICROSECONDS),
        "day": pa.array([date(2012, 12, 31), *[date(2013, 1, 1)] * 4]),
        "good": [True, False, None, True, True],
    })  # fmt: skip
    write_dataset(path, table.to_batches(), table.schema, name="people", source="test", time_column="when")
    return path


def failed(tmp_path: Path, kind: type[FairleadError] = DataError, **expectations: Any) -> str:
    """Validate what must fail; give the error's text. The report must have been written all the same."""
    report = tmp_path / "report.html"
    with pytest.raises(kind) as caught:
        validate(people(tmp_path / "people"), report, expectations)
    assert str(report) in str(caught.value)
    assert "did not hold" in report.read_text()
    return str(caught.value)


def test_the_order_of_expectations_changes_nothing(tmp_path: Path) -> None:
    """A pipeline hands `columns` over in any order; message and report follow the data's order."""
    wanted = {
        "share": {"minimum": 1},
        "id": {"maximum": 100},
        "nosuch": {},
        "another": {},
        "good": {"maximum_null_fraction": 0},
    }
    told, shown = set(), set()
    for order in (wanted, dict(reversed(wanted.items())), dict(sorted(wanted.items()))):
        told.add(failed(tmp_path, SchemaError, columns=order))
        shown.add((tmp_path / "report.html").read_text())
    assert (len(told), len(shown)) == (1, 1)


def test_what_holds_passes(tmp_path: Path) -> None:
    """Every kind of expectation, met; missing values pass all checks but those about missing values."""
    columns = {
        "id": {"type": "int16", "nullable": False, "minimum": 1.0, "maximum": 200.0},
        "name": {"pattern": "(?i)^[a-e]", "maximum_null_fraction": 0.2},
        "share": {"minimum": 0.5, "maximum_null_fraction": 0.4},
        "when": {"minimum": "2013-01-01", "maximum": "2013-01-05T00:00:00Z", "unique": True, "type": "timestamp"},
        "day": {"minimum": "2012-12-31", "allowed": ["2012-12-31", "2013-01-01"], "type": "date"},
        "good": {"allowed": [True, False]},
    }
    expectations = {"rows": {"minimum": 5.0, "maximum": 5.0}, "unique": ["id", "name"], "columns": columns}
    result = validate(people(tmp_path / "people"), tmp_path / "report.html", expectations)
    assert result.metrics() == {"rows": 5, "expectations": 19, "expectations_failed": 0}
    assert "All 19 expectations hold." in (tmp_path / "report.html").read_text()


@pytest.mark.parametrize(
    ("column", "wanted", "lines"),
    [
        ("id", {"minimum": 2}, ["row 1, id: 1, expected at least 2"]),
        ("id", {"maximum": 100}, ["row 5, id: 200, expected at most 100"]),
        ("id", {"allowed": [1.0, 2.0, 3.0]}, ["row 5, id: 200, expected one of 1.0, 2.0, 3.0"]),
        ("id", {"unique": True}, ["row 3, id: '3 (2 times, last in row 4)', expected unique"]),
        ("name", {"nullable": False}, ["row 3, name: None, expected no missing values"]),
        ("name", {"pattern": "^[A-Z]"}, ["row 4, name: 'bob', expected pattern ^[A-Z]"]),
        ("name", {"allowed": ["Ann", "bob"]}, ["row 2, name: 'Bob'", "row 5, name: 'Eve<script>'"]),
        ("share", {"maximum": 1}, ["row 4, share: 2.5, expected at most 1", "row 5, share: inf"]),
        ("share", {"nullable": False}, ["row 2, share: None", "row 3, share: None"]),
        (
            "share",
            {"maximum_null_fraction": 0.3},
            ["share: '2 of 5 missing (40.00%)', expected at most 30.00% missing"],
        ),
        ("when", {"minimum": "2013-01-02"}, ["row 1, when: '2013-01-01T00:00:00+00:00', expected at least 2013-01-02"]),
        ("day", {"minimum": "2013-01-01"}, ["row 1, day: '2012-12-31', expected at least 2013-01-01"]),
        ("good", {"allowed": [True]}, ["row 2, good: False"]),
    ],
)
def test_what_does_not_hold_names_its_rows(
    tmp_path: Path, column: str, wanted: dict[str, Any], lines: list[str]
) -> None:
    """Row number, column, value and check are in the error and in the report; missing values break nothing else."""
    text = failed(tmp_path, columns={column: wanted})
    for line in lines:
        assert line in text
    assert text.count("\n  ") == len(lines)


def test_rows_together_must_be_unique(tmp_path: Path) -> None:
    """Duplicates over several columns are found in the whole table."""
    assert "row 4, good, day: 'True, 2013-01-01 (2 times, last in row 5)'" in failed(tmp_path, unique=["good", "day"])


def test_the_number_of_rows_is_checked(tmp_path: Path) -> None:
    """Too few and too many rows."""
    assert "(rows): 5, expected at least 6 rows" in failed(tmp_path, rows={"minimum": 6})
    assert "(rows): 5, expected at most 4 rows" in failed(tmp_path, rows={"maximum": 4})


def test_absent_columns_and_other_types_are_errors_of_the_schema(tmp_path: Path) -> None:
    """The nearest column is named; the other expectations are checked all the same."""
    columns = {"nam": {}, "id": {"type": "int64"}, "name": {"nullable": False}}
    text = failed(tmp_path, SchemaError, columns=columns, unique=["idd"])
    assert "nam: 'absent', expected a column of this name; did you mean 'name'" in text
    assert "idd: 'absent'" in text
    assert "id: 'int16', expected type int64" in text
    assert "row 3, name: None" in text


@pytest.mark.parametrize(
    ("column", "wanted"),
    [("id", {"minimum": "one"}), ("name", {"minimum": 1}), ("id", {"pattern": "x"}), ("when", {"maximum": "noon-ish"})],
)
def test_limits_must_fit_the_column(tmp_path: Path, column: str, wanted: dict[str, Any]) -> None:
    """A limit that cannot compare with the column is the YAML's mistake."""
    with pytest.raises(ConfigurationError, match=f"expectations.columns.{column}"):
        validate(people(tmp_path / "people"), tmp_path / "report.html", {"columns": {column: wanted}})


def test_ten_rows_are_named_and_all_are_counted(tmp_path: Path) -> None:
    """Row numbers go on over batches and files; of many failures each check is named and ten rows in all."""
    count = 300_000
    table = pa.table({"n": range(count), "m": [1] * count})
    write_dataset(tmp_path / "many", table.to_batches(), table.schema, name="many", source="test")
    expectations = {"columns": {"n": {"maximum": count - 4}, "m": {"minimum": 2, "maximum": 0}}}
    with pytest.raises(DataError) as caught:
        validate(tmp_path / "many", tmp_path / "report.html", expectations)
    text = str(caught.value)
    assert text.count("\n  ") == 10
    assert f"({2 * count + 3} rows)" in text
    assert f"row {count - 2}, n: {count - 3}, expected at most {count - 4}" in text
    assert f"row {count}, n: {count - 1}" in text


def test_the_report_tells_each_columns_figures(tmp_path: Path) -> None:
    """Types, missing values, range, mean, histogram and frequent values; data cannot put markup into the page."""
    texts = [*["a"] * 20, *["<b>"] * 4, None]
    table = pa.table({"n": pa.array([*range(24), None], pa.int8()), "s": texts, "e": pa.nulls(25, pa.float32())})
    write_dataset(tmp_path / "data", table.to_batches(), table.schema, name="data", source="test")
    validate(tmp_path / "data", tmp_path / "report.html", {})
    page = (tmp_path / "report.html").read_text()
    for text in ("1 (4.00%)", "11.5", "█" * 12, "a (20), &lt;b&gt; (4)", "25 (100.00%)"):
        assert text in page
    assert "<b>" not in page


def test_histograms_of_text() -> None:
    """The highest bar is full, an empty bin has none, and any row at all shows."""
    assert bars([0, 1, 50, 100]) == " ▁▅█"
    assert bars([]) == bars([0, 0]) == ""


def test_the_validation_component_writes_report_and_metrics(tmp_path: Path) -> None:
    """The contract's body passes everything on."""
    from fairlead.ingestion.validate_dataset.component import validate_dataset

    logged: dict[str, float] = {}
    validate_dataset.python_func(
        dataset=SimpleNamespace(path=str(people(tmp_path / "people"))),
        report=SimpleNamespace(path=str(tmp_path / "report.html")),
        metrics=SimpleNamespace(log_metric=logged.__setitem__),
        expectations={"rows": {"minimum": 1.0}},
    )
    assert logged == {"rows": 5, "expectations": 1, "expectations_failed": 0}
    assert (tmp_path / "report.html").exists()
