"""build_training_set joins by time, accounts for every row, and refuses what leaks."""

import copy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from fairlead.datasets import read_table, write_dataset
from fairlead.errors import ConfigurationError, DataError, FairleadError, LeakageError, SchemaError
from fairlead.features.build_training_set.task import build_training_set
from fairlead.features.declarations import load_declarations, lookups
from fairlead.features.leakage import check_join
from fairlead.features.tables import read_tables

REQUEST: dict[str, Any] = {
    "fields": {"shop": "string", "town": "string", "opened": "timestamp"},
    "prediction_time": {"field": "opened", "minus_seconds": 7200.0},
    "derive": [{"name": "hour", "field": "opened", "part": "hour", "time_zone": "Europe/Madrid"}],
    "freshness": {"maximum_age_seconds": 2592000.0},
}
LABEL = {"column": "busy", "known_at": "known"}
WINDOW = ["2024-03-03", "2024-03-10"]


def build(world: Any, folder: Path, **changes: Any) -> Any:
    """Run the task on the small world, with some inputs changed."""
    given = {"rows": world.rows, "label": LABEL, "request": REQUEST, "window": WINDOW, "service": "shops"} | changes
    return build_training_set(
        world.features, given["rows"], folder / "set", folder / "set.html", str(world.repository), given["service"],
        given["label"], given["request"], given["window"],
    )  # fmt: skip


def write_rows(folder: Path, rows: pa.Table) -> Path:
    """Write entity rows as a dataset."""
    write_dataset(folder / "rows", [rows], rows.schema, name="rows", source="x", time_column="event_timestamp")
    return folder / "rows"


def known_then(table: pa.Table, key: str, entity: str, moment: datetime, name: str, ttl: timedelta | None) -> Any:
    """The latest value at or before a moment, found by looking at every row."""
    rows = [r for r in table.to_pylist() if r[key] == entity and r["event_timestamp"] <= moment]
    latest = max(rows, key=lambda r: r["event_timestamp"], default=None)
    if latest is None or (ttl and moment - latest["event_timestamp"] > ttl):
        return None
    return latest[name]


def test_values_are_the_latest_known_at_the_event_time(world: Any) -> None:
    """Each feature equals what a walk through all rows finds; expired ones are missing."""
    table = read_table(world.training_set)
    guests, towns = (read_table(world.features / name) for name in ("shop_guests", "town_guests"))
    for row in table.to_pylist()[::13]:
        moment = row["event_timestamp"]
        for name in ("guests_last", "guests_mean_1d"):
            assert row[name] == known_then(guests, "shop", row["shop"], moment, name, timedelta(hours=6))
        assert row["town_total"] == known_then(towns, "town", row["town"], moment, "town_total", None)


def test_expired_features_are_missing_and_their_rows_stay(world: Any) -> None:
    """South is closed for two days: its rows after that have no recent guests, and are kept."""
    table = read_table(world.training_set)
    reopened = table.filter((pc.field("shop") == "south") & (pc.field("opened") == datetime(2024, 3, 9, tzinfo=UTC)))
    assert reopened.num_rows == 1
    assert reopened.column("guests_last")[0].as_py() is None
    assert reopened.column("town_total")[0].as_py() is not None


def test_columns_and_types(world: Any) -> None:
    """Request fields (by name), features, derived inputs, label and event time, in this order."""
    schema = read_table(world.training_set).schema
    assert schema.names == [
        "opened", "shop", "town", "guests_last", "guests_mean_1d", "town_total", "hour", "busy", "event_timestamp",
    ]  # fmt: skip
    assert schema.field("busy").type == pa.int8()


def test_derived_inputs_read_the_local_clock(world: Any) -> None:
    """In March, Madrid is an hour ahead of UTC."""
    table = read_table(world.training_set)
    assert table.column("hour").to_pylist() == [(at.hour + 1) % 24 for at in table.column("opened").to_pylist()]


def test_every_row_is_accounted_for(world: Any) -> None:
    """Used, without label and outside the window add up to all entity rows."""
    account, rows = world.built.account, read_table(world.rows)
    inside = [
        row for row in rows.to_pylist()
        if datetime(2024, 3, 3, tzinfo=UTC) <= row["event_timestamp"] < datetime(2024, 3, 10, tzinfo=UTC)
    ]  # fmt: skip
    assert account.rows == rows.num_rows
    assert account.used == sum(row["busy"] is not None for row in inside)
    assert account.without_label == sum(row["busy"] is None for row in inside) > 0
    assert account.used + account.without_label + account.outside_window == account.rows
    assert world.built.metadata()["entity_without_label"] == account.without_label
    assert "without busy" in (world.folder / "training_set.html").read_text()


def test_order_and_digest_repeat(world: Any, tmp_path: Path) -> None:
    """Neither the order of the entity rows nor the size of the pieces changes the result."""
    rows = read_table(world.rows)
    shuffled = write_rows(tmp_path, rows.take(pa.array(reversed(range(rows.num_rows)))))
    assert build(world, tmp_path, rows=shuffled).manifest.digest == world.built.manifest.digest


def test_freshness_shortens_ttl(world: Any, tmp_path: Path) -> None:
    """What the server would find too old is missing in training as well, unless it only flags."""
    request = copy.deepcopy(REQUEST)
    request["freshness"] = {"maximum_age_seconds": 2592000.0, "views": {"town_guests": 3600.0}}
    build(world, tmp_path, request=request)
    missing = read_table(tmp_path / "set").column("town_total").null_count
    request["freshness"]["fallback"] = "flag"
    build(world, tmp_path, request=request)
    assert missing > 0
    assert read_table(tmp_path / "set").column("town_total").null_count == 0


def change_cell(rows: pa.Table, column: str, at: int, value: Any) -> pa.Table:
    """Give the table with one value replaced."""
    values = rows.column(column).to_pylist()
    values[at] = value
    place = rows.schema.get_field_index(column)
    return rows.set_column(place, rows.schema.field(column), pa.array(values, rows.schema.field(column).type))


def labelled(rows: pa.Table) -> int:
    """The place of a labelled row."""
    return next(at for at, value in enumerate(rows.column("busy").to_pylist()) if value is not None)


def early_label(rows: pa.Table) -> pa.Table:
    """Make one label known at the very moment of the question."""
    at = labelled(rows)
    return change_cell(rows, "known", at, rows.column("event_timestamp")[at].as_py())


def late_label(rows: pa.Table) -> pa.Table:
    """Make one label known a second after as_of."""
    return change_cell(rows, "known", labelled(rows), datetime(2024, 3, 11, 0, 0, 1, tzinfo=UTC))


def moved_question(rows: pa.Table) -> pa.Table:
    """Ask one question later than a server would."""
    return change_cell(rows, "event_timestamp", 5, rows.column("opened")[5].as_py())


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (early_label, LeakageError, "1 rows have a label that was known before the question"),
        (late_label, LeakageError, "1 rows have a label that was not known as of"),
        (lambda rows: change_cell(rows, "known", labelled(rows), None), LeakageError, "a label but no known"),
        (moved_question, DataError, "another event_timestamp than opened less 7200 s"),
        (lambda rows: pa.concat_tables([rows, rows.slice(7, 2)]), DataError, "2 entity rows come more than once"),
        (lambda rows: rows.drop_columns(["town"]), SchemaError, "no column 'town'"),
        (lambda rows: rows.rename_columns({"busy": "busi"}), SchemaError, "no column 'busy'; did you mean 'busi'"),
        (lambda rows: rows.filter(pc.field("busy") == 1), DataError, "labels .busy. are 1; a model needs both"),
        (lambda rows: rows.filter(pc.field("busy").is_null()), DataError, "no row can be trained on"),
    ],
)
def test_what_would_leak_or_mislead_is_refused(
    world: Any, tmp_path: Path, change: Any, error: type[FairleadError], text: str
) -> None:
    """Each is told with an example, and no training set is written."""
    rows = write_rows(tmp_path, change(read_table(world.rows)))
    with pytest.raises(error, match=text):
        build(world, tmp_path, rows=rows)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"label": {"column": "shop"}}, LeakageError, "'shop' is a field of the request"),
        (
            {"label": {"colum": "busy"}},
            ConfigurationError,
            r"label\.colum: there is no such key; did you mean 'column'",
        ),
        ({"window": ["2024-03-10", "2024-03-03"]}, ConfigurationError, "is not before"),
        ({"window": ["2024-03-10"]}, ConfigurationError, "must be two moments"),
        ({"window": ["2030-01-01", "2031-01-01"]}, DataError, r"of (\d+) entity rows \1 lie outside the window"),
        ({"service": "shop"}, ConfigurationError, "no feature service 'shop'; did you mean 'shops'"),
    ],
)
def test_a_wrong_setting_is_named(
    world: Any, tmp_path: Path, changes: dict[str, Any], error: type[FairleadError], text: str
) -> None:
    """Sections and names are checked before the join."""
    with pytest.raises(error, match=text):
        build(world, tmp_path, **changes)


def test_a_label_among_the_features(world: Any, tmp_path: Path) -> None:
    """A feature of the label's name would hand over the answer."""
    rows = read_table(world.rows).rename_columns({"busy": "guests_last"})
    with pytest.raises(LeakageError, match="'guests_last' is the label's and also comes from feature view"):
        build(world, tmp_path, rows=write_rows(tmp_path, rows), label={"column": "guests_last", "known_at": "known"})


def test_the_independent_check_sees_a_value_from_the_future(world: Any) -> None:
    """A join result with one value of the next hour is refused."""
    tables = read_tables(world.features)
    wanted = lookups(load_declarations(str(world.repository), tables), "shops")
    rows = read_table(world.training_set)
    assert check_join(tables, wanted, rows, rows) == rows.num_rows * 3
    forged = change_cell(rows, "guests_last", 100, rows.column("guests_last")[103].as_py() + 1)
    with pytest.raises(LeakageError, match=r"guests_last of shop=.* was the latest known by then .1 of"):
        check_join(tables, wanted, forged, forged)
