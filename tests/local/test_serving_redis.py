"""A real server process that looks features up in a real Redis: fresh, stale, away, hanging, killed and back again."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from models import tiny_package
from redis_server import RedisServer, running_redis
from serving_process import REQUEST, ROOT, ServerProcess, serving

NUMERIC = {"hour": 0.1, "rate": 1.0, "delay": 0.2}
ROW = {"carrier": "AA", "origin": "JFK", "flight": 1, "leaves": "2013-07-01T08:00:00-04:00"}
LIMIT_SECONDS = 2.0


def make_store(folder: Path, redis: RedisServer) -> Path:
    """Make a Feast repository whose online store is the Redis, and fill it."""
    command = [sys.executable, "-W", "ignore", str(ROOT / "tests" / "serving_store.py"), str(folder), redis.connection]
    subprocess.run(command, check=True, timeout=180, capture_output=True)
    return folder


def package(folder: Path, **freshness: Any) -> Path:
    """Make a package with a freshness."""
    request = {**REQUEST, "freshness": {**REQUEST["freshness"], **freshness}}
    return tiny_package(folder / "package", numeric=NUMERIC, request=request)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run a Redis that wants a password."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, redis: RedisServer) -> Path:
    """Fill it."""
    return make_store(tmp_path_factory.mktemp("store"), redis)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Iterator[ServerProcess]:
    """Serve a package that refuses without its store."""
    folder = tmp_path_factory.mktemp("refusing")
    with serving(package(folder), folder, "tiny", "--features", str(store)) as running:
        yield running


def ask(server: ServerProcess, request_id: str, **changes: Any) -> Any:
    """Predict one row and give its line in the log."""
    answer = server.predict({**ROW, **changes}, headers={"x-request-id": request_id})
    assert answer.status_code == 200, answer.text
    return server.wait_line("predictions", request_id)


def wait_answer(server: ServerProcess, status: int) -> httpx.Response:
    """Ask until the answer has a status; no answer may take long."""
    end = time.monotonic() + 10
    while True:
        started = time.monotonic()
        answer = server.predict(ROW)
        assert time.monotonic() - started < LIMIT_SECONDS
        if answer.status_code == status:
            return answer
        assert time.monotonic() < end, answer.text
        time.sleep(0.1)


def test_features_and_their_times_come_from_redis(server: ServerProcess) -> None:
    """Values, event times, what is stale, from the future or unknown: as with SQLite."""
    line = ask(server, "redis-whole")
    assert line["features"] == {"carrier": "AA", "origin": "JFK", "hour": 8.0, "rate": 0.25, "delay": 7.0}
    assert line["event_times"] == {"rate": "2013-07-01T09:00:00+00:00", "delay": "2013-07-01T00:00:00+00:00"}
    assert (ask(server, "redis-stale", carrier="UA")["stale"], ask(server, "redis-new", carrier="HA")["stale"]) == (
        ["rate"], ["future:rate"]
    )  # fmt: skip
    assert ask(server, "redis-unknown", carrier="ZZ")["features"]["rate"] is None
    text = httpx.get(f"{server.url}/metrics").text
    for outcome in ("fresh", "stale", "future", "missing"):
        assert f'outcome="{outcome}",version="{server.digest[7:19]}",view="carriers"' in text
    assert 'fairlead_feature_missing_total{feature="rate",model="tiny"' in text
    assert 'fairlead_feature_age_seconds_bucket{le="3600.0",model="tiny"' in text


def test_a_killed_redis_costs_answers_until_it_is_back(server: ServerProcess, redis: RedisServer) -> None:
    """Requests are refused at once with 503 and the reason, health goes on, and no restart of the server is needed."""
    redis.kill()
    answer = wait_answer(server, 503)
    assert "the online store does not answer" in answer.json()["error"]
    assert answer.headers["retry-after"] == "1"
    assert httpx.get(f"{server.url}/v2/health/live").status_code == 200
    redis.start()
    wait_answer(server, 200)
    assert ask(server, "redis-back")["features"]["rate"] == 0.25
    assert 'outcome="unavailable"' in httpx.get(f"{server.url}/metrics").text


def test_a_hanging_redis_costs_no_more_than_its_time_limit(server: ServerProcess, redis: RedisServer) -> None:
    """A frozen Redis keeps its connections; requests get their 503 within the limit, and answers once it thaws."""
    assert server.predict(ROW).status_code == 200
    redis.freeze()
    try:
        wait_answer(server, 503)
    finally:
        redis.thaw()
    wait_answer(server, 200)


@pytest.mark.parametrize("fallback", ["refuse", "flag"])
def test_the_other_fallbacks(tmp_path: Path, store: Path, fallback: str) -> None:
    """What is stale is refused with 422 and the names, or used and named."""
    with serving(package(tmp_path, fallback=fallback), tmp_path, "tiny", "--features", str(store)) as running:
        answer = running.predict({**ROW, "carrier": "UA"}, headers={"x-request-id": "other"})
        if fallback == "refuse":
            assert (answer.status_code, "not fresh" in answer.text, "rate" in answer.text) == (422, True, True)
            assert running.predict(ROW).status_code == 200
        else:
            line = running.wait_line("predictions", "other")
            assert (line["features"]["rate"], line["stale"]) == (0.75, ["rate"])


def test_a_package_may_prefer_missing_features_to_no_answer(tmp_path: Path, redis: RedisServer, store: Path) -> None:
    """Where it says so, predictions are made without the store, from the start on, and say so; then with it again."""
    redis.kill()
    made = package(tmp_path, unavailable="missing")
    try:
        with serving(made, tmp_path, "tiny", "--features", str(store)) as running:
            line = ask(running, "without")
            assert (line["features"]["rate"], line["features"]["hour"]) == (None, 8.0)
            assert line["stale"] == ["unavailable:rate", "unavailable:delay"]
            redis.start()
            assert ask(running, "with")["features"]["rate"] == 0.25
    finally:
        if redis.process is None:
            redis.start()


def test_a_server_without_its_redis_says_so_and_ends(tmp_path: Path) -> None:
    """A package that refuses without features does not begin to serve without them."""
    folder = tmp_path / "redis"
    folder.mkdir()
    with running_redis(folder) as away:
        store = make_store(tmp_path / "store", away)
    server = ServerProcess(package(tmp_path), tmp_path, "tiny", "--features", str(store))
    assert server.process.wait(120) == 1
    assert "the online store cannot be read" in server.stderr.splitlines()[-1]


def test_redis_over_tls(tmp_path: Path) -> None:
    """With the authority's certificate in the address, TLS is verified and spoken."""
    folder = tmp_path / "redis"
    folder.mkdir()
    with running_redis(folder, tls=True) as secure:
        store = make_store(tmp_path / "store", secure)
        with serving(package(tmp_path), tmp_path, "tiny", "--features", str(store)) as running:
            assert ask(running, "secure")["features"]["rate"] == 0.25
