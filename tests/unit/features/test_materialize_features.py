"""materialize_features fills the online store: no more than needed, never with the future, never half."""

import json
import shutil
import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import filelock
import pyarrow as pa
import pytest

from fairlead.datasets import read_table, write_dataset
from fairlead.errors import ConfigurationError, DataError, SchemaError, StateError
from fairlead.features import online, state, store
from fairlead.features.check_feature_skew.task import check_feature_skew
from fairlead.features.feast_library import quiet
from fairlead.features.materialize_features.task import Materialized, materialize_features
from fairlead.features.push import push_rows

FEATURES = ["shop_guests:guests_last", "town_guests:town_total"]
KEYS = {"shop": ["north", "south", "west", "nowhere"], "town": ["mid", "mid", "east", "east"]}


def materialize(world: Any, home: Path, as_of: str, features: Path | None = None) -> Materialized:
    """Bring a store to a moment."""
    return materialize_features(features or world.features, "shops", str(world.repository), as_of, home)


def ask(home: Path) -> dict[str, Any]:
    """Ask the online store, as a server does."""
    opened = store.open_store(home)
    with quiet():
        found: dict[str, Any] = opened.get_online_features(FEATURES, KEYS).to_dict(include_event_timestamps=True)
    store.close(opened)
    return found


def expected(world: Any, moment: datetime) -> list[float | None]:
    """The last guests of each shop as known then."""
    rows = [row for row in read_table(world.features / "shop_guests").to_pylist() if row["event_timestamp"] <= moment]
    return [next((row["guests_last"] for row in reversed(rows) if row["shop"] == shop), None) for shop in KEYS["shop"]]


@pytest.fixture
def home(world: Any, tmp_path: Path) -> Path:
    """A feature store that holds 8 March."""
    kept = world.folder / "store"
    if not kept.exists():
        materialize(world, kept, "2024-03-08")
    shutil.copytree(kept, tmp_path / "home")
    return tmp_path / "home"


def test_the_store_holds_what_was_known(world: Any, home: Path) -> None:
    """Values are the latest by then, with their event times; unknown entities have none."""
    found = ask(home)
    assert found["guests_last"] == expected(world, datetime(2024, 3, 8, tzinfo=UTC))
    assert found["guests_last__ts"][0] == datetime(2024, 3, 8, tzinfo=UTC).timestamp()
    assert found["guests_last"][3] is None


def test_the_same_moment_writes_nothing(world: Any, home: Path) -> None:
    """A second run leaves registry, online store and tables as they are."""
    files = [home / store.ONLINE, home / store.REGISTRY, home / store.CONFIGURATION]
    before = [(file.stat().st_mtime_ns, file.read_bytes()) for file in files]
    done = materialize(world, home, "2024-03-08")
    assert (done.mode, done.rows_read) == ("unchanged", {})
    assert [(file.stat().st_mtime_ns, file.read_bytes()) for file in files] == before


def test_a_later_moment_writes_the_new_interval(world: Any, home: Path) -> None:
    """Only rows after the last moment are read, and the store holds the new one."""
    done = materialize(world, home, "2024-03-09T12:00:00Z")
    assert done.mode == "incremental"
    assert done.rows_read == {"shop_guests": 36 + 36 + 12, "town_guests": 2}
    assert ask(home)["guests_last"] == expected(world, datetime(2024, 3, 9, 12, tzinfo=UTC))


def test_an_earlier_moment_leaves_no_future(world: Any, home: Path) -> None:
    """The store is built anew, and connections that were open before see it."""
    opened = store.open_store(home)
    with quiet():
        opened.get_online_features(FEATURES, KEYS)
    done = materialize(world, home, "2024-03-05T03:00:00Z")
    assert done.mode == "rebuilt"
    moment = datetime(2024, 3, 5, 3, tzinfo=UTC)
    assert online.latest_event(home / store.ONLINE) == moment
    with quiet():
        seen = opened.get_online_features(FEATURES, KEYS).to_dict()["guests_last"]
    store.close(opened)
    assert seen == expected(world, moment)


def test_a_changed_past_is_noticed(world: Any, home: Path, tmp_path: Path) -> None:
    """Tables with another history than the store's make it be built anew."""
    shutil.copytree(world.features, tmp_path / "features")
    table = read_table(world.features / "town_guests")
    changed = table.set_column(2, "town_total", pa.array([n + 1 for n in table.column("town_total").to_pylist()]))
    write_dataset(
        tmp_path / "features" / "town_guests", [changed], changed.schema, name="town_guests", source="x",
        time_column="event_timestamp",
    )  # fmt: skip
    before = ask(home)["town_total"]
    assert materialize(world, home, "2024-03-08", tmp_path / "features").mode == "rebuilt"
    assert ask(home)["town_total"] == [total + 1 for total in before]


def test_a_killed_run_is_made_good(world: Any, home: Path) -> None:
    """A state that says `pending` is no ground to build on: the next run starts anew."""
    content = json.loads((home / state.FILE).read_text()) | {"pending": "2024-03-10T00:00:00+00:00"}
    (home / state.FILE).write_text(json.dumps(content))
    assert materialize(world, home, "2024-03-08").mode == "rebuilt"
    assert materialize(world, home, "2024-03-08").mode == "unchanged"


def test_as_of_beyond_the_tables(world: Any, home: Path) -> None:
    """The store cannot claim to hold a moment that the tables do not reach, nor none at all."""
    with pytest.raises(ConfigurationError, match="is later than the tables'"):
        materialize(world, home, "2024-04-01")
    with pytest.raises(ConfigurationError, match="as_of: the online store holds"):
        materialize(world, home, "")


def test_nothing_known_yet(world: Any, tmp_path: Path) -> None:
    """An empty online store is an error, not a success."""
    with pytest.raises(DataError, match="choose a later as_of"):
        materialize(world, tmp_path / "home", "2020-01-01")


@pytest.mark.parametrize(
    ("file", "content", "text"),
    [
        (
            store.ONLINE,
            b"this is no database, whatever its name says",
            "online store .* cannot be used .*delete the folder",
        ),
        (store.REGISTRY, b"\xff\xfe garbage", "registry .* is corrupt .*delete the folder"),
        (store.REGISTRY, b"", "registry .* is of version unknown"),
        (store.REGISTRY, None, "registry .* is missing"),
        (state.FILE, b"{", r"state\.json cannot be read .*delete the folder"),
        (state.FILE, b'{"format": 99}', r"state\.json is of format 99"),
    ],
)
def test_corrupt_or_other_state(world: Any, home: Path, file: str, content: bytes | None, text: str) -> None:
    """Each says what is wrong and what to do, and touches nothing."""
    if content is None:
        (home / file).unlink()
    else:
        (home / file).write_bytes(content)
    with pytest.raises(StateError, match=text):
        materialize(world, home, "2024-03-09")
    assert content is None or (home / file).read_bytes() == content


def test_a_second_run_waits(world: Any, home: Path) -> None:
    """While another run holds the lock, this one waits, and then does its work."""
    lock = filelock.FileLock(home / ".lock", thread_local=False)
    lock.acquire()
    threading.Timer(0.3, lock.release).start()
    assert materialize(world, home, "2024-03-08").mode == "unchanged"


def test_a_lock_held_too_long(tmp_path: Path) -> None:
    """Waiting ends with an error that says why."""
    with state.locked(tmp_path), pytest.raises(StateError, match="locked by another run"):  # noqa: SIM117
        with state.locked(tmp_path, seconds=0.05):
            pass


def fresh_rows(guests: float, at: str, shops: tuple[str, ...] = ("north", "south")) -> pa.Table:
    """Rows of shop_guests that became known just now."""
    moment = datetime.fromisoformat(at)
    return pa.table({
        "shop": list(shops), "event_timestamp": pa.array([moment] * len(shops), pa.timestamp("us", "UTC")),
        "guests_last": pa.array([guests] * len(shops), pa.float32()),
        "guests_mean_1d": pa.array([None] * len(shops), pa.float32()),
    })  # fmt: skip


def test_pushed_rows_are_served_at_once(home: Path) -> None:
    """Only newer rows count, the latest of each key wins, and missing features are written as missing."""
    rows = pa.concat_tables([fresh_rows(7, "2024-03-08T04:00:00Z"), fresh_rows(6, "2024-03-08T03:00:00Z")])
    assert push_rows(home, "shop_guests", rows) == 2
    assert push_rows(home, "shop_guests", fresh_rows(1, "2024-03-08T03:59:59Z").to_pandas()) == 0
    assert push_rows(home, "shop_guests", rows.slice(0, 0)) == 0
    assert ask(home)["guests_last"][:2] == [7.0, 7.0]
    nothing = fresh_rows(0, "2024-03-08T05:00:00Z").set_column(2, "guests_last", pa.array([None, None], pa.float32()))
    assert push_rows(home, "shop_guests", nothing) == 2
    assert ask(home)["guests_last"][:2] == [None, None]


def test_pushed_rows_do_not_outlive_the_tables(world: Any, home: Path) -> None:
    """After a push, the next materialization takes the tables' word."""
    push_rows(home, "shop_guests", fresh_rows(99, "2024-03-08T04:00:00Z"))
    assert materialize(world, home, "2024-03-08").mode == "rebuilt"
    assert ask(home)["guests_last"] == expected(world, datetime(2024, 3, 8, tzinfo=UTC))


def test_wrong_pushes_are_named(home: Path, tmp_path: Path) -> None:
    """No store, no view, no column, no zone."""
    rows = fresh_rows(1, "2024-03-09T00:00:00Z")
    with pytest.raises(StateError, match="no feature store at"):
        push_rows(tmp_path / "none", "shop_guests", rows)
    with pytest.raises(ConfigurationError, match="no feature view 'shops'; did you mean 'shop_guests'"):
        push_rows(home, "shops", rows)
    with pytest.raises(SchemaError, match="no column 'guests_mean_1d'"):
        push_rows(home, "shop_guests", rows.drop_columns(["guests_mean_1d"]))
    frame = rows.to_pandas()
    frame["event_timestamp"] = frame["event_timestamp"].dt.tz_localize(None)
    with pytest.raises(SchemaError, match="has no zone"):
        push_rows(home, "shop_guests", frame)


def test_readers_are_not_disturbed_by_writers(home: Path) -> None:
    """While rows are pushed, a reader of the SQLite file always finds one whole state, and never waits for a lock."""
    wrong: list[Any] = []
    stop = threading.Event()

    def read() -> None:
        with sqlite3.connect(f"file:{home / store.ONLINE}?mode=ro", uri=True) as connection:
            connection.execute("SELECT count(*) FROM shops_shop_guests").fetchall()  # the first to open it locks it
            connection.execute("PRAGMA busy_timeout = 0")
            while not stop.is_set():
                rows = connection.execute(
                    "SELECT count(DISTINCT event_ts), count(*) FROM shops_shop_guests "
                    "WHERE feature_name = 'guests_last'"
                ).fetchall()
                if rows[0][1] != len(KEYS["shop"]) - 1:
                    wrong.append(rows)
        connection.close()

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for minute in range(20):
        at = datetime(2024, 3, 8, 5, tzinfo=UTC) + timedelta(minutes=minute)
        assert push_rows(home, "shop_guests", fresh_rows(minute, at.isoformat(), ("north", "south", "west"))) == 3
    stop.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    with sqlite3.connect(home / store.ONLINE) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


REQUEST: dict[str, Any] = {"fields": {"shop": "string", "town": "string", "opened": "timestamp"}}


def check(world: Any, home: Path, folder: Path, as_of: str, **freshness: Any) -> Any:
    """Check the skew of the small world."""
    request = REQUEST | {"freshness": {"maximum_age_seconds": 2592000.0} | freshness}
    return check_feature_skew(
        world.training_set, world.features, folder / "skew.html", "shops", str(world.repository), "shops", request,
        as_of, 100, home,
    )  # fmt: skip


def test_training_and_serving_agree(world: Any, home: Path, tmp_path: Path) -> None:
    """Every value of every entity is the same on both paths."""
    skew = check(world, home, tmp_path, "2024-03-08", views={"shop_guests": 21600.0})
    assert (skew.rows, skew.values, skew.metadata()["mismatches"]) == (3, 9, 0)
    assert "same on both paths" in (tmp_path / "skew.html").read_text()


def test_values_too_old_to_serve_count_as_missing(world: Any, home: Path, tmp_path: Path) -> None:
    """South has been closed for two days: its row online is stale, and absent from the join."""
    skew = check(world, home, tmp_path, "2024-03-08", views={"shop_guests": 21600.0})
    assert skew.stale == 2
    with pytest.raises(DataError, match="2 of 9 values differ"):  # served for 30 days, but trained on for 6 hours
        check(world, home, tmp_path, "2024-03-08")


def test_a_difference_is_shown(world: Any, home: Path, tmp_path: Path) -> None:
    """A value that someone else wrote is found, reported, and fails the step."""
    push_rows(home, "shop_guests", fresh_rows(99, "2024-03-08T00:00:00Z", ("west",)))
    with pytest.raises(DataError, match=r"guests_last of shop=west: the point-in-time join gives .* 99\.0"):
        check(world, home, tmp_path, "2024-03-08", views={"shop_guests": 21600.0})
    assert "guests_last" in (tmp_path / "skew.html").read_text()


def test_skew_is_checked_at_the_stores_moment(world: Any, home: Path, tmp_path: Path) -> None:
    """Another moment than the store holds is an error that says which it holds."""
    with pytest.raises(StateError, match=r"holds 2024-03-08T00:00:00\+00:00, not 2024-03-09"):
        check(world, home, tmp_path, "2024-03-09")
