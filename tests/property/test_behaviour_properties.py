"""What holds for behaviour tests of any linear model, whose behaviour is known without running it."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from linear_models import linear_package

from fairlead.evaluation.behaviour_spec import BehaviourSpec
from fairlead.evaluation.check_behaviour.image_changes import change_images
from fairlead.evaluation.check_behaviour.sampling import Cases
from fairlead.evaluation.check_behaviour.testing import Finding, run_test
from fairlead_serving.package import ModelPackage

COLUMNS = ("x0", "x1", "x2")
WEIGHTS = st.floats(0.1, 3)
AMOUNTS = st.floats(-5, 5).filter(lambda amount: abs(amount) > 0.01)


def _run(
    weights: Any, rows: int, seed: int, test: Mapping[str, Any], task: str = "regression", **given: Any
) -> Finding:
    spec = BehaviourSpec.parse({"tests": [{"name": "test", **test}]}, "behaviour")
    drawn = np.random.default_rng(seed).normal(size=(rows, len(COLUMNS)))
    columns = {name: drawn[:, n] for n, name in enumerate(COLUMNS)}
    labels = None if task != "multiclass" else np.zeros(rows, dtype=np.int64)
    with tempfile.TemporaryDirectory() as folder:
        path = linear_package(Path(folder) / "p", weights, task=task, numeric=COLUMNS, **given)
        return run_test(ModelPackage.open(path), spec.tests[0], Cases(columns, labels, {}, rows), spec)


def _changes() -> st.SearchStrategy[dict[str, Any]]:
    """Any change of x0."""
    amounts = st.one_of(AMOUNTS, st.lists(AMOUNTS, min_size=2, max_size=4))
    with_amount = st.tuples(st.sampled_from(["set", "add", "multiply"]), amounts)
    marks = st.sampled_from([("missing", True), ("shuffle", True)])
    return st.one_of(with_amount, marks).map(lambda change: {"column": "x0", change[0]: change[1]})


@settings(max_examples=40)
@given(_changes(), st.integers(1, 60), st.integers(0, 1000), st.sampled_from(["regression", "binary", "multiclass"]))
def test_a_model_that_ignores_a_column_is_invariant_to_it(
    change: dict[str, Any], rows: int, seed: int, task: str
) -> None:
    """Whatever is done to the column, no row fails, with no tolerance at all."""
    weights: Any = [[0, 0], [1, -1], [2, 0.5]] if task == "multiclass" else [0.0, 1.0, -2.0]
    given = {"classes": ["a", "b"]} if task == "multiclass" else {}
    test = {"kind": "invariance", "change": change, "tolerance": 0, "same_answer": task != "regression"}
    done = _run(weights, rows, seed, test, task, **given)
    assert done.failures == 0
    assert done.outcome in ("passed", "not run")


@settings(max_examples=40)
@given(WEIGHTS, AMOUNTS, st.integers(1, 60), st.integers(0, 1000))
def test_a_linear_model_moves_where_its_weight_says(weight: float, amount: float, rows: int, seed: int) -> None:
    """With a positive weight, every row goes up with what is added, and none goes down; and the other way round."""
    right, wrong = ("up", "down") if amount > 0 else ("down", "up")
    change = {"column": "x0", "add": amount}
    by = weight * abs(amount) * 0.99
    weights = [weight, 1.0, -1.0]
    passed = _run(weights, rows, seed, {"kind": "directional", "change": change, "direction": right, "by": by})
    failed = _run(weights, rows, seed, {"kind": "directional", "change": change, "direction": wrong})
    assert (passed.outcome, passed.failures) == ("passed", 0)
    assert (failed.outcome, failed.failures) == ("failed", rows)
    too_far = {"kind": "directional", "change": change, "direction": right, "by": weight * abs(amount) * 1.01 + 1e-4}
    assert _run(weights, rows, seed, too_far).failures == rows


@settings(max_examples=40)
@given(WEIGHTS, st.lists(st.floats(-3, 3), min_size=2, max_size=5, unique=True), st.integers(0, 1000))
def test_a_sequence_is_monotonic_or_fails(weight: float, values: list[float], seed: int) -> None:
    """A sequence of values passes `not_down` where it is ascending (up to rounding), and only there."""
    steps = np.diff(values)
    change = {"column": "x0", "set": values}
    done = _run([weight, 1.0, 1.0], 20, seed, {"kind": "directional", "change": change, "direction": "not_down"})
    if (steps > 0).all():
        assert done.failures == 0
    elif steps.min() < -1e-4:
        assert done.failures == done.rows


@settings(max_examples=40)
@given(WEIGHTS, AMOUNTS, st.integers(1, 60), st.integers(0, 1000))
def test_a_tolerance_is_the_line(weight: float, amount: float, rows: int, seed: int) -> None:
    """A move of known size passes a larger tolerance and fails a smaller one."""
    moved = abs(weight * amount)
    test = {"kind": "invariance", "change": {"column": "x0", "add": amount}}
    weights = [weight, 1.0, -1.0]
    assert _run(weights, rows, seed, {**test, "tolerance": moved * 1.01 + 1e-5}).failures == 0
    assert _run(weights, rows, seed, {**test, "tolerance": moved * 0.98 - 1e-5 if moved > 1e-3 else 0}).failures == rows


@settings(max_examples=40)
@given(st.integers(1, 400), st.floats(0.01, 0.99), st.integers(0, 1000))
def test_the_interval_holds_the_share_and_decides(rows: int, allowed: float, seed: int) -> None:
    """Shares lie in their Wilson intervals; failed means that the interval lies above what is allowed."""
    test = {"kind": "minimum-functionality", "expect": {"at_least": 0}, "allowed_failures": allowed}
    done = _run([1.0, 0.0, 0.0], rows, seed, test)
    assert done.share.low <= done.share.estimate == done.failures / rows <= done.share.high
    assert (done.outcome == "failed") == (done.share.low > allowed)
    assert (done.outcome == "passed") == (done.share.estimate <= allowed)


PIXELS = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 3), st.integers(5, 9), st.integers(5, 9), st.sampled_from([1, 3]))
)
NEUTRAL = [("shift", (0, 0)), ("rotate", 0), ("rotate", 360), ("brightness", 1), ("noise", 0), ("blur", 0), ("crop", 0)]


@given(PIXELS, st.sampled_from(NEUTRAL))
def test_a_change_by_nothing_changes_nothing(pixels: np.ndarray, change: tuple[str, Any]) -> None:
    """Every change of pictures has an amount that is none."""
    found = change_images(*change, pixels, 0, np.random.default_rng(0))
    assert found.dtype == np.uint8
    assert (found == pixels).all()


@given(PIXELS, st.integers(-3, 3), st.integers(-3, 3), st.integers(0, 255))
def test_whole_pixels_are_shifted_exactly(pixels: np.ndarray, right: int, down: int, fill: int) -> None:
    """Pixels arrive where they should, and the fill comes in."""
    found = change_images("shift", (right, down), pixels, fill, np.random.default_rng(0))
    height, width = pixels.shape[1:3]
    for y in range(height):
        for x in range(width):
            inside = 0 <= y - down < height and 0 <= x - right < width
            expected = pixels[:, y - down, x - right] if inside else fill
            assert (found[:, y, x] == expected).all()


@given(PIXELS, st.integers(0, 255))
def test_inverting_twice_is_nothing_and_crops_keep_the_middle(pixels: np.ndarray, fill: int) -> None:
    """Inverting is its own inverse; a crop replaces the edge and nothing else."""
    rng = np.random.default_rng(0)
    assert (change_images("invert", True, change_images("invert", True, pixels, 0, rng), 0, rng) == pixels).all()
    cropped = change_images("crop", 1, pixels, fill, rng)
    assert (cropped[:, 1:-1, 1:-1] == pixels[:, 1:-1, 1:-1]).all()
    assert (cropped[:, 0] == fill).all()
    assert (cropped[:, :, -1] == fill).all()


@given(PIXELS, st.integers(0, 100))
def test_noise_is_seeded(pixels: np.ndarray, seed: int) -> None:
    """The same seed gives the same pictures."""
    one, other = (change_images("noise", 20, pixels, 0, np.random.default_rng(seed)) for _ in range(2))
    assert (one == other).all()
