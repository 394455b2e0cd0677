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

from pods import Ended
from walker import Document, as_go_writes

from fairlead.platform.runner.local import run_pipeline

RELATIVE = 1e-6  # of figures: sums in another order, were the processors different
TIMES = re.compile(r"seconds|per_second|speed_up|reason|energy|python|revision")
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


def run_locally(package: Document, arguments: Mapping[str, Any]) -> Path:
    """Runs a package with fairlead's local runner; the folder of its artifacts.

    The state is that of FAIRLEAD_HOME.
    """
    run = run_pipeline(package, arguments, fresh=True)
    failed = {task.name: task.error for task in run.tasks.values() if task.state != "succeeded"}
    assert run.state == "succeeded", failed
    (folder,) = (run.directory / "artifacts").iterdir()
    return folder


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
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        names = sorted(name for name in {*one, *other} if not TIMES.search(name))
        return [text for name in names for text in _unlike(f"{where}.{name}", one.get(name), other.get(name))]
    if isinstance(one, int | float) and isinstance(other, int | float):
        return [] if math.isclose(one, other, rel_tol=RELATIVE, abs_tol=1e-9) else [f"{where}: {one} and {other}"]
    return [] if one == other else [f"{where}: {str(one)[:200]} and {str(other)[:200]}"]
