"""tune_model through Katib: the real client and trials that really run; the controller and the API are played here."""

import json
import logging
from typing import Any

import pytest
from katib_controller import KatibController
from katib_place import GRID, MOOD, Place
from kubeflow_katib_api.models import V1beta1ExperimentStatus, V1beta1TrialStatus
from minio_server import PASSWORD
from tiny_kubernetes import KATIB, katib_webhook
from unit.training.late_rows import TRAIN
from unit.tuning.toy_recipe import NAME

from fairlead.datasets import read_table
from fairlead.errors import ConfigurationError, DataError
from fairlead.objects import Objects
from fairlead.platform.kubeflow import kinds
from fairlead.training.checkpoint import Checkpoint

pytest_plugins = ("minio_fixtures", "katib_fixtures")


def test_a_search_in_a_cluster_is_that_of_a_laptop(
    place: Place, katib: KatibController, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same grid gives the same table, column by column; the best model is in the store; no trace is left."""
    tuned = place.tune(**GRID)
    table = read_table(place.out / "trials")
    best = json.loads((place.out / "best.json").read_text())
    assert not place.experiments()
    monkeypatch.setenv("FAIRLEAD_PLATFORM", "laptop")
    here = place.tune(**{**GRID, "parallelTrialCount": 1})
    local = read_table(place.out / "trials")
    assert table.schema == local.schema
    columns = ["state", "validation_log_loss", "validation_roc_auc", "epochs", "error", "width"]
    assert sorted(table.select(columns).to_pylist(), key=str) == sorted(local.select(columns).to_pylist(), key=str)
    assert tuned.best.curve == here.best.curve
    assert (
        best["hyperparameters"] == {"width": 8} == json.loads((place.out / "best.json").read_text())["hyperparameters"]
    )
    assert Objects.connect().find_folder(best["checkpoint"]) is not None
    assert best["checkpoint"].startswith(f"{place.store}/tuning/tune-")


def test_a_second_run_reads_what_was_found(
    place: Place, katib: KatibController, caplog: pytest.LogCaptureFixture
) -> None:
    """The result is in the store; neither data nor trials are sent again, and the Experiment is not made again."""
    caplog.set_level(logging.INFO)
    first = place.tune(**GRID)
    katib.curves.clear()
    second = place.tune(**GRID)
    assert second.trials == first.trials
    assert second.checkpoint == first.checkpoint
    assert not katib.curves
    assert "was searched before" in caplog.text
    kept = [one.uri for one in Objects.connect().list(f"{place.store}/tuning") if "checkpoint/" in one.uri]
    assert {uri.rpartition("/checkpoint/")[0] for uri in kept} == {first.checkpoint.removesuffix("/checkpoint")}


def test_failed_trials_tell_their_own_reason(place: Place, katib: KatibController) -> None:
    """What raised, or gave no number, has failed with the trial's words; the others count."""
    tuned = place.tune(algorithm={"algorithmName": "grid"}, parameters=[MOOD])
    by_mood = {trial.values["mood"]: trial for trial in tuned.trials}
    assert by_mood["good"].succeeded
    assert by_mood["bad"].error == "ValueError: in a bad mood"
    assert "not finite: validation_log_loss nan" in by_mood["nan"].error
    assert tuned.metrics["trials_failed"] == 2


def test_a_search_whose_trials_all_fail_is_refused(place: Place, katib: KatibController) -> None:
    """Katib calls it succeeded; here it has come to nothing, with the reasons, and is deleted."""
    bad = {**MOOD, "feasibleSpace": {"list": ["bad"]}}
    with pytest.raises(DataError, match=r"(?s)no trial .* succeeded, although Katib calls it so.*in a bad mood"):
        place.tune(parameters=[bad], maxTrialCount=2, parallelTrialCount=2)
    assert not place.experiments()


def test_too_many_failures_end_the_search(place: Place, katib: KatibController) -> None:
    """Failures as many as maxFailedTrialCount end it as Failed; the next run starts anew."""
    bad = {**MOOD, "feasibleSpace": {"list": ["bad", "nan"]}}
    changes: dict[str, Any] = {"parameters": [bad], "maxFailedTrialCount": 1, "parallelTrialCount": 1}
    with pytest.raises(DataError, match="max failed count has reached"):
        place.tune(**changes)
    assert not place.experiments()


def test_a_trial_that_goes_badly_is_stopped(place: Place, katib: KatibController) -> None:
    """Katib keeps no figure of a stopped trial; its own note has them, as on a laptop."""
    stopping = {"algorithmName": "medianstop", "algorithmSettings": {"min_trials_required": "1", "start_step": "2"}}
    widths = {"name": "width", "parameterType": "discrete", "feasibleSpace": {"list": ["8", "60", "70"]}}
    tuned = place.tune(
        algorithm={"algorithmName": "grid"}, parameters=[widths], parallelTrialCount=1, earlyStopping=stopping,
        maximum_epochs=40, train={"recipe": NAME, "epochs": 40, "options": {"pause": 0.1}},
    )  # fmt: skip
    assert [trial.state for trial in tuned.trials] == ["succeeded", "early_stopped", "early_stopped"]
    assert tuned.best.values["width"] == 8
    stopped = tuned.trials[1]
    assert 2 <= len(stopped.curve) < 40
    assert stopped.metric == stopped.curve[-1]


@pytest.mark.parametrize("refusal", [katib_webhook(labelled=False)], ids=["no-label"])
def test_a_namespace_without_the_label_is_named(place: Place, katib: KatibController) -> None:
    """Katib refuses it; the error has the command that mends it."""
    with pytest.raises(
        ConfigurationError, match=r"kubectl label namespace team katib\.kubeflow\.org/metrics-collector"
    ):
        place.tune(**GRID)


def test_where_there_is_no_katib_trials_run_in_the_pod(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without Katib's CRD, or without an object store, the search is the laptop's, and the log says so."""
    place.kubernetes.served = place.kubernetes.served[: -len(KATIB)]
    assert len(place.tune(**GRID, parallelTrialCount=1).trials) == 3
    assert "has no Katib (kubeflow.org), so trials run in this pod" in caplog.text
    monkeypatch.delenv("FAIRLEAD_OBJECT_STORE")
    assert len(place.tune(**GRID, parallelTrialCount=1).trials) == 3
    assert "no object_store is set" in caplog.text


def test_the_controller_writes_what_katib_types(place: Place, katib: KatibController) -> None:
    """Statuses pass through Katib's own models; counts of 0 are absent, conditions are newest last."""
    place.tune(**GRID, pod={"keep": True})
    experiment = place.experiments()[0]
    status = experiment["status"]
    assert V1beta1ExperimentStatus.from_dict(status).trials_succeeded == 3
    assert [c["type"] for c in status["conditions"] if c["status"] == "True"] == ["Created", "Succeeded"]
    assert "trialsFailed" not in status
    trial = place.cluster.list(kinds.TRIAL)[0]
    assert V1beta1TrialStatus.from_dict(trial["status"]).observation.metrics[0].latest is not None
    assert status["currentOptimalTrial"]["bestTrialName"] in status["succeededTrialList"]
    environment = trial["spec"]["runSpec"]["spec"]["template"]["spec"]["containers"][0]["env"]
    secrets = [entry for entry in environment if entry["name"] == "AWS_SECRET_ACCESS_KEY"]
    assert secrets[0]["valueFrom"]["secretKeyRef"]["name"] == "fairlead-s3"
    assert PASSWORD not in json.dumps(experiment)


def test_the_best_model_can_be_used(place: Place, katib: KatibController) -> None:
    """A real recipe's trial leaves a checkpoint as train_model does, to the laptop's figure."""
    rate = {"name": "log10_learning_rate", "parameterType": "double", "feasibleSpace": {"min": "-3", "max": "-2"}}
    tuned = place.tune(train=TRAIN, parameters=[rate], maxTrialCount=1, parallelTrialCount=1, maximum_epochs=1)
    Objects.connect().download_folder(tuned.checkpoint, place.out / "model")
    checkpoint = Checkpoint.read(place.out / "model")
    assert checkpoint.fitted.best.validation["validation_log_loss"] == tuned.best.metric
    assert checkpoint.lineage["tuned"] == {"learning_rate": 10 ** tuned.best.values["log10_learning_rate"]}
