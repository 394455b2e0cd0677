"""What is known to break on a real Kubeflow Pipelines although it compiles, found before a package is sent there."""

import builtins
import json
import re
import symtable
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from google.protobuf import json_format
from kfp import dsl
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes_pb
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from fairlead.errors import ConfigurationError
from fairlead_pipelines.packages.families import OUTWARD
from fairlead_pipelines.packages.package import Executor, Package

LARGEST_ARGUMENTS = 100 << 10  # bytes; Linux allows 128 KiB in one argument, and KFP hands a task's inputs over in one
LARGEST_PACKAGE = 1 << 20  # bytes; the workflow that KFP makes of it must fit into one object of Kubernetes
_SCHEMA = "2.1.0"
_NAME = re.compile(r"^[a-z0-9][a-z0-9-]{0,127}$")
_IMAGE = re.compile(r"^[^\s@]+(?P<tag>:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(?P<digest>@sha256:[0-9a-f]{64})?$")
_ARTIFACTS = {
    "system.Artifact", "system.Dataset", "system.Model", "system.Metrics", "system.ClassificationMetrics",
    "system.SlicedClassificationMetrics", "system.HTML", "system.Markdown",
}  # fmt: skip


def refuse_defects(package: Package) -> None:
    """Refuses a package that would break on a real Kubeflow Pipelines.

    Args:
        package: The package.

    Raises:
        ConfigurationError: It has such defects; all are listed.
    """
    found = defects(package)
    if found:
        raise ConfigurationError("\n".join([f"{package.name} would break on Kubeflow Pipelines:", *found]))


def defects(package: Package) -> list[str]:
    """What would break, a line each.

    Args:
        package: The package.
    """
    judges: tuple[Callable[[Package], Iterator[str]], ...] = (
        _head, _images, _sources, _parameters, _artifacts, _caching, _sizes, _kubernetes,
    )  # fmt: skip
    return [line for judge in judges for line in judge(package)]


def _head(package: Package) -> Iterator[str]:
    if package.spec.schema_version != _SCHEMA:
        yield f"its schema is {package.spec.schema_version or 'missing'}, KFP takes {_SCHEMA}; compile with kfp 2"
    if not _NAME.match(package.name):
        yield f"the name {package.name!r} is refused: small letters, digits and '-', at most 128"


def _images(package: Package) -> Iterator[str]:
    for executor in package.executors():
        image = executor.spec.image
        if "{{" in image:
            continue  # chosen by a parameter when the run starts
        if not _has_fixed_tag(image):
            yield (
                f"{executor.component}: image {image!r} has no fixed tag: KFP's cache answers for an older one; "
                "set base_image to a version or digest"
            )


def _has_fixed_tag(image: str) -> bool:
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    return bool(_IMAGE.match(image)) and (bool(digest) or tag not in {"", "latest"})


def _sources(package: Package) -> Iterator[str]:
    """KFP ships a function's source alone; names of its module do not exist where it runs."""
    known = {*dir(builtins), *dir(typing), *dir(dsl), "kfp", "dsl"}
    for executor in package.executors():
        source = source_of(executor)
        if not source:
            continue
        try:
            table = symtable.symtable(source, f"<{executor.component}>", "exec")
        except SyntaxError as error:
            yield f"{executor.component}: its source does not stand alone ({error.msg}, line {error.lineno})"
            continue
        unknown = sorted(_globals(table) - known)
        if unknown:
            yield (
                f"{executor.component}: {', '.join(unknown)} does not exist where it runs; import or define it inside "
                "the function (in annotations write NamedTuple, not typing.NamedTuple)"
            )


def source_of(executor: Executor) -> str:
    """A component's source, as KFP writes it into the pod; empty for a container of another make."""
    if "--function_to_execute" not in executor.spec.args:
        return ""
    return str(max(executor.spec.command, key=lambda part: ("def " in part, len(part))))


def _globals(table: symtable.SymbolTable) -> set[str]:
    """Names that are looked up outside, less those that the source itself defines."""
    tables = list(_tables(table))
    defined = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
    used = {
        symbol.get_name()
        for each in tables
        for symbol in each.get_symbols()
        if symbol.is_referenced() and (symbol.is_global() or each is table)
    }
    return used - defined


def _tables(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _tables(child)


def _parameters(package: Package) -> Iterator[str]:
    integer = pb.ParameterType.NUMBER_INTEGER
    for name, component in sorted(package.spec.components.items()):
        for parameter, spec in sorted(component.input_definitions.parameters.items()):
            if spec.is_optional and spec.parameter_type == integer and not spec.HasField("default_value"):
                yield f"{name}: optional whole number {parameter!r} has no default, and KFP passes none; give it one"


def _artifacts(package: Package) -> Iterator[str]:
    for name, component in sorted(package.spec.components.items()):
        for artifact, spec in sorted(component.output_definitions.artifacts.items()):
            title = spec.artifact_type.schema_title
            if title and title.startswith("system.") and title not in _ARTIFACTS:
                yield f"{name}: artifact {artifact!r} has type {title}, which KFP does not know"


def _caching(package: Package) -> Iterator[str]:
    functions = {executor.label: executor.component for executor in package.executors()}
    for name, task, label in package.tasks():
        if functions.get(label) in OUTWARD and task.caching_options.enable_cache:
            yield f"{name}: acts on other systems, so a reused result would be a lie; call .set_caching_options(False)"


def _sizes(package: Package) -> Iterator[str]:
    whole = len(json.dumps(package.documents()))
    if whole > LARGEST_PACKAGE:
        yield f"it has {whole} bytes, Kubernetes takes {LARGEST_PACKAGE}; put large values into artifacts"
    root = {
        name: len(json_format.MessageToJson(spec.default_value))
        for name, spec in package.spec.root.input_definitions.parameters.items()
        if spec.HasField("default_value")
    }
    for name, task, _ in package.tasks():
        size = sum(_size(value, root) for value in task.inputs.parameters.values())
        if size > LARGEST_ARGUMENTS:
            yield f"{name}: its parameters have {size} bytes, a pod takes {LARGEST_ARGUMENTS}; pass an artifact"
    if sum(root.values()) > LARGEST_ARGUMENTS:
        yield f"the pipeline's parameters have {sum(root.values())} bytes, KFP takes {LARGEST_ARGUMENTS} in all"


def _size(value: pb.TaskInputsSpec.InputParameterSpec, root: Mapping[str, int]) -> int:
    if value.WhichOneof("kind") == "component_input_parameter":
        return root.get(value.component_input_parameter, 0)
    return len(json_format.MessageToJson(value.runtime_value))


def _kubernetes(package: Package) -> Iterator[str]:
    labels = set(package.deployment.executors)
    for label, content in sorted(package.kubernetes.items()):
        if label not in labels:
            yield f"settings for {label}, which is no executor of this package; compile it anew"
        yield from _pod(label, content)


def _pod(label: str, content: Mapping[str, Any]) -> Iterator[str]:
    try:
        config = json_format.ParseDict(dict(content), kubernetes_pb.KubernetesExecutorConfig())
    except json_format.ParseError as error:
        yield f"{label}: {error}; kfp-kubernetes does not know it"
        return
    variables = [
        pair.env_var for group in (*config.secret_as_env, *config.config_map_as_env) for pair in group.key_to_env
    ]
    mounts = [
        each.mount_path
        for group in (
            config.secret_as_volume, config.config_map_as_volume, config.pvc_mount, config.empty_dir_mounts,
            config.generic_ephemeral_volume,
        )
        for each in group
    ]  # fmt: skip
    for name in sorted({name for name in variables if variables.count(name) > 1}):
        yield f"{label}: variable {name} is set twice; take one of its sources away"
    for path in sorted({path for path in mounts if mounts.count(path) > 1}):
        yield f"{label}: {path} is mounted twice; take one of the volumes away"
