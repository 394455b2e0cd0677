"""The same component with the same inputs gives the same outputs: as a function, as a local step, and as a Pod.

A short run of `digits` and the data stages of `flights` on this machine say what each step is given and what it makes.
Each step runs once more as a Pod, from the compiled package's own executor, and as a function, with exactly those
inputs.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import parity
import pytest
from parity import LocalRun
from pods import Pods, fresh_namespace
from walker import Document, read

from fairlead.platform.kubeflow.api import Cluster

pytestmark = pytest.mark.cluster

ON_BASE = {
    "digits": (
        "ingest-dataset", "validate-dataset", "split-dataset", "augment-dataset", "write-datasheet", "calibrate-model",
        "evaluate-model", "check-behaviour", "evaluate-slices",
    ),
    "flights": (
        "ingest-dataset", "ingest-dataset-2", "validate-dataset", "compute-features", "build-training-set",
        "split-dataset", "write-datasheet",
    ),
}  # fmt: skip
ON_TRAINING = {"digits": ("train-model", "export-model", "quantize-model"), "flights": ()}
PLAINLY = {
    "digits": ("ingest-dataset", "split-dataset", "calibrate-model", "evaluate-model", "check-behaviour"),
    "flights": ("ingest-dataset", "compute-features", "build-training-set", "split-dataset"),
}
CHANGES: dict[str, Document] = {
    "digits": {
        "augmentation": {"copies": 1.0}, "train": {"epochs": 1.0}, "evaluation": {"baselines": ["majority"]},
        "quantization_tolerance": 1e-12,  # INT8 never pays: what decides it otherwise is a measured time
    },
    "flights": {  # January alone
        "as_of": "2013-02-01", "window": ["2013-01-08", "2013-02-01"],
        "split": {
            "start": "2013-01-08", "train_until": "2013-01-22", "validation_until": "2013-01-26",
            "test_until": "2013-02-01",
        },
    },
}  # fmt: skip
# Sums in one order; and settings that every test has (tests/conftest.py) hold in Pods too.
SETTINGS = {"OMP_NUM_THREADS": "1", "FAIRLEAD_ENERGY": "false", "FAIRLEAD_TRACKING": "false"}


def steps(listed: dict[str, tuple[str, ...]]) -> list[Any]:
    """Each problem with each of its tasks; those of flights, which take minutes, are slow."""
    return [
        pytest.param(problem, task, marks=[pytest.mark.slow] if problem == "flights" else [])
        for problem, tasks in listed.items()
        for task in tasks
    ]


def run_here(repository: Path, problem: str) -> LocalRun:
    """Runs the problem's package on this machine, without the steps that need services."""
    package = read(repository / "pipelines" / "fairlead_pipelines" / "compiled" / f"{problem}.yaml")
    tasks = package["root"]["dag"]["tasks"]
    package["root"]["dag"]["tasks"] = {name: tasks[name] for name in (*ON_BASE[problem], *ON_TRAINING[problem])}
    defined = package["root"]["inputDefinitions"]["parameters"]
    values = {name: given["defaultValue"] for name, given in defined.items() if "defaultValue" in given}
    for name, change in CHANGES[problem].items():
        values[name] = values[name] | change if isinstance(change, dict) else change
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        return LocalRun.of(package, values)


@pytest.fixture(scope="module")
def local(repository: Path) -> Callable[[str], LocalRun]:
    """Gives a problem's run on this machine, which is made once."""
    made: dict[str, LocalRun] = {}

    def find(problem: str) -> LocalRun:
        if problem not in made:
            made[problem] = run_here(repository, problem)
        return made[problem]

    return find


@pytest.fixture
def pods(cluster: Cluster, s3: Any) -> Iterator[Pods]:
    """A place for one step."""
    with fresh_namespace(cluster) as namespace:
        place = Pods(cluster, namespace, s3, namespace, environment=SETTINGS)
        place.prepare()
        yield place
        place.clear()


@pytest.mark.parametrize(("problem", "task"), steps(ON_BASE))
def test_a_step_is_the_same_in_a_pod(
    problem: str, task: str, local: Callable[[str], LocalRun], pods: Pods, images: Callable[[str], str]
) -> None:
    """Data have the same digests, verdicts the same outcome, figures agree within a millionth."""
    images("base")
    assert local(problem).unlike_pod(task, pods) == []


@pytest.mark.slow
@pytest.mark.parametrize(("problem", "task"), steps(ON_TRAINING))
def test_a_model_is_the_same_in_a_pod(
    problem: str, task: str, local: Callable[[str], LocalRun], pods: Pods, images: Callable[[str], str]
) -> None:
    """Weights and graph have the same bytes, on the same machine with as many threads."""
    images("training")
    assert local(problem).unlike_pod(task, pods) == []


@pytest.mark.parametrize(("problem", "task"), steps(PLAINLY))
def test_a_step_is_the_same_as_a_function(
    problem: str, task: str, local: Callable[[str], LocalRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Called in Python with paths, a component makes what the local pipeline's step made."""
    monkeypatch.chdir(tmp_path)
    assert local(problem).unlike_function(task, tmp_path) == []


def test_a_difference_is_seen() -> None:
    """The comparison can fail: another digest, another figure, another byte, a missing file."""
    one = parity.Made(
        {"outcome": "approved"}, {"data": {"digest": "a", "log_loss": 0.5, "seconds": 1}}, {"data/x.parquet": b"1"}
    )
    assert (
        parity.differences(
            one,
            parity.Made(
                {"outcome": "approved"},
                {"data": {"digest": "a", "log_loss": 0.5 + 1e-9, "seconds": 2}},
                {"data/x.parquet": b"1"},
            ),
        )
        == []
    )
    other = parity.Made({"outcome": "rejected"}, {"data": {"digest": "b", "log_loss": 0.51}}, {"data/y.parquet": b"1"})
    assert len(parity.differences(one, other)) == 4
    assert parity.differences(one, parity.Made(one.parameters, one.artifacts, {"data/x.parquet": b"2"})) == [
        "data/x.parquet: other bytes"
    ]
