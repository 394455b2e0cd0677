"""evaluate_slices: declared and found slices, fairness, gates, verdict and report."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from linear_models import linear_package
from models import tiny_package, tiny_rows
from task_models import picture_package, picture_rows, task_package, task_rows

from fairlead.errors import ConfigurationError, SchemaError
from fairlead.evaluation.evaluate_slices.task import evaluate_slices
from fairlead.evaluation.judgement import Judgement
from fairlead.verdicts import Verdict
from fairlead_serving.package import package_digest


@pytest.fixture
def judge(tmp_path: Path) -> Callable[..., Judgement]:
    """Judge into this test's folder."""

    def run(package: Path, test: Path, label: str = "late", **spec: Any) -> Judgement:
        return evaluate_slices(package, test, label, spec, tmp_path / "v.json", tmp_path / "r.html")

    return run


Judge = Callable[..., Judgement]
Write = Callable[..., Path]


@pytest.fixture
def troubled(write_rows: Write) -> Path:
    """4,000 rows of which the model is right, except for UA late in the day, whose labels are turned round."""
    rows = tiny_rows(4000, seed=3)
    wrong = (rows["carrier"] == "UA") & (rows["hour"] > 0.3)
    rows["late"] = np.where(wrong, 1 - rows["late"], rows["late"])
    return write_rows("troubled", {**rows, "day": np.arange(4000) % 50})


def test_a_model_without_trouble_is_approved(judge: Judge, package: Path, test_rows: Path, tmp_path: Path) -> None:
    """Where the model is the truth, no slice is worse than chance allows, and the verdict is bound to the package."""
    spec = {"metric": "brier", "columns": ["carrier", "month"], "crosses": [["carrier", "origin"]], "discovery": None}
    gates = [{"metric": "bias", "at_least": -0.05, "at_most": 0.05}]
    done = judge(package, test_rows, **spec, gates=gates, minimum_rows=100)
    verdict = Verdict.read(tmp_path / "v.json")
    assert done.outcome == verdict.outcome == "approved"
    assert (verdict.judge, verdict.model_digest) == ("slices", package_digest(package))
    assert verdict.thresholds["bias at most 0.05 in every slice"] == 0.05
    assert done.metrics["slices_judged"] >= 3 + 12 + 9
    assert done.metrics["gates_violated"] == 0
    assert all(np.isfinite(value) for value in done.metrics.values())


def test_hard_rows_are_no_trouble_by_their_excess(judge: Judge, package: Path, test_rows: Path) -> None:
    """A model that is the truth has slices of higher log loss, and none on which it is wrong."""
    spec: dict[str, Any] = {"columns": ["carrier"], "quantiles": {"hour": 5}, "discovery": None, "minimum_rows": 100}
    assert judge(package, test_rows, **spec).metrics["slices_worse_than_the_rest"] > 0
    assert judge(package, test_rows, **spec, metric="excess_log_loss").metrics["slices_worse_than_the_rest"] == 0


def test_trouble_is_found_without_being_declared(judge: Judge, package: Path, troubled: Path, tmp_path: Path) -> None:
    """The search names the two conditions, the other half confirms them, and a gate on the gap rejects the model."""
    gates = [{"metric": "log_loss", "largest_gap": 0.3}]
    done = judge(package, troubled, discovery={"conditions": 2}, gates=gates, minimum_rows=100)
    verdict = Verdict.read(tmp_path / "v.json")
    assert done.outcome == "rejected"
    assert done.metrics["slices_found_and_confirmed"] >= 1
    assert "violated by carrier is UA and hour from" in verdict.reasons[0]
    assert "corrected p" in verdict.reasons[0]
    assert "violated" in (tmp_path / "r.html").read_text()


def test_a_declared_cross_shows_the_trouble(judge: Judge, package: Path, troubled: Path, tmp_path: Path) -> None:
    """Crosses and quantiles are slices; the most troubled comes first, and it is said."""
    spec = {"crosses": [["carrier", "hour"]], "quantiles": {"hour": 4}, "minimum_rows": 100}
    done = judge(package, troubled, **spec)
    assert done.outcome == "approved"
    assert done.metrics["slices"] == 3 * 4 + 4
    assert "first carrier and hour: UA, " in Verdict.read(tmp_path / "v.json").reasons[-1]


def test_small_slices_are_listed_and_not_judged(judge: Judge, package: Path, write_rows: Write, tmp_path: Path) -> None:
    """A slice with few rows, however bad, decides nothing; neither does one that leaves few rows outside."""
    rows = tiny_rows(1000, seed=4)
    kind = np.array(["rare"] * 20 + ["common"] * 980)
    rows["late"][:20] = rows["hour"][:20] < 0  # the wrong way round
    test = write_rows("rare", {**rows, "kind": kind})
    gates = [{"metric": "log_loss", "largest_gap": 0.01}]
    done = judge(package, test, columns=["kind"], gates=gates, minimum_rows=50)
    assert done.outcome == "approved"
    assert (done.metrics["slices_judged"], done.metrics["slices_with_low_support"]) == (0, 2)
    verdict = Verdict.read(tmp_path / "v.json")
    assert any("nothing with enough rows" in reason for reason in verdict.reasons)
    assert "no slice has enough rows to be judged" in verdict.reasons[-1]
    assert "kind: rare" in (tmp_path / "r.html").read_text()


def test_a_strict_gate_withholds_approval_without_proof(judge: Judge, package: Path, test_rows: Path) -> None:
    """What these rows cannot show to be kept is inconclusive where strict; with room enough it is shown."""
    spec = {"columns": ["month"], "minimum_rows": 100}
    tight = {"metric": "accuracy", "at_least": 0.76}
    assert judge(package, test_rows, **spec, gates=[tight]).outcome == "approved"
    assert judge(package, test_rows, **spec, gates=[{**tight, "strict": True}]).outcome == "inconclusive"
    assert judge(package, test_rows, **spec, gates=[{**tight, "at_least": 0.4, "strict": True}]).outcome == "approved"


def test_a_bound_that_is_beyond_by_chance_is_said_so(
    judge: Judge, package: Path, test_rows: Path, tmp_path: Path
) -> None:
    """A slice that measures beyond a bound, but within chance, does not reject the model."""
    done = judge(package, test_rows, columns=["month"], gates=[{"metric": "accuracy", "at_least": 0.76}])
    assert done.outcome == "approved"
    assert "measure beyond it, within chance" in Verdict.read(tmp_path / "v.json").reasons[0]


def test_dependent_rows_are_weaker_evidence(judge: Judge, package: Path, troubled: Path) -> None:
    """With clusters, p-values are larger; a column of times is cut into days."""
    spec = {"columns": ["carrier"], "minimum_rows": 100}
    plain = judge(package, troubled, **spec).metrics["smallest_corrected_p"]
    clustered = judge(package, troubled, **spec, cluster="day").metrics["smallest_corrected_p"]
    assert plain < clustered < 0.05
    with pytest.raises(SchemaError, match=r"cluster_seconds cuts a column of times, and 'day' is of type int64"):
        judge(package, troubled, **spec, cluster="day", cluster_seconds=86400)


def test_times_are_cut_into_clusters(judge: Judge, package: Path, write_rows: Write, tmp_path: Path) -> None:
    """Rows of one day are one cluster, in Arrow's own resolution."""
    start = datetime(2013, 1, 1, tzinfo=UTC)
    rows = {**tiny_rows(2000, seed=5), "time": [start + timedelta(minutes=30 * n) for n in range(2000)]}
    test = write_rows("timed", rows)
    judge(package, test, columns=["carrier"], cluster="time", cluster_seconds=86400, discovery=None)
    assert "clusters of rows</dt><dd>42<" in (tmp_path / "r.html").read_text()


def test_fairness_is_measured_and_gated(judge: Judge, package: Path, test_rows: Path, tmp_path: Path) -> None:
    """Figures of every sensitive column have intervals, and a gate that tests show to be violated rejects."""
    fairness: dict[str, Any] = {"sensitive": ["carrier", "origin"], "resamples": 200}
    done = judge(package, test_rows, fairness=fairness)
    name = "carrier_demographic_parity_difference"
    assert done.outcome == "approved"
    assert done.metrics[f"{name}_low"] < done.metrics[name] < done.metrics[f"{name}_high"]
    gate = {"metric": "demographic_parity_difference", "column": "carrier", "at_most": 0.1}
    done = judge(package, test_rows, fairness={**fairness, "gates": [gate]})
    assert done.outcome == "rejected"
    assert "violated by AA against DL (selection rate)" in Verdict.read(tmp_path / "v.json").reasons[0]
    assert "Fairness between groups of origin" in (tmp_path / "r.html").read_text()
    ratio = {"metric": "demographic_parity_ratio", "at_least": 0.9}
    assert judge(package, test_rows, fairness={**fairness, "gates": [ratio]}).metrics["gates_violated"] >= 1


@pytest.mark.parametrize(("task", "metric"), [("multiclass", "error_rate"), ("regression", "absolute_error")])
def test_every_task_has_slices(judge: Judge, write_rows: Write, tmp_path: Path, task: str, metric: str) -> None:
    """Several classes and numbers are judged by their own figures; fairness of classes asks for the one that is yes."""
    rows = task_rows(task, 1500, seed=1)
    bad = rows["x0"] > 0.8
    rows["label"] = np.where(bad, np.roll(rows["label"], 1), rows["label"])
    package, test = task_package(tmp_path / "p", task), write_rows("rows", rows)
    spec: dict[str, Any] = {"metric": metric, "quantiles": {"x0": 4}, "discovery": {"bins": 4}, "minimum_rows": 100}
    if task == "multiclass":
        spec["fairness"] = {"sensitive": ["label"], "positive": "cat", "resamples": 100}
    done = judge(package, test, "label", **spec, gates=[{"metric": metric, "largest_gap": 0.1}])
    assert done.outcome == "rejected"
    assert done.metrics["slices_found_and_confirmed"] >= 1
    assert metric in done.metrics


def test_pictures_are_cut_by_what_they_look_like(judge: Judge, write_rows: Write, tmp_path: Path) -> None:
    """Faint pictures, which a model of brightness cannot read, are found by their contrast."""
    package, test = picture_package(tmp_path / "p"), write_rows("pictures", picture_rows(900, seed=2))
    spec = {"columns": ["label"], "quantiles": {"picture.contrast": 3}, "discovery": None, "minimum_rows": 60}
    done = judge(package, test, "label", **spec, metric="error_rate")
    assert done.metrics["slices_worse_than_the_rest"] >= 1
    assert done.metrics["slices_found_and_confirmed"] >= 1
    assert "picture.contrast" in Verdict.read(tmp_path / "v.json").reasons[-1]


def test_the_same_rows_give_the_same_verdict(judge: Judge, package: Path, troubled: Path) -> None:
    """Halves and bootstrap are seeded."""
    spec = {"columns": ["carrier"], "discovery": None, "fairness": {"sensitive": ["origin"], "resamples": 100}}
    assert judge(package, troubled, **spec).metrics == judge(package, troubled, **spec).metrics


def test_many_rows_are_searched_by_a_sample(judge: Judge, package: Path, troubled: Path, tmp_path: Path) -> None:
    """No more rows than allowed are searched and decide."""
    judge(package, troubled, discovery={"maximum_rows": 1000}, minimum_rows=50)
    assert "the other half (500 rows) decided" in (tmp_path / "r.html").read_text()


def test_what_does_not_fit_is_named(judge: Judge, package: Path, test_rows: Path, tmp_path: Path) -> None:
    """Absent columns, metrics of other tasks, labels of others, words as quantiles, tasks without slices."""
    with pytest.raises(SchemaError, match="did you mean 'carrier'"):
        judge(package, test_rows, columns=["carier"])
    with pytest.raises(ConfigurationError, match=r"'squared_error' is no figure of a binary model"):
        judge(package, test_rows, columns=["carrier"], metric="squared_error")
    with pytest.raises(ConfigurationError, match="is to be judged by 'cancelled'"):
        judge(package, test_rows, "cancelled", columns=["carrier"])
    with pytest.raises(SchemaError, match=r"'carrier' is of type .*; only numbers"):
        judge(package, test_rows, quantiles={"carrier": 3})
    ranking = linear_package(tmp_path / "ranking", [1.0], task="ranking", label="late", numeric=["hour"])
    with pytest.raises(ConfigurationError, match="this model's task is 'ranking'"):
        judge(ranking, test_rows, columns=["carrier"])
    classes = linear_package(
        tmp_path / "classes", np.eye(2), task="multiclass", label="late", numeric=["hour", "distance"], classes="01"
    )
    with pytest.raises(ConfigurationError, match="'' is no class of the model; choose the class whose answer"):
        judge(classes, test_rows, fairness={"sensitive": ["carrier"]})
    number = linear_package(tmp_path / "number", [1.0], task="regression", label="late", numeric=["hour"])
    with pytest.raises(ConfigurationError, match="fairness compares yes/no answers"):
        judge(number, test_rows, fairness={"sensitive": ["carrier"]})


def test_the_component_writes_its_artifacts(package: Path, test_rows: Path, tmp_path: Path) -> None:
    """The contract logs metrics and marks the verdict; whole numbers that KFP made floats are taken."""
    from kfp import dsl

    from fairlead.evaluation.evaluate_slices.component import evaluate_slices as component

    spec = {"quantiles": {"hour": 4.0}, "minimum_rows": 100.0, "discovery": {"keep": 3.0}, "seed": 7.0}
    verdict, metrics = dsl.Artifact(uri=str(tmp_path / "v")), dsl.Metrics(uri=str(tmp_path / "m"))
    model, rows = dsl.Model(uri=str(package)), dsl.Dataset(uri=str(test_rows))
    (outcome,) = component.python_func(model, rows, "late", spec, verdict, metrics, dsl.HTML(uri=str(tmp_path / "r")))
    assert outcome == "approved"
    assert verdict.metadata["judge"] == "slices"
    assert metrics.metadata["slices_judged"] >= 4
    assert json.loads((tmp_path / "v").read_text())["outcome"] == outcome


def test_a_figure_worse_in_one_slice_only_is_not_blamed_on_others(
    judge: Judge, write_rows: Write, tmp_path: Path
) -> None:
    """Where one carrier alone is wrong, the others are not said to be worse than the rest."""
    rows = tiny_rows(3000, seed=6)
    rows["late"] = np.where(rows["carrier"] == "DL", 1 - rows["late"], rows["late"])
    done = judge(tiny_package(tmp_path / "p"), write_rows("one", rows), columns=["carrier"])
    assert done.metrics["slices_worse_than_the_rest"] == 1
    assert "first carrier: DL" in Verdict.read(tmp_path / "v.json").reasons[-1]
