"""The process that runs one pipeline by kfp.local.

    python -m fairlead.platform.runner.child RUN_DIRECTORY

It reads pipeline.yaml and arguments.json there, appends events to events.jsonl, and writes artifacts below artifacts/.
It ends itself and its tasks when its parent is gone: the parent holds the other end of its standard input.
"""

import json
import os
import resource
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fairlead import atomic
from fairlead.progress import EVENTS_VARIABLE, emit

FAILED = 1


def main() -> int:
    """Runs the pipeline of the directory that the command line names.

    Returns:
        0 if every task succeeded, 1 otherwise.
    """
    directory = Path(sys.argv[1])
    os.environ[EVENTS_VARIABLE] = str(directory / "events.jsonl")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    warnings.simplefilter("ignore")  # kfp warns of settings that only a cluster obeys
    return _run(directory)


def _end_with_parent() -> None:
    os.read(0, 1)  # not sys.stdin: its lock, held by this thread, would abort the interpreter's ordinary end
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _run(directory: Path) -> int:
    from kfp import components, local
    from kfp.local import task_dispatcher
    from kfp.local.orchestrator import task_executor

    arguments = json.loads((directory / "arguments.json").read_text())
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(directory / "artifacts"),
        workspace_root=str(directory / "workspace"),  # kfp deletes this folder at the end; nothing else is in it
        enable_caching=True,
        cache_root=os.environ["FAIRLEAD_STEP_CACHE"],
    )
    executed: list[str] = []
    task_executor.execute_single_task = _told(task_executor.execute_single_task, executed)
    run_task = task_dispatcher.run_single_task_implementation
    task_dispatcher.run_single_task_implementation = _noted(run_task, executed)
    try:
        components.load_component_from_text((directory / "pipeline.yaml").read_text())(**arguments)
    except RuntimeError as error:  # the message names the failed task only; its own error is in the log
        emit({"pipeline": "failed", "error": str(error)})
        return FAILED
    emit({"pipeline": "succeeded"})
    return 0


def _noted(run_task: Callable[..., Any], executed: list[str]) -> Callable[..., Any]:
    """Wraps the work behind kfp's cache, so that a task whose outputs were reused can be told from one that ran."""

    def run_and_note(**arguments: Any) -> Any:
        executed.append(arguments["component_name"])
        outputs, ended = run_task(**arguments)
        for artifact in outputs.values():
            _give_a_file(artifact)
        return outputs, ended

    return run_and_note


def _give_a_file(artifact: Any) -> None:
    """Writes the metadata of an artifact that has no file, such as Metrics, to its place.

    kfp's cache takes outputs whose file is missing for lost, so a step that logs metrics would never be reused.
    """
    uri = getattr(artifact, "uri", "")
    if uri.startswith("/") and not Path(uri).exists():
        atomic.write_json(uri, dict(artifact.metadata))


def _told(execute: Callable[..., Any], executed: list[str]) -> Callable[..., Any]:
    """Wraps kfp's execution of one task so that its start and end become events."""
    from kfp.local import status

    def execute_and_tell(*, task_name: str, **rest: Any) -> Any:
        emit({"task": task_name, "state": "started", "log_from": _log_position()})
        started, cpu, before = time.time(), _cpu_seconds(), len(executed)
        outputs, ended = execute(task_name=task_name, **rest)
        state = "failed" if ended != status.Status.SUCCESS else "succeeded" if len(executed) > before else "cached"
        emit({
            "task": task_name, "state": state, "seconds": time.time() - started, "cpu_seconds": _cpu_seconds() - cpu,
            "outputs": {name: _described(value) for name, value in outputs.items()}, "log_until": _log_position(),
        })  # fmt: skip
        return outputs, ended

    return execute_and_tell


def _cpu_seconds() -> float:
    """User and system time of all tasks that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _log_position() -> int:
    sys.stdout.flush()
    return os.fstat(sys.stdout.fileno()).st_size


def _described(value: Any) -> Any:
    if hasattr(value, "uri"):
        return {"uri": value.uri, "type": value.schema_title, "metadata": dict(value.metadata)}
    return value


if __name__ == "__main__":
    sys.exit(main())
