"""What stays of scored rows: labels of every task, answers, columns, clusters, baselines by column."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from models import tiny_package, tiny_rows
from task_models import picture_package, picture_rows, task_package, task_rows

from fairlead.errors import ConfigurationError, DataError, PackageError, SchemaError
from fairlead.evaluation import rows as row_reading
from fairlead.evaluation.baselines import column_baseline
from fairlead.evaluation.labels import read_labels
from fairlead.evaluation.losses import row_losses
from fairlead.evaluation.scoring import Contestant, Scores, check_answers, open_package, package_predictor, score
from fairlead_serving.package import ModelPackage

Write = Callable[..., Path]


def contestant(path: Path) -> Contestant:
    """A package as it is scored."""
    package = open_package(path)
    return Contestant(package, package_predictor(package))


def test_scores_are_those_of_the_package(write_rows: Write, tmp_path: Path) -> None:
    """In the rows' order over several batches, with the columns that were asked for."""
    rows = tiny_rows(2000, seed=1)
    model = contestant(tiny_package(tmp_path / "p"))
    found = score(write_rows("r", rows), "late", {"a": model}, ["carrier"])
    assert np.array_equal(found.labels, rows["late"])
    assert np.allclose(found.predictions["a"], model.package.predict(rows)["probability"])
    assert found.columns["carrier"].to_pylist() == rows["carrier"].tolist()
    assert np.allclose(found.losses("a"), row_losses("binary", rows["late"], found.predictions["a"]))


def test_pictures_are_predicted_few_at_a_time(
    write_rows: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that large ones do not fill the memory; the answers are the same."""
    rows = picture_rows(100, 1)
    package = picture_package(tmp_path / "p")
    sizes: list[int] = []

    def counted(tensors: object) -> np.ndarray:
        answers = package_predictor(open_package(package))(tensors)  # type: ignore[arg-type]
        sizes.append(len(answers))
        return answers

    monkeypatch.setattr(row_reading, "IMAGE_BATCH_ROWS", 30)
    found = score(write_rows("r", rows), "label", {"a": Contestant(open_package(package), counted)})
    assert max(sizes) == 30
    expected = ModelPackage.open(package).predict({"picture": rows["picture"]})["probability"]
    assert np.allclose(found.predictions["a"], expected)


def test_models_of_different_tasks_are_not_scored_together(write_rows: Write, tmp_path: Path) -> None:
    """The error names both; a ranking needs its group."""
    models = {task: contestant(task_package(tmp_path / task, task)) for task in ("regression", "ranking")}
    test = write_rows("r", task_rows("ranking", 80, 1))
    with pytest.raises(ConfigurationError, match=r"regression: regression .*; ranking: ranking"):
        score(test, "label", models)
    with pytest.raises(ConfigurationError, match="name the column as `group`"):
        score(test, "label", {"a": models["ranking"]})
    found = score(test, "label", {"a": models["ranking"]}, group="query")
    assert found.groups is not None
    assert found.losses("a").shape == (10,)
    assert (np.bincount(found.groups) == 8).all()


def test_times_are_cut_into_spans_and_missing_ones_are_their_own() -> None:
    """Days of a column of times, numbered in time; without spans every value is its own."""
    hours = [0, 5, 30, None, 29, 100]
    start = np.datetime64("2013-05-01T00", "us")
    times = pa.array([None if h is None else (start + np.timedelta64(h, "h")).item() for h in hours])
    scores = Scores(np.zeros(6), {}, {"at": times.dictionary_encode()})
    assert scores.codes("at", 86400).tolist() == [0, 0, 1, 3, 1, 2]
    assert len(set(scores.codes("at").tolist())) == 6


@pytest.mark.parametrize(
    ("answers", "task", "words"),
    [
        ([0.5, 1.5], "binary", "a probability belongs"),
        ([[0.5, 0.5]], "binary", "shape"),
        ([[0.5, 0.2]], "multiclass", "sum of all classes"),
        ([[0.2, 0.3, 0.5]], "multiclass", "shape"),
        ([0.5, np.nan], "regression", "a finite number belongs"),
    ],
)
def test_answers_that_are_none_of_the_task_are_refused(answers: list[float], task: str, words: str) -> None:
    """Each says what came and what belongs there."""
    with pytest.raises(PackageError, match=words):
        check_answers(np.array(answers), task, 2)


@pytest.mark.parametrize(
    ("values", "task", "words"),
    [
        (pa.array([1.0, None]), "regression", "is missing in 1 rows"),
        (pa.array([1.0, np.inf]), "regression", "not finite in 1 rows"),
        (pa.array([1.0, -1.0]), "ranking", "holds -1; relevance lies between"),
        (pa.array([1.0, 200.0]), "ranking", "holds 200; relevance lies between"),
        (pa.array(["a"]), "regression", "takes numbers"),
        (pa.array([1]), "text-generation", "judged by strings"),
        (pa.array(["ant"]), "multiclass", "'ant' in 1 rows"),
    ],
)
def test_labels_that_are_none_of_the_task_are_refused(values: pa.Array, task: str, words: str) -> None:
    """Each says which value it was."""
    with pytest.raises(DataError, match=words):
        read_labels(pa.record_batch({"label": values}), "label", task, ("bee", "cat"))


def test_numbers_may_name_classes() -> None:
    """A column of whole numbers is read as the names of classes."""
    batch = pa.record_batch({"label": pa.array([3, 1, 3], pa.int8())})
    assert read_labels(batch, "label", "multiclass", ("1", "3")).tolist() == [1, 0, 1]


def test_popularity_counts_relevant_training_rows(write_rows: Write) -> None:
    """An item that training never saw is not popular; a text is copied as it is."""
    train = write_rows("train", {"movie": ["a", "b", "a", "c", "a"], "stars": [1, 2, 0, 0, 3]})
    test = write_rows("test", {"movie": ["c", "a", "b", "d"], "stars": [1, 1, 1, 1]})
    found = column_baseline("popularity", test, train, "stars", "movie")
    assert found is not None
    assert found.tolist() == [0, 2, 1, 0]
    assert column_baseline("popularity", test, None, "stars", "movie") is None
    copied = column_baseline("copy", test, None, "stars", "movie")
    assert copied is not None
    assert copied.tolist() == ["c", "a", "b", "d"]
    with pytest.raises(SchemaError, match="no column 'film'"):
        column_baseline("copy", test, None, "stars", "film")


def test_losses_by_the_wrong_name_are_refused() -> None:
    """The error tells what the task has."""
    with pytest.raises(ConfigurationError, match="did you mean 'regression'"):
        row_losses("regresion", np.ones(1), np.ones(1))
    with pytest.raises(ConfigurationError, match="it has squared_error, absolute_error"):
        row_losses("regression", np.ones(1), np.ones(1), loss="log_loss")
    with pytest.raises(ConfigurationError, match="name their column as `group`"):
        row_losses("ranking", np.ones(1), np.ones(1))
