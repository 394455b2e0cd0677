"""A finished or running pipeline run, read from its `run.json`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fairlead.errors import StateError, nearest

FILE = "run.json"


@dataclass(frozen=True)
class Artifact:
    """What a task made.

    Attributes:
        name: The output's name.
        path: Where it lies.
        kind: KFP's type without its prefix: "Dataset", "Model", "Metrics", "HTML", …
        metadata: Flat values that the task noted.
    """

    name: str
    path: Path
    kind: str
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One step of a run.

    Attributes:
        name: Its name in the pipeline.
        component: The component it runs.
        state: "succeeded", "cached", "failed", "skipped", or "running".
        seconds: What it took; 0 if it never ran.
        depends: Names of the tasks it waited for.
        artifacts: Its artifact outputs.
        parameters: Its scalar outputs.
        error: Why it failed.
    """

    name: str
    component: str
    state: str
    seconds: float = 0.0
    depends: tuple[str, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    error: str = ""

    def of_kind(self, kind: str) -> list[Artifact]:
        """Return the artifacts of one kind."""
        return [artifact for artifact in self.artifacts if artifact.kind == kind]


@dataclass(frozen=True)
class Run:
    """One run of a pipeline.

    Attributes:
        folder: Where it lies.
        pipeline: The pipeline's name.
        run_id: The run's name among the pipeline's runs.
        state: "succeeded", "failed" or "running".
        started: ISO 8601.
        finished: ISO 8601, or empty.
        arguments: What the pipeline was called with.
        tasks: In pipeline order.
        endpoint: The address at which the model serves, or empty.
        versions: Versions of what ran it, if recorded.
    """

    folder: Path
    pipeline: str
    run_id: str
    state: str
    started: str
    finished: str
    arguments: dict[str, Any]
    tasks: tuple[Task, ...]
    endpoint: str
    versions: dict[str, Any] = field(default_factory=dict)


def read_run(folder: Path) -> Run:
    """Read a run.

    Args:
        folder: The run's folder, which holds `run.json`.

    Raises:
        StateError: There is no run, or its record cannot be read.
    """
    path = folder / FILE
    try:
        return _run(folder, json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise StateError(
            f"{folder} is no run: it has no {FILE}; `fairlead report` without a name takes the latest"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(f"{path} is not the record of a run ({error!r}); run the pipeline again") from None


def _run(folder: Path, record: dict[str, Any]) -> Run:
    return Run(
        folder=folder,
        pipeline=str(record["pipeline"]),
        run_id=str(record["run_id"]),
        state=str(record["state"]),
        started=str(record.get("started") or ""),
        finished=str(record.get("finished") or ""),
        arguments=dict(record.get("arguments") or {}),
        tasks=tuple(_task(folder, entry) for entry in record.get("tasks") or []),
        endpoint=str(record.get("endpoint") or ""),
        versions=dict(record.get("versions") or {}),
    )


def _task(folder: Path, entry: dict[str, Any]) -> Task:
    outputs = dict(entry.get("outputs") or {})
    artifacts = {name: value for name, value in outputs.items() if _is_artifact(value)}
    return Task(
        name=str(entry["name"]),
        component=str(entry.get("component") or entry["name"]),
        state=str(entry["state"]),
        seconds=float(entry.get("seconds") or 0),
        depends=tuple(entry.get("depends") or ()),
        artifacts=tuple(_artifact(folder, name, value) for name, value in artifacts.items()),
        parameters={name: value for name, value in outputs.items() if name not in artifacts},
        error=str(entry.get("error") or ""),
    )


def _is_artifact(value: Any) -> bool:
    """Tell an artifact from a parameter, which may be a dict too."""
    return isinstance(value, dict) and "uri" in value and str(value.get("type", "")).startswith("system.")


def _artifact(folder: Path, name: str, value: dict[str, Any]) -> Artifact:
    path = folder / str(value["uri"]).removeprefix("file://")
    return Artifact(name, path, value["type"].removeprefix("system."), dict(value.get("metadata") or {}))


def latest_run(home: Path, pipeline: str = "") -> Path:
    """Return the folder of the run that was started last.

    Args:
        home: The folder of fairlead's state.
        pipeline: The pipeline's name; empty for any.

    Raises:
        StateError: There is no run yet.
    """
    found = sorted((_started(folder), folder) for folder in _folders(home, pipeline))
    if not found:
        name = pipeline or "NAME"
        raise StateError(f"{home} holds no run of {pipeline or 'any pipeline'} yet; start one: fairlead run {name}")
    return found[-1][1]


def find_run(home: Path, name: str = "") -> Path:
    """Return the folder of the run that a user means.

    Args:
        home: The folder of fairlead's state.
        name: A run's folder, its id (or `PIPELINE/ID`), a pipeline's name for its latest run, or empty for the latest.

    Raises:
        StateError: There is no such run.
    """
    folder = home / "runs" / name
    if not name or (folder.is_dir() and not (folder / FILE).is_file()):
        return latest_run(home, name)
    if (Path(name) / FILE).is_file():
        return Path(name).resolve()
    matches = [folder for folder in _folders(home) if name in {folder.name, f"{folder.parent.name}/{folder.name}"}]
    if matches:
        return matches[-1]
    known = {folder.name for folder in _folders(home)} | {folder.parent.name for folder in _folders(home)}
    raise StateError(f"{home} holds no run {name!r}; {nearest(name, known) if known else 'there are no runs yet'}")


def _folders(home: Path, pipeline: str = "") -> Iterator[Path]:
    """Yield the folders of finished and running runs, oldest name first."""
    pattern = f"{pipeline or '*'}/*/{FILE}"
    return (path.parent for path in sorted((home / "runs").glob(pattern)))


def _started(folder: Path) -> str:
    """Return when a run started; one whose record is broken counts as the oldest."""
    try:
        return str(json.loads((folder / FILE).read_text(encoding="utf-8"))["started"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
