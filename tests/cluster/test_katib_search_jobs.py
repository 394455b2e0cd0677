"""tune_model by Experiments on a real cluster: real Jobs, a real object store, the controller's part played here."""

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from katib_cluster import build_trial_image, fresh_bucket, give_keys, katib_installed
from katib_controller import KatibController
from unit.training.late_rows import MODEL, late_table, write_table

from fairlead.datasets import read_table
from fairlead.errors import ConfigurationError, DataError
from fairlead.objects import Objects
from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.api import Cluster
from fairlead.settings import settings
from fairlead.training.checkpoint import Checkpoint
from fairlead.tuning import experiment
from fairlead.tuning.tune_model.in_cluster import ClusterSearch
from fairlead.tuning.tune_model.task import Tuning, tune

pytestmark = pytest.mark.cluster

TRAIN = {"recipe": "gradient-boosting", "options": {"rounds": 20, "stop_after": 20}}
LEAVES = {"name": "leaves", "parameterType": "int", "feasibleSpace": {"min": "4", "max": "12", "step": "4"}}
RATE = {"name": "shrinkage", "parameterType": "double", "feasibleSpace": {"min": "0.05", "max": "0.5"}}
TUNING: dict[str, Any] = {
    "objective": {
        "type": "minimize", "objectiveMetricName": "validation_log_loss",
        "additionalMetricNames": ["validation_roc_auc"],
    },
    "algorithm": {"algorithmName": "grid"}, "maxTrialCount": 3, "parallelTrialCount": 2, "maximum_rows": 2000,
    "maximum_epochs": 30, "trial_seconds": 300, "parameters": [LEAVES],
}  # fmt: skip


@dataclass
class Place:
    """A namespace of the cluster, and a bucket."""

    cluster: Cluster
    data: Path
    out: Path
    pod: dict[str, Any]

    def tune(self, **changes: Any) -> Tuning:
        """Tunes with keys of the section changed."""
        pod, train = {**self.pod, **changes.pop("pod", {})}, changes.pop("train", TRAIN)
        return tune(
            self.data / "train", self.data / "validation", self.out / "best.json", self.out / "trials",
            self.out / "report.html", model=MODEL, train_spec=train, tuning={**TUNING, **changes, "pod": pod},
            label="late",
        )  # fmt: skip

    def experiments(self) -> list[dict[str, Any]]:
        """Those that are there."""
        return self.cluster.list(kinds.EXPERIMENT)


@pytest.fixture(scope="module")
def trial_image(cluster: Cluster, repository: Path) -> str:
    """The small image, on the nodes."""
    return build_trial_image(repository)


@pytest.fixture(scope="module")
def katib_kinds(cluster: Cluster) -> Iterator[None]:
    """Katib's CRDs and refusals."""
    with katib_installed(cluster):
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the datasets `train` and `validation`."""
    folder = tmp_path_factory.mktemp("data")
    write_table(folder / "train", late_table(2000, seed=1), name="train")
    write_table(folder / "validation", late_table(400, seed=2), name="validation")
    return folder


@pytest.fixture
def place(
    cluster: Cluster, namespace: str, s3: Any, trial_image: str, katib_kinds: None, data: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Place]:  # fmt: skip
    """The whole place, to which the settings lead, with a controller that runs."""
    give_keys(cluster, namespace, s3.user, s3.password)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.user)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.password)
    with fresh_bucket(s3.endpoint, s3.user, s3.password) as bucket:
        values = {"PLATFORM": "kubeflow", "OBJECT_STORE": f"s3://{bucket}/f", "S3_ENDPOINT": s3.endpoint}
        for name, value in values.items():
            monkeypatch.setenv(f"FAIRLEAD_{name}", value)
        here = Cluster.connect(settings())
        pod = {
            "image": trial_image, "cpu": "500m", "memory": "512Mi", "pull_policy": "IfNotPresent",
            "environment": {"FAIRLEAD_S3_ENDPOINT": s3.inside},
        }  # fmt: skip
        with KatibController(here, poll_seconds=0.5) as controller:
            yield Place(here, data, tmp_path, pod)
        assert not controller.errors


def test_trials_are_jobs_and_find_what_a_laptop_finds(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under Pod Security `restricted`: the same table as on the laptop, the best model in the store, nothing left."""
    started = time.monotonic()
    tuned = place.tune()
    logging.getLogger(__name__).warning("3 trials, 2 at once: %.1f s", time.monotonic() - started)
    table = read_table(place.out / "trials")
    best = json.loads((place.out / "best.json").read_text())
    assert not place.experiments()
    Objects.connect().download_folder(best["checkpoint"], place.out / "model")
    model = Checkpoint.read(place.out / "model")
    assert model.fitted.best.validation["validation_log_loss"] == tuned.best.metric
    monkeypatch.setenv("FAIRLEAD_PLATFORM", "laptop")
    here = place.tune(parallelTrialCount=1)
    local = read_table(place.out / "trials")
    assert table.schema == local.schema
    assert tuned.best.values == here.best.values
    assert tuned.best.metric == pytest.approx(here.best.metric, abs=1e-9)
    assert sorted(table["epochs"].to_pylist()) == sorted(local["epochs"].to_pylist())


@pytest.mark.slow
def test_trials_train_networks_in_the_training_image(
    place: Place, images: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image that is shipped, and a recipe of torch: each trial's figure is the laptop's."""
    network = {"recipe": "tabular-network", "epochs": 2, "seed": 7, "threads": 1, "options": {"hidden": [8]}}
    rates = {"name": "learning_rate", "parameterType": "discrete", "feasibleSpace": {"list": ["0.01", "0.001"]}}
    changes: dict[str, Any] = {"train": network, "parameters": [rates], "maxTrialCount": 2, "maximum_epochs": 2}
    there = place.tune(**changes, pod={"image": images("training"), "memory": "2Gi"})
    monkeypatch.setenv("FAIRLEAD_PLATFORM", "laptop")
    here = place.tune(**changes, parallelTrialCount=1)
    figures = [{trial.values["learning_rate"]: trial.metric for trial in tuned.trials} for tuned in (there, here)]
    assert len(figures[1]) == 2
    assert figures[0] == pytest.approx(figures[1], abs=1e-9)


@pytest.mark.slow
def test_a_pod_that_cannot_start_is_explained(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that nobody has: the Job's deadline ends the trial, and the kubelet's words are in the error."""
    monkeypatch.setattr(experiment, "OVERHEAD_SECONDS", 20)
    with pytest.raises(DataError, match=r"(?s)DeadlineExceeded.*(ErrImagePull|ImagePullBackOff|Failed).*no-such-image"):
        place.tune(
            maxTrialCount=1, parallelTrialCount=1, trial_seconds=5, pod={"image": "registry.invalid/no-such-image:1"}
        )
    assert not place.experiments()


@pytest.mark.slow
def test_a_wrong_container_is_explained(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """No pod is made, and only an event of the Job says why."""
    monkeypatch.setattr(experiment, "OVERHEAD_SECONDS", 15)
    made = ClusterSearch.manifest

    def misnamed(search: ClusterSearch) -> dict[str, Any]:
        manifest = made(search)
        manifest["spec"]["trialTemplate"]["primaryContainerName"] = "main"
        return manifest

    monkeypatch.setattr(ClusterSearch, "manifest", misnamed)
    with pytest.raises(DataError, match="Unable to find primary container main"):
        place.tune(maxTrialCount=1, parallelTrialCount=1, trial_seconds=5)


def test_a_failed_trial_says_why(place: Place) -> None:
    """What the trial raised comes through the object store: Katib keeps no exit code and no log."""
    bins = {"name": "l2", "parameterType": "categorical", "feasibleSpace": {"list": ["0.1", "-1"]}}
    tuned = place.tune(parameters=[bins], maxTrialCount=2)
    failed = next(trial for trial in tuned.trials if not trial.succeeded)
    assert failed.values == {"l2": "-1"}
    assert "l2" in failed.error
    assert "greater than or equal to 0" in failed.error


@pytest.mark.slow
def test_a_trial_is_stopped_early(place: Place) -> None:
    """The collector ends the trial's process as another container of the same pod, and its curve is kept."""
    stopping = {"algorithmName": "medianstop", "algorithmSettings": {"min_trials_required": "1", "start_step": "3"}}
    slow = {"recipe": "gradient-boosting", "options": {"rounds": 500, "stop_after": 500}}
    rates = {"name": "shrinkage", "parameterType": "discrete", "feasibleSpace": {"list": ["0.3", "0.0001"]}}
    tuned = place.tune(
        parameters=[rates], maxTrialCount=2, parallelTrialCount=1, earlyStopping=stopping, train=slow,
        maximum_epochs=500,
    )  # fmt: skip
    assert [trial.state for trial in tuned.trials] == ["succeeded", "early_stopped"]
    assert 3 <= len(tuned.trials[1].curve) < 500


def when(found: Callable[[], Any], number: int) -> threading.Thread:
    """Sends this process a signal as soon as something is found."""

    def wait() -> None:
        while not found():
            time.sleep(0.3)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.slow
def test_an_interrupt_deletes_all_and_a_kept_search_is_followed(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """SIGTERM, as a kubelet sends it: the Experiment and its pods go; a kept one goes on and is found again."""
    caplog.set_level(logging.INFO)
    thread = when(lambda: place.cluster.list(kinds.JOB), signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        place.tune()
    thread.join()
    deadline = time.monotonic() + 60
    while place.experiments() or place.cluster.list(kinds.JOB) or place.cluster.list(kinds.POD):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    thread = when(lambda: place.cluster.list(kinds.JOB), signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        place.tune(pod={"keep": True}, maximum_rows=1999)
    thread.join()
    assert len(place.experiments()) == 1
    assert len(place.tune(pod={"keep": True}, maximum_rows=1999).trials) == 3
    assert "is there already; following it" in caplog.text


def test_a_namespace_that_katib_does_not_serve_is_named(place: Place) -> None:
    """The API server refuses the Experiment; the error has the command that mends it."""
    gone = {"katib.kubeflow.org/metrics-collector-injection": None}
    place.cluster.patch(kinds.NAMESPACE, place.cluster.namespace, {"metadata": {"labels": gone}})
    with pytest.raises(ConfigurationError, match=f"kubectl label namespace {place.cluster.namespace}"):
        place.tune()
