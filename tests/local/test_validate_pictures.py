"""validate_server and load_test_model for every task and for images: requests are made from what the server says."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from models import tiny_package, tiny_rows
from serving_process import REQUEST
from task_models import picture_package, picture_rows, task_package, task_rows

from fairlead import datasets
from fairlead.evaluation.load_test_model.task import load_test_model
from fairlead.evaluation.validate_server.task import validate_server
from fairlead.verdicts import Verdict

QUICK: dict[str, Any] = {
    "rows": 20, "memory_requests": 100, "load_seconds": 0.5, "rate": 60.0, "maximum_p99_seconds": 0.5, "attempts": 4,
}  # fmt: skip


def write(path: Path, columns: dict[str, Any]) -> Path:
    """Write rows as a dataset."""
    table = pa.table(columns)
    datasets.write_dataset(path, table.to_batches(), table.schema, name="sample", source="drawn")
    return path


@pytest.mark.parametrize(
    "task",
    [*(pytest.param(task, marks=pytest.mark.slow) for task in ("multiclass", "regression")), "ranking", "pictures"],
)
def test_models_of_every_task_are_tried(tmp_path: Path, task: str) -> None:
    """Classes, numbers, scores and pictures: parity over every protocol, and what is malformed is refused."""
    if task == "pictures":
        package, rows = picture_package(tmp_path / "p"), picture_rows(60)
    else:
        package, rows = task_package(tmp_path / "p", task), task_rows(task, 64)
    sample = write(tmp_path / "rows", rows)
    section = {**QUICK, "skip": ["missing values"]}  # these packages have no imputing in their graphs
    done = validate_server(package, sample, "label", section, tmp_path / "v.json", tmp_path / "r.html")
    verdict = Verdict.read(tmp_path / "v.json")
    assert (done.outcome, verdict.reasons) == ("approved", ["left out as the problem says: missing values"])
    assert {"parity_v1", "parity_v2", "parity_v2_binary", "parity_grpc"} <= verdict.figures.keys()
    if task == "pictures":
        page = (tmp_path / "r.html").read_text()
        assert "images as pixels" in page
        assert "an image of another size" in page
        load = {"rates": [20.0], "seconds": 0.5, "minimum_requests": 100, "p99_seconds": 0.5, "protocol": "v2-binary"}
        loaded = load_test_model(package, sample, "label", load, tmp_path / "l.json", tmp_path / "l.html")
        assert loaded.outcome == "approved", Verdict.read(tmp_path / "l.json").reasons


def test_a_package_that_cannot_do_without_a_value_is_rejected(tmp_path: Path) -> None:
    """Its graph does not impute: a client that sends null would get 500."""
    package, sample = task_package(tmp_path / "p", "regression"), write(tmp_path / "rows", task_rows("regression", 64))
    done = validate_server(package, sample, "label", QUICK, tmp_path / "v.json", tmp_path / "r.html")
    (reason,) = Verdict.read(tmp_path / "v.json").reasons
    assert done.outcome == "rejected"
    assert "its graph must impute" in reason


def test_a_package_with_looked_up_features_is_asked_with_its_inputs(tmp_path: Path) -> None:
    """There is no feature store in a trial; the server then takes the model's inputs themselves."""
    package = tiny_package(tmp_path / "p", request=REQUEST)
    sample = write(tmp_path / "rows", tiny_rows(50))
    assert validate_server(package, sample, "late", QUICK, tmp_path / "v.json", tmp_path / "r.html").outcome == (
        "approved"
    ), Verdict.read(tmp_path / "v.json").reasons


def test_a_package_that_only_derives_is_asked_with_the_fields_of_its_request(tmp_path: Path) -> None:
    """The hour is derived from a time that the client sends, as training did it."""
    import numpy as np

    request = {
        "fields": {"carrier": "string", "origin": "string", "distance": "float64", "leaves": "timestamp"},
        "prediction_time": {"field": "leaves", "minus_seconds": 7200},
        "derive": [{"name": "hour", "field": "leaves", "part": "hour", "time_zone": "America/New_York"}],
        "feature_service": None,
        "freshness": None,
    }
    package = tiny_package(tmp_path / "p", request=request)
    rows = tiny_rows(50)
    leaves = np.datetime64("2013-06-01T04:00:00", "us") + np.arange(50) * np.timedelta64(5 * 3600, "s")
    times = pa.array(leaves).cast(pa.timestamp("us", "UTC"))
    sample = write(tmp_path / "rows", {**{name: rows[name] for name in ("carrier", "origin", "distance", "late")},
                                       "leaves": times})  # fmt: skip
    done = validate_server(package, sample, "late", QUICK, tmp_path / "v.json", tmp_path / "r.html")
    assert done.outcome == "approved", Verdict.read(tmp_path / "v.json").reasons
