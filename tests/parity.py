"""One component, run in three ways: as a plain function, as a step of a local pipeline, as a Pod. What must agree.

Data, models and verdicts agree by their digests and bytes. Figures agree within RELATIVE, times and what follows from
times not at all.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pods import Ended, Pods
from walker import Document, Run, Walk, as_go_writes

from fairlead import components
from fairlead.platform.runner.local import run_pipeline

RELATIVE = 1e-6  # of figures: sums in another order, were the processors different
NUMBERED = re.compile(r"-\d+$")  # a component that a pipeline uses again
TIMES = re.compile(r"seconds|per_second|speed_up|reason|energy|python|revision")
OF_PLACE = {"package.digest"}  # its MLmodel names Python's patch version; graph and sample agree by their bytes
EXACT = {".parquet", ".onnx", ".safetensors"}


@dataclass(frozen=True)
class Made:
    """What one run of a component made.

    Attributes:
        parameters: Its output parameters.
        artifacts: The metadata of its artifacts by name.
        files: The bytes of what is compared, by `artifact/path`.
    """

    parameters: Document
    artifacts: dict[str, Document]
    files: dict[str, bytes]


@dataclass(frozen=True)
class LocalRun:
    """A run on this machine, against which its steps are held when they run in another way.

    Attributes:
        package: The pipeline specification.
        arguments: The run's arguments.
        folder: Its artifacts: a folder a task.
    """

    package: Document
    arguments: Document
    folder: Path

    @classmethod
    def of(cls, package: Document, arguments: Document) -> "LocalRun":
        """Runs a package with fairlead's local runner; the state is that of FAIRLEAD_HOME."""
        run = run_pipeline(package, arguments, fresh=True)
        failed = {task.name: task.error for task in run.tasks.values() if task.state != "succeeded"}
        assert run.state == "succeeded", failed
        (folder,) = (run.directory / "artifacts").iterdir()
        return cls(package, arguments, folder)

    def unlike_pod(self, task: str, pods: Pods) -> list[str]:
        """Runs a task as a Pod, from the package's own executor with the local step's inputs; where they disagree."""
        root = f"s3://{pods.bucket}/local"
        given = self._given(task, root, pods.run)
        for held in given["inputs"]["artifacts"].values():
            uri = held["artifacts"][0]["uri"]
            pods.upload(self.folder / uri.removeprefix(f"{root}/"), uri)
        for name, held in given["outputs"]["artifacts"].items():
            held["artifacts"][0]["uri"] = f"s3://{pods.bucket}/pods/{task}/{name}"
        label = self._component(task)["executorLabel"]
        ended = pods.run(task, self.package["deploymentSpec"]["executors"][label]["container"], given)
        return differences(made_locally(self.folder, task), made_by(ended, pods.files))

    def unlike_function(self, task: str, folder: Path) -> list[str]:
        """Calls a task's component as a function, which writes below `folder`; where they disagree."""
        name = NUMBERED.sub("", self._task(task)["componentRef"]["name"].removeprefix("comp-"))
        function = getattr(components, name.replace("-", "_")).python_func
        given = self._given(task, str(self.folder), _run_nothing)
        types = self._component(task)["outputDefinitions"].get("artifacts", {})
        return differences(made_locally(self.folder, task), made_plainly(function, given, types, folder))

    def _given(self, task: str, root: str, run: Run) -> Document:
        """What KFP's driver would resolve for a task, were the local run's artifacts under `root`."""
        walk = Walk(self.package, self.arguments, run, root)
        for name in self.package["root"]["dag"]["tasks"]:
            made = made_locally(self.folder, name)
            defined = self._component(name)["outputDefinitions"].get("artifacts", {})
            artifacts = {
                key: {
                    "name": key, "type": output["artifactType"], "uri": f"{root}/{name}/{key}",
                    "metadata": made.artifacts.get(key, {}),
                }
                for key, output in defined.items()
            }  # fmt: skip
            walk.ended[name] = Ended(made.parameters, artifacts, 0.0)
        return walk.executor_input(task, self._task(task), self._component(task))

    def _task(self, name: str) -> Document:
        return dict(self.package["root"]["dag"]["tasks"][name])

    def _component(self, task: str) -> Document:
        return dict(self.package["components"][self._task(task)["componentRef"]["name"]])


def _run_nothing(*_: Any) -> Ended:
    raise AssertionError("a function is called, nothing is walked")


def made_locally(folder: Path, task: str) -> Made:
    """What a task of a local run made."""
    said = json.loads((folder / task / "executor_output.json").read_text(encoding="utf-8"))
    artifacts = {name: held["artifacts"][0].get("metadata", {}) for name, held in said.get("artifacts", {}).items()}
    files = {
        f"{name}/{path.relative_to(folder / task / name)}": path.read_bytes()
        for name in artifacts
        for path in sorted([folder / task / name, *(folder / task / name).rglob("*")])
        if path.is_file()
    }
    return Made(said.get("parameterValues") or {}, artifacts, _compared(files))


def made_by(ended: Ended, files: Callable[[str], Mapping[str, bytes]]) -> Made:
    """What a Pod made; `files` reads an artifact from the object store."""
    found = {
        f"{name}/{path or '.'}": data
        for name, artifact in ended.artifacts.items()
        for path, data in files(artifact["uri"]).items()
    }
    metadata = {name: artifact["metadata"] for name, artifact in ended.artifacts.items()}
    return Made(ended.parameters, metadata, _compared(found))


def made_plainly(function: Callable[..., Any], executor_input: Document, package_types: Document, folder: Path) -> Made:
    """Calls a component's function as anybody would in Python, on local files; what it made.

    Args:
        function: `component.python_func`.
        executor_input: The parameters, and the paths of input artifacts as their uris.
        package_types: The component's output artifacts, as the compiled package defines them.
        folder: Where outputs go.
    """
    inputs = executor_input["inputs"]
    arguments = dict(inputs["parameterValues"])
    for name, held in inputs["artifacts"].items():
        arguments[name] = _artifact(held["artifacts"][0])
    outputs = {}
    for name, defined in package_types.items():
        given = {"name": name, "uri": str(folder / name), "type": defined["artifactType"], "metadata": {}}
        outputs[name] = _artifact(given)
    returned = function(**arguments, **outputs)
    files = {
        f"{name}/{path.relative_to(folder / name)}": path.read_bytes()
        for name in outputs
        for path in sorted([folder / name, *(folder / name).rglob("*")])
        if path.is_file()
    }
    names = getattr(function.__annotations__.get("return"), "_fields", ())
    parameters = dict(zip(names, returned or (), strict=True))
    return Made(parameters, {name: dict(made.metadata) for name, made in outputs.items()}, _compared(files))


def _artifact(given: Document) -> Any:
    from kfp import dsl

    kinds = {
        kind.schema_title: kind for kind in (dsl.Dataset, dsl.Model, dsl.Metrics, dsl.HTML, dsl.Markdown, dsl.Artifact)
    }
    kind = kinds[given["type"]["schemaTitle"]]
    return kind(name=given["name"], uri=given["uri"], metadata=dict(given.get("metadata", {})))


def _compared(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Data, graphs and weights; of the rest the metadata speak."""
    return {name: data for name, data in files.items() if Path(name).suffix in EXACT}


def differences(one: Made, other: Made) -> list[str]:
    """Where two runs of a component disagree; empty where they agree."""
    found = _unlike("parameters", as_go_writes(one.parameters), as_go_writes(other.parameters))
    for name in sorted({*one.artifacts, *other.artifacts}):
        found += _unlike(name, as_go_writes(one.artifacts.get(name, {})), as_go_writes(other.artifacts.get(name, {})))
    if one.files.keys() != other.files.keys():
        found.append(f"files: {sorted(one.files.keys() ^ other.files.keys())}")
    return found + [
        f"{name}: other bytes" for name in one.files.keys() & other.files.keys() if one.files[name] != other.files[name]
    ]


def _unlike(where: str, one: Any, other: Any) -> list[str]:
    if where in OF_PLACE:
        return []
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        names = sorted(name for name in {*one, *other} if not TIMES.search(name))
        return [text for name in names for text in _unlike(f"{where}.{name}", one.get(name), other.get(name))]
    if isinstance(one, int | float) and isinstance(other, int | float):
        return [] if math.isclose(one, other, rel_tol=RELATIVE, abs_tol=1e-9) else [f"{where}: {one} and {other}"]
    return [] if one == other else [f"{where}: {str(one)[:200]} and {str(other)[:200]}"]
