"""Feature stores in a folder with SQLite, in a folder with Redis, and in S3 with Redis: the same is read of each."""

import json
import multiprocessing
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from others import run_one
from redis_server import PASSWORD, RedisServer
from shared_stores import client, materialize

from fairlead.datasets import read_table
from fairlead.errors import DataError, StateError
from fairlead.features import store
from fairlead.features.bundle import read_bundle
from fairlead.features.check_feature_skew.task import check_feature_skew
from fairlead.features.feast_library import quiet
from fairlead.features.home_s3 import S3Home
from fairlead.features.homes import open_home
from fairlead.features.online_redis import RedisOnline
from fairlead.objects import Objects
from fairlead.settings import settings

pytest_plugins = ("minio_fixtures",)

FEATURES = ["shop_guests:guests_last", "shop_guests:guests_mean_1d", "town_guests:town_total"]
REQUEST: dict[str, Any] = {
    "fields": {"shop": "string", "town": "string", "opened": "timestamp"},
    "prediction_time": {"field": "opened", "minus_seconds": 7200.0},
    "freshness": {"maximum_age_seconds": 86400.0 * 30},
}
KEYS = {"shop": ["north", "south", "west", "nowhere"], "town": ["mid", "mid", "east", "east"]}


@pytest.fixture(params=["folder", "folder with Redis", "S3 with Redis"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the feature store is kept, as the settings say."""
    if request.param != "folder":
        redis = request.getfixturevalue("redis")
        client(redis).flushall()
        monkeypatch.setenv("FAIRLEAD_REDIS", redis.connection)
    if request.param == "S3 with Redis":
        bucket = request.getfixturevalue("bucket")
        monkeypatch.setenv("FAIRLEAD_FEATURE_REGISTRY", f"s3://{bucket}/features/registry.db")
    return str(request.param)


def ask(folder: Path, problem: str = "shops", features: list[str] | None = None) -> dict[str, Any]:
    """Ask the online store as a server does: from the bundle, or where the file is."""
    place = settings()
    if place.redis.get_secret_value():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, content in read_bundle(place, problem).items():
            (folder / name).write_bytes(content)
        opened = store.open_store(folder)  # the variable is in the environment, as in a server's pod
    else:
        opened = store.open_store(place.features_home(problem))
    with quiet():
        found: dict[str, Any] = opened.get_online_features(features or FEATURES, KEYS).to_dict(
            include_event_timestamps=True
        )
    store.close(opened)
    return found


def expected(world: Any, moment: str) -> dict[str, list[Any]]:
    """What was known of each shop and town then, from the tables."""
    until = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    found = {}
    for table, key, feature in (
        ("shop_guests", "shop", "guests_last"), ("shop_guests", "shop", "guests_mean_1d"),
        ("town_guests", "town", "town_total"),
    ):  # fmt: skip
        rows = [row for row in read_table(world.features / table).to_pylist() if row["event_timestamp"] <= until]
        rows.sort(key=lambda row: row["event_timestamp"], reverse=True)
        found[feature] = [next((row[feature] for row in rows if row[key] == name), None) for name in KEYS[key]]
    return found


def values(answer: dict[str, Any]) -> dict[str, list[Any]]:
    """The features of an answer."""
    return {name.partition(":")[2]: answer[name.partition(":")[2]] for name in FEATURES}


def test_what_is_materialized_is_read(world: Any, kept: str, tmp_path: Path) -> None:
    """At first, at a later moment, at the same again, at an earlier one: always what the tables say, and no more."""
    for as_of, mode in (
        ("2024-03-08", "rebuilt"), ("2024-03-08", "unchanged"), ("2024-03-09T07:00:00", "incremental"),
        ("2024-03-05", "rebuilt"),
    ):  # fmt: skip
        done = materialize(world, as_of)
        assert done.mode == mode
        assert values(ask(tmp_path / "server")) == expected(world, as_of)
        assert done.keys_online == {"shop_guests": 3, "town_guests": 2}


def test_joined_and_served_agree(world: Any, kept: str, tmp_path: Path) -> None:
    """The point-in-time join and the online store say the same, at the store's moment only."""
    materialize(world, "2024-03-10")
    arguments = (tmp_path / "report.html", "shops", str(world.repository), "shops", REQUEST)
    skew = check_feature_skew(world.training_set, world.features, *arguments, "2024-03-10")
    assert skew.rows > 0
    assert skew.mismatches == ()
    with pytest.raises(StateError, match=r"holds 2024-03-10T00:00:00\+00:00, not 2024-03-09"):
        check_feature_skew(world.training_set, world.features, *arguments, "2024-03-09")


def test_nothing_known_yet(world: Any, kept: str) -> None:
    """An empty online store is an error."""
    with pytest.raises(DataError, match="choose a later as_of"):
        materialize(world, "2020-01-01")


def test_a_redis_that_lost_its_data_is_filled_again(
    world: Any, shared: str, redis: RedisServer, tmp_path: Path
) -> None:
    """The state in S3 is not believed where Redis no longer holds what it says."""
    materialize(world, "2024-03-08")
    client(redis).flushall()
    assert materialize(world, "2024-03-08").mode == "rebuilt"
    assert values(ask(tmp_path / "server")) == expected(world, "2024-03-08")


def test_a_registry_that_was_removed_is_made_anew(world: Any, shared: str, tmp_path: Path) -> None:
    """What S3 lost of it, the next run brings back, although Redis still holds all."""
    materialize(world, "2024-03-08")
    Objects.connect().remove(shared)
    assert materialize(world, "2024-03-08").mode == "rebuilt"
    assert values(ask(tmp_path / "server")) == expected(world, "2024-03-08")


def test_no_password_leaves_the_pod(world: Any, shared: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is in no object, no file for servers, and no log."""
    materialize(world, "2024-03-08")
    objects = Objects.connect()
    everything = [objects.read_bytes(one.uri) for one in objects.list(shared.rpartition("/")[0])]
    assert len(everything) > 4
    bundle = read_bundle(settings(), "shops")
    assert not any(PASSWORD.encode() in content for content in [*everything, *bundle.values()])
    assert b"connection_string: '${FAIRLEAD_REDIS}'" in bundle["feature_store.yaml"]
    assert PASSWORD not in caplog.text
    assert sum(map(len, bundle.values())) < 100_000


def test_the_registry_tells_where_the_tables_are(world: Any, shared: str, tmp_path: Path) -> None:
    """Not the folder of a pod that is gone, but what was uploaded, whole."""
    materialize(world, "2024-03-08")
    registry = store.parse_registry(read_bundle(settings(), "shops")["registry.db"], "registry", "")
    uris = {view.spec.batch_source.file_options.uri for view in registry.feature_views}
    tables = f"{shared.rpartition('/')[0]}/shops/tables"
    assert uris == {f"{tables}/shop_guests/*.parquet", f"{tables}/town_guests/*.parquet"}
    Objects.connect().download_folder(tables, tmp_path / "tables")
    assert read_table(tmp_path / "tables" / "shop_guests").equals(read_table(world.features / "shop_guests"))


def test_problems_share_registry_and_redis(world: Any, shared: str, redis: RedisServer, tmp_path: Path) -> None:
    """Each keeps its own moment, although one's name ends like the other's; each server's bundle holds its own."""
    materialize(world, "2024-03-08", "shops")
    materialize(world, "2024-03-09", "night-shops")
    materialize(world, "2024-03-05", "shops")
    for problem, as_of in (("shops", "2024-03-05"), ("night-shops", "2024-03-09")):
        assert values(ask(tmp_path / "server", problem)) == expected(world, as_of)
        registry = store.parse_registry(read_bundle(settings(), problem)["registry.db"], "registry", "")
        assert {view.spec.project for view in registry.feature_views} == {store.project_name(problem)}
        assert [one.spec.name for one in registry.projects] == [store.project_name(problem)]
        assert len(registry.feature_views) == 2
    whole = store.parse_registry(Objects.connect().read_bytes(shared), shared, "")
    assert sorted(one.spec.name for one in whole.projects) == ["night_shops", "shops"]
    assert len(whole.feature_views) == 4
    assert RedisOnline(settings(), "shops").count_keys() == {"shop_guests": 3, "town_guests": 2}


def test_readers_never_find_nothing(world: Any, shared: str, tmp_path: Path) -> None:
    """While the store is built anew, to and fro, a reader finds of each shop one moment whole, or the other."""
    materialize(world, "2024-03-08")
    allowed = [expected(world, as_of) for as_of in ("2024-03-08", "2024-03-05")]
    ask(tmp_path / "server")
    opened = store.open_store(tmp_path / "server")
    seen, ended, wrong = set[int](), threading.Event(), list[Any]()

    def read() -> None:
        while not ended.is_set():
            found = values(opened.get_online_features(FEATURES, KEYS).to_dict())
            for at in range(3):
                pair = (found["guests_last"][at], found["guests_mean_1d"][at])
                which = [
                    n for n, one in enumerate(allowed) if (one["guests_last"][at], one["guests_mean_1d"][at]) == pair
                ]
                seen.update(which)
                if not which:
                    wrong.append(found)

    reader = threading.Thread(target=read)
    reader.start()
    for as_of in ("2024-03-05", "2024-03-08"):
        with RedisOnline(settings(), "shops").told():
            materialize(world, as_of)
    materialize(world, "2024-03-05")
    ended.set()
    reader.join()
    store.close(opened)
    assert wrong == []
    assert seen == {0, 1}


RUN = """
import sys
from fairlead.features.materialize_features.task import materialize_features
materialize_features(sys.argv[1], "shops", sys.argv[2], sys.argv[3])
"""


def test_a_killed_run_is_made_good(world: Any, shared: str, redis: RedisServer, tmp_path: Path) -> None:
    """SIGKILL at moments of a rebuild: readers still find something, and the next run, after the lease, ends it."""
    materialize(world, "2024-03-08")
    for pause in (0.0, 0.3):
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(world.features), str(world.repository), "2024-03-05"]
        )
        state = f"{shared.rpartition('/')[0]}/shops/state.json"
        while not json.loads(Objects.connect().read_bytes(state))["pending"] and process.poll() is None:
            time.sleep(0.02)
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert None not in values(ask(tmp_path / "server"))["guests_last"][:3]
    assert materialize(world, "2024-03-08").mode == "rebuilt"
    assert values(ask(tmp_path / "server")) == expected(world, "2024-03-08")
    assert not list(RedisOnline(settings(), "shops__fresh").keys())


@pytest.mark.slow
def test_two_materializers_at_once(world: Any, shared: str, tmp_path: Path) -> None:
    """They take turns: in the end the store holds one of the moments whole, and its state says which."""
    context = multiprocessing.get_context("spawn")
    moments = ("2024-03-05", "2024-03-08")
    processes = [
        context.Process(target=run_one, args=(str(world.features), str(world.repository), as_of)) for as_of in moments
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    held = open_home(settings(), "shops").read_state()
    assert held is not None
    assert held.pending == ""
    assert values(ask(tmp_path / "server")) == expected(world, held.as_of[:10])


def test_another_that_holds_it_for_long(world: Any, shared: str) -> None:
    """Waiting ends with an error that says who has it."""
    first, second = S3Home(settings(), "shops"), S3Home(settings(), "shops", wait_seconds=0.5)
    with first.locked(), pytest.raises(StateError, match=r"has been held by .* for 0.5 s"), second.locked():
        pass
