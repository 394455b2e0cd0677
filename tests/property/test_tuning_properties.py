"""Whatever the search space: each suggestion lies in it, on its steps, and means the same number to Katib."""

import json
import math
from decimal import Decimal
from itertools import pairwise
from typing import Any

import optuna
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fairlead.errors import ConfigurationError
from fairlead.tuning.sampling import choose_values, grid_point, make_sampler, planned_values
from fairlead.tuning.space import Parameter
from fairlead.tuning.spec import TuneSpec
from fairlead.tuning.stopping import bracket_of, rungs_of
from fairlead.tuning.tune_model.figures import distribution

decimals = st.decimals(-1000, 1000, places=3)
steps = st.decimals("0.001", 50, places=3)


def parameter(name: str, kind: str, **space: Any) -> dict[str, Any]:
    """One parameter of a section."""
    return {"name": name, "parameterType": kind, "feasibleSpace": space}


@st.composite
def doubles(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """A double, with a step, a log scale, or neither."""
    low, high = sorted((draw(decimals), draw(decimals)))
    assume(low < high)
    kind = draw(st.sampled_from(["plain", "step", "log"]))
    if kind == "log":
        low, high = abs(low) + Decimal("0.001"), abs(low) + abs(high) + 1
        return parameter(name, "double", min=str(low), max=str(high), distribution="logUniform")
    step = {"step": str(draw(steps))} if kind == "step" else {}
    return parameter(name, "double", min=str(low), max=str(high), **step)


@st.composite
def ints(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """An int, maybe with a step or a log scale."""
    low = draw(st.integers(-50, 50))
    high = low + draw(st.integers(0, 200))
    kind = draw(st.sampled_from(["plain", "step", "log"]))
    if kind == "log" and low > 0:
        return parameter(name, "int", min=str(low), max=str(high), distribution="logUniform")
    step = {"step": str(draw(st.integers(1, 40)))} if kind == "step" else {}
    return parameter(name, "int", min=str(low), max=str(high), **step)


def lists(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """A discrete or categorical parameter."""
    numbers = st.lists(decimals.map(str), min_size=1, max_size=5, unique_by=Decimal)
    words = st.lists(st.text("ab[1, 2]-_", min_size=1, max_size=6), min_size=1, max_size=5, unique=True)
    return st.one_of(
        numbers.map(lambda values: parameter(name, "discrete", list=values)),
        words.map(lambda values: parameter(name, "categorical", list=values)),
    )


@st.composite
def searches(draw: st.DrawFn, *algorithms: str) -> TuneSpec:
    """A search over one to four parameters of any kind."""
    count = draw(st.integers(1, 4))
    found = [draw(st.one_of(doubles(f"p{i}"), ints(f"p{i}"), lists(f"p{i}"))) for i in range(count)]
    name = draw(st.sampled_from(algorithms))
    return TuneSpec.parse(
        {
            "objective": {"type": draw(st.sampled_from(["minimize", "maximize"])), "objectiveMetricName": "x"},
            "algorithm": {"algorithmName": name, "algorithmSettings": {"random_state": str(draw(st.integers(0, 99)))}},
            "maxTrialCount": 1,
            "parameters": found,
        },
        "tuning",
    )


def assert_inside(value: Any, space: Parameter) -> None:
    """A value is one of the space's, of its type."""
    if not space.ranged:
        assert value in space.choices
        return
    assert isinstance(value, int if space.kind == "int" else float)
    exact = Decimal(repr(value))
    assert float(space.low) <= value <= float(space.space.max or "0")
    if space.step is not None:
        assert exact in (space.low + (exact - space.low) // space.step * space.step, exact)
        assert (exact - space.low) % space.step == 0


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(searches("random", "tpe", "multivariate-tpe", "sobol"), st.integers(0, 500))
@pytest.mark.filterwarnings("ignore")
def test_every_suggestion_lies_in_the_space(spec: TuneSpec, place: int) -> None:
    """Of any algorithm, at any place, after any trials: in range, on the step, of the right type."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction=spec.objective.type)
    for offset in range(3):
        study.sampler = make_sampler(spec, place + offset)
        study.enqueue_trial(planned_values(spec, place + offset))
        trial = study.ask()
        values = choose_values(trial, spec)
        assert list(values) == [found.name for found in spec.parameters]
        for found in spec.parameters:
            assert_inside(values[found.name], found)
            assert distribution(found)._contains(distribution(found).to_internal_repr(values[found.name]))
        study.tell(trial, float(offset))


@given(searches("random"), st.data())
def test_snapping_changes_nothing_that_is_right(spec: TuneSpec, data: st.DataObject) -> None:
    """A value of the space stays; one with the noise of binary fractions becomes it."""
    for found in (p for p in spec.parameters if p.ranged and p.count is not None):
        index = data.draw(st.integers(0, (found.count or 1) - 1))
        value = found.nth(index)
        assert found.snap(value) == value
        assert found.snap(math.nextafter(value, math.inf) if found.kind == "double" else value) == value


@given(searches("random"))
def test_a_section_survives_json(spec: TuneSpec) -> None:
    """What a worker and a pod get is the same search."""
    assert TuneSpec.parse(json.loads(json.dumps(spec.model_dump(by_alias=True))), "tuning") == spec


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 99))
def test_a_grid_holds_each_combination_once(steps: int, choices: int, seed: int) -> None:
    """Whatever the seed, the points of a grid are distinct and as many as the combinations."""
    spec = TuneSpec.parse(
        {
            "objective": {"type": "minimize", "objectiveMetricName": "x"},
            "algorithm": {"algorithmName": "grid", "algorithmSettings": {"random_state": str(seed)}},
            "maxTrialCount": steps * choices,
            "parameters": [
                parameter("a", "double", min="0.1", max=str(steps / 10), step="0.1"),
                parameter("b", "discrete", list=[str(i) for i in range(choices)]),
            ],
        },
        "tuning",
    )
    points = {tuple(grid_point(spec, index).items()) for index in range(steps * choices)}
    assert len(points) == steps * choices


@given(st.integers(2, 5), st.integers(1, 200), st.integers(0, 400))
def test_hyperbands_brackets_and_rungs_fit(eta: int, largest: int, place: int) -> None:
    """Every place has a bracket; a bracket's last rung is the largest resource, and each is a share of the next."""
    spec = TuneSpec.parse(
        {
            "objective": {"type": "minimize", "objectiveMetricName": "x"},
            "algorithm": {"algorithmName": "hyperband", "algorithmSettings": {
                "r_l": str(largest), "eta": str(eta), "resource_name": "epochs"}},
            "maxTrialCount": 1,
            "maximum_epochs": largest,
            "parameters": [parameter("epochs", "int", min="1", max=str(largest))],
        },
        "tuning",
    )  # fmt: skip
    bracket = bracket_of(spec, place)
    assert 0 <= bracket < spec.algorithm.brackets
    rungs = rungs_of(spec, bracket)
    assert rungs[-1] == largest
    assert len(rungs) == bracket + 1
    assert all(below * eta <= above for below, above in pairwise(rungs))


@given(st.text(max_size=8))
def test_numbers_are_read_as_katib_reads_them(text: str) -> None:
    """A text is refused, or Python and Decimal agree on what it is."""
    section = parameter("a", "discrete", list=[text])
    try:
        found = Parameter.parse(section, "parameter")
    except ConfigurationError:
        return
    assert [float(choice) for choice in found.choices] == [float(text)]  # 1E100 is read as the int that it is
    assert math.isfinite(float(text))
