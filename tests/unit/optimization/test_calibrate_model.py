"""calibrate_model: what helps on held-out folds goes into the graph; a no-op gives the same package."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from models import tiny_package, tiny_rows
from task_models import task_package, task_rows

from fairlead import datasets
from fairlead.errors import ConfigurationError, DataError, PackageError, SchemaError
from fairlead.evaluation.metrics import expected_calibration_error
from fairlead.optimization.calibrate_model.task import Calibrated, calibrate
from fairlead.optimization.calibration_spec import CalibrationSpec
from fairlead_serving.package import ModelPackage, package_digest

SURE = {"hour": 3.6, "distance": -1.8}  # three times the truth's weights


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, Mapping[str, Any]], Path]:
    """Write columns as a dataset."""

    def to(name: str, columns: Mapping[str, Any]) -> Path:
        table = pa.table(dict(columns))
        datasets.write_dataset(tmp_path / name, table.to_batches(), table.schema, name=name, source="drawn")
        return tmp_path / name

    return to


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Calibrated]:
    """Calibrate into this test's folder."""

    def into(package: Path, rows: Path, label: str = "late", **spec: Any) -> Calibrated:
        return calibrate(package, rows, tmp_path / "made", tmp_path / "report.html", label, spec)

    return into


Write = Callable[[str, Mapping[str, Any]], Path]
Run = Callable[..., Calibrated]


@pytest.fixture
def sure(tmp_path: Path) -> Path:
    """A package that is three times too sure."""
    return tiny_package(tmp_path / "sure", numeric=SURE, bias=-2.1)


@pytest.mark.parametrize("method", ["auto", "temperature", "isotonic"])
def test_a_sure_model_is_calibrated_inside_its_graph(
    run: Run, write: Write, sure: Path, tmp_path: Path, method: str
) -> None:
    """New rows are predicted with calibrated probabilities, in the same order; the lineage says from what."""
    done = run(sure, write("rows", tiny_rows(3000, seed=1)), method=method)
    made, old = ModelPackage.open(tmp_path / "made"), ModelPackage.open(sure)
    rows = tiny_rows(3000, seed=2)
    before, after = (package.predict(rows)["probability"] for package in (old, made))
    assert done.kept == ("temperature" if method == "auto" else method)
    assert done.digest == made.digest != old.digest
    assert after.dtype == np.float32
    assert after.shape == before.shape
    assert expected_calibration_error(rows["late"], after) < 0.05 < expected_calibration_error(rows["late"], before)
    assert (np.diff(after[np.argsort(before, kind="stable")]) >= -1e-7).all()
    assert done.metrics["log_loss_after"] < done.metrics["log_loss_before"]
    assert done.metrics["largest_difference"] <= 1e-6
    lineage = json.loads((tmp_path / "made" / "fairlead" / "lineage.json").read_text())
    assert lineage["calibrated_from"] == old.digest
    assert lineage["calibration"]["method"] == done.kept
    assert "lowers log loss on held-out folds" in (tmp_path / "report.html").read_text()


def test_several_classes_are_calibrated_by_temperature(run: Run, write: Write, tmp_path: Path) -> None:
    """The most probable class stays the same, the probabilities add up to 1."""
    package = task_package(tmp_path / "package", "multiclass", scale=3)
    done = run(package, write("rows", task_rows("multiclass", 2000, 1)), "label")
    assert done.kept == "temperature"
    rows = task_rows("multiclass", 500, 2)
    before, after = (ModelPackage.open(path).predict(rows)["probability"] for path in (package, tmp_path / "made"))
    assert (before.argmax(axis=1) == after.argmax(axis=1)).all()
    assert np.allclose(after.sum(axis=1), 1, atol=1e-6)


def test_what_does_not_help_changes_nothing(run: Run, write: Write, tmp_path: Path) -> None:
    """A calibrated model keeps its bytes and its digest, and the report says what was tried."""
    package = tiny_package(tmp_path / "package")
    done = run(package, write("rows", tiny_rows(3000, seed=1)))
    assert done.kept == "none"
    assert done.digest == package_digest(package) == package_digest(tmp_path / "made")
    assert "No calibration helps beyond chance" in (tmp_path / "report.html").read_text()
    assert done.metrics["changed"] == 0


def test_too_few_rows_and_none_change_nothing(run: Run, write: Write, sure: Path) -> None:
    """A sure model of few rows, or one that is not to be calibrated, is left alone."""
    rows = write("rows", tiny_rows(150, seed=1))
    few = run(sure, rows)
    assert (few.kept, few.digest) == ("none", package_digest(sure))
    assert "150 validation rows are too few" in few.reason
    assert run(sure, rows, method="none").reason == "No calibration was asked for."


def test_a_gain_below_the_demanded_one_is_not_kept(run: Run, write: Write, sure: Path) -> None:
    """`minimum_gain` is held against the lower end of the gain's interval."""
    rows = write("rows", tiny_rows(3000, seed=1))
    gain = run(sure, rows).metrics["gain_low"]
    assert run(sure, rows, minimum_gain=gain + 0.01).kept == "none"


@pytest.mark.parametrize("task", ["regression", "ranking"])
def test_a_model_without_probabilities_is_handed_on(run: Run, write: Write, tmp_path: Path, task: str) -> None:
    """There is nothing to calibrate; asking for a method by name is a mistake."""
    package, rows = task_package(tmp_path / "package", task), write("rows", task_rows(task, 400, 1))
    done = run(package, rows, "label")
    assert done.digest == package_digest(package)
    assert "no probabilities" in done.reason
    with pytest.raises(ConfigurationError, match="cannot be calibrated by 'temperature'"):
        run(package, rows, "label", method="temperature")


def test_the_threshold_travels_with_the_model(run: Run, write: Write, tmp_path: Path) -> None:
    """A rule changes the manifest, not the graph; on new rows the cost is lower than at the old threshold."""
    package = tiny_package(tmp_path / "package")
    rule = {"rule": "cost", "false_negative": 5.0}
    done = run(package, write("rows", tiny_rows(4000, seed=1)), threshold=rule)
    made = ModelPackage.open(tmp_path / "made")
    assert done.kept == "none"
    assert done.metrics["changed"] == 1
    assert made.manifest.threshold == done.metrics["threshold"] == pytest.approx(1 / 6, abs=0.06)
    assert (tmp_path / "made" / "model.onnx").read_bytes() == (package / "model.onnx").read_bytes()
    rows = tiny_rows(4000, seed=2)
    said = made.predict(rows)["probability"]

    def cost(threshold: float) -> float:
        yes = said >= threshold
        return float(np.mean(yes & (rows["late"] == 0)) + 5 * np.mean(~yes & (rows["late"] == 1)))

    assert cost(made.manifest.threshold) < cost(0.5)
    assert "The threshold" in (tmp_path / "report.html").read_text()


def test_a_fixed_threshold_that_is_there_already_changes_nothing(run: Run, write: Write, tmp_path: Path) -> None:
    """The same digest again."""
    package = tiny_package(tmp_path / "package", threshold=0.3)
    rows = write("rows", tiny_rows(1000, seed=1))
    assert run(package, rows, threshold={"rule": "fixed", "value": 0.3}).digest == package_digest(package)
    assert run(package, rows, threshold={"rule": "fixed", "value": 0.4}).metrics["threshold"] == 0.4


def test_a_model_may_be_calibrated_twice(run: Run, write: Write, sure: Path, tmp_path: Path) -> None:
    """The second time nothing helps any more, unless the rows have changed."""
    rows = write("rows", tiny_rows(3000, seed=1))
    run(sure, rows)
    once = tmp_path / "once"
    (tmp_path / "made").rename(once)
    assert run(once, rows).digest == package_digest(once)
    other = {**tiny_rows(3000, seed=3)}
    other["late"] = (np.random.default_rng(0).random(3000) < 0.1).astype(np.int64)
    assert run(once, write("other", other)).digest != package_digest(once)


def test_clusters_stay_in_one_fold(run: Run, write: Write, sure: Path, tmp_path: Path) -> None:
    """Rows of a day are held out together, and the report says so."""
    rows = {**tiny_rows(2000, seed=1), "day": np.arange(2000) // 50}
    assert run(sure, write("rows", rows), cluster="day").kept == "temperature"
    assert "folds of whole days" in (tmp_path / "report.html").read_text()


def test_mistakes_get_a_clear_error(run: Run, write: Write, sure: Path, tmp_path: Path) -> None:
    """Another label, an absent column, one class, a threshold of a model that has none, a broken package."""
    rows = write("rows", tiny_rows(300, seed=1))
    with pytest.raises(ConfigurationError, match="the package predicts 'late'"):
        run(sure, rows, "later")
    with pytest.raises(SchemaError, match="no column 'dy'"):
        run(sure, rows, cluster="dy")
    with pytest.raises(DataError, match="both classes"):
        run(sure, write("ones", {**tiny_rows(300, seed=1), "late": np.ones(300, int)}))
    classes = task_package(tmp_path / "classes", "multiclass")
    drawn = write("classes_rows", task_rows("multiclass", 300, 1))
    with pytest.raises(ConfigurationError, match=r"drop calibration\.threshold"):
        run(classes, drawn, "label", threshold={"rule": "f1"})
    with pytest.raises(ConfigurationError, match="cannot be calibrated by 'isotonic'; it takes temperature"):
        run(classes, drawn, "label", method="isotonic")
    (sure / "fairlead" / "package.json").unlink()
    with pytest.raises(PackageError, match="cannot be read"):
        run(sure, rows)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"methode": "auto"}, "did you mean 'method'"),
        ({"method": "platt"}, "'temperature'"),
        ({"threshold": {"rule": "fixed"}}, "value belongs to the rule 'fixed'; add it"),
        ({"threshold": {"rule": "f1", "value": 0.5}}, "value belongs to the rule 'fixed'; drop it"),
        ({"threshold": {"rule": "precision_at_recall"}}, "minimum_recall belongs"),
        ({"threshold": {"rule": "cost", "false_positive": 0, "false_negative": 0}}, "cost nothing"),
        ({"folds": 1}, "greater than or equal to 2"),
    ],
)
def test_wrong_settings_name_the_right_ones(values: dict[str, object], words: str) -> None:
    """An error names the place and what is allowed there."""
    with pytest.raises(ConfigurationError) as caught:
        CalibrationSpec.parse(values, "calibration")
    assert words in str(caught.value)
    assert str(caught.value).startswith("calibration")


def test_the_component_hands_on_metadata(write: Write, sure: Path, tmp_path: Path) -> None:
    """The contract's function keeps what is known of the package, with the new digest."""
    from kfp import dsl

    from fairlead.optimization.calibrate_model.component import calibrate_model as component

    rows = write("rows", tiny_rows(1500, seed=1))
    package = dsl.Model(uri=str(sure), metadata={"name": "tiny", "digest": "old"})
    made, metrics = dsl.Model(uri=str(tmp_path / "c")), dsl.Metrics(uri=str(tmp_path / "m"))
    component.python_func(
        package, dsl.Dataset(uri=str(rows)), "late", made, metrics, dsl.HTML(uri=str(tmp_path / "r")), {"folds": 3.0}
    )
    assert made.metadata == {"name": "tiny", "digest": package_digest(tmp_path / "c"), "calibration": "temperature"}
    assert metrics.metadata["calibrated"] == 1
