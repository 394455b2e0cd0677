"""Makes a compiled pipeline fit for kfp.local: what its cache must and must not reuse.

kfp.local's cache key holds image, command, arguments and environment of a task, but not the library's code, not what
lies at a path that is an argument, not who signs verdicts, and nothing about tasks that act on the outside. Each is put
into the key here: the code's digest as the image's tag; a stamp of local sources, the signer and the run's identity as
environment variables.
"""

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fairlead.errors import ConfigurationError

RUN_VARIABLE = "FAIRLEAD_RUN_ID"
STAMP_VARIABLE = "FAIRLEAD_SOURCE_STAMP"
SIGNER_VARIABLE = "FAIRLEAD_SIGNER_STAMP"
VERDICT = "verdict"  # the output of every judge

Specification = dict[str, Any]


def read_package(path: Path) -> Specification:
    """Reads a compiled pipeline.

    Args:
        path: The YAML that `fairlead compile` or the KFP compiler wrote.

    Returns:
        The pipeline specification (the first document; platform settings for Kubernetes do not apply here).

    Raises:
        ConfigurationError: It is no compiled pipeline.
    """
    import yaml

    try:
        documents = list(yaml.safe_load_all(path.read_text()))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path} is no compiled pipeline: {error}") from None
    if not documents or not isinstance(documents[0], dict) or "deploymentSpec" not in documents[0]:
        raise ConfigurationError(f"{path} is no compiled pipeline: it has no deploymentSpec; compile it first")
    return dict(documents[0])


def localise(
    specification: Specification, arguments: Mapping[str, Any], *, code_digest: str, run_id: str, signer: str = ""
) -> Specification:
    """Adapts a pipeline specification to one local run.

    A task with a parameter `source` is repeated when a local file that this parameter names has changed.

    Args:
        specification: The compiled pipeline.
        arguments: The run's arguments.
        code_digest: A digest of the library's code; changed code repeats every step.
        run_id: The run; a task that acts on the outside (caching disabled in the pipeline) is repeated in every new
            run, but not when a killed run goes on.
        signer: Whose key signs verdicts; judges are repeated when it is another.

    Returns:
        A changed copy.
    """
    local = copy.deepcopy(specification)
    containers = {name: e["container"] for name, e in local["deploymentSpec"]["executors"].items() if "container" in e}
    for container in containers.values():
        container["image"] = f"fairlead-python:{code_digest[:16]}"
    for task in _tasks(local):
        component = local["components"][task["componentRef"]["name"]]
        container = containers.get(component.get("executorLabel", ""))
        if container is None:
            continue
        source = task.get("inputs", {}).get("parameters", {}).get("source")
        if source is not None:
            _set_variable(container, STAMP_VARIABLE, source_stamp(_value(source, arguments)))
        if signer and VERDICT in component.get("outputDefinitions", {}).get("artifacts", {}):
            _set_variable(container, SIGNER_VARIABLE, signer)
        if not task.get("cachingOptions", {}).get("enableCache"):
            task["cachingOptions"] = {"enableCache": True}
            _set_variable(container, RUN_VARIABLE, run_id)
    return local


def task_graph(specification: Specification) -> dict[str, list[str]]:
    """The root's tasks, each after those that it waits for, with their names."""
    from graphlib import TopologicalSorter

    tasks = specification["root"]["dag"]["tasks"]
    waits = {name: sorted(task.get("dependentTasks", [])) for name, task in tasks.items()}
    return {name: waits[name] for name in TopologicalSorter(waits).static_order()}


def component_of(specification: Specification, task: str) -> str:
    """The component that a root task runs: `train-model`."""
    return str(specification["root"]["dag"]["tasks"][task]["componentRef"]["name"]).removeprefix("comp-")


def code_digest(*packages: str) -> str:
    """A digest of the source of importable packages.

    Args:
        *packages: Names of packages, such as `fairlead`.

    Returns:
        The hex digest over the paths and contents of their `.py` and `.sql` files.
    """
    from importlib.util import find_spec

    whole = hashlib.sha256()
    for package in packages:
        spec = find_spec(package)
        for root in map(Path, (spec.submodule_search_locations or []) if spec else []):
            for file in sorted(p for p in root.rglob("*") if p.suffix in {".py", ".sql"}):
                whole.update(f"{package}/{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes())
    return whole.hexdigest()


def digest_of(content: Any) -> str:
    """The hex digest of JSON-like content; equal content has equal digests."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def source_stamp(value: Any) -> str:
    """A digest of the size and time of every local file that a value names.

    Args:
        value: A source, or the arguments of a pipeline; strings inside dicts and lists count too.

    Returns:
        The hex digest; it changes when a file does. Remote sources are not looked at.
    """
    whole = hashlib.sha256()
    for text in sorted(set(_strings(value))):
        for file in _files_at(text):
            status = file.stat()
            whole.update(f"{file}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return whole.hexdigest()


def _value(parameter: Mapping[str, Any], arguments: Mapping[str, Any]) -> Any:
    """What a task's input parameter will be: a pipeline argument, or a constant."""
    if "componentInputParameter" in parameter:
        return arguments.get(parameter["componentInputParameter"], "")
    return parameter.get("runtimeValue", {}).get("constant", "")


def _tasks(specification: Specification) -> Iterator[dict[str, Any]]:
    for component in [specification["root"], *specification["components"].values()]:
        yield from component.get("dag", {}).get("tasks", {}).values()


def _set_variable(container: dict[str, Any], name: str, value: str) -> None:
    others = [v for v in container.get("env", []) if v["name"] != name]
    container["env"] = [*others, {"name": name, "value": value}]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)


def _files_at(text: str) -> list[Path]:
    """The local files that a source may mean: a file, a folder's files, or what a pattern matches."""
    longest_path = 1024
    if not text or len(text) > longest_path or "\n" in text or ":" in text or text in {".", "/"}:
        return []
    path = Path(text)
    if path.is_file():
        return [path.resolve()]
    if path.is_dir():
        return sorted(p.resolve() for p in path.iterdir() if p.is_file())
    if any(mark in path.name for mark in "*?[") and path.parent.is_dir():
        return sorted(p.resolve() for p in path.parent.glob(path.name) if p.is_file())
    return []
