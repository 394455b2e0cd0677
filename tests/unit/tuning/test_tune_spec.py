"""The section `tuning`: Katib's names, and a reason for everything that is refused."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from fairlead.errors import ConfigurationError
from fairlead.tuning.algorithms import ALGORITHMS, round_down_log
from fairlead.tuning.services import SERVICES
from fairlead.tuning.spec import TuneSpec

RATE = {"name": "learning_rate", "parameterType": "double", "feasibleSpace": {"min": "0.001", "max": "0.01"}}
EPOCHS = [{"name": "epochs", "parameterType": "int", "feasibleSpace": {"min": "1", "max": "2"}}]
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


def stopping(**settings: str) -> dict[str, Any]:
    """Early stopping."""
    return {"algorithmName": "medianstop", "algorithmSettings": settings}


def objective(**changes: Any) -> dict[str, Any]:
    """An objective with more keys."""
    return {"type": "minimize", "objectiveMetricName": "validation_log_loss", **changes}


def test_the_flights_problem_is_taken_as_it_is(repository: Path) -> None:
    """The section of the flights problem parses, also with the floats that KFP makes of its integers."""
    path = repository / "pipelines/fairlead_pipelines/flights/problem.yaml"
    tuning = yaml.safe_load(path.read_text())["tuning"]
    spec = TuneSpec.parse(tuning, "tuning")
    floats = {key: float(value) if isinstance(value, int) else value for key, value in tuning.items()}
    assert TuneSpec.parse(floats, "tuning") == spec
    assert spec.algorithm.name == tuning["algorithm"]["algorithmName"]


def test_the_algorithms_are_katibs_own() -> None:
    """The names are those of Katib's katib-config that search hyperparameters, no more and no fewer."""
    katib = {"random", "tpe", "grid", "hyperband", "bayesianoptimization", "cmaes", "sobol", "multivariate-tpe"}
    assert set(ALGORITHMS) == set(SERVICES) == katib


def test_katibs_list_of_settings_is_taken() -> None:
    """Katib writes settings as a list of names and values; that is the same."""
    listed = {"algorithmName": "random", "algorithmSettings": [{"name": "random_state", "value": "3"}]}
    assert TuneSpec.parse(changed(algorithm=listed), "tuning").algorithm.seed == 3


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"algorithm": algorithm("tpa")}, "did you mean 'tpe'"),
        ({"algorithm": algorithm("tpe", random_sate="1")}, "did you mean 'random_state'"),
        ({"algorithm": algorithm("random", random_state="x")}, "random_state: 'x' is no whole number"),
        ({"algorithm": algorithm("random", random_state="7.0")}, "'7.0' is no whole number"),
        ({"algorithm": algorithm("random", random_state="-1")}, "whole number from 0"),
        ({"algorithm": algorithm("random", random_state="9999999999")}, "below 2"),
        ({"algorithm": algorithm("tpe", n_ei_candidates="0")}, "from 1, got '0'"),
        ({"algorithm": algorithm("cmaes", sigma="0")}, "sigma: it must be above 0"),
        ({"algorithm": algorithm("pbt")}, "pbt copies checkpoints"),
        ({"algorithm": algorithm("darts")}, "darts searches architectures"),
        ({"algorithm": {"algorithmName": "tpe", "algorithmSettings": [{"name": "a"}]}}, "a name and a value"),
        (
            {"algorithm": {"algorithmName": "tpe", "algorithmSettings": [{"name": "a", "value": "1"}] * 2}},
            "given twice",
        ),
        ({"algorithm": algorithm("hyperband", r_l="4")}, "hyperband needs the settings r_l"),
        ({"algorithm": algorithm("hyperband", r_l="4", resource_name="width")}, "must be 'epochs'"),
        ({"algorithm": algorithm("hyperband", r_l="4", resource_name="e p")}, "must name a parameter"),
        ({"algorithm": algorithm("hyperband", r_l="4", eta="1", resource_name="epochs")}, "from 2"),
        (
            {
                "algorithm": algorithm("hyperband", r_l="9", resource_name="epochs"),
                "parameters": EPOCHS,
                "maximum_epochs": 9,
            },
            "r_l 9 must be the max of epochs, which is 2",
        ),
        (
            {
                "algorithm": algorithm("hyperband", r_l="2", resource_name="epochs"),
                "parameters": EPOCHS,
                "earlyStopping": stopping(start_step="1"),
            },
            "hyperband stops trials itself",
        ),
        ({"earlyStopping": stopping()}, "start_step 4 epochs, which no trial of maximum_epochs 2 passes"),
        ({"earlyStopping": stopping(start_step="0")}, "from 1"),
        ({"earlyStopping": stopping(start="1")}, "has no setting 'start'; did you mean 'start_step'"),
        ({"earlyStopping": {"algorithmName": "medianstopp"}}, "did you mean 'medianstop'"),
        ({"maximum_epochs": 1, "parameters": EPOCHS}, "epochs up to 2 are searched, but maximum_epochs is 1"),
        ({"algorithm": {"algorithmName": "tpe", "algorithmSettings": {"random_state": 7}}}, 'in quotes: "7"'),
        ({"algorithm": algorithm("cmaes")}, "cmaes needs two int or double parameters, got 1"),
        ({"algorithm": algorithm("grid")}, "grid needs a step for learning_rate"),
        (
            {
                "algorithm": algorithm("grid"),
                "parameters": parameter("int", min="1", max="9", distribution="logUniform"),
            },
            "even steps; take logUniform out",
        ),
        (
            {"algorithm": algorithm("grid"), "parameters": parameter("int", min="1", max="9999999")},
            "9999999 combinations, which Katib would list in memory",
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
        ({"objective": {"type": "minimize", "objectiveMetricName": "validation/log_loss"}}, "letters, digits"),
        ({"objective": {"type": "minimise", "objectiveMetricName": "x"}}, "'minimize' or 'maximize'"),
        ({"objective": {"type": "minimize", "objectiveMetricName": "x", "goal": "nan"}}, "finite"),
        ({"objective": objective(additionalMetricNames=["validation_log_loss"])}, "repeats the objective"),
        ({"objective": objective(additionalMetricNames=["a", "a"])}, "one twice"),
        ({"objective": objective(metricStrategies=[{"name": "other", "value": "max"}])}, "no metric of the objective"),
        ({"objective": objective(metricStrategies=[{"name": "x", "value": "mean"}])}, "'max' or 'latest'"),
        ({"resumePolicy": "Always"}, "'LongRunning' or 'FromVolume'"),
        ({"objective": {"type": "maximize", "objectiveMetricName": "validation_log_loss"}}, "write type: minimize"),
        ({"parameters": parameter("double", min="0.3", max="0.1")}, "dropout: min 0.3 is above max 0.1"),
        ({"parameters": parameter("double", min="0.3")}, "min and max are required"),
        ({"parameters": parameter("double", min=0.1, max="0.3")}, 'in quotes: "0.1"'),
        ({"parameters": parameter("double", min="0", max="1", distribution="logUniform")}, "needs min above 0"),
        (
            {"parameters": parameter("double", min="0.1", max="1", step="0.1", distribution="logUniform")},
            "takes no step",
        ),
        ({"parameters": parameter("double", min="0", max="1", distribution="normal")}, "beyond min and max"),
        ({"parameters": parameter("double", min="1", max="2", distribution="loguniform")}, "did you mean 'logUniform'"),
        ({"parameters": parameter("double", min="0", max="inf")}, "'inf' is no number"),
        ({"parameters": parameter("double", min="0", max="1_000")}, "'1_000' is no number"),
        ({"parameters": parameter("int", min="1", max="1e3")}, "plain digits"),
        ({"parameters": parameter("discrete", list=["1", "1.0"])}, "a number is listed twice"),
        ({"parameters": parameter("categorical", list=["a", ""])}, "takes for none"),
        ({"parameters": parameter("categorical", list=["${x}"])}, "would not survive"),
        ({"parameters": [{**RATE, "name": "lr rate"}]}, "pattern"),
        ({"parameters": [{**RATE, "name": "log10_lr", "parameterType": "int"}]}, "plain digits"),
        ({"parameters": [{**EPOCHS[0], "name": "log10_epochs"}]}, "exponents of ten: make it a uniform double"),
        ({"parameters": [RATE, {**RATE, "name": "log10_learning_rate"}]}, "named twice: learning_rate"),
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


def test_exponents_become_numbers() -> None:
    """A log scale that every service reads: log10_… is a double on a laptop too, and a number for training."""
    rate = {"name": "log10_learning_rate", "parameterType": "double", "feasibleSpace": {"min": "-3", "max": "-1"}}
    spec = TuneSpec.parse(changed(parameters=[rate, *EPOCHS]), "tuning")
    assert spec.hyperparameters({"log10_learning_rate": "-2", "epochs": "2"}) == {"learning_rate": 0.01, "epochs": "2"}


@pytest.mark.parametrize(("value", "base", "exponent"), [(1, 3, 0), (9, 3, 2), (8, 3, 1), (243, 3, 5), (242, 3, 4)])
def test_brackets_are_counted_without_noise(value: int, base: int, exponent: int) -> None:
    """Powers are found whole where a logarithm would miss them by a binary fraction."""
    assert round_down_log(value, base) == exponent
