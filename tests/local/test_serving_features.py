"""A real server process that looks features up in a real Feast store on SQLite."""

import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from models import tiny_package
from serving_process import REQUEST, ROOT, ServerProcess, serving

NUMERIC = {"hour": 0.1, "rate": 1.0, "delay": 0.2}
CHECKS = {"flight": {"minimum": 1, "maximum": 9999}, "carrier": {"missing": "allow"}}  # a flight is no input
ROW = {"carrier": "AA", "origin": "JFK", "flight": 1, "leaves": "2013-07-01T08:00:00-04:00"}  # predicted at 10:00 UTC


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a Feast repository with a filled online store."""
    folder = tmp_path_factory.mktemp("store")
    command = [sys.executable, "-W", "ignore", str(ROOT / "tests" / "serving_store.py"), str(folder)]
    subprocess.run(command, check=True, timeout=180, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def misfit(tmp_path_factory: pytest.TempPathFactory, store: Path) -> ServerProcess:
    """Start, beside the others, a server whose package asks for a service that the store lacks."""
    folder = tmp_path_factory.mktemp("misfit")
    package = tiny_package(folder / "package", numeric=NUMERIC, request={**REQUEST, "feature_service": "other"})
    return ServerProcess(package, folder, "tiny", "--features", str(store))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, store: Path, misfit: ServerProcess) -> Iterator[ServerProcess]:
    """Serve a package that asks for the store's features."""
    folder = tmp_path_factory.mktemp("features")
    package = tiny_package(folder / "package", numeric=NUMERIC, request=REQUEST, checks=CHECKS)
    with serving(package, folder, "tiny", "--features", str(store)) as running:
        yield running
    misfit.process.kill()
    misfit.process.wait()


def ask(server: ServerProcess, request_id: str, **changes: Any) -> Any:
    """Predict one row and give its line in the log."""
    answer = server.predict({**ROW, **changes}, headers={"x-request-id": request_id})
    assert answer.status_code == 200, answer.text
    return server.wait_line("predictions", request_id)


def test_features_come_from_the_store(server: ServerProcess) -> None:
    """Fields, derived columns and features of two views make the inputs; the prediction time is logged."""
    line = ask(server, "whole")
    assert line["features"] == {"carrier": "AA", "origin": "JFK", "hour": 8.0, "rate": 0.25, "delay": 7.0}
    assert (line["as_of"], line["stale"]) == ("2013-07-01T10:00:00+00:00", [])


def test_values_that_were_declared_impossible_are_refused(server: ServerProcess) -> None:
    """A field that is no input of the model is checked as well, and the answer says what is allowed."""
    answer = server.predict({**ROW, "flight": 0})
    assert (answer.status_code, "at least 1" in answer.text) == (400, True), answer.text


def test_inputs_themselves_may_be_asked_about(store: Path, tmp_path: Path) -> None:
    """Without its features the same package serves its inputs, as load tests ask it; checks of inputs still hold."""
    checks = {**CHECKS, "carrier": {"missing": "refuse"}}
    package = tiny_package(tmp_path / "package", numeric=NUMERIC, request=REQUEST, checks=checks)
    row = {"carrier": "AA", "origin": "JFK", "hour": 8.0, "rate": 0.25, "delay": 7.0}
    with serving(package, tmp_path, "tiny") as running:
        assert running.predict(row).status_code == 200
        assert running.predict({**row, "carrier": None}).status_code == 400


def test_unknown_entities_are_missing_values(server: ServerProcess) -> None:
    """An entity that the store does not know, or null, is no error."""
    assert ask(server, "unknown", carrier="ZZ")["features"]["rate"] is None
    line = ask(server, "null", carrier=None)
    assert (line["features"]["carrier"], line["features"]["rate"], line["features"]["delay"]) == (None, None, None)


def test_stale_and_future_features_are_missing_and_named(server: ServerProcess) -> None:
    """Three days old, or known only after the prediction: not used, and listed."""
    stale, future = ask(server, "stale", carrier="UA"), ask(server, "future", carrier="HA")
    assert (stale["features"]["rate"], stale["stale"]) == (None, ["rate"])
    assert (future["features"]["rate"], future["stale"]) == (None, ["future:rate"])
    text = httpx.get(f"{server.url}/metrics").text
    version = server.digest[7:19]
    for outcome in ("fresh", "stale", "future", "missing"):
        assert f'outcome="{outcome}",version="{version}",view="carriers"' in text


@pytest.mark.parametrize("fallback", ["refuse", "flag"])
def test_other_fallbacks_with_sqlite(tmp_path: Path, store: Path, fallback: str) -> None:
    """What is stale is refused with 422 and the names, or used and named."""
    request = {**REQUEST, "freshness": {**REQUEST["freshness"], "fallback": fallback}}
    package = tiny_package(tmp_path / "package", numeric=NUMERIC, request=request)
    with serving(package, tmp_path, "tiny", "--features", str(store)) as running:
        answer = running.predict({**ROW, "carrier": "UA"}, headers={"x-request-id": "other"})
        if fallback == "refuse":
            assert (answer.status_code, "not fresh" in answer.text, "rate" in answer.text) == (422, True, True)
        else:
            line = running.wait_line("predictions", "other")
            assert (line["features"]["rate"], line["stale"]) == (0.75, ["rate"])
            assert line["event_times"]["rate"] == "2013-06-28T00:00:00+00:00"


def test_a_batch_is_looked_up_row_by_row(server: ServerProcess) -> None:
    """More rows than one call takes: each gets its own features."""
    carriers = ["AA", "DL", "ZZ"]
    rows = [{**ROW, "carrier": carriers[number % 3]} for number in range(600)]
    answer = server.predict(*rows)
    alone = [server.predict(rows[number]).json()["predictions"][0]["probability"] for number in range(3)]
    assert [p["probability"] for p in answer.json()["predictions"]] == pytest.approx(alone * 200)


def test_v2_holds_request_fields_too(server: ServerProcess) -> None:
    """One tensor per field; a time is a string."""
    datatypes = {"carrier": "BYTES", "origin": "BYTES", "flight": "INT64", "leaves": "BYTES"}
    inputs = [{"name": n, "datatype": d, "shape": [1], "data": [ROW[n]]} for n, d in datatypes.items()]
    answer = httpx.post(f"{server.url}/v2/models/tiny/infer", json={"inputs": inputs})
    assert answer.json()["outputs"][0]["data"] == [server.predict(ROW).json()["predictions"][0]["probability"]]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"leaves": "2013-07-01T08:00:00"}, "a time with a zone"),
        ({"leaves": None}, "the prediction's time needs it"),
        ({"flight": 2**70}, "64-bit integer"),
        ({"rate": 0.5}, "unknown field 'rate'"),
        ({"carrier": 7}, "string"),
    ],
)
def test_request_fields_are_checked(server: ServerProcess, changes: dict[str, Any], text: str) -> None:
    """A time without zone, a null time, a number too large, a feature that only the store may give."""
    answer = server.predict({**ROW, **changes})
    assert (answer.status_code, text in answer.json()["error"]) == (400, True), answer.text


def test_a_writer_does_not_block_readers(server: ServerProcess, store: Path) -> None:
    """While another process holds the write lock of the store, requests and health checks are answered quickly."""
    with sqlite3.connect(store / "online.db", isolation_level=None) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        started = time.perf_counter()
        assert [server.predict(ROW).status_code for _ in range(20)] == [200] * 20
        assert time.perf_counter() - started < 4
        writer.execute("ROLLBACK")
    writer.close()


def test_new_values_are_seen_at_once(server: ServerProcess, store: Path) -> None:
    """The values are read at each request, also those that another process has just written."""
    with sqlite3.connect(store / "online.db") as writer:
        writer.execute("UPDATE tiny_carriers SET event_ts = event_ts - 10 * 86400")
    try:
        assert ask(server, "aged")["stale"] == ["rate"]
    finally:
        with sqlite3.connect(store / "online.db") as restorer:
            restorer.execute("UPDATE tiny_carriers SET event_ts = event_ts + 10 * 86400")
        writer.close()
        restorer.close()


def test_the_registry_is_bound_at_the_start(server: ServerProcess, store: Path) -> None:
    """A registry that is replaced, even by garbage, does not reach a server that runs."""
    registry, kept = store / "registry.db", store / "registry.kept"
    shutil.copy(registry, kept)
    try:
        registry.write_bytes(b"garbage")
        assert ask(server, "bound")["features"]["rate"] == 0.25
    finally:
        kept.replace(registry)


def test_health_is_answered_while_a_large_batch_is_looked_up(server: ServerProcess) -> None:
    """Reading features happens beside the event loop."""
    rows = [{**ROW, "carrier": f"C{number}"} for number in range(5000)]
    batch = threading.Thread(target=server.predict, args=rows)
    batch.start()
    worst = 0.0
    with httpx.Client(base_url=server.url) as client:
        while batch.is_alive():
            started = time.perf_counter()
            assert client.get("/v2/models/tiny/ready").status_code == 200
            worst = max(worst, time.perf_counter() - started)
    batch.join()
    assert worst < 1.0


def test_sigterm_while_loading_is_obeyed(tmp_path: Path, store: Path) -> None:
    """Feast takes seconds to import; the server lives and is not ready meanwhile, and stops when told."""
    package = tiny_package(tmp_path / "package", numeric=NUMERIC, request=REQUEST)
    server = ServerProcess(package, tmp_path, "tiny", "--features", str(store))
    while "on http://" not in server.stderr:
        time.sleep(0.05)
    assert httpx.get(f"{server.url}/v2/health/live", timeout=30).status_code == 200
    assert httpx.get(f"{server.url}/v2/models/tiny/ready", timeout=30).status_code in (503, 200)
    assert server.stop() == 0


def test_what_does_not_fit_stops_the_start(misfit: ServerProcess, tmp_path: Path) -> None:
    """A service that the registry lacks, and a folder without features, end the server with the reason."""
    empty = ServerProcess(misfit.package, tmp_path, "tiny", "--features", str(tmp_path))
    for server, reason in ((misfit, "no feature service 'other'; it has tiny"), (empty, "no feature_store.yaml")):
        assert server.process.wait(120) == 1
        assert reason in server.stderr.splitlines()[-1]
