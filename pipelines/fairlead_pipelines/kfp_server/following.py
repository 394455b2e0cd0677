"""A run on a server, seen as the runs here are: the same states, the same record, the same report."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fairlead.platform.runner import specification
from fairlead.platform.runner.local import Run, TaskState
from fairlead.settings import Settings
from fairlead_pipelines.kfp_server import runs
from fairlead_pipelines.kfp_server.connection import Server

_STATES = {
    "PENDING": "waiting", "RUNNING": "running", "SUCCEEDED": "succeeded", "SKIPPED": "skipped", "FAILED": "failed",
    "CANCELING": "running", "CANCELED": "failed", "PAUSED": "waiting", "RUNTIME_STATE_UNSPECIFIED": "waiting",
}  # fmt: skip
_WHOLE = {"SUCCEEDED": "succeeded", "FAILED": "failed", "CANCELED": "interrupted", "SKIPPED": "succeeded"}
_EVERY = (1.0, 2.0, 3.0, 5.0)  # seconds between looks: short runs are seen at once, long ones do not tire the server
_DRIVER = "-driver"


def folder_of(place: Settings, pipeline: str, run_id: str) -> Path:
    """Where a run's record and pages are kept: beside those of runs here, so that they do not count as such."""
    return place.runs_home(f"{pipeline}-on-kfp") / run_id


def record(place: Settings, content: specification.Specification, found: Any) -> Run:
    """A run of the server as a run here.

    Args:
        place: The settings.
        content: The package's specification.
        found: The run, as the API tells of it.

    Returns:
        The run, with its tasks as they stand.
    """
    name = str(content["pipelineInfo"]["name"])
    directory = folder_of(place, name, found.run_id)
    directory.mkdir(parents=True, exist_ok=True)
    tasks = {
        task: TaskState(task, specification.component_of(content, task), depends)
        for task, depends in specification.task_graph(content).items()
    }
    arguments = dict((found.runtime_config.parameters if found.runtime_config else None) or {})
    run = Run(directory, name, found.run_id, arguments, "", tasks, started=_moment(found.created_at))
    update(run, found)
    return run


def follow(server: Server, run: Run, watch: Callable[[Run], None]) -> Any:
    """Looks at a run until it has ended.

    Args:
        server: The server.
        run: The run; it is kept up to date.
        watch: Is shown the run after each look.

    Returns:
        The ended run, as the API tells of it.

    Raises:
        ServerError: The server gives no answer for longer than the connection bears, or the run is deleted.
    """
    for wait in _waits():
        found = runs.get(server, run.run_id)
        update(run, found)
        watch(run)
        if found.state in runs.ENDED:
            run.save()
            return found
        time.sleep(wait)
    raise AssertionError("unreachable")  # the waits have no end


def update(run: Run, found: Any) -> None:
    """Takes over how a run stands."""
    run.state = _WHOLE.get(found.state or "", "running")
    if found.state in runs.ENDED:
        run.finished = _moment(found.finished_at)
    details = {d.display_name: d for d in (found.run_details.task_details if found.run_details else None) or []}
    for task in run.tasks.values():
        _update_task(task, details.get(task.name), details.get(f"{task.name}{_DRIVER}"))
    if run.state != "running":
        for task in run.tasks.values():
            task.state = {"waiting": "skipped", "running": "failed"}.get(task.state, task.state)


def _update_task(task: TaskState, own: Any, driver: Any) -> None:
    """A task of KFP is a driver, which decides, and then what it decided on."""
    if own is None and driver is None:
        return
    seen = own or driver
    state = _STATES.get(seen.state or "", "waiting")
    if own is None and state == "succeeded":
        state = "running"  # decided, not begun
    if task.state != "cached":
        task.state = state
    begun = (driver or own).start_time or (driver or own).create_time
    if state == "running" and begun:
        task.progress = {"from": begun.timestamp()}
    elif state != "running":
        task.progress = {}
        if begun and own is not None and own.end_time:
            task.seconds = max(0.0, (own.end_time - begun).total_seconds())
    if state == "failed" and seen.error:
        task.error = seen.error.message


def _waits() -> Iterator[float]:
    yield from _EVERY
    while True:
        yield _EVERY[-1]


def _moment(moment: datetime | None) -> str:
    return (moment or datetime.now(UTC)).isoformat(timespec="seconds")
