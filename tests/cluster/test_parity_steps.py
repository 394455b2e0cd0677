"""The same component with the same inputs gives the same outputs: as a function, as a local step, and as a Pod.

A short run of `digits` on this machine says what each step is given and what it makes. Its artifacts go to the object
store, and each step runs once more as a Pod from the compiled package's own executor, with exactly those inputs.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import parity
import pytest
from pods import Ended, Pods, fresh_namespace
from walker import Document, Walk, read

from fairlead import components
from fairlead.platform.kubeflow.api import Cluster

pytestmark = pytest.mark.cluster

ON_BASE = (
    "ingest-dataset", "validate-dataset", "split-dataset", "augment-dataset", "write-datasheet", "calibrate-model",
    "evaluate-model", "check-behaviour", "evaluate-slices",
)  # fmt: skip
ON_TRAINING = ("train-model", "export-model", "quantize-model")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # sums in one order
SHORT = {
    "augmentation": {"copies": 1.0}, "train": {"epochs": 1.0}, "evaluation": {"baselines": ["majority"]},
    "quantization_tolerance": 1e-12,  # INT8 never pays: what decides it otherwise is a measured time
}  # fmt: skip


@pytest.fixture(scope="module")
def package(repository: Path) -> Document:
    """The digits package without the steps that need services."""
    whole = read(repository / "pipelines" / "fairlead_pipelines" / "compiled" / "digits.yaml")
    tasks = whole["root"]["dag"]["tasks"]
    whole["root"]["dag"]["tasks"] = {name: tasks[name] for name in (*ON_BASE, *ON_TRAINING)}
    return whole


@pytest.fixture(scope="module")
def arguments(package: Document) -> Document:
    """The problem's values, for a run of a minute."""
    defined = package["root"]["inputDefinitions"]["parameters"]
    values = {name: given["defaultValue"] for name, given in defined.items() if "defaultValue" in given}
    for name, change in SHORT.items():
        values[name] = values[name] | change if isinstance(change, dict) else change
    return values


@pytest.fixture(scope="module")
def local(package: Document, arguments: Document) -> Path:
    """The artifacts of a run on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ONE_THREAD.items():
            patch.setenv(name, value)
        return parity.run_locally(package, arguments)


@pytest.fixture(scope="module")
def pods(cluster: Cluster, s3: Any) -> Iterator[Pods]:
    """A place for steps."""
    with fresh_namespace(cluster) as namespace:
        steps = Pods(cluster, namespace, s3, namespace, environment=ONE_THREAD)
        steps.prepare()
        yield steps
        steps.clear()


@pytest.fixture(scope="module")
def walk(package: Document, arguments: Document, local: Path, pods: Pods) -> Walk:
    """A walk in which every step has ended already, as the local run's did, with its artifacts in the object store."""
    root = f"s3://{pods.bucket}/local"
    walk = Walk(package, arguments, pods.run, root)
    for task in package["root"]["dag"]["tasks"]:
        made = parity.made_locally(local, task)
        component = package["components"][package["root"]["dag"]["tasks"][task]["componentRef"]["name"]]
        artifacts = {}
        for name, defined in component["outputDefinitions"].get("artifacts", {}).items():
            uri = f"{root}/{task}/{name}"
            pods.upload(local / task / name, uri)
            metadata = made.artifacts.get(name, {})
            artifacts[name] = {"name": name, "type": defined["artifactType"], "uri": uri, "metadata": metadata}
        walk.ended[task] = Ended(made.parameters, artifacts, 0.0)
    return walk


def check(task: str, walk: Walk, local: Path, pods: Pods) -> None:
    """Run a step as a Pod and hold it against the local step."""
    package = walk.package
    definition = package["root"]["dag"]["tasks"][task]
    component = package["components"][definition["componentRef"]["name"]]
    executor = package["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
    given = walk.executor_input(task, definition, component)
    for name, held in given["outputs"]["artifacts"].items():
        held["artifacts"][0]["uri"] = f"s3://{pods.bucket}/pods/{task}/{name}"
    made = parity.made_by(pods.run(task, executor, given), pods.files)
    assert parity.differences(parity.made_locally(local, task), made) == []


@pytest.mark.parametrize("task", ON_BASE)
def test_a_step_is_the_same_in_a_pod(
    task: str, walk: Walk, local: Path, pods: Pods, images: Callable[[str], str]
) -> None:
    """Data have the same digests, verdicts the same outcome, figures agree within a millionth."""
    images("base")
    check(task, walk, local, pods)


@pytest.mark.slow
@pytest.mark.parametrize("task", ON_TRAINING)
def test_a_model_is_the_same_in_a_pod(
    task: str, walk: Walk, local: Path, pods: Pods, images: Callable[[str], str]
) -> None:
    """Weights and graph have the same bytes, on the same machine with as many threads."""
    images("training")
    check(task, walk, local, pods)


@pytest.mark.parametrize(
    "task", ["ingest-dataset", "split-dataset", "calibrate-model", "evaluate-model", "check-behaviour"]
)
def test_a_step_is_the_same_as_a_function(
    task: str, package: Document, arguments: Document, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Called in Python with paths, a component makes what the local pipeline's step made."""
    monkeypatch.chdir(tmp_path)
    definition = package["root"]["dag"]["tasks"][task]
    component = package["components"][definition["componentRef"]["name"]]
    given = Walk(package, arguments, lambda *_: pytest.fail("nothing runs"), str(local))
    for name in package["root"]["dag"]["tasks"]:
        made = parity.made_locally(local, name)
        types = package["components"][package["root"]["dag"]["tasks"][name]["componentRef"]["name"]][
            "outputDefinitions"
        ]
        artifacts = {
            key: {
                "name": key,
                "type": kind["artifactType"],
                "uri": str(local / name / key),
                "metadata": made.artifacts[key],
            }
            for key, kind in types.get("artifacts", {}).items()
        }
        given.ended[name] = Ended(made.parameters, artifacts, 0.0)
    function = getattr(
        components, definition["componentRef"]["name"].removeprefix("comp-").replace("-", "_")
    ).python_func
    types = component["outputDefinitions"].get("artifacts", {})
    made = parity.made_plainly(function, given.executor_input(task, definition, component), types, tmp_path)
    assert parity.differences(parity.made_locally(local, task), made) == []


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
