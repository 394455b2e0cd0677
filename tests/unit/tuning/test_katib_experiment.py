"""The Katib Experiment: the same search in Katib's words, with every precaution, and back again."""

import json
from pathlib import Path

import pytest
from kubeflow_katib_api.models import V1beta1Experiment
from unit.tuning.experiments import MOOD, STOPPING, build, container_of, inputs, job_of

from fairlead.errors import ConfigurationError
from fairlead.tuning.experiment import build_experiment, longest_seconds, read_search
from fairlead.tuning.trial import read_inputs
from fairlead.tuning.trial_job import INPUTS, PARAMETER, TrialJob
from fairlead.tuning.trials import Inputs


def test_it_is_the_search_in_katibs_words() -> None:
    """Objective, algorithm, counts and parameters are those of the section; what Katib would assume is said."""
    objective = {
        "type": "minimize", "objectiveMetricName": "validation_log_loss", "goal": 0.1,
        "additionalMetricNames": ["validation_roc_auc"],
        "metricStrategies": [{"name": "validation_roc_auc", "value": "max"}],
    }  # fmt: skip
    spec = build(objective=objective, earlyStopping=STOPPING)["spec"]
    assert spec["objective"] == {
        **objective,
        "metricStrategies": [
            {"name": "validation_log_loss", "value": "latest"}, {"name": "validation_roc_auc", "value": "max"},
        ],
    }  # fmt: skip
    settings = [{"name": "random_state", "value": "5"}]
    assert spec["algorithm"] == {"algorithmName": "multivariate-tpe", "algorithmSettings": settings}
    assert spec["earlyStopping"]["algorithmSettings"] == [
        {"name": "min_trials_required", "value": "3"}, {"name": "start_step", "value": "2"},
    ]  # fmt: skip
    counts = ("maxTrialCount", "parallelTrialCount", "maxFailedTrialCount", "resumePolicy")
    assert [spec[name] for name in counts] == [6, 2, 3, "Never"]
    assert spec["metricsCollectorSpec"] == {"collector": {"kind": "StdOut"}}
    assert [parameter["name"] for parameter in spec["parameters"]] == ["log10_learning_rate", "width", "mood"]
    assert spec["parameters"][0]["feasibleSpace"] == {"min": "-3", "max": "-1", "distribution": "uniform"}
    assert spec["parameters"][2]["feasibleSpace"] == {"list": MOOD["feasibleSpace"]["list"]}  # type: ignore[index]


def test_a_trial_takes_every_precaution() -> None:
    """The Job ends whatever happens, runs once, as a plain user, with its values in the environment only."""
    experiment = build()
    job, container = job_of(experiment), container_of(experiment)
    assert "name" not in job.get("metadata", {})
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["activeDeadlineSeconds"] == 3660
    pod = job["spec"]["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["securityContext"]["runAsUser"] == 1000
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["volumeMounts"][0]["name"] == "scratch"
    assert container["command"] == ["sh", "-c"]
    assert container["args"] == ["{ python -m fairlead.tuning.trial; }"]
    template = experiment["spec"]["trialTemplate"]
    assert template["primaryContainerName"] == container["name"]
    assert template["retain"] is False
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    for name in ("log10_learning_rate", "width", "mood"):
        assert {"name": name, "reference": name} in template["trialParameters"]
        assert environment[PARAMETER + name] == f"${{trialParameters.{name}}}"
    assert environment["OMP_NUM_THREADS"] == "1"
    assert read_inputs(environment) == inputs()


def test_a_jobs_options_reach_the_pod() -> None:
    """Resources, secrets, volumes, account, nodes and retention are those that were asked for."""
    job = TrialJob.parse(
        {
            "image": "registry.example/fairlead:1", "cpu": "1500m", "memory": "4Gi", "gpus": 1, "user": 2000,
            "service_account": "tuner", "environment": {"S3_ENDPOINT": "http://minio:9000", "ODD": "$(HOME)"},
            "secrets": ["minio"], "pull_secrets": ["registry"], "retain": True, "node_selector": {"disk": "fast"},
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
            "mounts": [{"name": "data", "mountPath": "/data", "readOnly": True}],
        },
        "job",
    )  # fmt: skip
    experiment = build_experiment(inputs(), "late", "team", job).to_dict()
    pod, container = job_of(experiment)["spec"]["template"]["spec"], container_of(experiment)
    assert container["resources"]["limits"] == {"cpu": "1500m", "memory": "4Gi", "nvidia.com/gpu": "1"}
    assert container["envFrom"] == [{"secretRef": {"name": "minio"}}]
    assert {"name": "ODD", "value": "$$(HOME)"} in container["env"]
    assert pod["serviceAccountName"] == "tuner"
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["nodeSelector"] == {"disk": "fast"}
    assert pod["securityContext"]["fsGroup"] == 2000
    assert [volume["name"] for volume in pod["volumes"]] == ["scratch", "data"]
    assert experiment["spec"]["trialTemplate"]["retain"] is True
    with pytest.raises(ConfigurationError, match="FAIRLEAD_TRIAL is set by the trial itself"):
        TrialJob.parse({"environment": {INPUTS: "x"}}, "job")


def test_it_comes_back_whole() -> None:
    """It passes through JSON and Katib's own models unchanged, and the search can be read back from it."""
    sent = build(earlyStopping=STOPPING)
    assert V1beta1Experiment.from_dict(json.loads(json.dumps(sent))).to_dict() == sent
    search = read_search(sent)
    assert search.parameters == inputs().tuning.parameters
    assert search.maximum_epochs == 4
    again = Inputs.of({**json.loads(inputs().as_json()), "tuning": search.model_dump(by_alias=True)})
    rebuilt = build_experiment(again, "late-7", "team", TrialJob(image="registry.example/fairlead:1")).to_dict()
    for key in set(sent["spec"]) - {"trialTemplate"}:
        assert rebuilt["spec"][key] == sent["spec"][key]
    with pytest.raises(ConfigurationError, match="not built by fairlead"):
        read_search({"spec": {}})


def test_the_flights_search_can_be_sent(repository: Path) -> None:
    """The section of the flights problem makes an Experiment as it stands, with Katib's own services."""
    import yaml

    problem = yaml.safe_load((repository / "pipelines/fairlead_pipelines/flights/problem.yaml").read_text())
    keys = {key: problem[key] for key in ("model", "train", "tuning")}
    looked_at = Inputs.of({**keys, "train_path": "/a", "validation_path": "/b", "label": problem["label"]["column"]})
    experiment = build_experiment(looked_at, "flights", "team", TrialJob()).to_dict()
    names = [parameter["name"] for parameter in problem["tuning"]["parameters"]]
    assert [parameter["name"] for parameter in experiment["spec"]["parameters"]] == names


def test_whoever_follows_it_has_a_deadline() -> None:
    """An Experiment that hangs is known by the clock: rounds of the longest trials, or the time budget."""
    assert longest_seconds(inputs().tuning) == 120 + 3 * 3660
    assert longest_seconds(inputs(maximum_seconds=600).tuning) == 720


@pytest.mark.parametrize("name", ["Flights", "7-flights", "late_7", "late-", "x" * 41, ""])
def test_a_name_that_katib_chokes_on_is_refused(name: str) -> None:
    """Katib lets some of these pass and then cannot make objects of that name."""
    with pytest.raises(ConfigurationError, match="at most 40 lower-case letters"):
        build_experiment(inputs(), name, "team", TrialJob())
