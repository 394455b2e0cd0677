"""Walks through a compiled pipeline step by step, as KFP's driver does: order, parameters, artifacts, conditions.

It stands in for KFP's backend, which no registry of packages has. Copied from it (backend/src/v2/driver): what the
executor's input holds, the paths of outputs, that defaults of a component are left to the component's own signature.
Left out: the cache, retries, loops.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import yaml
from pods import Ended

Document = dict[str, Any]
Run = Callable[[str, Document, Document], Ended]
METADATA = "/tmp/kfp_outputs/output_metadata.json"  # noqa: S108 - where KFP's launcher looks, inside the Pod
PARAMETERS = "/tmp/kfp/outputs"  # noqa: S108


def as_go_writes(value: Any) -> Any:
    """Numbers as Go's protojson gives them to the step: a whole number has no fraction."""
    if isinstance(value, Mapping):
        return {key: as_go_writes(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_go_writes(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def read(path: Path) -> Document:
    """A compiled package's pipeline specification."""
    return dict(next(yaml.safe_load_all(path.read_text(encoding="utf-8"))))


class Walk:
    """One run of a package.

    Args:
        package: The pipeline specification.
        arguments: The run's arguments, over the package's defaults.
        run: Runs a step.
        root: Where artifacts go: `s3://bucket/prefix`.
    """

    def __init__(self, package: Document, arguments: Mapping[str, Any], run: Run, root: str) -> None:
        self.package, self.run, self.root = package, run, root
        defined = package["root"].get("inputDefinitions", {}).get("parameters", {})
        self.arguments = {name: given["defaultValue"] for name, given in defined.items() if "defaultValue" in given}
        self.arguments |= dict(arguments)
        self.ended: dict[str, Ended] = {}

    def steps(self, only: Collection[str] = ()) -> Iterator[tuple[str, Ended]]:
        """Runs the root's tasks in order.

        Args:
            only: The tasks that are wanted; what they depend on runs too. All where it is empty.

        Yields:
            Each task's name and what came of it.
        """
        tasks = self.package["root"]["dag"]["tasks"]
        waits = {name: set(task.get("dependentTasks", [])) for name, task in tasks.items()}
        wanted = self._needed(only, waits) if only else set(tasks)
        for name in TopologicalSorter(waits).static_order():
            if name in wanted and self._triggered(tasks[name]):
                yield name, self.step(name)

    def step(self, name: str) -> Ended:
        """Runs one of the root's tasks, whose inputs are in `ended`."""
        self.ended[name] = self._step(name, self.package["root"]["dag"]["tasks"][name])
        return self.ended[name]

    def _needed(self, only: Collection[str], waits: Mapping[str, Collection[str]]) -> set[str]:
        needed = set(only)
        while more := {wait for name in needed for wait in waits[name]} - needed:
            needed |= more
        return needed

    def _triggered(self, task: Document) -> bool:
        condition = task.get("triggerPolicy", {}).get("condition")
        if condition:
            raise AssertionError(f"conditions are not walked yet: {condition}")
        return all(name in self.ended for name in task.get("dependentTasks", []))

    def _step(self, name: str, task: Document) -> Ended:
        component = self.package["components"][task["componentRef"]["name"]]
        executor = self.package["deploymentSpec"]["executors"][component["executorLabel"]]
        if "importer" in executor:
            return self._imported(executor["importer"], component, task)
        return self.run(name, executor["container"], self.executor_input(name, task, component))

    def executor_input(self, name: str, task: Document, component: Document) -> Document:
        """What KFP's driver resolves for a task."""
        given = task.get("inputs", {})
        parameters = {key: self._parameter(source) for key, source in given.get("parameters", {}).items()}
        artifacts = {key: {"artifacts": [self._artifact(s)]} for key, s in given.get("artifacts", {}).items()}
        defined = component.get("outputDefinitions", {})
        outputs: Document = {"outputFile": METADATA}
        outputs["parameters"] = {key: {"outputFile": f"{PARAMETERS}/{key}"} for key in defined.get("parameters", {})}
        outputs["artifacts"] = {
            key: {
                "artifacts": [
                    {"name": key, "type": made["artifactType"], "uri": f"{self.root}/{name}/{key}", "metadata": {}}
                ]
            }
            for key, made in defined.get("artifacts", {}).items()
        }
        return {"inputs": {"parameterValues": as_go_writes(parameters), "artifacts": artifacts}, "outputs": outputs}

    def _parameter(self, source: Document) -> Any:
        if "componentInputParameter" in source:
            return self.arguments[source["componentInputParameter"]]
        if "taskOutputParameter" in source:
            output = source["taskOutputParameter"]
            return self.ended[output["producerTask"]].parameters[output["outputParameterKey"]]
        return source["runtimeValue"]["constant"]

    def _artifact(self, source: Document) -> Document:
        output = source["taskOutputArtifact"]
        made = self.ended[output["producerTask"]].artifacts[output["outputArtifactKey"]]
        return dict(as_go_writes(made))

    def _imported(self, importer: Document, component: Document, task: Document) -> Ended:
        given = importer["artifactUri"]
        uri = (
            given["constant"]
            if "constant" in given
            else self._parameter(task["inputs"]["parameters"][given["runtimeParameter"]])
        )
        (key,) = component["outputDefinitions"]["artifacts"]
        made = {"name": key, "uri": uri, "type": importer["typeSchema"], "metadata": importer.get("metadata", {})}
        return Ended({}, {key: made}, 0.0)
