"""A compiled package: KFP's pipeline specification and the settings for Kubernetes beside it."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from fairlead import atomic
from fairlead.errors import ConfigurationError
from fairlead.platform.runner.specification import digest_of
from fairlead_pipelines.catalog import PipelineSource, compile_package

KUBERNETES = "kubernetes"
_FUNCTION = "--function_to_execute"
_NUMBERED = re.compile(r"-\d+$")


@dataclass(frozen=True)
class Executor:
    """One executor of a package: what runs in a pod.

    Attributes:
        label: Its name in the package: `exec-train-model`.
        component: The component's name: `train_model`.
        spec: The container.
    """

    label: str
    component: str
    spec: pb.PipelineDeploymentConfig.PipelineContainerSpec


@dataclass(frozen=True)
class Package:
    """A compiled package.

    Attributes:
        head: KFP's comment with the inputs and outputs.
        spec: The pipeline specification.
        kubernetes: The settings for Kubernetes by executor label, as kfp-kubernetes writes them.
        beside: What else stands in the settings for platforms, such as a workspace.
    """

    head: str
    spec: pb.PipelineSpec
    kubernetes: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    beside: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The pipeline's name."""
        return str(self.spec.pipeline_info.name)

    @cached_property
    def deployment(self) -> pb.PipelineDeploymentConfig:
        """The executors; change a copy and give it to `with_deployment`."""
        return json_format.ParseDict(
            json_format.MessageToDict(self.spec.deployment_spec), pb.PipelineDeploymentConfig()
        )

    def executors(self) -> Iterator[Executor]:
        """The executors that run containers; importers and the like have none."""
        for label, executor in sorted(self.deployment.executors.items()):
            if executor.WhichOneof("spec") == "container":
                yield Executor(label, _component(label, executor.container), executor.container)

    @property
    def components(self) -> list[str]:
        """The names of the components that the package runs."""
        return sorted({executor.component for executor in self.executors()})

    def tasks(self) -> Iterator[tuple[str, pb.PipelineTaskSpec, str]]:
        """Every task of every graph in the package: name, task, label of its executor (empty for a nested graph)."""
        yield from tasks_of(self.spec)

    def documents(self) -> list[dict[str, Any]]:
        """The YAML documents: the specification, and the settings for Kubernetes if there are any."""
        platform = self._platform()
        return [json_format.MessageToDict(self.spec), *([platform] if platform else [])]

    def text(self) -> str:
        """The package as KFP's compiler writes it."""
        import yaml

        return self.head + yaml.dump_all(self.documents(), sort_keys=True)

    def write(self, destination: Path) -> None:
        """Writes the package, whole or not at all."""
        atomic.write_text(destination, self.text())

    @property
    def digest(self) -> str:
        """The digest of its content; packages that run the same have the same."""
        return digest_of(self.documents())

    def with_deployment(
        self, deployment: pb.PipelineDeploymentConfig, kubernetes: Mapping[str, dict[str, Any]] | None = None
    ) -> "Package":
        """A copy with other executors, and other settings for Kubernetes if they are given."""
        spec = pb.PipelineSpec()
        spec.CopyFrom(self.spec)
        spec.deployment_spec.Clear()
        spec.deployment_spec.update(json_format.MessageToDict(deployment))
        return Package(self.head, spec, self.kubernetes if kubernetes is None else kubernetes, self.beside)

    def _platform(self) -> dict[str, Any]:
        platform = dict(self.beside)
        if self.kubernetes:
            platform["deploymentSpec"] = {"executors": dict(sorted(self.kubernetes.items()))}
        return {"platforms": {KUBERNETES: platform}} if platform else {}


def tasks_of(spec: pb.PipelineSpec) -> Iterator[tuple[str, pb.PipelineTaskSpec, str]]:
    """Every task of every graph of a specification: name, task, label of its executor (empty for a nested graph)."""
    for component in (spec.root, *(spec.components[name] for name in sorted(spec.components))):
        for name in sorted(component.dag.tasks):
            task = component.dag.tasks[name]
            yield name, task, spec.components[task.component_ref.name].executor_label


def build(source: PipelineSource) -> Package:
    """Compiles a pipeline.

    Args:
        source: The pipeline.

    Returns:
        Its package; the problem's values are the parameters' defaults.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "package.yaml"
        compile_package(source, file)
        return read(file)


def read(file: Path) -> Package:
    """Reads a compiled package and holds it to the protobufs that KFP's server parses it with.

    Args:
        file: The YAML.

    Returns:
        The package.

    Raises:
        ConfigurationError: It is no package, or has a field that KFP does not know.
    """
    import yaml

    try:
        text = file.read_text(encoding="utf-8")
        specification, *rest = [document for document in yaml.safe_load_all(text) if document]
        spec = json_format.ParseDict(specification, pb.PipelineSpec())
        platform = json_format.ParseDict(rest[0], pb.PlatformSpec()) if rest else pb.PlatformSpec()
    except (OSError, ValueError, yaml.YAMLError, json_format.ParseError) as error:
        raise ConfigurationError(f"{file} is no package of Kubeflow Pipelines: {error}; compile it anew") from None
    settings = json_format.MessageToDict(platform).get("platforms", {}).get(KUBERNETES, {})
    executors = settings.pop("deploymentSpec", {}).get("executors", {})
    head = "".join(line for line in text.splitlines(keepends=True)[: _first_key(text)])
    return Package(head, spec, executors, settings)


def _first_key(text: str) -> int:
    """How many lines of comment the text begins with."""
    return next((number for number, line in enumerate(text.splitlines()) if not line.startswith("#")), 0)


def _component(label: str, container: pb.PipelineDeploymentConfig.PipelineContainerSpec) -> str:
    """The function that the container runs; for a container of another make, what its label says."""
    arguments = list(container.args)
    if _FUNCTION in arguments[:-1]:
        return str(arguments[arguments.index(_FUNCTION) + 1])
    return _NUMBERED.sub("", label.removeprefix("exec-")).replace("-", "_")
