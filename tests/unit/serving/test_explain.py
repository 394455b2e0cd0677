"""Explanations of packages: the same as shap's, fair about their cost, and refused where they make no sense."""

import asyncio
import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow.parquet as pq
import pytest
from models import tiny_package

from fairlead_serving.errors import NotExplainableError, OverloadedError, TooLargeError
from fairlead_serving.explain import REFERENCE, PackageExplainer
from fairlead_serving.explainer import MOST_ROWS, MOST_WAITING, Explainer
from fairlead_serving.package import Manifest, ModelInput, ModelPackage
from fairlead_serving.query import Inputs, Query, Scored
from fairlead_serving.shapley import Budget

ROW: dict[str, list[Any]] = {"hour": [1.5], "distance": [-0.5], "carrier": ["DL"], "origin": [None]}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> ModelPackage:
    """A package of two numbers and two categories."""
    return ModelPackage.open(tiny_package(tmp_path_factory.mktemp("explain") / "package", reference_rows=64))


def test_it_agrees_with_shap(package: ModelPackage) -> None:
    """Shap's own permutation explainer finds the same contributions on the same background."""
    shap = pytest.importorskip("shap", reason="shap is a development requirement: pip install shap")
    found = PackageExplainer(package).explain(ROW, Budget(pairs=512, evaluations=10**6, seconds=60))
    names = list(found.names)
    table = pq.read_table(package.path / REFERENCE).select(names).to_pydict()
    background = package.encode(table)
    merged = np.column_stack([background["numeric"], background["categorical"]]).astype(np.float64)
    row = package.encode(ROW)

    def model(rows: np.ndarray) -> np.ndarray:
        tensors = {"numeric": rows[:, :2].astype(np.float32), "categorical": rows[:, 2:].astype(np.int64)}
        return np.asarray(package.load().run(["probability"], tensors)[0], dtype=np.float64)

    masker = shap.maskers.Independent(merged, max_samples=len(merged))
    theirs = shap.explainers.Permutation(model, masker, seed=1)(
        np.column_stack([row["numeric"], row["categorical"]]).astype(np.float64), max_evals=4000, silent=True
    )
    assert found.shapley.base == pytest.approx(float(theirs.base_values[0]), abs=1e-6)
    difference = np.abs(found.shapley.values - theirs.values[0])
    assert np.all(difference <= 5 * found.shapley.errors + 1e-4), (found.shapley.values, theirs.values[0])


def test_what_moved_most_comes_first(package: ModelPackage) -> None:
    """The answer names the output, adds up, and states how and at what cost it was found."""
    answer = PackageExplainer(package).explain(ROW).to_json()
    moved = list(answer["contributions"].values())
    assert [abs(value) for value in moved] == sorted((abs(value) for value in moved), reverse=True)
    assert answer["base"] + sum(moved) == pytest.approx(answer["prediction"], abs=1e-6)
    assert answer["prediction"] == pytest.approx(float(package.predict(ROW)["probability"][0]), abs=1e-6)
    assert (answer["output"], answer["background_rows"], answer["permutations"]) == ("probability", 64, 128)
    assert answer["evaluations"] == 1 + 64 * 7
    assert answer["milliseconds"] > 0
    assert set(answer["standard_errors"]) == set(answer["contributions"]) == set(ROW)


def test_images_are_not_explained(tmp_path: Path) -> None:
    """The error says that explanations are made of tables."""
    image = Manifest("cat", "multiclass", "label", (ModelInput("image", "image", shape=(8, 8, 1)),), classes=("a", "b"))
    with pytest.raises(NotExplainableError, match="takes images; explanations are made of tables"):
        PackageExplainer(ModelPackage(tmp_path, "sha256:ab", image))


def test_without_a_reference_sample_nothing_is_explained(tmp_path: Path) -> None:
    """The error names the file and what to do."""
    path = tiny_package(tmp_path / "package")
    (path / REFERENCE).unlink()
    with pytest.raises(NotExplainableError, match="no reference sample"):
        PackageExplainer(ModelPackage.open(path))


class StandIn:
    """A model as far as an explainer needs it."""

    def __init__(self, package: ModelPackage) -> None:
        self.package, self.name = package, "tiny"
        self.metrics = SimpleNamespace(stages={"explain": SimpleNamespace(observe=lambda _: None)})

    async def preprocess(self, query: Query) -> Scored:
        """Take the columns as inputs that were looked up."""
        times, views = {"carriers": [1372672800] * query.rows}, {"carriers": ["carrier"]}
        return Scored(query, Inputs(query.columns, query.rows, None, [["carrier"]] * query.rows, times, views), {})


def query(rows: int = 1) -> Query:
    """Ask about so many rows."""
    return Query("v1", "id", {name: values * rows for name, values in ROW.items()}, rows)


def test_the_answer_shows_the_features_as_used(package: ModelPackage) -> None:
    """Values, event times and what was stale come from what the transformer made."""
    model: Any = StandIn(package)
    explainer = Explainer()
    found = json.loads(asyncio.run(explainer(model, query(2))))["explanations"]
    explainer.close()
    assert len(found) == 2
    assert found[0]["features"] == {"hour": 1.5, "distance": -0.5, "carrier": "DL", "origin": None}
    assert found[0]["event_times"] == {"carrier": "2013-07-01T10:00:00+00:00"}
    assert found[0]["stale"] == ["carrier"]


def test_too_many_are_refused_and_the_loop_stays_free(package: ModelPackage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and waiting explanations are bounded; while one is made, the event loop answers others."""
    model: Any = StandIn(package)
    explainer = Explainer()
    go = threading.Event()
    made = PackageExplainer.explain

    def slowly(self: PackageExplainer, *arguments: Any) -> Any:
        go.wait(10)
        return made(self, *arguments)

    monkeypatch.setattr(PackageExplainer, "explain", slowly)

    async def ask() -> tuple[int, float]:
        tasks = [asyncio.create_task(cast("Any", explainer(model, query()))) for _ in range(MOST_WAITING + 3)]
        started = time.perf_counter()
        await asyncio.sleep(0.05)
        late = time.perf_counter() - started
        go.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        return sum(isinstance(answer, OverloadedError) for answer in answers), late

    refused, late = asyncio.run(ask())
    assert (refused, late < 0.5) == (2, True)
    with pytest.raises(TooLargeError, match="at most 8"):
        asyncio.run(cast("Any", explainer(model, query(MOST_ROWS + 1))))
    explainer.close()
