"""Starts, follows, resumes and stops pipeline runs on this machine."""

import fcntl
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from fairlead import atomic
from fairlead.errors import StateError
from fairlead.platform.runner import specification
from fairlead.platform.runner.failure import task_error
from fairlead.settings import settings
from fairlead.signatures import signing_key

CODE = ("fairlead", "fairlead_serving", "fairlead_feature_repo")
_POLL_SECONDS = 0.1
_GRACE_SECONDS = 20.0


@dataclass
class TaskState:
    """One task of a run, as run.json tells it."""

    name: str
    component: str
    depends: list[str]
    state: str = "waiting"
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    outputs: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    progress: dict[str, Any] = field(default_factory=dict)


@dataclass
class Run:
    """One run of a pipeline.

    Attributes:
        directory: Its folder: run.json, pipeline.yaml, arguments.json, events.jsonl, log.txt, artifacts/.
        state: `running`, `succeeded`, `failed` or `interrupted`.
        tasks: Its tasks by name, in the pipeline's order.
    """

    directory: Path
    pipeline: str
    run_id: str
    arguments: dict[str, Any]
    fingerprint: str
    tasks: dict[str, TaskState]
    state: str = "running"
    started: str = ""
    finished: str | None = None
    resumed: bool = False

    def output(self, name: str) -> Any:
        """The last task's output of a name, or None: `run.output("endpoint")`."""
        found = [t.outputs[name] for t in self.tasks.values() if name in t.outputs]
        return found[-1] if found else None

    def save(self) -> None:
        """Writes run.json, whole or not at all."""
        content = {
            "pipeline": self.pipeline, "run_id": self.run_id, "state": self.state, "started": self.started,
            "finished": self.finished, "arguments": self.arguments, "fingerprint": self.fingerprint,
            "tasks": [{k: v for k, v in asdict(t).items() if k != "progress"} for t in self.tasks.values()],
            "endpoint": self.output("endpoint"),
        }  # fmt: skip
        atomic.write_json(self.directory / "run.json", content)


def run_pipeline(
    package: specification.Specification,
    arguments: Mapping[str, Any],
    *,
    watchers: Sequence[Callable[[Run], None]] = (),
    fresh: bool = False,
) -> Run:
    """Runs a compiled pipeline to its end, going on where a killed or failed run of the same arguments stopped.

    Args:
        package: The compiled pipeline.
        arguments: Its arguments.
        watchers: Are called a few times a second with the run as it stands.
        fresh: Begin a new run even if an unfinished one could go on.

    Returns:
        The ended run; its state tells how.

    Raises:
        StateError: Another run of this pipeline is going on with the same state.
        KeyboardInterrupt: The user asked to stop; everything that the run had started is stopped.
    """
    name = package["pipelineInfo"]["name"]
    home = settings().runs_home(name)
    with _locked(home, name) as lock:
        run = _open_run(home, name, package, dict(arguments), fresh=fresh)
        with (run.directory / "log.txt").open("ab") as log:
            child = _start(run, log, lock)
            try:
                _follow(run, child, watchers)
            except BaseException:
                _stop(child)
                _end(run, "interrupted")
                raise
            finally:
                _let_go(child)
        return run


@contextmanager
def _locked(home: Path, name: str) -> Iterator[int]:
    """Holds the pipeline's lock; the child holds it too, so that a killed parent does not free it too early."""
    home.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take(descriptor, home, name)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _take(descriptor: int, home: Path, name: str) -> None:
    deadline = time.monotonic() + 2.0  # a killed run's processes need a moment to end
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                owner = os.pread(descriptor, 32, 0).decode() or "unknown"
                raise StateError(
                    f"a run of {name} is going on with this state ({home}, process {owner}); "
                    "wait for it, or stop it with Ctrl-C, or set FAIRLEAD_HOME to another folder"
                ) from None
            time.sleep(_POLL_SECONDS)
        else:
            return


def _open_run(
    home: Path, name: str, package: specification.Specification, arguments: dict[str, Any], *, fresh: bool
) -> Run:
    code = specification.code_digest(*CODE)
    stamp = specification.source_stamp(arguments)
    fingerprint = specification.digest_of({"package": package, "arguments": arguments, "code": code, "stamp": stamp})
    unfinished = None if fresh else _unfinished(home, fingerprint)
    run_id = unfinished or f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    directory = home / run_id
    directory.mkdir(exist_ok=True)
    local = specification.localise(package, arguments, code_digest=code, run_id=run_id, signer=_signer())
    atomic.write_json(directory / "pipeline.yaml", local)  # JSON is YAML
    atomic.write_json(directory / "arguments.json", arguments)
    (directory / "events.jsonl").unlink(missing_ok=True)
    tasks = {
        task: TaskState(task, specification.component_of(package, task), depends)
        for task, depends in specification.task_graph(package).items()
    }
    started = datetime.now(UTC).isoformat(timespec="seconds")
    run = Run(directory, name, run_id, arguments, fingerprint, tasks, started=started, resumed=unfinished is not None)
    run.save()
    return run


def _signer() -> str:
    """Whose key signs verdicts here; empty where none does."""
    key = signing_key()
    return f"{key.name} {key.public}" if key else ""


def _unfinished(home: Path, fingerprint: str) -> str | None:
    """The newest run, if it did not succeed and was asked for exactly the same."""
    for file in sorted(home.glob("*/run.json"), reverse=True)[:1]:
        with suppress(ValueError, OSError):
            content = json.loads(file.read_text())
            if content.get("fingerprint") == fingerprint and content.get("state") != "succeeded":
                return str(content["run_id"])
    return None


def _start(run: Run, log: IO[bytes], lock: int) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "FAIRLEAD_STEP_CACHE": str(settings().home / "cache" / "steps"),
        "FAIRLEAD_HOME": str(settings().home),
        "PYTHONUNBUFFERED": "1",
        "DO_NOT_TRACK": "1",  # no library of a step may call home
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "TZ": "UTC",  # Feast keeps times in SQLite as the writer's local time; readers and writers must agree
        "TMPDIR": str(_scratch(run)),  # kfp leaves a folder per task there
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "fairlead.platform.runner.child", str(run.directory)],
        stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, pass_fds=(lock,),
        env=environment,
    )  # fmt: skip


def _scratch(run: Run) -> Path:
    folder = run.directory / "scratch"
    folder.mkdir(exist_ok=True)
    return folder


def _follow(run: Run, child: "subprocess.Popen[bytes]", watchers: Sequence[Callable[[Run], None]]) -> None:
    position = 0
    while True:
        ended = child.poll() is not None
        position = _read_events(run, position)
        _show(run, watchers)
        if ended:
            break
        time.sleep(_POLL_SECONDS)
    _end(run, "succeeded" if child.returncode == 0 else "failed")
    _show(run, watchers)


def _show(run: Run, watchers: Sequence[Callable[[Run], None]]) -> None:
    for watch in watchers:
        watch(run)


def _read_events(run: Run, position: int) -> int:
    file = run.directory / "events.jsonl"
    if not file.exists():
        return position
    with file.open("rb") as stream:
        stream.seek(position)
        for line in stream:
            if not line.endswith(b"\n"):
                break
            position += len(line)
            _apply(run, json.loads(line))
    return position


def _apply(run: Run, event: dict[str, Any]) -> None:
    if "step" in event:
        for running in (t for t in run.tasks.values() if t.state == "running"):
            running.progress = {**running.progress, **event}
        return
    task = run.tasks.get(event.get("task", ""))
    if task is None:
        return
    if event["state"] == "started":
        task.state = "running"
        task.progress = {"from": event["time"], "log_from": event["log_from"]}
        return
    log_from = task.progress.get("log_from", 0)
    task.seconds, task.cpu_seconds = event["seconds"], event["cpu_seconds"]
    task.outputs, task.progress = event["outputs"], {}
    task.state = event["state"]
    if task.state == "failed":
        task.error = task_error(run.directory / "log.txt", log_from, event["log_until"])
    run.save()


def _end(run: Run, state: str) -> None:
    run.state, run.finished = state, datetime.now(UTC).isoformat(timespec="seconds")
    for task in run.tasks.values():
        task.state = {"running": "failed", "waiting": "skipped"}.get(task.state, task.state)
    run.save()
    for leftover in ("scratch", "workspace"):
        _remove(run.directory / leftover)


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _let_go(child: "subprocess.Popen[bytes]") -> None:
    if child.stdin:
        child.stdin.close()


def _stop(child: "subprocess.Popen[bytes]") -> None:
    """Ends the child's process group: first politely, so that a rollout can go back to the stable version."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        child.wait(_GRACE_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
