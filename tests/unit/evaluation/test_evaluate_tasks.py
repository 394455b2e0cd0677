"""evaluate_model on questions with several answers, numbers, rankings, pictures and texts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import tiny_package, tiny_rows
from task_models import CLASSES, NOISE, PER_GROUP, picture_package, picture_rows, task_package, task_rows

from fairlead.errors import ConfigurationError, DataError, PackageError, SchemaError
from fairlead.evaluation.evaluate_model.task import evaluate_model
from fairlead.evaluation.figure_names import FIGURES
from fairlead.evaluation.judgement import Judgement
from fairlead.verdicts import Verdict
from fairlead_serving.package import ModelPackage, package_digest

Write = Callable[..., Path]
SPEC: dict[str, dict[str, Any]] = {
    "multiclass": {"baselines": ["majority", "logistic-regression", "gradient-boosting"]},
    "regression": {"baselines": ["mean", "linear-regression", "gradient-boosting"]},
    "ranking": {"baselines": ["popularity", "gradient-boosting"], "group": "query", "item": "item"},
}


@pytest.fixture
def judge(tmp_path: Path) -> Callable[..., Judgement]:
    """Evaluate into this test's folder."""

    def run(package: Path, test: Path, train: Path | None = None, answers: Path | None = None, **spec: Any) -> Any:
        spec = {"resamples": 200, "label": "label", **spec}
        label = spec.pop("label")
        return evaluate_model(package, test, label, spec, tmp_path / "v.json", tmp_path / "r.html", train, answers)

    return run


Judge = Callable[..., Judgement]


@pytest.mark.parametrize("task", list(SPEC))
def test_every_figure_of_the_task_is_there(judge: Judge, write_rows: Write, tmp_path: Path, task: str) -> None:
    """With intervals around the main ones, baselines beside them, and a report; three classes have no top three."""
    package = task_package(tmp_path / "package", task)
    test, train = write_rows("test", task_rows(task, 800, 1)), write_rows("train", task_rows(task, 800, 2))
    done = judge(package, test, train, **SPEC[task])
    assert set(FIGURES[task]) - set(done.metrics) <= {"top_3_accuracy"}
    verdict = Verdict.read(tmp_path / "v.json")
    assert verdict.model_digest == package_digest(package)
    first = SPEC[task]["baselines"][0].replace("-", "_")
    assert done.metrics[f"{first}_is_beaten"] == 1
    report = (tmp_path / "r.html").read_text()
    assert "The model beats" in report
    assert "<svg" in report
    assert all(np.isfinite(value) for value in done.metrics.values())


def test_figures_are_those_of_the_truth(judge: Judge, write_rows: Write, tmp_path: Path) -> None:
    """A model that is the truth but for noise has the noise as its error."""
    test = write_rows("test", task_rows("regression", 4000, 1))
    done = judge(task_package(tmp_path / "package", "regression"), test)
    assert done.metrics["root_mean_squared_error_low"] < NOISE < done.metrics["root_mean_squared_error_high"]


def test_gates_reach_every_figure(judge: Judge, write_rows: Write, tmp_path: Path) -> None:
    """Figures of a class, at a rank and of a baseline; one that the task does not have is a mistake in the YAML."""
    package = task_package(tmp_path / "m", "multiclass")
    test, train = write_rows("mt", task_rows("multiclass", 600, 1)), write_rows("mr", task_rows("multiclass", 600, 2))
    gates = [
        {"metric": "recall_of_cat", "at_least": 0.999},
        {"metric": "log_loss_minus_majority", "at_most": 0, "at": "high"},
    ]
    assert judge(package, test, train, baselines=["majority"], gates=gates).outcome == "rejected"
    verdict = Verdict.read(tmp_path / "v.json")
    assert len(verdict.reasons) == 1
    assert verdict.figures["log_loss_minus_majority_high"] < 0
    assert "recall of cat" in (tmp_path / "r.html").read_text()
    with pytest.raises(ConfigurationError, match="'r2', which this task does not have"):
        judge(package, test, gates=[{"metric": "r2", "at_least": 0}])
    ranking = task_package(tmp_path / "k", "ranking")
    rows = write_rows("kt", task_rows("ranking", 400, 1))
    gate = {"metric": "ndcg_at_3", "at_least": 0.5, "at": "low"}
    assert judge(ranking, rows, group="query", cutoffs=[3], gates=[gate]).outcome == "approved"


def test_a_ranking_is_resampled_by_group(judge: Judge, write_rows: Write, tmp_path: Path) -> None:
    """Its unit is the group; groups of one cluster are drawn together, and none may lie in two."""
    package = task_package(tmp_path / "package", "ranking")
    rows = task_rows("ranking", 800, 1)
    user = np.arange(800) // (4 * PER_GROUP)
    test = write_rows("test", {**rows, "user": user, "row": np.arange(800)})
    assert judge(package, test, group="query").metrics["independent_units"] == 100
    assert judge(package, test, group="query", cluster="user").metrics["independent_units"] == 25
    with pytest.raises(DataError, match="lie in several clusters of 'row'"):
        judge(package, test, group="query", cluster="row")
    with pytest.raises(ConfigurationError, match="name the column as `group`"):
        judge(package, test)
    with pytest.raises(DataError, match="no row of the ranking is relevant"):
        judge(package, write_rows("none", {**rows, "label": np.zeros(800)}), group="query")


def test_the_wrongest_pictures_are_shown(judge: Judge, write_rows: Write, tmp_path: Path) -> None:
    """As inline PNG files with what was said and what is true, the surest mistake first; right answers are not."""
    package = picture_package(tmp_path / "package")
    test, train = write_rows("test", picture_rows(300, 1)), write_rows("train", picture_rows(300, 2))
    done = judge(package, test, train, baselines=["majority", "logistic-regression"], mistakes=7)
    report = (tmp_path / "r.html").read_text()
    assert report.count('<img src="data:image/png;base64,') == 7
    assert done.metrics["majority_is_beaten"] == 1
    judge(package, test, mistakes=0)
    assert "<img" not in (tmp_path / "r.html").read_text()


def test_a_picture_model_without_mistakes_says_so(judge: Judge, write_rows: Write, tmp_path: Path) -> None:
    """Nothing is shown where nothing is wrong."""
    rows = picture_rows(300, 1)
    package = picture_package(tmp_path / "package")
    found = ModelPackage.open(package).predict({"picture": rows["picture"]})["probability"].argmax(axis=1)
    right = found == (rows["label"] == "right")
    kept = {"picture": [p for p, ok in zip(rows["picture"], right, strict=True) if ok], "label": rows["label"][right]}
    judge(package, write_rows("right", kept))
    assert "makes no mistake" in (tmp_path / "r.html").read_text()


def test_a_class_that_the_model_does_not_know_is_named(judge: Judge, write_rows: Write, tmp_path: Path) -> None:
    """The error tells the class, how many rows have it, and what the model knows."""
    rows = task_rows("multiclass", 50, 1)
    rows["label"] = np.array([*rows["label"][:-2], "fish", "fish"])
    with pytest.raises(DataError, match=f"'fish' in 2 rows.*knows {', '.join(CLASSES)}"):
        judge(task_package(tmp_path / "package", "multiclass"), write_rows("test", rows))


def test_predictions_made_elsewhere_are_judged(judge: Judge, write_rows: Write, tmp_path: Path) -> None:
    """In the rows' order or by a key, they give the figures that the package itself gives, bound to its digest."""
    package, rows = tiny_package(tmp_path / "package"), {**tiny_rows(500, seed=1), "id": np.arange(500)}
    test = write_rows("test", rows)
    here = judge(package, test, label="late").metrics["log_loss"]
    said = ModelPackage.open(package).predict(rows)["probability"]
    assert judge(package, test, None, write_rows("p", {"probability": said}), label="late").metrics["log_loss"] == here
    assert "do not say which model made them" in Verdict.read(tmp_path / "v.json").reasons[-1]
    mixed = np.random.default_rng(0).permutation(500)
    told = {"p": said[mixed], "id": np.arange(500)[mixed], "digest": [package_digest(package)] * 500}
    answers = write_rows("keyed", told)
    done = judge(package, test, None, answers, label="late", key="id", prediction="p")
    assert done.metrics["log_loss"] == here
    assert done.digest == package_digest(package)
    assert "this very package" in Verdict.read(tmp_path / "v.json").reasons[-1]


def test_predictions_that_do_not_fit_are_refused(judge: Judge, write_rows: Write, tmp_path: Path) -> None:
    """Of another model, too few, doubled, absent, of another kind, and out of range."""
    package, rows = tiny_package(tmp_path / "package"), {**tiny_rows(20, seed=1), "id": np.arange(20)}
    test, said = write_rows("test", rows), np.full(20, 0.5)

    def refuse(error: type[Exception], words: str, columns: dict[str, Any], **spec: Any) -> None:
        answers = write_rows(f"p{len(list(tmp_path.iterdir()))}", columns)
        with pytest.raises(error, match=words):
            judge(package, test, None, answers, label="late", **spec)

    refuse(DataError, "were made by sha256:00", {"probability": said, "digest": ["sha256:00"] * 20})
    refuse(DataError, "19 predictions for 20 test rows", {"probability": said[:19]})
    refuse(DataError, "twice", {"probability": said, "id": [0] * 20}, key="id")
    refuse(DataError, "1 of 20 test rows", {"probability": said[1:], "id": np.arange(1, 20)}, key="id")
    refuse(SchemaError, "no column 'probability'; did you mean", {"probabilities": said})
    refuse(SchemaError, "takes numbers", {"probability": ["much"] * 20})
    refuse(PackageError, "a probability belongs", {"probability": said + 1})
    refuse(DataError, "1 predictions are missing", {"probability": [None, *said[1:]]})


def test_generated_texts_are_judged_by_predictions(judge: Judge, write_rows: Write, tmp_path: Path) -> None:
    """The package gives its digest only; copying the source is the baseline; the furthest texts are shown."""
    given = ["Save the file", "Log out", "Open a new tab", "Delete this page?"] * 10
    truth = ["Guardar el archivo", "Cerrar sesión", "Abrir una pestaña nueva", "¿Eliminar esta página?"] * 10
    said = ["Guardar el fichero", "Salir", "Abrir una nueva pestaña", "¿Eliminar esta página?"] * 10
    test, answers = write_rows("test", {"english": given, "spanish": truth}), write_rows("answers", {"text": said})
    package = tiny_package(tmp_path / "package")
    spec = {"task": "text-generation", "label": "spanish", "source": "english", "baselines": ["copy"]}
    done = judge(package, test, None, answers, **spec)
    assert set(FIGURES["text-generation"]) <= set(done.metrics)
    assert done.metrics["exact_match"] == 0.25
    assert done.metrics["copy_is_beaten"] == 1
    assert done.digest == package_digest(package)
    report = (tmp_path / "r.html").read_text()
    assert "Cerrar sesión" in report
    assert "tok:13a" in report
    with pytest.raises(ConfigurationError, match="give evaluate_model the dataset `predictions`"):
        judge(package, test, **spec)
    with pytest.raises(SchemaError, match="generated texts are strings"):
        judge(package, test, None, write_rows("n", {"text": np.arange(40)}), **spec)


def test_settings_of_another_task_are_refused(judge: Judge, write_rows: Write, tmp_path: Path) -> None:
    """A baseline of another task, and a task that is not the package's."""
    package, test = task_package(tmp_path / "r", "regression"), write_rows("t", task_rows("regression", 30, 1))
    with pytest.raises(ConfigurationError, match="a regression model has no baseline 'majority'"):
        judge(package, test, baselines=["majority"])
    with pytest.raises(ConfigurationError, match=r"evaluation\.task is 'binary', and the package's 'regression'"):
        judge(package, test, task="binary")
    with pytest.raises(DataError, match="is of type string; task 'regression' takes numbers"):
        judge(package, write_rows("s", {**task_rows("regression", 30, 1), "label": ["much"] * 30}))
