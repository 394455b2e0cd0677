"""A real server explains predictions, also of looked-up features, at a stated and bounded cost to nobody else."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from models import tiny_package
from serving_process import REQUEST, ROOT, ServerProcess, serving
from task_models import picture_package

ROW = {"carrier": "AA", "origin": "JFK", "flight": 1, "leaves": "2013-07-01T08:00:00-04:00"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Serve a package whose features are looked up."""
    folder = tmp_path_factory.mktemp("explain")
    command = [sys.executable, "-W", "ignore", str(ROOT / "tests" / "serving_store.py"), str(folder / "store")]
    subprocess.run(command, check=True, timeout=180, capture_output=True)
    package = tiny_package(
        folder / "package", numeric={"hour": 0.1, "rate": 1.0, "delay": 0.2}, request=REQUEST, reference_rows=64
    )
    with serving(package, folder, "tiny", "--features", str(folder / "store")) as running:
        yield running


def explain(server: ServerProcess, *rows: object) -> httpx.Response:
    """Ask for explanations."""
    return httpx.post(f"{server.url}/v1/models/tiny:explain", json={"instances": list(rows)}, timeout=60)


def test_a_prediction_is_explained_by_its_features_as_used(server: ServerProcess) -> None:
    """The contributions add up to the very prediction; values and event times are those of the online store."""
    answer = explain(server, ROW, {**ROW, "carrier": "UA"})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-fairlead-digest"] == server.digest
    first, second = answer.json()["explanations"]
    predicted = server.predict(ROW).json()["predictions"][0]["probability"]
    assert first["prediction"] == pytest.approx(predicted, abs=1e-6)
    assert first["base"] + sum(first["contributions"].values()) == pytest.approx(predicted, abs=1e-6)
    assert first["features"] == {"carrier": "AA", "origin": "JFK", "hour": 8.0, "rate": 0.25, "delay": 7.0}
    assert first["event_times"] == {"rate": "2013-07-01T09:00:00+00:00", "delay": "2013-07-01T00:00:00+00:00"}
    assert (second["features"]["rate"], second["stale"]) == (None, ["rate"])
    assert (first["evaluations"], first["permutations"], first["background_rows"]) == (577, 128, 64)
    assert first["milliseconds"] > 0
    assert 'request_explain_seconds_count{model_name="tiny"} 1.0' in httpx.get(f"{server.url}/metrics").text


def test_what_cannot_be_explained_is_refused(server: ServerProcess) -> None:
    """Too many rows, and rows that do not fit, as for predictions."""
    assert explain(server, *[ROW] * 9).status_code == 413
    assert explain(server, {**ROW, "flight": "one"}).status_code == 400


def test_explanations_do_not_hold_up_predictions(server: ServerProcess) -> None:
    """With explanations under way all the time, predictions take no more than some milliseconds longer."""
    stop = threading.Event()

    def ask_for_explanations() -> None:
        while not stop.is_set():
            explain(server, *[ROW] * 8)

    def median_seconds() -> float:
        times = []
        with httpx.Client(base_url=server.url) as client:
            for _ in range(150):
                started = time.perf_counter()
                assert client.post("/v1/models/tiny:predict", content=json.dumps({"instances": [ROW]})).is_success
                times.append(time.perf_counter() - started)
        return float(np.median(times))

    alone = median_seconds()
    thread = threading.Thread(target=ask_for_explanations)
    thread.start()
    try:
        beside = median_seconds()
    finally:
        stop.set()
        thread.join()
    assert beside < alone + 0.05, (alone, beside)


def test_images_are_refused_with_the_reason(tmp_path: Path) -> None:
    """A model of images answers 422: explanations are made of tables."""
    pixels = np.zeros((8, 8, 1), np.uint8).tolist()
    with serving(picture_package(tmp_path / "package"), tmp_path) as running:
        answer = explain(running, {"picture": pixels})
        assert answer.status_code == 422, answer.text
        assert "explanations are made of tables" in answer.json()["error"]
