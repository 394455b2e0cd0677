"""A search as a Katib Experiment: the same object that a laptop's search is, with every precaution that Katib needs."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fairlead.errors import ConfigurationError
from fairlead.tuning.services import refuse_misread
from fairlead.tuning.space import Parameter
from fairlead.tuning.spec import TuneSpec
from fairlead.tuning.traps import refuse_traps
from fairlead.tuning.trial_job import DATA, INPUTS, LEAST_SECONDS, NAME, PARAMETER, STORE, TrialJob
from fairlead.tuning.trials import Inputs

if TYPE_CHECKING:
    from kubeflow_katib_api.models import V1beta1Experiment, V1beta1ParameterSpec

API_VERSION = "kubeflow.org/v1beta1"
CONTAINER = "trial"
COMMAND = "{ python -m fairlead.tuning.trial; }"  # in braces: Katib redirects the output of the last command only
LEAST_TRIAL_SECONDS = 3  # Katib's collector fails a trial that ends before it has started
OVERHEAD_SECONDS = 60  # of a trial's pod, images at hand
START_SECONDS = 120  # of the suggestion service

TRIAL_NAME = "trialName"  # the trialParameter of Katib's own name for a trial


@dataclass(frozen=True)
class TrialSource:
    """What a trial's pod needs where nothing is mounted: all through the object store.

    Attributes:
        data: Where the datasets are stored, by `train` and `validation`: they are put at the inputs' paths.
        store: The folder (s3://…) to which each trial writes, under its own name.
        environment: How the object store is reached, and what else the pod's place says.
    """

    data: Mapping[str, str]
    store: str
    environment: Mapping[str, str]


def build_experiment(
    inputs: Inputs, name: str, namespace: str, job: TrialJob, source: TrialSource | None = None
) -> "V1beta1Experiment":
    """Builds the Experiment of a search.

    Args:
        inputs: What the search looks at; paths as a trial's pod sees them.
        name: The Experiment's name: at most 40 lower-case letters, digits and dashes.
        namespace: One with the label katib.kubeflow.org/metrics-collector-injection: enabled.
        job: How a trial's pod runs.
        source: Where its data come from; None where they are mounted.

    Returns:
        The Experiment; its `to_dict()` is what the cluster's API takes.

    Raises:
        ConfigurationError: Katib would refuse it, misread it, or take it and never come to an end.
    """
    from kubeflow_katib_api import models

    spec = inputs.tuning
    refuse_misread(spec, job.services)
    experiment = models.V1beta1Experiment(
        apiVersion=API_VERSION,
        kind="Experiment",
        metadata=models.IoK8sApimachineryPkgApisMetaV1ObjectMeta(name=name, namespace=namespace),
        spec=models.V1beta1ExperimentSpec(
            objective=_objective(spec),
            algorithm=models.V1beta1AlgorithmSpec(
                algorithmName=spec.algorithm.name, algorithmSettings=_pairs(_settings(spec))
            ),
            earlyStopping=_early_stopping(spec),
            maxTrialCount=spec.max_trials,
            parallelTrialCount=spec.parallel_trials,
            maxFailedTrialCount=spec.max_failed_trials,
            resumePolicy=spec.resume_policy,
            parameters=[_parameter(parameter) for parameter in spec.parameters],
            metricsCollectorSpec=models.V1beta1MetricsCollectorSpec(
                collector=models.V1beta1CollectorSpec(kind="StdOut")
            ),
            trialTemplate=models.V1beta1TrialTemplate(
                primaryContainerName=CONTAINER,
                retain=job.retain,
                trialParameters=[
                    models.V1beta1TrialParameterSpec(name=parameter, reference=reference)
                    for parameter, reference in _references(spec, source).items()
                ],
                trialSpec=trial_spec(inputs, job, source),
            ),
        ),
    )
    refuse_traps(experiment.to_dict())
    return experiment


def _references(spec: TuneSpec, source: TrialSource | None) -> dict[str, str]:
    """What each placeholder stands for: a parameter of the search, or the trial's name."""
    named = {TRIAL_NAME: "${trialSpec.Name}"} if source else {}
    return {**{parameter.name: parameter.name for parameter in spec.parameters}, **named}


def _pairs(settings: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in settings.items()]


def _early_stopping(spec: TuneSpec) -> Any:
    from kubeflow_katib_api import models

    stopping = spec.early_stopping
    if stopping is None:
        return None
    settings = {"min_trials_required": str(stopping.trials_required), "start_step": str(stopping.start_step)}
    return models.V1beta1EarlyStoppingSpec(algorithmName=stopping.name, algorithmSettings=_pairs(settings))


def _objective(spec: TuneSpec) -> Any:
    from kubeflow_katib_api import models

    objective = spec.objective
    strategies = [
        models.V1beta1MetricStrategy(name=metric, value=objective.strategy(metric)) for metric in objective.metrics
    ]
    return models.V1beta1ObjectiveSpec(
        type=objective.type, goal=objective.goal, objectiveMetricName=objective.metric,
        additionalMetricNames=objective.additional or None, metricStrategies=strategies,
    )  # fmt: skip


def _settings(spec: TuneSpec) -> dict[str, str]:
    """The seed is always said: without one a service may take the same every time, or another."""
    seed = {} if spec.algorithm.name == "hyperband" else {"random_state": str(spec.algorithm.seed)}
    return {**seed, **spec.algorithm.settings}


def _parameter(parameter: Parameter) -> "V1beta1ParameterSpec":
    from kubeflow_katib_api import models

    space = parameter.space
    feasible = models.V1beta1FeasibleSpace(
        min=space.min, max=space.max, step=space.step, list=None if space.list is None else list(space.list),
        distribution=space.distribution if parameter.ranged else None,
    )  # fmt: skip
    return models.V1beta1ParameterSpec(name=parameter.name, parameterType=parameter.kind, feasibleSpace=feasible)


def trial_spec(inputs: Inputs, job: TrialJob, source: TrialSource | None = None) -> dict[str, Any]:
    """The Job of one trial, with Katib's placeholders for its values.

    Everything that varies stands in the environment: Katib joins a command's words without quotes.
    """
    container = {
        "name": CONTAINER, "image": job.image, "command": ["sh", "-c"], "args": [COMMAND],
        "env": _environment(inputs, job, source),
    }  # fmt: skip
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": inputs.tuning.trial_seconds + OVERHEAD_SECONDS,
            "template": job.pod_template(container, "trial"),
        },
    }


def _environment(inputs: Inputs, job: TrialJob, source: TrialSource | None) -> list[dict[str, Any]]:
    place = source.environment if source else {}
    own = {
        **job.own_environment(),
        **place,
        LEAST_SECONDS: str(LEAST_TRIAL_SECONDS),
        **job.environment,
        INPUTS: inputs.as_json(),
    }
    if source:
        own |= {DATA: json.dumps(dict(source.data)), STORE: source.store}
    for name, value in own.items():
        if "${" in value:
            raise ConfigurationError(f"{name} holds ${{, which Katib would take for a placeholder; write it otherwise")
    plain = {name: value.replace("$(", "$$(") for name, value in own.items()}  # Kubernetes would expand $(NAME)
    values = {PARAMETER + p.name: f"${{trialParameters.{p.name}}}" for p in inputs.tuning.parameters}
    if source:
        values[NAME] = f"${{trialParameters.{TRIAL_NAME}}}"
    entries = [{"name": name, "value": value} for name, value in (plain | values).items()]
    return [*entries, *(job.s3_environment() if source else [])]


def longest_seconds(spec: TuneSpec) -> int:
    """How long the whole Experiment may take; what takes longer hangs, for Katib itself sets no limit.

    Args:
        spec: The search.

    Returns:
        The deadline for whoever follows it: `maximum_seconds`, or all rounds of trials at their longest.
    """
    rounds = math.ceil(spec.max_trials / spec.parallel_trials)
    trials = rounds * (spec.trial_seconds + OVERHEAD_SECONDS)
    return START_SECONDS + min(trials, spec.maximum_seconds or trials)


def read_search(experiment: Mapping[str, Any]) -> TuneSpec:
    """Reads the search back from an Experiment, as `build_experiment` wrote it or as a cluster returns it.

    Raises:
        ConfigurationError: It is not such an Experiment, or holds nonsense.
    """
    spec = experiment.get("spec", {})
    try:
        containers = spec["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"]
        inputs = next(e["value"] for c in containers for e in c.get("env", []) if e["name"] == INPUTS)
        limits = json.loads(inputs)["tuning"]
    except (KeyError, TypeError, ValueError, StopIteration):
        raise ConfigurationError(f"the Experiment's trials have no {INPUTS}; it was not built by fairlead") from None
    return TuneSpec.parse({**limits, **search_section(spec)}, "tuning")


def search_section(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of an Experiment's spec that a `tuning` section has too."""
    names = {field.alias or name for name, field in TuneSpec.model_fields.items()}
    return {key: value for key, value in spec.items() if key in names}
