"""A small pipeline, and a stand-in for Kubeflow Pipelines to send it to."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from kfp_backend import Backend, kfp_backend

from fairlead_pipelines.command.main import main
from fairlead_pipelines.kfp_server import following

PIPELINE = """
from kfp import dsl

from fairlead import components as fl


@dsl.pipeline(name="rows", description="Rows, split.")
def pipeline(source: str = "rows.csv", split: dict = {"by": "rows", "test": 0.2}, share: float = 0.5) -> None:
    data = fl.ingest_dataset(name="rows", source=source)
    sets = fl.split_dataset(dataset=data.outputs["dataset"], split=split, label="y")
    found = fl.fetch_model(name="rows", alias="champion").set_caching_options(False)
    package, test = found.outputs["package"], sets.outputs["test"]
    fl.check_behaviour(package=package, sample=test, label="y", behaviour={"tests": []})
"""

Fairlead = Callable[..., Result]


@pytest.fixture
def pipeline_file(tmp_path: Path) -> Path:
    """A user's pipeline."""
    file = tmp_path / "rows.py"
    file.write_text(PIPELINE)
    return file


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """The stand-in, which the settings name."""
    monkeypatch.setattr("fairlead_pipelines.kfp_server.connection._WAITS", (0.01, 0.01))
    monkeypatch.setattr(following, "_EVERY", (0.01,))
    monkeypatch.setattr("fairlead_pipelines.kfp_server.runs._PAUSE_SECONDS", 0.01)
    with kfp_backend() as running:
        monkeypatch.setenv("FAIRLEAD_KFP_URI", running.uri)
        yield running


@pytest.fixture
def fairlead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fairlead:
    """The command, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("FAIRLEAD_HOME", str(tmp_path / ".fairlead"))

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments))

    return call
