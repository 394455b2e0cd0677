"""A datasheet tells what the rows hold without telling whose rows they are."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from kfp import dsl
from reading import cells, read_html, read_markdown

from fairlead import datasets
from fairlead.errors import ConfigurationError, SchemaError, SourceError
from fairlead.evaluation.write_datasheet.component import write_datasheet as component
from fairlead.evaluation.write_datasheet.task import Datasheet, write_datasheet

ROWS = 2_000


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Customers with names, regions of which one is rare, incomes with gaps, times, a label."""
    draw = np.random.default_rng(3)
    regions = np.where(np.arange(ROWS) < 3, "Hamlet", draw.choice(["North", "South"], ROWS, p=[0.7, 0.3]))
    incomes = [None if i % 10 == 0 else float(value) for i, value in enumerate(draw.normal(50_000, 9_000, ROWS))]
    hours = [1_356_998_400_000_000 + i * 3_600_000_000 for i in range(ROWS)]
    table = pa.table({
        "customer": [f"customer-{i:05d}" for i in range(ROWS)],
        "number": pa.array(range(7_000_000, 7_000_000 + ROWS), pa.int64()),
        "agent": [f"agent-{i % 400:04d}" for i in range(ROWS)],
        "region": regions.tolist(),
        "income": pa.array(incomes, pa.float64()),
        "bought": pa.array((draw.random(ROWS) < 0.25).astype(int).tolist(), pa.int8()),
        "seen": pa.array(hours, pa.timestamp("us", tz="UTC")),
        "photo": pa.array([b"\x89PNG" + bytes([i % 256]) for i in range(ROWS)], pa.binary()),
    })  # fmt: skip
    datasets.write_dataset(
        tmp_path / "rows",
        [table],
        table.schema,
        name="customers",
        source="a shop",
        licence="CC0-1.0",
        time_column="seen",
    )
    return tmp_path / "rows"


def write(dataset: Path, **spec: Any) -> tuple[str, str, Datasheet]:
    """The datasheet as Markdown and as a page."""
    files = dataset.parent / "sheet.md", dataset.parent / "sheet.html"
    done = write_datasheet(dataset, *files, spec)
    return files[0].read_text(), files[1].read_text(), done


def row(text: str, column: str, table: int = 0) -> list[str]:
    """What a table tells of a column."""
    return next(row for row in cells(read_markdown(text))[table] if row[0] == column)


def test_rows_are_told_as_they_are(dataset: Path) -> None:
    """Types, gaps, ranges, means, times, source, licence, digest; in both forms the same."""
    text, html, done = write(dataset)
    assert cells(read_markdown(text)) == cells(read_html(html))
    income = row(text, "income")
    values = [value for value in datasets.read_table(dataset, ["income"])["income"].to_pylist() if value is not None]
    assert income[1:3] == ["double", "10 %"]
    assert income[4] == f"{min(values):,.0f}"
    assert income[5] == f"{np.mean(values):,.0f}"
    assert income[6] == f"{max(values):,.0f}"
    manifest = datasets.read_manifest(dataset)
    for fact in (manifest.digest, "a shop", "CC0-1.0", "2013-01-01 00:00 UTC", "2013-03-25 07:00 UTC"):
        assert fact in text
    assert (done.digest, done.rows) == (manifest.digest, ROWS)


def test_nobody_can_be_told_from_it(dataset: Path) -> None:
    """Names and numbers of single rows are counted, not listed; a value that three rows share is not told either."""
    text, html, _ = write(dataset, label="bought")
    for page in (text, html):
        assert "customer-0" not in page
        assert "agent-0" not in page
        assert "7000000" not in page.replace(",", "")
        assert "Hamlet" not in page
        assert "PNG" not in page
    assert row(text, "region", 1)[1].startswith("North (7")
    reasons = dict(table for table in cells(read_markdown(text))[2][1:])
    assert reasons["customer"] == reasons["number"] == "nearly every row has a value of its own"
    assert reasons["agent"].startswith("more than 200 different texts")
    assert "photo" in reasons


def test_private_columns_show_no_value(dataset: Path) -> None:
    """Neither range nor mean; what is missing is still told."""
    text, _, _ = write(dataset, private="income")
    assert row(text, "income")[4:] == ["—"] * 4
    assert row(text, "income")[2] == "10 %"
    assert "declared private" in text


def test_the_label_is_counted(dataset: Path) -> None:
    """By value; a label that would name rows is not."""
    text, _, _ = write(dataset, label="bought")
    labels = datasets.read_table(dataset, ["bought"])["bought"].to_pylist()
    assert row(text, "1", -1) == ["1", str(sum(labels)), f"{100 * sum(labels) / ROWS:.3g} %"]
    assert "too many or too rare" in write(dataset, label="customer")[0]
    assert "too many or too rare" in write(dataset, label="region")[0]


def test_what_people_said_is_told_and_the_rest_is_not_recorded(dataset: Path) -> None:
    """All of the questions of the paper are there, answered or not."""
    text, _, done = write(
        dataset, motivation={"purpose": "To sell."}, composition={"people": ["Customers.", "By name."]}
    )
    assert "### For what purpose was it made?\n\nTo sell." in text
    assert "- Customers.\n- By name." in text
    assert "### Who paid for it?\n\nnot recorded" in text
    assert "### Under what terms?\n\nCC0-1.0" in text
    assert "motivation.funding" in done.not_recorded
    assert "motivation.purpose" not in done.not_recorded
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert len(headings) == 7


def test_a_dataset_without_time_licence_and_many_rows(tmp_path: Path) -> None:
    """Nothing is made up for what it has not; few rows tell no values."""
    table = pa.table({"a": [1.5, 2.5, None], "b": ["x", "y", "y"]})
    datasets.write_dataset(tmp_path / "few", [table], table.schema, name="few", source="here")
    text, _, _ = write(tmp_path / "few")
    assert "- **licence:** not recorded" in text
    assert "- **from:**" not in text
    assert "2.5" not in text
    assert "too few rows have a value" in text


def test_wrong_specifications_are_refused(dataset: Path, tmp_path: Path) -> None:
    """A column that is not there, a key that is none, a folder that is no dataset."""
    with pytest.raises(SchemaError, match="did you mean 'income'"):
        write(dataset, private=["incomes"])
    with pytest.raises(ConfigurationError, match="did you mean 'motivation'"):
        write(dataset, motivations={})
    with pytest.raises(ConfigurationError, match="did you mean 'purpose'"):
        write(dataset, motivation={"purposes": "x"})
    with pytest.raises(SourceError):
        write(tmp_path / "none")


def test_the_component_gives_both(dataset: Path, tmp_path: Path) -> None:
    """Markdown and page, and how much is not recorded."""
    sheet, page = dsl.Markdown(uri=str(tmp_path / "a.md")), dsl.HTML(uri=str(tmp_path / "a.html"))
    component.python_func(dsl.Dataset(uri=str(dataset)), sheet, page, {"label": "bought"})
    assert sheet.metadata["rows"] == ROWS
    assert Path(sheet.path).read_text().startswith("# Datasheet: customers")
    assert "<h1>Datasheet: customers</h1>" in Path(page.path).read_text()
