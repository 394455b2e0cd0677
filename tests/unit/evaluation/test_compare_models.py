"""compare_models: a challenger against the champion on the same rows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from models import CATEGORICAL, tiny_package

from fairlead.errors import ConfigurationError, SchemaError
from fairlead.evaluation.compare_models.task import compare_models
from fairlead.evaluation.judgement import Judgement
from fairlead.verdicts import Verdict
from fairlead_serving.package import package_digest


@pytest.fixture
def compare(tmp_path: Path, test_rows: Path) -> Callable[..., Judgement]:
    """Compare on the test rows, into this test's folder."""

    def run(challenger: Path, champion: Path, found: bool = True, **spec: Any) -> Judgement:
        paths = (tmp_path / "v.json", tmp_path / "r.html")
        return compare_models(challenger, champion, test_rows, "late", spec, *paths, champion_found=found)

    return run


@pytest.fixture
def weak(tmp_path: Path) -> Path:
    """A package that knows less than the truth."""
    return tiny_package(tmp_path / "weak", numeric={"hour": 0.1, "distance": 0.0})


Compare = Callable[..., Judgement]


@pytest.mark.parametrize("metric", ["log_loss", "brier", "roc_auc"])
def test_a_better_challenger_is_approved(
    compare: Compare, package: Path, weak: Path, metric: str, tmp_path: Path
) -> None:
    """By each metric, more is worse and better is below zero; the verdict is bound to the challenger."""
    done = compare(package, weak, metric=metric, margin=0.0)
    verdict = Verdict.read(tmp_path / "v.json")
    assert done.outcome == verdict.outcome == "approved"
    assert done.metrics["difference_high"] < 0
    assert verdict.model_digest == package_digest(package)
    assert verdict.thresholds["champion"] == package_digest(weak)
    assert "better beyond chance" in verdict.reasons[0]
    assert "margin" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize("metric", ["log_loss", "brier", "roc_auc"])
def test_a_worse_challenger_is_rejected(compare: Compare, package: Path, weak: Path, metric: str) -> None:
    """The whole interval beyond the margin is a rejection."""
    assert compare(weak, package, metric=metric, margin=0.002).outcome == "rejected"


def test_what_the_rows_cannot_tell_is_inconclusive(compare: Compare, package: Path, tmp_path: Path) -> None:
    """A margin inside the interval is neither an approval nor a rejection."""
    similar = tiny_package(tmp_path / "similar", bias=-0.6)
    done = compare(similar, package, margin=0.0)
    assert done.outcome == "inconclusive"
    assert "cannot tell" in Verdict.read(tmp_path / "v.json").reasons[0]


def test_the_champion_itself_is_approved(compare: Compare, package: Path, tmp_path: Path) -> None:
    """A rerun that trains the champion again does not fail."""
    assert compare(package, package).outcome == "approved"
    assert Verdict.read(tmp_path / "v.json").reasons == ["the challenger is the champion itself"]


@pytest.mark.parametrize("found", [True, False])
def test_without_a_champion_the_challenger_is_approved(
    compare: Compare, package: Path, tmp_path: Path, found: bool
) -> None:
    """An empty folder, or metadata that says so, is no champion."""
    folder = tmp_path / "empty"
    folder.mkdir()
    done = compare(package, folder, found)
    verdict = Verdict.read(tmp_path / "v.json")
    assert done.outcome == "approved"
    assert "no champion yet" in verdict.reasons[0]
    assert verdict.thresholds["champion"] == "none"


def test_a_champion_with_other_inputs_is_named(compare: Compare, package: Path, tmp_path: Path) -> None:
    """The error says which columns the champion needs and what to do."""
    older = tiny_package(tmp_path / "older", categorical={**CATEGORICAL, "tailnum": {"N1": 0.1}})
    with pytest.raises(SchemaError, match=r"the champion takes columns .* tailnum; .* remove the alias"):
        compare(package, older)
    other = tiny_package(tmp_path / "other", label="cancelled")
    with pytest.raises(ConfigurationError, match="the champion predicts 'cancelled'"):
        compare(package, other)


def test_the_component_reads_found_from_the_champion(package: Path, test_rows: Path, tmp_path: Path) -> None:
    """What fetch_model says in metadata counts."""
    from kfp import dsl

    from fairlead.evaluation.compare_models.component import compare_models as component

    champion = dsl.Model(uri=str(tmp_path / "nothing"), metadata={"found": False})
    model, rows = dsl.Model(uri=str(package)), dsl.Dataset(uri=str(test_rows))
    verdict, metrics = dsl.Artifact(uri=str(tmp_path / "v")), dsl.Metrics(uri=str(tmp_path / "m"))
    report = dsl.HTML(uri=str(tmp_path / "r"))
    (outcome,) = component.python_func(model, champion, rows, "late", {"margin": 0.01}, verdict, metrics, report)
    assert outcome == "approved"
    assert verdict.metadata["judge"] == "comparison"
