"""evaluate_model on a yes/no question: figures, baselines, gates, intervals, verdict and report."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import tiny_package, tiny_rows

from fairlead.errors import ConfigurationError, DataError, PackageError, SchemaError, SourceError
from fairlead.evaluation.evaluate_model.task import evaluate_model
from fairlead.evaluation.judgement import Judgement
from fairlead.verdicts import Verdict, require
from fairlead_serving.package import package_digest

ALL = ["majority", "logistic-regression", "gradient-boosting"]


@pytest.fixture
def judge(tmp_path: Path) -> Callable[..., Judgement]:
    """Evaluate into this test's folder."""

    def run(package: Path, test: Path, train: Path | None = None, label: str = "late", **spec: Any) -> Judgement:
        spec = {"resamples": 200, **spec}  # quick, and wide enough for these rows
        return evaluate_model(package, test, label, spec, tmp_path / "v.json", tmp_path / "r.html", train)

    return run


Judge = Callable[..., Judgement]


def test_a_good_model_is_approved(judge: Judge, package: Path, test_rows: Path, tmp_path: Path) -> None:
    """The verdict is bound to the package, tells figures and thresholds, and satisfies a policy."""
    done = judge(package, test_rows, gates=[{"metric": "roc_auc", "at_least": 0.7}])
    verdict = Verdict.read(tmp_path / "v.json")
    require([verdict], ["evaluation"], package_digest(package))
    assert done.outcome == verdict.outcome == "approved"
    assert verdict.thresholds == {"roc_auc at least": 0.7}
    assert verdict.figures["roc_auc"] == done.metrics["roc_auc"]
    assert done.metrics["roc_auc_low"] < done.metrics["roc_auc"] < done.metrics["roc_auc_high"]
    assert done.metrics["log_loss_low"] < done.metrics["log_loss"] < done.metrics["log_loss_high"]
    assert done.metrics["log_loss_ratio_to_majority"] < 1
    assert done.metrics["expected_calibration_error"] < 0.05
    assert all(np.isfinite(value) for value in done.metrics.values())


def test_a_bad_model_is_rejected_and_told_why(judge: Judge, package: Path, test_rows: Path, tmp_path: Path) -> None:
    """Every gate that is missed gives a reason; the step itself does not fail."""
    gates = [{"metric": "roc_auc", "at_least": 0.99}, {"metric": "brier", "at_most": 0.01}]
    done = judge(package, test_rows, gates=gates)
    verdict = Verdict.read(tmp_path / "v.json")
    assert done.outcome == verdict.outcome == "rejected"
    assert "roc_auc is 0.8" in verdict.reasons[0]
    assert "at least 0.99" in verdict.reasons[0]
    assert "at most 0.01" in verdict.reasons[1]
    assert "rejected" in (tmp_path / "r.html").read_text()


def test_baselines_stand_beside_the_model(
    judge: Judge, package: Path, test_rows: Path, train_rows: Path, tmp_path: Path
) -> None:
    """The truth beats the majority; the table, the metrics and the verdict say so."""
    done = judge(package, test_rows, train_rows, baselines=ALL)
    assert done.metrics["majority_is_beaten"] == 1
    assert done.metrics["log_loss_minus_majority_high"] < 0
    assert done.metrics["gradient_boosting_roc_auc"] > 0.7
    assert done.metrics["logistic_regression_roc_auc"] > 0.7
    assert done.metrics["baseline_rows"] == 2000
    report = (tmp_path / "r.html").read_text()
    assert "The model beats the majority class" in report
    assert "gradient boosting" in report


def test_a_model_that_loses_to_a_baseline_is_said_to(
    judge: Judge, test_rows: Path, train_rows: Path, tmp_path: Path
) -> None:
    """What does not beat gradient boosting is told so in verdict and report, without hiding behind an approval."""
    weak = tiny_package(tmp_path / "weak", numeric={"hour": -0.2, "distance": 0.1})
    done = judge(weak, test_rows, train_rows, baselines=ALL)
    said = "The model does not beat gradient boosting, which is better"
    assert done.outcome == "approved"
    assert done.metrics["gradient_boosting_is_beaten"] == 0
    assert any(said in reason for reason in Verdict.read(tmp_path / "v.json").reasons)
    assert said in (tmp_path / "r.html").read_text()


def test_a_baseline_can_be_a_gate(judge: Judge, test_rows: Path, train_rows: Path, tmp_path: Path) -> None:
    """A policy may demand that the network beats a baseline."""
    weak = tiny_package(tmp_path / "weak", numeric={"hour": -0.2, "distance": 0.1})
    gate = {"metric": "log_loss_minus_logistic_regression", "at_most": 0.0}
    spec = {"baselines": ["logistic-regression"], "gates": [gate]}
    assert judge(weak, test_rows, train_rows, **spec).outcome == "rejected"
    with pytest.raises(ConfigurationError, match="training rows"):
        judge(weak, test_rows, None, **spec)


def test_baselines_of_many_rows_use_a_sample_and_say_so(
    judge: Judge, package: Path, test_rows: Path, train_rows: Path, tmp_path: Path
) -> None:
    """The report tells on how many rows the baselines were fitted."""
    done = judge(package, test_rows, train_rows, baselines=["logistic-regression"], maximum_baseline_rows=1000)
    assert done.metrics["baseline_rows"] == 1000
    assert "1,000 of the 2,000 training rows" in (tmp_path / "r.html").read_text()


def test_without_training_rows_the_report_says_that_baselines_lack(
    judge: Judge, package: Path, test_rows: Path, tmp_path: Path
) -> None:
    """Baselines that were asked for are not left out silently."""
    judge(package, test_rows, baselines=ALL)
    assert "No baselines were fitted" in (tmp_path / "r.html").read_text()


def test_a_gate_may_name_an_interval_end(judge: Judge, package: Path, test_rows: Path, tmp_path: Path) -> None:
    """A demand on the lower end is stricter than on the estimate, and the verdict says both."""
    estimate = judge(package, test_rows).metrics["roc_auc"]
    gate = {"metric": "roc_auc", "at_least": estimate - 0.001}
    assert judge(package, test_rows, gates=[gate]).outcome == "approved"
    assert judge(package, test_rows, gates=[{**gate, "at": "high"}]).outcome == "approved"
    done = judge(package, test_rows, gates=[{**gate, "at": "low"}])
    verdict = Verdict.read(tmp_path / "v.json")
    assert done.outcome == "rejected"
    assert verdict.thresholds == {"roc_auc_low at least": gate["at_least"]}
    assert verdict.reasons[0].startswith("roc_auc_low is 0.")
    assert "the estimate is" in verdict.reasons[0]


def test_clusters_widen_the_interval(
    judge: Judge, package: Path, write_rows: Callable[..., Path], tmp_path: Path
) -> None:
    """Rows that are copies of each other tell no more than one of them, and few clusters are named."""
    rows = tiny_rows(300, seed=8)
    copies = {name: np.tile(values, 10) for name, values in rows.items()}
    test = write_rows("copies", {**copies, "who": np.tile(np.arange(300), 10)})
    alone, together = judge(package, test), judge(package, test, cluster="who")
    widths = [done.metrics["log_loss_high"] - done.metrics["log_loss_low"] for done in (alone, together)]
    assert 2.5 < widths[1] / widths[0] < 4  # the square root of 10
    assert (alone.metrics["independent_units"], together.metrics["independent_units"]) == (3000, 300)
    at = np.datetime64("2013-05-01T06:00", "us") + np.arange(300) * np.timedelta64(1, "h")
    timed = write_rows("timed", {**rows, "at": at})
    assert judge(package, timed, cluster="at", cluster_seconds=86400).metrics["independent_units"] == 13
    with pytest.raises(SchemaError, match="'hour' is of type double"):
        judge(package, timed, cluster="hour", cluster_seconds=86400)
    judge(package, write_rows("few", {**rows, "who": np.arange(300) % 5}), cluster="who")
    assert "Only 5 independent units (who)" in (tmp_path / "r.html").read_text()


def test_intervals_can_be_stratified_or_bias_corrected(judge: Judge, package: Path, test_rows: Path) -> None:
    """Within classes the base rate cannot vary; the accelerated interval is near the plain one on many rows."""
    plain, within, accelerated = (
        judge(package, test_rows, gates=[{"metric": "base_rate", "at_least": 0}], **more).metrics
        for more in ({}, {"stratified": True}, {"interval": "bca"})
    )
    assert plain["base_rate_low"] < plain["base_rate_high"]
    assert within["base_rate_low"] == within["base_rate_high"]
    assert accelerated["log_loss_low"] == pytest.approx(plain["log_loss_low"], abs=0.01)


def test_the_same_rows_give_the_same_verdict(judge: Judge, package: Path, test_rows: Path, train_rows: Path) -> None:
    """Intervals and baselines are seeded."""
    spec = {"baselines": ["majority", "logistic-regression"], "maximum_baseline_rows": 1000}
    first, second = (judge(package, test_rows, train_rows, **spec) for _ in range(2))
    differing = {name for name, value in first.metrics.items() if second.metrics[name] != value}
    assert differing <= {"predicted_rows_per_second"}


def test_missing_values_and_unknown_categories_are_scored(
    judge: Judge, package: Path, write_rows: Callable[..., Path]
) -> None:
    """Nulls in every input, values out of the vocabulary, and a boolean label."""
    rows = tiny_rows(500, seed=4)
    holes = {name: [None if i % 7 == 0 else v for i, v in enumerate(rows[name].tolist())] for name in rows}
    test = write_rows("holes", {**holes, "late": rows["late"].astype(bool), "carrier": ["ZZ"] * 500})
    assert judge(package, test).outcome == "approved"


def _without(rows: dict[str, np.ndarray], column: str) -> dict[str, np.ndarray]:
    return {name: values for name, values in rows.items() if name != column}


def test_wrong_rows_get_a_clear_error(judge: Judge, package: Path, write_rows: Callable[..., Path]) -> None:
    """Absent inputs, absent columns, one class, wrong labels and unfinished datasets are named."""
    rows = tiny_rows(200, seed=5)
    with pytest.raises(SchemaError, match="does not have: hour"):
        judge(package, write_rows("a", _without(rows, "hour")))
    with pytest.raises(SchemaError, match="did you mean 'carrier'"):
        judge(package, write_rows("b", rows), cluster="carier")
    with pytest.raises(DataError, match="is 0 in all 200 rows"):
        judge(package, write_rows("c", {**rows, "late": np.zeros(200, int)}))
    with pytest.raises(DataError, match="holds 3"):
        judge(package, write_rows("d", {**rows, "late": np.full(200, 3)}))
    with pytest.raises(DataError, match="missing in 1 rows"):
        judge(package, write_rows("e", {**rows, "late": [None, *rows["late"][1:].tolist()]}))
    with pytest.raises(SchemaError, match="'hour' must be numbers"):
        judge(package, write_rows("f", {**rows, "hour": ["noon"] * 200}))
    with pytest.raises(SourceError, match="no finished dataset"):
        judge(package, package)


def test_a_truncated_parquet_file_is_named(judge: Judge, package: Path, test_rows: Path) -> None:
    """Half a file is an error that says which."""
    file = next(test_rows.glob("*.parquet"))
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(SourceError, match=r"cannot be read"):
        judge(package, test_rows)


def test_wrong_models_get_a_clear_error(judge: Judge, package: Path, test_rows: Path, tmp_path: Path) -> None:
    """Another label, an incomplete package, and answers that are no probability are named."""
    other = tiny_package(tmp_path / "other", label="cancelled")
    with pytest.raises(ConfigurationError, match="predicts 'cancelled'"):
        judge(other, test_rows)
    undefined = tiny_package(tmp_path / "undefined", bias=float("nan"))
    with pytest.raises(PackageError, match="where a probability belongs"):
        judge(undefined, test_rows)
    (package / "model.onnx").unlink()
    with pytest.raises(PackageError, match=r"no model\.onnx"):
        judge(package, test_rows)


def test_the_component_writes_all_of_its_outputs(package: Path, test_rows: Path, tmp_path: Path) -> None:
    """The contract's function hands paths to the task, and metadata and metrics to KFP."""
    from kfp import dsl

    from fairlead.evaluation.evaluate_model.component import evaluate_model as component

    def artifact(kind: type, name: str) -> Any:
        return kind(name=name, uri=str(tmp_path / name))

    verdict, metrics, report = artifact(dsl.Artifact, "v"), artifact(dsl.Metrics, "m"), artifact(dsl.HTML, "r")
    model, rows = dsl.Model(uri=str(package)), dsl.Dataset(uri=str(test_rows))
    (outcome,) = component.python_func(model, rows, "late", {"cluster": "carrier"}, verdict, metrics, report)
    assert outcome == verdict.metadata["outcome"] == "approved"
    assert metrics.metadata["roc_auc"] > 0.7
    assert json.loads((tmp_path / "v").read_text())["judge"] == "evaluation"
    assert (tmp_path / "r").read_text().startswith("<!DOCTYPE html>")
