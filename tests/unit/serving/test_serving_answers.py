"""What models of each task answer, how their predictions are counted, and how images and outcomes are read."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from models import tiny_package
from prometheus_client import CollectorRegistry, generate_latest
from task_models import CLASSES, task_package, task_rows

from fairlead_serving import requests
from fairlead_serving.answers import ANY_NUMBER, Answers, prediction_buckets
from fairlead_serving.errors import RequestInvalidError
from fairlead_serving.fields import Schema
from fairlead_serving.images import read_images, write_png
from fairlead_serving.metrics import TWENTIETHS, ServingMetrics
from fairlead_serving.package import Manifest, ModelInput, ModelPackage
from fairlead_serving.pictures import read_image, remember

SHARES = np.array([[0.2, 0.5, 0.3], [0.9, 0.05, 0.05]], np.float32)


def answers(task: str, output: str, **more: Any) -> Answers:
    """The answers of a task."""
    return Answers(Manifest("m", task, "kind", (ModelInput("x", "numeric"),), outputs=(output,), **more))


def test_each_task_decides_in_its_way() -> None:
    """The threshold, the likeliest class, or nothing."""
    binary = answers("binary", "probability", threshold=0.4)
    assert binary.decide({"probability": np.array([0.3, 0.4], np.float32)})["kind"].tolist() == [False, True]
    several = answers("multiclass", "probability", classes=CLASSES)
    assert several.decide({"probability": SHARES})["kind"].tolist() == ["cat", "bird"]
    assert several.observed({"probability": SHARES}).tolist() == pytest.approx([0.5, 0.9])
    assert several.shape(7) == (7, 3)
    number = answers("regression", "prediction")
    assert list(number.decide({"prediction": np.ones(2)})) == ["prediction"] == list(number.names)


def test_numbers_are_counted_by_what_the_model_usually_says(tmp_path: Path) -> None:
    """Buckets are the twentieths of the reference sample's predictions; without one, powers of ten."""
    path = task_package(tmp_path / "p", "regression")
    assert prediction_buckets(ModelPackage.open(path)) == ANY_NUMBER
    rows = task_rows("regression", 200)
    pq.write_table(pa.table({**rows, "prediction": np.arange(200.0)}), path / "fairlead" / "reference.parquet")
    buckets = prediction_buckets(ModelPackage.open(path))
    assert (buckets[0], buckets[-1], len(buckets)) == (0.0, 199.0, 21)
    pq.write_table(pa.table({**rows, "prediction": np.zeros(200)}), path / "fairlead" / "reference.parquet")
    assert prediction_buckets(ModelPackage.open(path)) == ANY_NUMBER
    assert prediction_buckets(ModelPackage.open(tiny_package(tmp_path / "b"))) == TWENTIETHS


def test_classes_and_unknown_outcomes_are_counted() -> None:
    """Each class has a counter; an outcome that is none of them counts as `other`, a number as `number`."""
    registry = CollectorRegistry()
    metrics = ServingMetrics(registry, "m", "sha256:" + "a" * 64, classes=CLASSES)
    metrics.predictions(np.array([0.5, 0.9, 0.6]), ["cat", "bird", "cat"])
    metrics.feedback("dog")
    metrics.feedback("whale")
    text = generate_latest(registry).decode()
    assert 'fairlead_predicted_class_total{class="cat",model="m",version="aaaaaaaaaaaa"} 2.0' in text
    assert 'outcome="dog",version="aaaaaaaaaaaa"} 1.0' in text
    assert 'outcome="other"' in text
    numbers = CollectorRegistry()
    ServingMetrics(numbers, "m", "sha256:" + "a" * 64, (0.0, 10.0)).feedback(3.25)
    assert 'outcome="number"' in generate_latest(numbers).decode()


GOOD_OUTCOMES: list[tuple[str, Any, Any]] = [
    ("multiclass", "cat", "cat"), ("multiclass", 7, "7"), ("multiclass", "new class", "new class"),
    ("regression", 1, 1.0), ("regression", -2.5, -2.5), ("ranking", 0, 0.0), ("binary", 1, 1),
]  # fmt: skip


@pytest.mark.parametrize(("task", "given_outcome", "found"), GOOD_OUTCOMES)
def test_outcomes_are_read_by_task(task: str, given_outcome: Any, found: Any) -> None:
    """A class as text, also one that training did not know; a number; 0 or 1."""
    outcome = requests.read_feedback(orjson.dumps({"request_id": "a", "outcome": given_outcome}), task)["outcome"]
    assert (outcome, type(outcome)) == (found, type(found))


@pytest.mark.parametrize(
    ("task", "outcome"),
    [("multiclass", 0.5), ("multiclass", ""), ("multiclass", True), ("multiclass", None), ("multiclass", "x" * 2000),
     ("regression", "1"), ("regression", True), ("regression", 1e300), ("ranking", None), ("binary", "1")],
)  # fmt: skip
def test_outcomes_of_another_kind_are_refused(task: str, outcome: Any) -> None:
    """What could not be compared with a prediction is refused."""
    with pytest.raises(RequestInvalidError, match="'outcome' is"):
        requests.read_feedback(orjson.dumps({"request_id": "a", "outcome": outcome}), task)


@given(arrays.arrays(np.uint8, (5, 4, 3)))
def test_a_picture_is_the_same_however_it_is_written(pixels: np.ndarray[Any, Any]) -> None:
    """base64 with and without its object, and nested arrays: the same tensor."""
    text = base64.b64encode(write_png(pixels)).decode()
    written = [read_image(value) for value in ({"b64": text}, text, pixels.tolist())]
    assert np.array_equal(read_images("x", written, (5, 4, 3)), np.stack([pixels] * 3))


values = st.recursive(
    st.none() | st.booleans() | st.integers(-300, 300) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["b64", "x"]), inner, max_size=2),
)


@given(values)
def test_whatever_is_no_picture_is_refused_politely(value: Any) -> None:
    """Any JSON is either read or refused with the words of what is expected."""
    schema = Schema.of_inputs(Manifest("m", "multiclass", "y", (ModelInput("x", "image", shape=(2, 2, 1)),)))
    try:
        (found,) = schema.read("x", [value])
    except RequestInvalidError as error:
        assert "b64" in str(error)  # noqa: PT017 - either outcome is right
    else:
        assert isinstance(found, bytes | np.ndarray)


def test_the_log_remembers_digests() -> None:
    """Of a file as it came, of pixels as they are."""
    pixels = np.arange(8, dtype=np.uint8).reshape(2, 4, 1, 1)
    assert remember([b"file"]) == [f"sha256:{hashlib.sha256(b'file').hexdigest()}"]
    assert remember(pixels)[1] == f"sha256:{hashlib.sha256(bytes([4, 5, 6, 7])).hexdigest()}"
