"""A search as a Katib Experiment: the same object that a laptop's search is, with every precaution that Katib needs."""

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from fairlead import image
from fairlead.errors import ConfigurationError
from fairlead.sections import Section
from fairlead.tuning.services import refuse_misread
from fairlead.tuning.space import Parameter
from fairlead.tuning.spec import TuneSpec
from fairlead.tuning.traps import refuse_traps
from fairlead.tuning.trial import INPUTS, LEAST_SECONDS, PARAMETER
from fairlead.tuning.trials import Inputs

if TYPE_CHECKING:
    from kubeflow_katib_api.models import V1beta1Experiment, V1beta1ParameterSpec

API_VERSION = "kubeflow.org/v1beta1"
CONTAINER = "trial"
COMMAND = "{ python -m fairlead.tuning.trial; }"  # in braces: Katib redirects the output of the last command only
LEAST_TRIAL_SECONDS = 3  # Katib's collector fails a trial that ends before it has started
OVERHEAD_SECONDS = 60  # of a trial's pod, images at hand
START_SECONDS = 120  # of the suggestion service

_HOME = "/tmp/fairlead"  # noqa: S108 (the pod's own emptyDir)


class TrialJob(Section):
    """How a trial's pod runs.

    Attributes:
        image: Fully qualified, with fairlead, the recipe's libraries, and sh.
        cpu: Cores of a trial.
        memory: Of a trial.
        gpus: NVIDIA GPUs of a trial.
        user: The user of all containers of the pod; Katib's collector must be the same user to stop a trial early.
        service_account: The pod's.
        environment: Further variables, such as where objects are stored.
        secrets: Secrets whose keys become variables.
        pull_secrets: Secrets for the image's registry.
        volumes: Kubernetes volumes of the pod.
        mounts: Where the container has them.
        node_selector: Labels of the nodes that may run trials.
        retain: Keep the pods of trials that have ended: their exit codes and logs are nowhere else.
        services: The cluster's suggestion service of each algorithm, where it is not Katib's own choice.
    """

    image: str = image.TRAINING
    cpu: str = Field(default="1", pattern=r"^(\d+m|\d+(\.\d+)?)$")
    memory: str = "2Gi"
    gpus: int = Field(default=0, ge=0)
    user: int = Field(default=1000, ge=1)
    service_account: str = ""
    environment: dict[str, str] = Field(default_factory=dict)
    secrets: list[str] = Field(default_factory=list)
    pull_secrets: list[str] = Field(default_factory=list)
    volumes: list[dict[str, Any]] = Field(default_factory=list)
    mounts: list[dict[str, Any]] = Field(default_factory=list)
    node_selector: dict[str, str] = Field(default_factory=dict)
    retain: bool = False
    services: dict[str, str] = Field(default_factory=dict)

    @field_validator("environment")
    @classmethod
    def _check_environment(cls, environment: dict[str, str]) -> dict[str, str]:
        taken = [name for name in environment if name in (INPUTS, LEAST_SECONDS) or name.startswith(PARAMETER)]
        if taken:
            raise ValueError(f"{', '.join(taken)} is set by the trial itself; take it out")
        return environment


def build_experiment(inputs: Inputs, name: str, namespace: str, job: TrialJob) -> "V1beta1Experiment":
    """Builds the Experiment of a search.

    Args:
        inputs: What the search looks at; paths as a trial's pod sees them.
        name: The Experiment's name: at most 40 lower-case letters, digits and dashes.
        namespace: One with the label katib.kubeflow.org/metrics-collector-injection: enabled.
        job: How a trial's pod runs.

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
                    models.V1beta1TrialParameterSpec(name=p.name, reference=p.name) for p in spec.parameters
                ],
                trialSpec=trial_spec(inputs, job),
            ),
        ),
    )
    refuse_traps(experiment.to_dict())
    return experiment


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


def trial_spec(inputs: Inputs, job: TrialJob) -> dict[str, Any]:
    """The Job of one trial, with Katib's placeholders for its values.

    Everything that varies stands in the environment: Katib joins a command's words without quotes.
    """
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": job.user, "runAsGroup": job.user, "fsGroup": job.user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(inputs, job)],
        "volumes": [{"name": "scratch", "emptyDir": {}}, *job.volumes],
    }  # fmt: skip
    if job.service_account:
        pod["serviceAccountName"] = job.service_account
    else:
        pod["automountServiceAccountToken"] = False
    if job.pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in job.pull_secrets]
    if job.node_selector:
        pod["nodeSelector"] = dict(job.node_selector)
    no_mesh = {"sidecar.istio.io/inject": "false"}  # a mesh's sidecar would keep the Job from ever completing
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": inputs.tuning.trial_seconds + OVERHEAD_SECONDS,
            "template": {"metadata": {"labels": no_mesh, "annotations": no_mesh}, "spec": pod},
        },
    }


def _container(inputs: Inputs, job: TrialJob) -> dict[str, Any]:
    resources: dict[str, Any] = {"cpu": job.cpu, "memory": job.memory}
    if job.gpus:
        resources["nvidia.com/gpu"] = str(job.gpus)
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": job.image,
        "command": ["sh", "-c"],
        "args": [COMMAND],
        "env": [{"name": name, "value": value} for name, value in _environment(inputs, job).items()],
        "resources": {"requests": dict(resources), "limits": resources},
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}, *job.mounts],  # noqa: S108
    }  # fmt: skip
    if job.secrets:
        container["envFrom"] = [{"secretRef": {"name": name}} for name in job.secrets]
    return container


def _environment(inputs: Inputs, job: TrialJob) -> dict[str, str]:
    own = {
        "FAIRLEAD_HOME": _HOME,
        "HOME": "/tmp",  # noqa: S108
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": str(_whole_cores(job.cpu)),  # a container sees all cores of its node, whatever its limit
        LEAST_SECONDS: str(LEAST_TRIAL_SECONDS),
        **job.environment,
        INPUTS: inputs.as_json(),
    }
    for name, value in own.items():
        if "${" in value:
            raise ConfigurationError(f"{name} holds ${{, which Katib would take for a placeholder; write it otherwise")
    plain = {name: value.replace("$(", "$$(") for name, value in own.items()}  # Kubernetes would expand $(NAME)
    values = {PARAMETER + p.name: f"${{trialParameters.{p.name}}}" for p in inputs.tuning.parameters}
    return {**plain, **values}


def _whole_cores(cpu: str) -> int:
    cores = float(cpu[:-1]) / 1000 if cpu.endswith("m") else float(cpu)
    return max(1, int(cores))


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
