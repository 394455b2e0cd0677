"""check_behaviour: minimum functionality, invariance and direction, for rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from linear_models import linear_package
from models import tiny_rows

from fairlead.errors import ConfigurationError, SchemaError, SourceError
from fairlead.evaluation.check_behaviour.task import check_behaviour
from fairlead.evaluation.judgement import Judgement
from fairlead.verdicts import Verdict
from fairlead_serving.package import package_digest

Write = Callable[..., Path]


@pytest.fixture
def check(tmp_path: Path, package: Path, test_rows: Path) -> Callable[..., Judgement]:
    """Run tests of the tiny package (hour up, distance down, AA up, DL down) into this test's folder."""

    def run(*tests: dict[str, Any], model: Path = package, rows: Path = test_rows, label: str = "late") -> Any:
        named = [{"name": f"test {n}", **test} for n, test in enumerate(tests)]
        spec = {"tests": named, "examples": 3}
        return check_behaviour(model, rows, label, spec, tmp_path / "v.json", tmp_path / "r.html")

    return run


Check = Callable[..., Judgement]


def invariance(change: Any, **given: Any) -> dict[str, Any]:
    """A test of kind invariance."""
    return {"kind": "invariance", "change": change, **given}


def directional(change: Any, direction: str, **given: Any) -> dict[str, Any]:
    """A test of kind directional."""
    return {"kind": "directional", "change": change, "direction": direction, **given}


def minimum(expect: Any, **given: Any) -> dict[str, Any]:
    """A test of kind minimum-functionality."""
    return {"kind": "minimum-functionality", "expect": expect, **given}


def test_a_model_that_behaves_is_approved(check: Check, package: Path, tmp_path: Path) -> None:
    """All kinds pass, the verdict is bound to the package, and figures hold every test's share of failures."""
    done = check(
        minimum({"at_most": 0.6}, where={"hour": {"at_most": -1}, "carrier": "DL"}),
        minimum({"answer": 1}, rows=[{"hour": 3, "distance": -1, "carrier": "AA", "origin": "EWR"}]),
        invariance({"column": "distance", "add": 0.01}, tolerance=0.01),
        directional({"column": "hour", "add": [0.5, 1, 2]}, "up"),
        directional(
            {"column": "carrier", "set": ["DL", "UA", "AA"]},
            "up",
            where={"hour": {"at_least": -2, "at_most": 2}},
            by=0.001,
        ),
        directional({"column": "distance", "multiply": 2}, "not_up", where={"distance": {"at_least": 0}}),
    )
    verdict = Verdict.read(tmp_path / "v.json")
    assert done.outcome == verdict.outcome == "approved"
    assert (verdict.judge, verdict.model_digest) == ("behaviour", package_digest(package))
    assert verdict.reasons == []
    assert verdict.figures["tests_passed"] == done.metrics["tests_passed"] == 6
    assert verdict.figures["failures_test_3"] == 0
    assert verdict.thresholds["test 3: failures at most"] == 0


def test_a_model_that_does_not_behave_is_rejected(check: Check, tmp_path: Path) -> None:
    """Each failed test is a reason, and the report shows rows before and after."""
    done = check(
        directional({"column": "hour", "add": 1}, "down"),
        invariance({"column": "carrier", "set": "AA"}, tolerance=0.01, allowed_failures=0.1),
        minimum({"answer": "label"}),
    )
    reasons = Verdict.read(tmp_path / "v.json").reasons
    report = (tmp_path / "r.html").read_text()
    assert done.outcome == "rejected"
    assert reasons[0] == "test 0: 500 of 500 rows (100 %) fail; none may"
    assert "test 1" in reasons[1]
    assert "at most 10 % may" in reasons[1]
    assert done.metrics["failures_test_0"] == 1
    assert 0.1 < done.metrics["failures_test_2"] < 0.4  # the truth is drawn, so that it cannot always be told
    assert "DL → AA" in report
    assert "The worst 3 of 500 failures." in report


def test_chance_is_doubtful_and_informing_tests_decide_nothing(check: Check, tmp_path: Path) -> None:
    """A share above what is allowed within its interval is inconclusive; a test that informs is only told."""
    few = minimum({"answer": "label"}, sample=40, where={"hour": {"at_least": 0}})
    share = check({**few, "allowed_failures": 0.9}).metrics["failures_test_0"]
    assert 0.05 < share < 0.5
    assert check({**few, "allowed_failures": share - 0.02}).outcome == "inconclusive"
    assert "though chance could do this" in Verdict.read(tmp_path / "v.json").reasons[0]
    assert check({**few, "allowed_failures": share - 0.02, "required": False}).outcome == "approved"
    assert "test 0 (informs only)" in Verdict.read(tmp_path / "v.json").reasons[0]


def test_a_test_without_rows_is_not_passed(check: Check, tmp_path: Path) -> None:
    """A filter that nothing passes, and a change that changes nothing, are inconclusive."""
    nothing = invariance({"column": "hour", "add": 1}, tolerance=1, where={"hour": {"at_least": 99}})
    assert check(nothing).outcome == "inconclusive"
    assert "no row of the sample can be tested" in Verdict.read(tmp_path / "v.json").reasons[0]
    assert check(invariance({"column": "hour", "add": 0}, tolerance=1)).outcome == "inconclusive"
    assert "the change leaves all of them as they are" in (tmp_path / "r.html").read_text()


def test_rows_that_a_change_leaves_as_they_are_do_not_count(check: Check, tmp_path: Path) -> None:
    """Setting AA says nothing about rows of AA."""
    assert check(directional({"column": "carrier", "set": "AA"}, "up")).outcome == "approved"
    assert "drawn rows, which the change leaves as they are" in (tmp_path / "r.html").read_text()


def test_missing_shuffled_and_swapped_columns(check: Check, package: Path) -> None:
    """Values can be taken away, dealt out anew, and exchanged between columns."""
    done = check(
        invariance({"column": "hour", "missing": True}, tolerance=0.01),
        invariance({"column": "carrier", "missing": True}, same_answer=True),
        invariance({"column": "hour", "shuffle": True}, tolerance=0.01),
        invariance({"column": "hour", "swap": "distance"}, tolerance=0.01),
        invariance({"column": "hour", "swap": "distance"}, tolerance=1),
        invariance([{"column": "hour", "shuffle": True}, {"column": "origin", "missing": True}], tolerance=0.01),
    )
    failures = [done.metrics[f"failures_test_{n}"] for n in range(6)]
    assert all(share > 0.3 for share in (failures[0], failures[2], failures[3], failures[5]))
    assert 0 < failures[1] < 0.4
    assert failures[4] == 0


def test_filters_choose_rows(check: Check, write_rows: Write) -> None:
    """Values, lists, bounds, exclusions and missing values; several columns at once."""
    rows = tiny_rows(400, seed=7)
    hour = [None if n % 10 == 0 else value for n, value in enumerate(rows["hour"].tolist())]
    rows_of = write_rows("some", {**rows, "hour": hour, "flag": rows["late"].astype(bool), "month": [1.0, 2.0] * 200})
    expected = {
        "carrier": ("AA", rows["carrier"] == "AA"),
        "origin": (["EWR", "JFK"], rows["origin"] != "LGA"),
        "flag": (True, rows["late"] == 1),
        "month": (2, np.arange(400) % 2 == 1),
        "hour": ({"missing": True}, np.arange(400) % 10 == 0),
        "distance": ({"at_least": 0, "at_most": 1}, (rows["distance"] >= 0) & (rows["distance"] <= 1)),
    }
    for column, (wanted, mask) in expected.items():
        test = minimum({"at_most": 0.0}, where={column: wanted}, allowed_failures=0.99)
        assert check(test, rows=rows_of).metrics["failures_test_0"] == 1
        none = minimum({"at_most": 0.0}, where={column: wanted, "late": {"none_of": [0, 1]}})
        assert check(none, rows=rows_of).metrics["tests_not_run"] == 1
        assert mask.any()
    both = check(minimum({"at_most": 1.0}, where={c: w for c, (w, _) in list(expected.items())[:2]}), rows=rows_of)
    assert both.outcome == "approved"


def test_how_many_rows_pass_a_filter(check: Check, test_rows: Path, tmp_path: Path) -> None:
    """All rows that pass are tested where there are fewer than the sample's size."""
    from fairlead import datasets

    count = datasets.read_table(test_rows, ["carrier", "month"]).to_pylist()
    passing = sum(row["carrier"] == "AA" and row["month"] == 3 for row in count)
    check(minimum({"at_most": 0.0}, where={"carrier": "AA", "month": 3}))
    assert f"{passing} of {passing} rows" in Verdict.read(tmp_path / "v.json").reasons[0]


def test_what_a_test_draws_depends_on_itself_alone(check: Check) -> None:
    """Another test beside it does not change a test's rows; the same seed gives the same verdict."""
    test = {**minimum({"answer": "label"}, sample=50, allowed_failures=0.9), "name": "mine"}
    other = minimum({"answer": "label"}, where={"carrier": "AA"}, allowed_failures=0.9)
    alone, beside = check(test), check(other, test)
    assert alone.metrics["failures_mine"] == beside.metrics["failures_mine"]


def test_numbers_are_bounded_and_moved(check: Check, test_rows: Path, tmp_path: Path) -> None:
    """A regression has no answers: bounds, tolerances and directions are of its prediction."""
    model = linear_package(
        tmp_path / "m", [100.0, -50.0], task="regression", label="late", numeric=["hour", "distance"]
    )
    done = check(
        minimum({"at_least": 99, "at_most": 101}, rows=[{"hour": 1}]),
        directional({"column": "hour", "add": 1}, "up", by=99.9),
        invariance({"column": "distance", "add": 0.1}, tolerance=5.1),
        model=model,
    )
    assert done.outcome == "approved"
    with pytest.raises(ConfigurationError, match="a regression model has numbers only"):
        check(minimum({"answer": 1}), model=model)


def test_what_does_not_fit_is_named(check: Check, package: Path) -> None:
    """Columns that are no inputs, changes of the wrong kind, filters and answers that cannot be."""
    wrong: list[tuple[dict[str, Any], str]] = [
        (invariance({"column": "hours", "add": 1}, tolerance=1), "did you mean 'hour'"),
        (invariance({"column": "late", "add": 1}, tolerance=1), "'late', which is no input of the model"),
        (invariance({"column": "carrier", "add": 1}, tolerance=1), "which is categorical; it can be changed by set"),
        (invariance({"column": "hour", "blur": 1}, tolerance=1), "which is numeric; it can be changed by set, add"),
        (invariance({"column": "hour", "set": "noon"}, tolerance=1), "it is numeric: set a number"),
        (invariance({"column": "hour", "swap": "carrier"}, tolerance=1), "two inputs of one kind can be swapped"),
        (invariance({"column": "hour", "add": 1}), "set tolerance or same_answer"),
        (minimum({"answer": "perhaps"}), "a yes/no answer is 1 or 0"),
        (minimum({"answer": 1}, rows=[{"hours": 1}]), "did you mean 'hour'"),
        (minimum({"answer": "label"}, rows=[{"hour": 1}]), "its given rows have none"),
    ]
    for test, message in wrong:
        with pytest.raises(ConfigurationError, match=message):
            check(test)
    with pytest.raises(SchemaError, match="did you mean 'carrier'"):
        check(minimum({"answer": 1}, where={"carier": "AA"}))
    with pytest.raises(SchemaError, match="only numbers can be bounded"):
        check(minimum({"answer": 1}, where={"carrier": {"at_least": 1}}))
    with pytest.raises(ConfigurationError, match="is to be tested with 'cancelled'"):
        check(minimum({"answer": 1}), label="cancelled")
    with pytest.raises(SourceError, match="no finished dataset"):
        check(minimum({"answer": 1}), rows=package)


def test_given_rows_need_no_dataset(check: Check, tmp_path: Path) -> None:
    """Rows that a test gives itself may name the truth; what they leave out is missing."""
    rows = [{"hour": 5, "late": 1}, {"hour": -5, "late": 0}, {}]
    done = check(
        minimum({"answer": "label"}, rows=rows[:2]),
        minimum({"at_least": 0.3, "at_most": 0.35}, rows=[{}]),
        directional({"column": "hour", "set": [0, 1, 2]}, "up", rows=rows[:2]),
        rows=tmp_path / "nothing",
    )
    assert done.outcome == "approved"


def test_the_component_writes_its_artifacts(package: Path, test_rows: Path, tmp_path: Path) -> None:
    """The contract logs metrics and marks the verdict; whole numbers that KFP made floats are taken."""
    from kfp import dsl

    from fairlead.evaluation.check_behaviour.component import check_behaviour as component

    test = {**directional({"column": "hour", "add": [1.0, 2.0]}, "up", sample=100.0), "name": "later is riskier"}
    verdict, metrics = dsl.Artifact(uri=str(tmp_path / "v")), dsl.Metrics(uri=str(tmp_path / "m"))
    model, rows = dsl.Model(uri=str(package)), dsl.Dataset(uri=str(test_rows))
    report = dsl.HTML(uri=str(tmp_path / "r"))
    (outcome,) = component.python_func(model, rows, "late", {"tests": [test]}, verdict, metrics, report)
    assert outcome == "approved"
    assert verdict.metadata["judge"] == "behaviour"
    assert metrics.metadata["failures_later_is_riskier"] == 0
