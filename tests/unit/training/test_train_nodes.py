"""A training on several nodes: their program, what they keep in the object store, and the TrainJob that starts them."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from minio_server import PASSWORD, USER
from unit.training.late_rows import MODEL, late_table, write_table

from fairlead.errors import ConfigurationError, DataError, PlatformError
from fairlead.objects import Objects
from fairlead.platform.kubeflow.api import Cluster
from fairlead.platform.kubeflow.train_jobs import read_phase
from fairlead.settings import settings
from fairlead.training.engine.launch import train_together
from fairlead.training.engine.node import HOPELESS
from fairlead.training.job import Job
from fairlead.training.job_store import JobStore
from fairlead.training.spec import ModelSpec, TrainSpec
from fairlead.training.stored_data import send_dataset
from fairlead.training.train_model.in_cluster import ClusterTraining, find_trainer
from fairlead.training.train_pod import STORE

pytest_plugins = ("minio_fixtures",)

SPEC = {
    "recipe": "tabular-network", "epochs": 6, "batch_size": 32, "nodes": 2, "save_every_seconds": 0, "threads": 1,
    "seed": 7, "keep_snapshots": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the datasets `train` and `validation`."""
    folder = tmp_path_factory.mktemp("data")
    write_table(folder / "train", late_table(800, seed=1), name="train")
    write_table(folder / "validation", late_table(200, seed=2), name="validation")
    return folder


def job_of(data: Path, **changes: Any) -> Job:
    """The training."""
    spec = TrainSpec.parse({**SPEC, **changes}, "train")
    return Job(data / "train", data / "validation", ModelSpec.parse(MODEL, "model"), spec, "late")


def stored(job: Job, bucket: str, folder: Path) -> JobStore:
    """The training as train_model stores it; pods have their datasets below a folder."""
    store = JobStore(Objects.connect(), f"s3://{bucket}/training/one")
    paths = {"train": job.train, "validation": job.validation}
    addresses = {role: send_dataset(store.objects, f"s3://{bucket}", path) for role, path in paths.items()}
    here = {role: str(folder / role) for role in paths}
    store.write_job({**job.content(), **here, "data": addresses})
    return store


def start(store: JobStore, rank: int, folder: Path, port: int, count: int = 2) -> "subprocess.Popen[bytes]":
    """Starts a node as Trainer's pods do, with an empty scratch folder."""
    environment = {
        "PET_NNODES": str(count), "PET_NPROC_PER_NODE": "1", "PET_NODE_RANK": str(rank), "PET_MASTER_ADDR": "127.0.0.1",
        "PET_MASTER_PORT": str(port), STORE: store.uri, "FAIRLEAD_HOME": str(folder), "OMP_NUM_THREADS": "1",
        "AWS_ACCESS_KEY_ID": USER, "AWS_SECRET_ACCESS_KEY": PASSWORD,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }  # fmt: skip
    command = [sys.executable, "-m", "fairlead.training.engine.node"]
    return subprocess.Popen(command, env={**os.environ, **environment})


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.slow
def test_killed_nodes_go_on_bit_by_bit(data: Path, bucket: str, tmp_path: Path) -> None:
    """Both nodes start anew with empty disks after one was killed; the checkpoint is that of an unbroken training."""
    job = job_of(data)
    (tmp_path / "whole").mkdir()
    train_together(job, tmp_path / "whole").write(tmp_path / "expected")
    store, port = stored(job, bucket, tmp_path / "data"), free_port()
    nodes = [start(store, rank, tmp_path / f"first-{rank}", port) for rank in (0, 1)]
    while len(store.snapshots()) < 2:
        assert all(node.poll() is None for node in nodes), "ended before it could be killed"
        time.sleep(0.1)
    nodes[1].kill()
    codes = [node.wait(120) for node in nodes]
    assert codes[0] not in (0, HOPELESS)
    at = int(store.snapshots()[-1])
    port = free_port()
    nodes = [start(store, rank, tmp_path / f"second-{rank}", port) for rank in (0, 1)]
    assert [node.wait(300) for node in nodes] == [0, 0]
    (tmp_path / "collected").mkdir()
    found = store.fetch_result(tmp_path / "collected")
    assert found is not None
    found.write(tmp_path / "found")
    assert 0 < at < 6 * 25
    assert len(store.snapshots()) <= 2
    assert (tmp_path / "found/weights.safetensors").read_bytes() == (
        tmp_path / "expected/weights.safetensors"
    ).read_bytes()
    assert found.fitted.epochs == train_epochs(tmp_path / "expected")
    assert store.read_progress()["step"] == "training"
    store.remove()
    assert not list(store.objects.list(store.uri))


def train_epochs(path: Path) -> Any:
    """The learning curve of a checkpoint."""
    from fairlead.training.checkpoint import Checkpoint

    return Checkpoint.read(path).fitted.epochs


def test_what_would_fail_again_is_told_and_not_tried_again(data: Path, bucket: str, tmp_path: Path) -> None:
    """A training that cannot be right ends with the code at which Trainer makes no further attempt, and says why."""
    job = job_of(data, nodes=1)
    broken = Job(job.train, job.validation, job.model, job.spec, "early")
    store = stored(broken, bucket, tmp_path / "data")
    assert start(store, 0, tmp_path / "node", free_port(), count=1).wait(120) == HOPELESS
    error = store.read_error()
    assert error is not None
    assert "early" in str(error)
    assert not isinstance(error, PlatformError)


def training_of(job: Job, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClusterTraining:
    """A training on a cluster that is not asked anything."""
    monkeypatch.setenv("FAIRLEAD_OBJECT_STORE", f"s3://{bucket}")
    cluster = Cluster(None, "team", "nowhere")
    return ClusterTraining(job, cluster, settings(), tmp_path)


def test_the_train_job_says_what_the_section_says(
    data: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes, processes, resources, the registry's image, keys by reference, and what the runtime's pods get beside."""
    monkeypatch.setenv("FAIRLEAD_IMAGE_REGISTRY", "registry.example/team")
    pod = {
        "cpu": "4", "memory": "8Gi", "gpus": 1, "node_selector": {"gpu": "yes"}, "environment": {"ODD": "$(HOME)"},
        "volumes": [{"name": "ca", "secret": {"secretName": "ca", "defaultMode": 292.0}}],
        "mounts": [{"name": "ca", "mountPath": "/etc/ca"}],
    }  # fmt: skip
    training = training_of(job_of(data, nodes=3, processes=2, pod=pod), bucket, tmp_path, monkeypatch)
    manifest = training.manifest()
    trainer = manifest["spec"]["trainer"]
    assert manifest["metadata"]["name"] == training.name
    assert len(training.name) <= 40
    assert manifest["spec"]["runtimeRef"]["kind"] == "TrainingRuntime"
    assert (trainer["numNodes"], trainer["numProcPerNode"]) == (3, 2)
    assert trainer["image"].startswith("registry.example/team/fairlead-training:")
    assert trainer["resourcesPerNode"]["limits"] == {"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "1"}
    environment = {entry["name"]: entry for entry in trainer["env"]}
    assert environment["ODD"]["value"] == "$$(HOME)"
    assert environment["AWS_SECRET_ACCESS_KEY"]["valueFrom"]["secretKeyRef"]["name"] == "fairlead-s3"
    assert not any(name.startswith("PET_") for name in environment)
    override = manifest["spec"]["podSpecOverrides"][0]
    assert override["nodeSelector"] == {"gpu": "yes"}
    assert override["volumes"][0]["secret"]["defaultMode"] == 292
    assert isinstance(override["volumes"][0]["secret"]["defaultMode"], int)
    same = training_of(job_of(data, nodes=3, processes=2), bucket, tmp_path, monkeypatch)
    assert same.name == training.name  # how pods run decides nothing of the model
    other = training_of(job_of(data, nodes=3, processes=2, seed=8), bucket, tmp_path, monkeypatch)
    assert other.name != training.name


def test_what_a_train_job_cannot_say_is_refused(
    data: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole Secrets as variables belong into the runtime."""
    training = training_of(job_of(data, pod={"secrets": ["tokens"]}), bucket, tmp_path, monkeypatch)
    with pytest.raises(ConfigurationError, match="takes no Secrets as a whole"):
        training.manifest()


def test_only_several_processes_ask_for_a_cluster(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One process trains where it is, and so do several where there is no object store."""
    assert find_trainer(job_of(data), settings()) is None
    monkeypatch.setenv("FAIRLEAD_PLATFORM", "kubeflow")
    assert find_trainer(job_of(data, nodes=1), settings()) is None
    assert find_trainer(job_of(data), settings()) is None


def test_phases_are_read_from_conditions() -> None:
    """A TrainJob that runs has no condition; failed counts before complete."""

    def job(*conditions: tuple[str, str]) -> dict[str, Any]:
        listed = [{"type": kind, "status": status, "message": kind.lower()} for kind, status in conditions]
        return {"status": {"conditions": listed}}

    assert read_phase({}) == ("running", "")
    assert read_phase(job(("Suspended", "True"))) == ("suspended", "suspended")
    assert read_phase(job(("Suspended", "False"), ("Complete", "True")))[0] == "complete"
    assert read_phase(job(("Failed", "True"))) == ("failed", "failed")


@pytest.mark.slow
def test_a_laptop_stands_for_all_nodes(data: Path, tmp_path: Path) -> None:
    """Two nodes of one process give the same weights as one node of two: the world is what counts."""
    for name, changes in (("nodes", {"nodes": 2}), ("processes", {"nodes": 1, "processes": 2})):
        (tmp_path / name).mkdir()
        job = job_of(data, epochs=1, save_every_seconds=30, **changes)
        train_together(job, tmp_path / name).write(tmp_path / f"{name}-checkpoint")
    files = [tmp_path / f"{name}-checkpoint/weights.safetensors" for name in ("nodes", "processes")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_recipe_that_cannot_share_is_refused(data: Path) -> None:
    """Trees grow in one process, however many nodes are asked for."""
    job = job_of(data, recipe="gradient-boosting")
    with pytest.raises(ConfigurationError, match=r"train\.nodes=2: recipe 'gradient-boosting' trains in one process"):
        job.recipe()


def test_a_stored_error_keeps_its_kind(bucket: str) -> None:
    """What a process raised is raised again by whoever follows."""
    store = JobStore(Objects.connect(), f"s3://{bucket}/training/two")
    assert store.read_error() is None
    store.write_error("DataError", "the loss was not finite")
    error = store.read_error()
    assert isinstance(error, DataError)
    assert str(error) == "the loss was not finite"
