"""train_model as a TrainJob of the real Kubeflow Trainer: one node and two, a pod killed, a run called off."""

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
import yaml
from katib_cluster import fresh_bucket, give_keys
from unit.training.late_rows import MODEL, late_table, write_table

from fairlead.errors import ConfigurationError
from fairlead.objects import Objects
from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.api import Cluster
from fairlead.platform.kubeflow.train_jobs import OF_JOB_SET
from fairlead.settings import settings
from fairlead.training.train_model.task import Training, train

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

SPEC: dict[str, Any] = {
    "recipe": "tabular-network", "epochs": 4, "batch_size": 64, "seed": 7, "threads": 1, "options": {"hidden": [16]},
}  # fmt: skip
LONG: dict[str, Any] = {"epochs": 40, "patience": 40, "save_every_seconds": 1}


@dataclass
class Place:
    """A namespace of the cluster with the runtime, and a bucket."""

    cluster: Cluster
    data: Path
    out: Path
    pod: dict[str, Any]

    def train(self, name: str, label: str = "late", **changes: Any) -> Training:
        """Trains with keys of the section changed."""
        pod = {**self.pod, **changes.pop("pod", {})}
        return train(
            self.data / "train", self.data / "validation", self.out / name, self.out / f"{name}.html", model=MODEL,
            train_spec={**SPEC, **changes, "pod": pod}, label=label,
        )  # fmt: skip

    def weights(self, name: str) -> bytes:
        """The bits of a checkpoint."""
        return (self.out / name / "weights.safetensors").read_bytes()

    def jobs(self) -> list[dict[str, Any]]:
        """The TrainJobs that are there."""
        return self.cluster.list(kinds.TRAIN_JOB)

    def pods(self) -> list[dict[str, Any]]:
        """The pods of trainings that run."""
        pods = [p for p in self.cluster.list(kinds.POD) if OF_JOB_SET in p["metadata"].get("labels", {})]
        return [p for p in pods if p.get("status", {}).get("phase") == "Running"]

    def snapshots(self) -> set[str]:
        """The snapshots in the store."""
        store = settings().object_store
        names = [one.uri for one in Objects.connect().list(f"{store}/training") if "/snapshots/.whole/" in one.uri]
        return {name.rpartition("/")[2] for name in names}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the datasets `train` and `validation`."""
    folder = tmp_path_factory.mktemp("data")
    write_table(folder / "train", late_table(4000, seed=1), name="train")
    write_table(folder / "validation", late_table(400, seed=2), name="validation")
    return folder


@pytest.fixture
def place(
    cluster: Cluster, namespace: str, require: Callable[[str], None], s3: Any, images: Callable[[str], str],
    repository: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Place]:  # fmt: skip
    """The whole place, to which the settings lead."""
    require("trainer")
    give_keys(cluster, namespace, s3.user, s3.password)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.user)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.password)
    runtime = yaml.safe_load((repository / "manifests/components/training/runtime.yaml").read_text())
    runtime["metadata"]["namespace"] = namespace
    cluster.apply(runtime)
    with fresh_bucket(s3.endpoint, s3.user, s3.password) as bucket:
        values = {"PLATFORM": "kubeflow", "OBJECT_STORE": f"s3://{bucket}/f", "S3_ENDPOINT": s3.endpoint}
        for name, value in values.items():
            monkeypatch.setenv(f"FAIRLEAD_{name}", value)
        pod = {
            "image": images("training"), "cpu": "500m", "memory": "2Gi",
            "environment": {"FAIRLEAD_S3_ENDPOINT": s3.inside},
        }  # fmt: skip
        yield Place(Cluster.connect(settings()), data, tmp_path, pod)


def when(found: Callable[[], Any], act: Callable[[], None]) -> threading.Thread:
    """Does something as soon as something is found."""

    def wait() -> None:
        while not found():
            time.sleep(0.3)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.parametrize(("nodes", "processes"), [(1, 2), (2, 1)])
def test_a_train_job_gives_the_model_of_this_machine(
    place: Place, nodes: int, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under Pod Security `restricted`: two processes over gloo, in one pod or in two, to the laptop's very bits."""
    trained = place.train("there", nodes=nodes, processes=processes)
    assert not place.jobs()
    assert json.loads((place.out / "there/resources.json").read_text())["processes"] == 2
    monkeypatch.setenv("FAIRLEAD_PLATFORM", "laptop")
    here = place.train("here", nodes=nodes, processes=processes)
    assert place.weights("there") == place.weights("here")
    assert trained.metrics["best_epoch"] == here.metrics["best_epoch"]
    assert not list(Objects.connect().list(f"{settings().object_store}/training"))


def test_a_pod_that_is_killed_costs_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainer starts both pods again; they go on from the last snapshot, to the bits of an unbroken training."""
    killed: list[str] = []

    def kill() -> None:
        pod = place.pods()[-1]["metadata"]["name"]
        killed.append(pod)
        place.cluster.delete(kinds.POD, pod, grace_seconds=0)

    thread = when(lambda: len(place.snapshots()) >= 1 and place.pods(), kill)
    place.train("there", nodes=2, **LONG)
    thread.join()
    assert killed
    monkeypatch.setenv("FAIRLEAD_PLATFORM", "laptop")
    place.train("here", nodes=2, **LONG)
    assert place.weights("there") == place.weights("here")


def test_a_run_that_is_called_off_goes_on_later(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """SIGTERM deletes the TrainJob and leaves its snapshots; kept, it goes on, and the next run follows it."""
    caplog.set_level(logging.INFO)
    thread = when(place.snapshots, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        place.train("there", nodes=2, **LONG)
    thread.join()
    assert not place.jobs()
    assert place.snapshots()
    when(lambda: not place.pods(), lambda: None).join(120)  # those that are called off are not the next run's
    assert not place.pods()
    thread = when(place.pods, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt):
        place.train("there", nodes=2, **LONG, pod={"keep": True})
    thread.join()
    assert len(place.jobs()) == 1
    place.train("there", nodes=2, **LONG)
    assert "is there already; following it" in caplog.text
    assert not place.jobs()


def test_what_cannot_be_right_ends_at_once(place: Place) -> None:
    """The error is that of the process which raised it; Trainer makes no further attempt."""
    with pytest.raises(ConfigurationError, match="'always' is among the model's inputs"):
        place.train("there", label="always", nodes=2)
    assert not place.jobs()


def test_a_missing_runtime_is_named(place: Place) -> None:
    """Trainer's webhook refuses the TrainJob; the error has the command that mends it."""
    with pytest.raises(ConfigurationError, match="kubectl apply --namespace"):
        place.train("there", nodes=2, pod={"runtime": "another"})
