"""What holds for calibrations and thresholds of any model on any rows."""

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto, helper
from sklearn import metrics as reference

from fairlead.errors import PackageError
from fairlead.evaluation.losses import row_losses
from fairlead.optimization.calibration import (
    Calibration,
    Isotonic,
    Temperature,
    best_trial,
    deal_folds,
    fit_isotonic,
    fit_temperature,
    try_methods,
)
from fairlead.optimization.calibration_graph import add_calibration
from fairlead.optimization.calibration_spec import ThresholdSpec
from fairlead.optimization.thresholds import choose_threshold

SHARES = st.floats(0, 1, width=32)
FEW = settings(max_examples=40, deadline=None)


@st.composite
def rows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Draw labels of both classes and float32 probabilities, often tied."""
    count = draw(st.integers(2, 80))
    ones = draw(st.integers(1, count - 1))
    labels = np.array(draw(st.permutations([1] * ones + [0] * (count - ones))), dtype=np.int8)
    pool = draw(st.lists(SHARES, min_size=1, max_size=15))
    return labels, draw(hnp.arrays(np.float32, count, elements=st.sampled_from([float(np.float32(p)) for p in pool])))


def identity(columns: int = 0, opset: int = 17) -> onnx.ModelProto:
    """A graph that answers what it is given, (N,) or (N, columns)."""
    shape: list[Any] = ["N", columns] if columns else ["N"]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["given"], ["probability"])], "identity",
        [helper.make_tensor_value_info("given", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, shape)],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def served(calibration: Calibration, given: np.ndarray) -> np.ndarray:
    """What a graph with the calibration answers."""
    model = add_calibration(identity(given.shape[1] if given.ndim > 1 else 0), calibration)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["probability"], {"given": given})[0])


@FEW
@given(rows(), st.sampled_from(["temperature", "isotonic"]))
def test_a_calibration_keeps_the_order_and_stays_a_probability(
    drawn: tuple[np.ndarray, np.ndarray], method: str
) -> None:
    """What was more probable stays no less probable; nothing becomes certain or leaves [0, 1]."""
    labels, said = drawn
    fitted = fit_temperature(labels, said) if method == "temperature" else fit_isotonic(labels, said)
    grid = np.sort(np.concatenate([said, np.linspace(0, 1, 101, dtype=np.float32)]))
    made = fitted.apply(grid)
    assert (np.diff(made) >= 0).all()
    assert made.min() >= 0
    assert made.max() <= 1
    if method == "isotonic":
        assert 0 < made.min() <= made.max() < 1


@FEW
@given(rows(), st.sampled_from(["temperature", "isotonic"]))
def test_the_graph_answers_what_was_fitted(drawn: tuple[np.ndarray, np.ndarray], method: str) -> None:
    """ONNX Runtime and numpy agree to 1e-6 on the fitted rows and between them, and the order is kept there too."""
    labels, said = drawn
    fitted = fit_temperature(labels, said) if method == "temperature" else fit_isotonic(labels, said)
    grid = np.sort(np.concatenate([said, np.linspace(0, 1, 101, dtype=np.float32)]))
    found = served(fitted, grid)
    assert found.dtype == np.float32
    assert np.abs(found - fitted.apply(grid)).max() <= 1e-6
    assert (np.diff(found) >= 0).all()


@FEW
@given(st.integers(1, 30), st.integers(2, 5), st.floats(0.1, 10), st.integers(0, 1000))
def test_several_classes_keep_their_order(count: int, kinds: int, temperature: float, seed: int) -> None:
    """In each row, and the probabilities add up to 1, in numpy and in the graph."""
    given = np.random.default_rng(seed).dirichlet(np.ones(kinds), count).astype(np.float32)
    fitted = Temperature(temperature)
    made, found = fitted.apply(given), served(fitted, given)
    assert np.abs(made - found).max() <= 1e-6
    assert np.allclose(made.sum(axis=1), 1)
    order = np.argsort(given, axis=1, kind="stable")
    assert (np.diff(np.take_along_axis(made, order, axis=1), axis=1) >= 0).all()


@FEW
@given(rows())
def test_no_other_temperature_is_better(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    """The fitted one has the least log loss of a grid of others."""
    labels, said = drawn
    best = row_losses("binary", labels, fit_temperature(labels, said).apply(said)).mean()
    for temperature in np.exp(np.linspace(-3.9, 3.9, 27)):
        assert best <= row_losses("binary", labels, Temperature(float(temperature)).apply(said)).mean() + 1e-5


@FEW
@given(rows())
def test_an_isotonic_fit_has_no_greater_squared_error_than_the_model(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    """But for what keeping its ends from 0 and 1 costs."""
    labels, said = drawn
    fitted = fit_isotonic(labels, said)
    spare = max(fitted.y.min(), 1 - fitted.y.max())
    ours = np.mean((fitted.apply(said) - labels) ** 2)
    assert ours <= np.mean((said.astype(float) - labels) ** 2) + 2 * spare


def test_calibration_recovers_the_temperature_that_was_put_in() -> None:
    """Of 50,000 rows whose log odds were doubled."""
    rng = np.random.default_rng(1)
    logit = rng.normal(0, 1.5, 50_000)
    labels = (rng.random(50_000) < 1 / (1 + np.exp(-logit))).astype(np.int8)
    assert fit_temperature(labels, 1 / (1 + np.exp(-2 * logit))).temperature == pytest.approx(2, rel=0.03)


def test_what_helps_by_chance_is_seldom_kept() -> None:
    """Of 60 calibrated models, an interval of 95 % on held-out folds keeps a calibration for few."""
    kept = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        said = rng.beta(1, 2, 400).astype(np.float32)
        labels = (rng.random(400) < said).astype(np.int8)
        labels[:2] = 0, 1
        trials = try_methods(("temperature", "isotonic"), labels, said, folds=4, confidence=0.95, seed=seed)
        kept += best_trial(trials, 0.0) is not None
    assert kept <= 5


@FEW
@given(st.integers(2, 200), st.integers(2, 6), st.integers(0, 100))
def test_folds_share_rows_and_classes_evenly(count: int, folds: int, seed: int) -> None:
    """Sizes differ by one row at most, classes too, and clusters are whole."""
    labels = (np.random.default_rng(seed).random(count) < 0.3).astype(np.int8)
    dealt = deal_folds(labels, folds, seed)
    for part in (dealt, dealt[labels == 1], dealt[labels == 0]):
        sizes = np.bincount(part, minlength=folds)
        assert sizes.max() - sizes.min() <= 1
    clusters = np.arange(count) // 3
    whole = deal_folds(labels, folds, seed, clusters)
    assert all(np.unique(whole[clusters == cluster]).size == 1 for cluster in np.unique(clusters))


RULES: dict[str, dict[str, Any]] = {
    "f1": {},
    "balanced_accuracy": {},
    "cost": {"false_positive": 2.0, "false_negative": 3.0},
    "precision_at_recall": {"minimum_recall": 0.6},
}


def looked_at(rule: str, labels: np.ndarray, yes: np.ndarray) -> float:
    """What a rule looks at, by scikit-learn; to be made greatest."""
    if rule == "f1":
        return float(reference.f1_score(labels, yes, zero_division=0))
    if rule == "balanced_accuracy":
        return float(reference.balanced_accuracy_score(labels, yes))
    if rule == "cost":
        return -float(np.mean(2.0 * (yes & (labels == 0)) + 3.0 * (~yes & (labels == 1))))
    enough = reference.recall_score(labels, yes) >= 0.6
    return float(reference.precision_score(labels, yes, zero_division=0)) if enough else -1.0


@FEW
@given(rows(), st.sampled_from(list(RULES)))
def test_no_other_threshold_is_better(drawn: tuple[np.ndarray, np.ndarray], rule: str) -> None:
    """The rule's criterion is greatest at the threshold, by trying all, and is what is told."""
    labels, said = drawn
    chosen = choose_threshold(labels, said, ThresholdSpec(rule=rule, **RULES[rule]))
    best = looked_at(rule, labels, said >= chosen.value)
    others = [looked_at(rule, labels, said >= t) for t in (*np.unique(said), np.float32(1.5))]
    at_one = said.max() == 1  # no threshold within [0, 1] says no to what is certain
    assert best >= max(others[:-1] if at_one else others) - 1e-9 or at_one
    assert 0 <= chosen.value <= 1
    if not at_one:
        assert abs(chosen.criterion) == pytest.approx(abs(best))


@FEW
@given(rows())
def test_a_threshold_survives_float32(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    """A server that compares in float32 gives the same answers as one that compares in float64."""
    labels, said = drawn
    chosen = choose_threshold(labels, said, ThresholdSpec(rule="f1"))
    assert ((said >= np.float32(chosen.value)) == (said.astype(np.float64) >= chosen.value)).all()
    assert float(np.float32(chosen.value)) == chosen.value


def test_a_graph_that_cannot_be_calibrated_is_named() -> None:
    """Another output, or operators that are too old."""
    model = identity()
    model.graph.output[0].name = "score"
    model.graph.node[0].output[0] = "score"
    with pytest.raises(PackageError, match="has outputs \\['score'\\]"):
        add_calibration(model, Temperature(2))
    with pytest.raises(PackageError, match="operators of version 11"):
        add_calibration(identity(opset=11), Temperature(2))


def test_a_curve_of_one_point_is_a_constant() -> None:
    """A model that always says the same is told the share that is true."""
    said, labels = np.full(10, 0.5, np.float32), np.array([1, 0, 0, 0, 0] * 2)
    fitted = fit_isotonic(labels, said)
    assert isinstance(fitted, Isotonic)
    assert fitted.apply(said) == pytest.approx(0.2)
    assert served(fitted, said) == pytest.approx(0.2)
