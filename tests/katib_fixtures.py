"""A cluster of one process with Katib, and an object store: `pytest_plugins = ("minio_fixtures", "katib_fixtures")`."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from katib_controller import KatibController
from katib_place import Place
from minio_server import PASSWORD, USER, MinioServer
from tiny_kubernetes import KATIB, TinyKubernetes, katib_webhook
from unit.training.late_rows import late_table, write_table

from fairlead.tuning import experiment
from fairlead.tuning.tune_model import following


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the datasets `train` and `validation`."""
    folder = tmp_path_factory.mktemp("data")
    write_table(folder / "train", late_table(600, seed=1), name="train")
    write_table(folder / "validation", late_table(200, seed=2), name="validation")
    return folder


@pytest.fixture
def refusal() -> Any:
    """What the webhooks refuse; a test may take another."""
    return katib_webhook()


@pytest.fixture
def place(
    tmp_path: Path, data: Path, minio: MinioServer, bucket: str, refusal: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """The whole place, to which the settings lead."""
    environment = {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "OMP_NUM_THREADS": "1",
        "AWS_ACCESS_KEY_ID": USER, "AWS_SECRET_ACCESS_KEY": PASSWORD,
    }  # fmt: skip
    kubernetes = TinyKubernetes(tmp_path / "kubernetes", "team", KATIB, refuse=refusal, environment=environment)
    store = f"s3://{bucket}/fairlead"
    for name, value in {"PLATFORM": "kubeflow", "OBJECT_STORE": store, "S3_ENDPOINT": minio.endpoint}.items():
        monkeypatch.setenv(f"FAIRLEAD_{name}", value)
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    monkeypatch.setattr(following, "POLL_SECONDS", 0.2)
    monkeypatch.setattr(experiment, "LEAST_TRIAL_SECONDS", 0.5)  # the collector here has started before the trial has
    with kubernetes:
        yield Place(kubernetes, data, tmp_path, store)


@pytest.fixture
def katib(place: Place) -> Iterator[KatibController]:
    """A controller that runs."""
    with KatibController(place.cluster) as controller:
        yield controller
    assert not controller.errors
