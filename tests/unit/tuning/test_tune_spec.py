"""The section `tuning`: Katib's names, and a reason for everything that is refused."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.errors import ConfigurationError
from fairlead.tuning.spec import TuneSpec
from fairlead.tuning.tune_model.task import check_names

RATE = {"name": "learning_rate", "parameterType": "double", "feasibleSpace": {"min": "0.001", "max": "0.01"}}
SEARCH: dict[str, Any] = {
    "objective": {"type": "minimize", "objectiveMetricName": "validation_log_loss"},
    "algorithm": {"algorithmName": "tpe"},
    "maxTrialCount": 4,
    "parameters": [RATE],
}


def changed(**changes: Any) -> dict[str, Any]:
    """The search with keys changed."""
    return {**deepcopy(SEARCH), **changes}


def parameter(kind: str, **space: Any) -> list[dict[str, Any]]:
    """One parameter."""
    return [{"name": "dropout", "parameterType": kind, "feasibleSpace": space}]


def algorithm(name: str, **settings: str) -> dict[str, Any]:
    """An algorithm."""
    return {"algorithmName": name, "algorithmSettings": settings}


def test_the_flights_problem_is_taken_as_it_is(repository: Path) -> None:
    """The section of the flights problem parses, also with the floats that KFP makes of its integers."""
    path = repository / "pipelines/fairlead_pipelines/flights/problem.yaml"
    tuning = yaml.safe_load(path.read_text())["tuning"]
    spec = TuneSpec.parse(tuning, "tuning")
    floats = {key: float(value) if isinstance(value, int) else value for key, value in tuning.items()}
    assert TuneSpec.parse(floats, "tuning") == spec
    assert spec.algorithm.name == tuning["algorithm"]["algorithmName"]
    check_names(spec)


def test_katibs_list_of_settings_is_taken() -> None:
    """Katib writes settings as a list of names and values; that is the same."""
    listed = {"algorithmName": "random", "algorithmSettings": [{"name": "random_state", "value": "3"}]}
    assert TuneSpec.parse(changed(algorithm=listed), "tuning").algorithm.seed == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"algorithm": algorithm("tpa")}, "did you mean 'tpe'"),
        ({"algorithm": algorithm("tpe", random_sate="1")}, "did you mean 'random_state'"),
        ({"algorithm": algorithm("random", random_state="x")}, "'x' is no number"),
        ({"algorithm": algorithm("random", random_state="-1")}, "whole number from 0"),
        ({"algorithm": {"algorithmName": "tpe", "algorithmSettings": {"random_state": 7}}}, 'in quotes: "7"'),
        ({"algorithm": algorithm("cmaes")}, "cmaes needs two int or double parameters, got 1"),
        ({"algorithm": algorithm("grid")}, "grid needs a step for learning_rate"),
        (
            {"algorithm": algorithm("grid"), "parameters": parameter("int", min="1", max="3")},
            "grid needs a step for dropout",
        ),
        (
            {"algorithm": algorithm("grid"), "parameters": parameter("discrete", list=["1", "2"])},
            "has 2 combinations, maxTrialCount is 4; lower it to 2",
        ),
        ({"parallelTrialCount": 5}, "parallelTrialCount 5 is above maxTrialCount 4"),
        ({"maxFailedTrialCount": 5}, "maxFailedTrialCount 5 is above maxTrialCount 4"),
        ({"maxTrialCount": 0}, "maxTrialCount"),
        ({"maxTrials": 3}, "did you mean 'maxTrialCount'"),
        ({"parameters": []}, "at least 1"),
        ({"parameters": [RATE, RATE]}, "named twice: learning_rate"),
        ({"objective": {"type": "minimize", "objectiveMetricName": "validation_loss"}}, "validation_log_loss"),
        ({"objective": {"type": "maximize", "objectiveMetricName": "validation_log_loss"}}, "write type: minimize"),
        ({"parameters": parameter("double", min="0.3", max="0.1")}, "dropout: min 0.3 is above max 0.1"),
        ({"parameters": parameter("double", min="0.3")}, "min and max are required"),
        ({"parameters": parameter("double", min=0.1, max="0.3")}, 'in quotes: "0.1"'),
        ({"parameters": parameter("double", min="0", max="1", distribution="logUniform")}, "needs min above 0"),
        (
            {"parameters": parameter("double", min="0.1", max="1", step="0.1", distribution="logUniform")},
            "takes no step",
        ),
        ({"parameters": parameter("double", min="0", max="1", distribution="normal")}, "logUniform"),
        ({"parameters": parameter("double", min="0", max="inf")}, "not finite"),
        ({"parameters": parameter("double", min="0", max="1", step="0")}, "step must be above 0"),
        ({"parameters": parameter("double", min="0", max="1e38", step="1e-5")}, "too small for the range"),
        ({"parameters": parameter("int", min="0.5", max="3")}, "whole min, max and step"),
        ({"parameters": parameter("int", list=["1"])}, "no list"),
        ({"parameters": parameter("categorical", list=[])}, "at least one value"),
        ({"parameters": parameter("categorical")}, "at least one value"),
        ({"parameters": parameter("categorical", list=["a", "a"])}, "listed twice"),
        ({"parameters": parameter("categorical", list=['["a"]'])}, "double quote"),
        ({"parameters": parameter("categorical", list=["a"], min="0")}, "no min, max or step"),
        ({"parameters": parameter("discrete", list=["1", "two"])}, "'two' is no number"),
        ({"parameters": parameter("float", min="0", max="1")}, "parameterType"),
    ],
)
def test_nonsense_is_refused_with_the_reason(changes: dict[str, Any], words: str) -> None:
    """What Katib would refuse, fail on or hang on is refused here, with what to write instead."""
    with pytest.raises(ConfigurationError, match=words):
        TuneSpec.parse(changed(**changes), "tuning")


def test_a_parameter_must_be_a_hyperparameter() -> None:
    """A parameter that the `train` section does not have is refused; the nearest is named."""
    spec = TuneSpec.parse(changed(parameters=[{**RATE, "name": "learningrate"}]), "tuning")
    with pytest.raises(ConfigurationError, match="did you mean 'learning_rate'"):
        check_names(spec)


@pytest.mark.parametrize(
    ("kind", "space", "count"),
    [
        ("int", {"min": "1", "max": "5", "step": "2"}, 3),
        ("double", {"min": "0.1", "max": "0.3", "step": "0.1"}, 3),
        ("double", {"min": "0", "max": "1", "step": "0.3"}, 4),
        ("double", {"min": "0", "max": "1"}, None),
        ("categorical", {"list": ["a", "b"]}, 2),
    ],
)
def test_values_are_counted_exactly(kind: str, space: dict[str, Any], count: int | None) -> None:
    """Steps are counted in decimals, without the noise of binary fractions."""
    spec = TuneSpec.parse(changed(parameters=parameter(kind, **space)), "tuning")
    assert spec.parameters[0].count == count
