"""compute_features runs SQL over datasets and refuses what could not be joined."""

import itertools
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from fairlead.datasets import TIMESTAMP, read_manifest, read_table, write_dataset
from fairlead.errors import ConfigurationError, DataError, FairleadError, SchemaError, SourceError
from fairlead.features.compute_features.task import compute_features
from fairlead.features.tables import MANIFEST, read_tables

ROWS = "SELECT shop, opened AS event_timestamp FROM visits"
GOOD = "SELECT shop, opened AS event_timestamp, guests::FLOAT AS guests FROM visits"


def compute(world: Any, folder: Path, query: str = GOOD, as_of: str = "", rows: str = ROWS) -> Any:
    """Run one query over the small world."""
    return compute_features([world.visits], folder / "features", folder / "rows", {"guests": query}, rows, as_of)


def test_keys_are_the_columns_before_the_event_time(world: Any) -> None:
    """features.json tells each table's keys; the rows' query is no table."""
    assert world.computed.tables.keys == {"shop_guests": ["shop"], "town_guests": ["town"]}


def test_times_are_utc_and_rows_in_order(world: Any) -> None:
    """Every table is ordered by event time and holds it in UTC."""
    table = read_table(world.features / "shop_guests")
    assert str(table.schema.field("event_timestamp").type) == TIMESTAMP
    times = table.column("event_timestamp").to_pylist()
    assert times == sorted(times)


def test_nothing_known_later_than_as_of_remains(world: Any) -> None:
    """Feature rows and entity rows end at as_of, and later answers are missing."""
    as_of = datetime(2024, 3, 11, tzinfo=UTC)
    for name in ("shop_guests", "town_guests"):
        assert max(read_table(world.features / name).column("event_timestamp").to_pylist()) <= as_of
    rows = read_table(world.rows)
    assert max(rows.column("event_timestamp").to_pylist()) == as_of
    assert all(known <= as_of for known in rows.column("known").to_pylist() if known)
    assert rows.column("busy")[-1].as_py() is None


def test_digests_repeat(world: Any, tmp_path: Path) -> None:
    """The same data gives the same digests, in whatever order its rows come."""
    first = compute(world, tmp_path / "first")
    table = read_table(world.visits)
    shuffled = table.take(pa.array(reversed(range(table.num_rows))))
    write_dataset(tmp_path / "visits", [shuffled], shuffled.schema, name="visits", source="x", time_column="opened")
    second = compute_features([tmp_path / "visits"], tmp_path / "f", tmp_path / "r", {"guests": GOOD}, ROWS)
    assert first.tables.digest == second.tables.digest
    assert first.entity_rows.digest == second.entity_rows.digest


def test_the_rows_may_be_given_as_sql(world: Any, tmp_path: Path) -> None:
    """A query among the queries that is the rows' own makes no feature table."""
    done = compute_features(
        [world.visits], tmp_path / "f", tmp_path / "r", {"guests": GOOD, "rows": ROWS}, f" {ROWS}\n"
    )
    assert list(done.tables.keys) == ["guests"]
    assert done.entity_rows.row_count == read_manifest(world.visits).row_count


def test_report_tells_each_table(world: Any) -> None:
    """The report names every table and feature."""
    page = (world.folder / "features.html").read_text()
    for text in ("shop_guests", "guests_mean_1d", "town_total", "rows", "left out, known later"):
        assert text in page


@pytest.mark.parametrize(
    ("query", "error", "text"),
    [
        ("SELEC shop FROM visits", ConfigurationError, r"guests\.sql: Parser Error.*visits"),
        ("SELECT * FROM visitors", ConfigurationError, r"guests\.sql: .*visitors"),
        ("SELECT shop, opened AS at, guests FROM visits", SchemaError, r"no column event_timestamp; it gives shop, at"),
        (GOOD.replace("opened AS", "opened::TIMESTAMP AS"), SchemaError, "without a zone.*AT TIME ZONE"),
        (GOOD.replace("opened AS", "opened::DATE AS"), SchemaError, "event_timestamp is date32"),
        (GOOD.replace("guests::FLOAT", "guests::HUGEINT"), SchemaError, "guests is .*cast it"),
        (GOOD + " WHERE shop = 'east'", DataError, "gives no rows; look at its filters"),
        (GOOD.replace("shop,", "nullif(shop, 'west') AS shop,"), DataError, "shop is missing in"),
        (GOOD.replace("opened AS", "nullif(opened, '2024-03-01') AS"), DataError, "event_timestamp is missing in 3"),
        (f"{GOOD} UNION ALL {GOOD}", DataError, r"several rows of one \(shop\) and event_timestamp: north"),
        ("SELECT opened AS event_timestamp, 1.0::FLOAT AS x FROM visits LIMIT 1", SchemaError, "no entity keys"),
        ("SELECT shop, opened AS event_timestamp FROM visits", SchemaError, "gives no features"),
        (GOOD.replace("guests::FLOAT", "shop::INTEGER"), DataError, "Could not convert string"),
    ],
)
def test_a_wrong_query_is_named(world: Any, tmp_path: Path, query: str, error: type[FairleadError], text: str) -> None:
    """Each mistake is told with the query's name, and no artifact is left."""
    rows = ROWS + " ORDER BY opened, shop"
    with pytest.raises(error, match="(?s)" + text):
        compute(world, tmp_path, query, rows=rows)
    assert not (tmp_path / "features").exists()


def test_as_of_before_everything_is_an_error(world: Any, tmp_path: Path) -> None:
    """An as_of that leaves no row says so."""
    with pytest.raises(DataError, match="choose a later as_of"):
        compute(world, tmp_path, as_of="2020-01-01")


def test_as_of_must_be_a_moment(world: Any, tmp_path: Path) -> None:
    """A wrong as_of is named."""
    with pytest.raises(ConfigurationError, match="as_of: 'spring' is no ISO 8601"):
        compute(world, tmp_path, as_of="spring")


def test_two_datasets_of_one_name(world: Any, tmp_path: Path) -> None:
    """Views need distinct names."""
    with pytest.raises(ConfigurationError, match="two input datasets are named 'visits'"):
        compute_features([world.visits] * 2, tmp_path / "f", tmp_path / "r", {"guests": GOOD}, ROWS)


def test_no_feature_queries(world: Any, tmp_path: Path) -> None:
    """The rows' query alone is not enough."""
    with pytest.raises(ConfigurationError, match="none that makes a feature table"):
        compute_features([world.visits], tmp_path / "f", tmp_path / "r", {"rows": ROWS}, "rows")


def test_truncated_parquet(world: Any, tmp_path: Path) -> None:
    """A dataset with a cut file is told as such."""
    table = read_table(world.visits)
    write_dataset(tmp_path / "visits", [table], table.schema, name="visits", source="x")
    part = tmp_path / "visits" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:300])
    with pytest.raises(SourceError, match="part-00000"):
        compute_features([tmp_path / "visits"], tmp_path / "f", tmp_path / "r", {"guests": GOOD}, ROWS)


def test_unfinished_tables_are_not_taken_for_whole(world: Any, tmp_path: Path) -> None:
    """A features folder without its manifest, or with a corrupt one, is refused."""
    compute(world, tmp_path)
    manifest = tmp_path / "features" / MANIFEST
    for content, text in (("{", "cannot be read"), ('{"format": 9, "as_of": "", "tables": {}}', "another format")):
        manifest.write_text(content)
        with pytest.raises(SourceError, match=text):
            read_tables(tmp_path / "features")
    manifest.unlink()
    with pytest.raises(SourceError, match="is missing"):
        read_tables(tmp_path / "features")


def test_metadata_is_flat(world: Any) -> None:
    """KFP shows plain values only."""
    values = itertools.chain(
        world.computed.features_metadata().values(), world.computed.entity_rows_metadata().values()
    )
    assert all(isinstance(value, str | int | float) for value in values)
