"""What Katib would take and hang on, or misread, is refused before it is sent."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from unit.tuning.experiments import RATE, STOPPING, WIDTH, build, container_of, inputs
from unit.tuning.searches import GRID, PARAMETERS, section

from fairlead.errors import ConfigurationError
from fairlead.tuning.experiment import build_experiment
from fairlead.tuning.services import refuse_misread
from fairlead.tuning.spec import TuneSpec
from fairlead.tuning.traps import refuse_traps
from fairlead.tuning.trial_job import TrialJob

Change = Callable[[dict[str, Any]], Any]


def in_job(key: str, value: Any) -> Change:
    """Sets a key of the Job's spec, or takes it out."""
    return lambda e: e["spec"]["trialTemplate"]["trialSpec"]["spec"].__setitem__(key, value)


def in_pod(key: str, value: Any) -> Change:
    """Sets a key of the pod."""
    return lambda e: e["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"].__setitem__(key, value)


def in_container(key: str, value: Any) -> Change:
    """Sets a key of the container."""
    return lambda e: e["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"][0].__setitem__(
        key, value
    )


def in_template(key: str, value: Any) -> Change:
    """Sets a key of the trial template."""
    return lambda e: e["spec"]["trialTemplate"].__setitem__(key, value)


def in_spec(key: str, value: Any) -> Change:
    """Sets a key of the Experiment's spec."""
    return lambda e: e["spec"].__setitem__(key, value)


PASSED = [{"name": name, "reference": name} for name in ("log10_learning_rate", "width", "mood")]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (in_template("primaryContainerName", "main"), "'main' is no container of the trial, for which Katib waits"),
        (in_template("trialParameters", PASSED[:2]), "trialParameters lack mood"),
        (
            in_template("trialParameters", [*PASSED[:2], {"name": "mood", "reference": "moods"}]),
            "trialParameters lack mood",
        ),
        (
            in_template("trialParameters", [*PASSED, {"name": "x", "reference": "lr2"}]),
            "x refers to 'lr2'",
        ),
        (
            in_template("trialParameters", [*PASSED, {"name": "x", "reference": "${trialSpec.Name}"}]),
            "x} is a trialParameter no trial uses",
        ),
        (in_container("workingDir", "${trialParameters.units}"), "units} is used by the trial but no trialParameter"),
        (in_container("command", []), "has no command, which Katib would look up"),
        (in_container("image", ""), "has no image"),
        (in_container("args", ["cd /x; python -m y"]), "several commands, of which Katib would hear the last only"),
        (in_container("args", ["cd /x && python -m y"]), "several commands"),
        (in_container("args", []), "several commands"),
        (in_container("command", ["python", "-c", "print(1)"]), "would not survive: Katib joins the words"),
        (in_job("backoffLimit", 6), "backoffLimit must be 0"),
        (in_job("activeDeadlineSeconds", None), "a pod that cannot start would hang for ever"),
        (in_pod("restartPolicy", "OnFailure"), "restartPolicy must be Never"),
        (in_pod("securityContext", {"runAsNonRoot": True}), "runAsUser beside it"),
        (in_template("trialSpec", {"kind": "Pod", "apiVersion": "v1", "x": [p["name"] for p in PASSED]}), "no trial"),
        (in_spec("maxTrailCount", 3), "did you mean 'maxTrialCount'"),
        (in_spec("maxTrialCount", None), "without it Katib takes its own, or never ends"),
        (in_spec("parallelTrialCount", 9), "above maxTrialCount 6"),
        (in_spec("algorithm", {"algorithmName": "random", "algorithmSettings": [
            {"name": "random_state", "value": "x"}]}), "'x' is no whole number"),
        (in_spec("algorithm", {"algorithmName": "grid"}), "grid needs a step"),
        (
            lambda e: e["spec"]["parameters"][1]["feasibleSpace"].update(min="20"),
            "min 20 is above max 12, on which Katib waits for ever",
        ),
        (
            lambda e: e["spec"]["parameters"][2]["feasibleSpace"].update(list=['a "b"']),
            "double quote",
        ),
        (
            lambda e: e["spec"]["trialTemplate"]["trialSpec"].update(metadata={"name": "x"}),
            "metadata.name must be left out",
        ),
        (
            lambda e: e["spec"]["trialTemplate"]["trialSpec"].update(kind="Pod"),
            "must be a batch/v1 Job, got batch/v1 Pod",
        ),
    ],
)  # fmt: skip
def test_what_katib_takes_and_hangs_on_is_refused(change: Change, words: str) -> None:
    """Each trap that was met on a real controller is found in a finished Experiment, whoever made it."""
    experiment = build()
    refuse_traps(experiment)
    change(experiment)
    with pytest.raises(ConfigurationError, match=words):
        refuse_traps(experiment)


def test_a_trial_that_katib_cannot_stop_is_refused() -> None:
    """With early stopping the trial must be of the collector's user."""
    experiment = build(earlyStopping=STOPPING)
    container_of(experiment)["securityContext"]["runAsUser"] = 2000
    with pytest.raises(ConfigurationError, match="user 2000 is not that of Katib's collector"):
        refuse_traps(experiment)


def test_a_search_is_not_sent_with_what_looks_like_a_placeholder() -> None:
    """Katib would replace it, or find no value for it."""
    job = TrialJob(environment={"NOTE": "${trialParameters.x}"})
    with pytest.raises(ConfigurationError, match="NOTE holds"):
        build_experiment(inputs(), "late", "team", job)


def spec(name: str, *parameters: dict[str, Any], **changes: Any) -> TuneSpec:
    """A search by an algorithm over some parameters."""
    return TuneSpec.parse(section(name, parameters=list(parameters), **changes), "tuning")


def double(**space: str) -> dict[str, Any]:
    """A parameter of doubles."""
    return {"name": "learning_rate", "parameterType": "double", "feasibleSpace": space}


@pytest.mark.parametrize(
    ("search", "services", "words"),
    [
        (spec("tpe", double(min="0.001", max="0.1", distribution="logUniform")), {"tpe": "goptuna"},
         r'log10_learning_rate, parameterType: double, feasibleSpace: \{min: "-3", max: "-1"\}'),
        (spec("sobol", *PARAMETERS), {}, "goptuna, which ignores logUniform"),
        (spec("cmaes", WIDTH, {"name": "batch_size", "parameterType": "int", "feasibleSpace": {
            "min": "1", "max": "64", "distribution": "logUniform"}}), {}, "list its values as a discrete parameter"),
        (spec("random", double(min="0.05", max="0.35", step="0.1")), {}, "multiples of the step 0.1"),
        (spec("random", double(min="0.1", max="0.35", step="0.1")), {}, "make min and max multiples of it"),
        (spec("bayesianoptimization", double(min="0", max="0.3")), {}, "draws every double on a log scale"),
        (spec("bayesianoptimization", double(min="0.1", max="0.3")), {}, "distribution: logUniform"),
        (spec("bayesianoptimization", WIDTH), {}, "skopt, which ignores steps"),
        (spec("tpe", WIDTH, algorithm={"algorithmName": "tpe", "algorithmSettings": {"n_startup_trials": "5"}}), {},
         "refuses the setting 'n_startup_trials'"),
        (spec("tpe", WIDTH, algorithm={"algorithmName": "tpe", "algorithmSettings": {"n_EI_candidates": "5"}}),
         {"tpe": "optuna"}, "did you mean 'n_ei_candidates'"),
        (spec("tpe", WIDTH), {"tpe": "skopt"}, "has no tpe; it runs on hyperopt or optuna or goptuna"),
    ],
)  # fmt: skip
def test_what_a_service_misreads_is_refused(search: TuneSpec, services: dict[str, str], words: str) -> None:
    """Steps, scales and settings that Katib's service would ignore are refused, with what it does read."""
    with pytest.raises(ConfigurationError, match=words):
        refuse_misread(search, services)


def test_what_services_read_passes() -> None:
    """The same searches pass where the service reads them."""
    refuse_misread(spec("tpe", double(min="0.001", max="0.1", distribution="logUniform")), {})
    refuse_misread(spec("multivariate-tpe", *PARAMETERS), {})
    refuse_misread(spec("tpe", RATE, WIDTH), {"tpe": "goptuna"})
    refuse_misread(spec("random", double(min="0.1", max="0.3", step="0.1"), WIDTH), {})
    refuse_misread(spec("bayesianoptimization", double(min="0.1", max="0.3", distribution="logUniform")), {})
    refuse_misread(spec("grid", *GRID), {})


def test_katibs_own_count_of_a_grid_is_known() -> None:
    """Katib adds steps up in binary fractions, may lose the last value, and fails where the grid runs out."""
    import numpy as np

    lost = double(min="0.0", max="0.3", step="0.1")
    assert len([v for v in np.arange(0.0, 0.3 + 0.1, 0.1) if v <= 0.3]) == 3
    with pytest.raises(ConfigurationError, match=r"finds 3 of the 4 combinations.*lower it to 3"):
        refuse_misread(spec("grid", lost, maxTrialCount=4), {})


def test_katibs_hyperband_wants_its_bracket_at_once() -> None:
    """Katib refuses a bracket that does not fit into parallelTrialCount; a laptop does not mind."""
    settings = {"r_l": "9", "eta": "3", "resource_name": "epochs"}
    epochs = {"name": "epochs", "parameterType": "int", "feasibleSpace": {"min": "1", "max": "9"}}
    changes: dict[str, Any] = {
        "algorithm": {"algorithmName": "hyperband", "algorithmSettings": settings}, "maximum_epochs": 9,
        "maxTrialCount": 20,
    }  # fmt: skip
    with pytest.raises(ConfigurationError, match="starts 9 trials at once: raise parallelTrialCount to 9"):
        refuse_misread(spec("hyperband", epochs, **changes), {})
    refuse_misread(spec("hyperband", epochs, **deepcopy(changes), parallelTrialCount=9), {})
