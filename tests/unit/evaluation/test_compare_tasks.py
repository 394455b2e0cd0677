"""compare_models for every task, several figures, clusters and trainings."""

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import tiny_package, tiny_rows
from task_models import task_package, task_rows

from fairlead.errors import ConfigurationError, SchemaError
from fairlead.evaluation.compare_models.task import compare_models
from fairlead.evaluation.comparison_spec import ComparisonSpec
from fairlead.evaluation.judgement import Judgement
from fairlead.verdicts import Verdict

Write = Callable[..., Path]


def run(folder: Path, challenger: Path, champion: Path, rows: Path, label: str, *seeds: Path, **spec: Any) -> Verdict:
    """Compare, and read the verdict."""
    done: Judgement = compare_models(
        challenger, champion, rows, label, {"resamples": 300, **spec}, folder / "v.json", folder / "r.html", seeds=seeds
    )
    verdict = Verdict.read(folder / "v.json")
    assert verdict.outcome == done.outcome
    assert all(np.isfinite(value) for value in done.metrics.values())
    return verdict


@pytest.mark.parametrize(
    ("task", "metrics"),
    [
        ("multiclass", ["", "brier", "error_rate"]),
        ("regression", ["", "absolute_error"]),
        ("ranking", ["ndcg_loss"]),
    ],
)
def test_every_task_is_compared_by_its_own_losses(
    tmp_path: Path, write_rows: Write, task: str, metrics: list[str]
) -> None:
    """The truth against a model that is wrong about how sure it is (for a ranking, about the order)."""
    rows = write_rows("rows", task_rows(task, 1600, 4))
    good, bad = task_package(tmp_path / "good", task), task_package(tmp_path / "bad", task, scale=-0.2)
    group = {"group": "query"} if task == "ranking" else {}
    for metric in metrics:
        assert run(tmp_path, good, bad, rows, "label", metric=metric, **group).outcome == "approved"
        worse = run(tmp_path, bad, good, rows, "label", metric=metric, margin=0.001, **group)
        assert worse.outcome == "rejected"
    assert any(name.startswith("challenger_") for name in worse.figures)
    page = (tmp_path / "r.html").read_text()
    assert ("groups" if task == "ranking" else "rows") + " where the challenger errs less" in page


def test_all_figures_must_hold(tmp_path: Path, write_rows: Write) -> None:
    """A challenger that is calibrated worse and ranks as well is approved by the one and rejected by both."""
    rows = write_rows("rows", tiny_rows(4000, seed=5))
    champion, shifted = tiny_package(tmp_path / "champion"), tiny_package(tmp_path / "shifted", bias=0.3)
    assert run(tmp_path, shifted, champion, rows, "late", metric="roc_auc", margin=0.001).outcome == "approved"
    both = run(
        tmp_path, shifted, champion, rows, "late", metric="roc_auc", margin=0.001,
        also=[{"metric": "log_loss", "margin": 0.002}],
    )  # fmt: skip
    assert both.outcome == "rejected"
    assert "log loss" in both.reasons[0]
    assert both.thresholds["log_loss margin"] == 0.002
    assert both.figures["log_loss_difference_low"] > 0.002


def test_rows_that_belong_together_widen_the_interval(tmp_path: Path, write_rows: Write) -> None:
    """Copies of the same rows tell nothing new: with the cluster named, the interval is as wide as without copies."""
    rows, copies = tiny_rows(400, seed=6), 9
    many = {name: np.repeat(values, copies) for name, values in rows.items()}
    single = write_rows("single", rows)
    repeated = write_rows("many", {**many, "flight": np.repeat(np.arange(400), copies)})
    champion = tiny_package(tmp_path / "champion", numeric={"hour": 1.0, "distance": -0.5})
    challenger = tiny_package(tmp_path / "challenger")

    def width(dataset: Path, **spec: Any) -> float:
        figures = run(tmp_path, challenger, champion, dataset, "late", resamples=1500, **spec).figures
        return figures["difference_high"] - figures["difference_low"]

    right = width(single)
    assert width(repeated) < right / 2.4
    assert width(repeated, cluster="flight") == pytest.approx(right, rel=0.1)
    with pytest.raises(SchemaError, match="has no column 'fligth'; did you mean 'flight'"):
        width(repeated, cluster="fligth")


@pytest.fixture
def trainings(tmp_path: Path) -> list[Path]:
    """Five trainings of one recipe, whose slopes vary; the third is much better than the others."""
    slopes = [0.95, 1.0, 1.2, 0.9, 1.05]
    return [
        tiny_package(tmp_path / f"t{at}", numeric={"hour": slope, "distance": -0.6}) for at, slope in enumerate(slopes)
    ]


def test_the_noise_of_training_is_told_beside_that_of_rows(
    tmp_path: Path, write_rows: Write, trainings: list[Path]
) -> None:
    """The lucky training is approved by rows; its recipe is not, when that is what decides."""
    rows = write_rows("rows", tiny_rows(20_000, seed=7))
    champion = tiny_package(tmp_path / "champion", numeric={"hour": 1.1, "distance": -0.6})
    others = [trainings[at] for at in (0, 1, 2, 3, 4)]  # the challenger itself among them counts once
    by_rows = run(tmp_path, trainings[2], champion, rows, "late", *others)
    assert by_rows.outcome == "approved"
    assert "trained 5 times" in by_rows.reasons[-1]
    assert "number 1" in by_rows.reasons[-1]
    over = by_rows.figures["difference_over_training_high"] - by_rows.figures["difference_over_training_low"]
    assert over > by_rows.figures["difference_high"] - by_rows.figures["difference_low"]
    page = (tmp_path / "r.html").read_text()
    assert "any training" in page
    assert "error from trainings" in page
    by_training = run(tmp_path, trainings[2], champion, rows, "late", *others, decide_by="training")
    assert by_training.outcome == "inconclusive"
    assert "more trainings" in by_training.reasons[0]
    assert by_training.thresholds["decided by"] == "training"


def test_deciding_by_training_takes_trainings(tmp_path: Path, write_rows: Write, trainings: list[Path]) -> None:
    """Without other trainings the error says what to give; without a champion nothing is needed."""
    rows = write_rows("rows", tiny_rows(300, seed=8))
    (tmp_path / "none").mkdir()
    first = run(tmp_path, trainings[0], tmp_path / "none", rows, "late", decide_by="training")
    assert first.outcome == "approved"
    with pytest.raises(ConfigurationError, match="there is no other training of the challenger; give compare_models"):
        run(tmp_path, trainings[0], trainings[1], rows, "late", trainings[0], decide_by="training")


def test_models_of_different_tasks_are_not_compared(tmp_path: Path, write_rows: Write) -> None:
    """The error names both; a figure of another task is named as well."""
    rows = write_rows("rows", task_rows("regression", 100))
    number = task_package(tmp_path / "number", "regression")
    with pytest.raises(ConfigurationError, match="models of different tasks"):
        run(tmp_path, number, task_package(tmp_path / "order", "ranking"), rows, "label")
    with pytest.raises(ConfigurationError, match="task 'regression' has no figure 'log_loss' to compare"):
        run(tmp_path, number, number, rows, "label", metric="log_loss")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"metric": "logloss"}, "did you mean 'log_loss'"),
        ({"metric": "brier", "also": [{"metric": "brier"}]}, "compared twice"),
        ({"marign": 0.1}, "did you mean 'margin'"),
        ({"margin": -1}, "greater than or equal to 0"),
    ],
)
def test_wrong_sections_are_named(section: dict[str, Any], message: str) -> None:
    """The error says what is wrong and what is meant."""
    with pytest.raises(ConfigurationError, match=message):
        ComparisonSpec.parse(section, "comparison")


@pytest.mark.filterwarnings("ignore:You may be attemping:RuntimeWarning")  # kfp.local's, of any image but python
def test_the_component_takes_collected_trainings(
    tmp_path: Path, write_rows: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a pipeline, trainings come from a loop through dsl.Collected; without them the input stays away."""
    from kfp import dsl, local

    from fairlead.evaluation.compare_models.component import compare_models as component

    rows = write_rows("rows", tiny_rows(200, seed=9))
    champion, source = tiny_package(tmp_path / "champion", bias=-0.4), str(Path(__file__).resolve().parents[2])

    @dsl.component(base_image="none", install_kfp_package=False, packages_to_install=[])
    def train(tests: str, seed: float, package: dsl.Output[dsl.Model]) -> None:
        import importlib.util

        spec = importlib.util.spec_from_file_location("models", f"{tests}/models.py")
        models = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
        spec.loader.exec_module(models)  # type: ignore[union-attr]
        models.tiny_package(package.path, bias=seed)

    @dsl.pipeline(name="collected")
    def collected() -> str:
        test = dsl.importer(artifact_uri=str(rows), artifact_class=dsl.Dataset)
        old = dsl.importer(artifact_uri=str(champion), artifact_class=dsl.Model)
        first = train(tests=source, seed=-0.7)
        with dsl.ParallelFor([-0.6, -0.8]) as seed:
            other = train(tests=source, seed=seed)
        done = component(
            challenger=first.outputs["package"], champion=old.output, test=test.output, label="late",
            comparison={"margin": 0.2, "resamples": 200}, seeds=dsl.Collected(other.outputs["package"]),
        )  # fmt: skip
        return done.outputs["outcome"]  # type: ignore[no-any-return]

    # kfp.local replaces print while a task runs; two tasks of a loop at once may leave the replacement behind
    monkeypatch.setattr(builtins, "print", print)
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=str(tmp_path / "runs"))
    assert collected().output == "approved"
    (verdict,) = (tmp_path / "runs").glob("*/compare-models/verdict")
    assert "difference_over_training" in Verdict.read(verdict).figures
