"""Fetches what a run left behind: outcomes, figures, pages and verdicts, so that `fairlead report` tells of it."""

import re
from urllib.parse import quote

from fairlead import atomic
from fairlead.errors import FairleadError
from fairlead.platform.runner.local import Run, TaskState
from fairlead.platform.runner.specification import VERDICT, Specification
from fairlead.settings import Settings
from fairlead_pipelines.kfp_server.connection import Server
from fairlead_pipelines.kfp_server.errors import ServerError, message_of
from fairlead_pipelines.kfp_server.lineage import Execution, Made, executions

_SHOWN = frozenset({"system.HTML", "system.Markdown"})
_ADDRESS = re.compile(r"^(?P<source>minio|s3|gs)://(?P<bucket>[^/]+)/(?P<key>[^?]+)")
_SOURCES = {"gs": "gcs"}
_LAST_LINES = 30
_LOG = "executor-logs"  # KFP's own output of every task
_NO_LOG = b'{"error_message"'


def fetch(server: Server, place: Settings, content: Specification, run: Run) -> list[str]:
    """Fetches what an ended run made, and writes its record.

    Args:
        server: The server.
        place: The settings.
        content: The package's specification.
        run: The run; outputs are noted in it, and reused tasks marked.

    Returns:
        What could not be fetched and why, a line each.
    """
    problems: list[str] = []
    try:
        found = executions(server, run.run_id)
    except ServerError as error:
        found = []
        problems.append(
            f"figures and pages: {error}; they come through KFP's UI, so FAIRLEAD_KFP_URI should lead to ml-pipeline-ui"
        )
    by_task = {execution.task: execution for execution in found}
    for task in run.tasks.values():
        execution = by_task.get(task.name)
        if execution:
            problems += _take(server, place, content, run, task, execution)
        if task.state == "failed":
            task.error = _why(server, place, run, task, execution)
    run.save()
    return problems


def _take(
    server: Server, place: Settings, content: Specification, run: Run, task: TaskState, execution: Execution
) -> list[str]:
    problems = []
    if execution.cached and task.state == "succeeded":
        task.state = "cached"
    task.outputs = dict(execution.parameters)
    kinds = _kinds(content, task.name)
    for made in execution.artifacts:
        kind = kinds.get(made.name)
        if kind is None:
            continue  # KFP's own, such as the log
        uri = made.uri
        if kind in _SHOWN or made.name == VERDICT:
            file = run.directory / "artifacts" / task.name / made.name
            try:
                atomic.write_bytes(file, _download(server, place, made))
                uri = str(file)
            except FairleadError as error:
                problems.append(f"{task.name}: {made.name}: {error}")
        task.outputs[made.name] = {"name": made.name, "uri": uri, "type": kind, "metadata": made.metadata}
    return problems


def _kinds(content: Specification, task: str) -> dict[str, str]:
    """The types of a task's artifact outputs, by name."""
    component = content["components"][content["root"]["dag"]["tasks"][task]["componentRef"]["name"]]
    artifacts = component.get("outputDefinitions", {}).get("artifacts", {})
    return {name: str(spec["artifactType"].get("schemaTitle", "system.Artifact")) for name, spec in artifacts.items()}


def _download(server: Server, place: Settings, made: Made) -> bytes:
    """An artifact's bytes: through KFP's UI, which has credentials of its own; else from the object store itself."""
    address = _ADDRESS.match(made.uri)
    if address is None:
        raise ServerError(f"nobody here can fetch {made.uri}; KFP keeps artifacts at minio://, s3:// or gs://")
    source = _SOURCES.get(address["source"], address["source"])
    query = {"namespace": place.kfp_namespace} if place.kfp_namespace else None
    try:
        path = f"/artifacts/{source}/{address['bucket']}/{quote(address['key'])}"
        return server.get("fetching an artifact", path, query)
    except ServerError as through_ui:
        if not place.object_store or source == "gcs":
            raise
        from fairlead.objects import Objects

        try:
            return Objects.connect(place).read_bytes(made.uri)
        except FairleadError as error:
            raise ServerError(f"{through_ui}; and from {place.s3_endpoint}: {error}") from None


def _why(server: Server, place: Settings, run: Run, task: TaskState, execution: Execution | None) -> str:
    """Why a task failed: what KFP says, the last lines of its log, and where the whole log is."""
    said = [task.error] if task.error else []
    pod = execution.pod if execution else ""
    try:
        log = _read_log(server, place, run, execution) if execution else b""
    except FairleadError as error:
        said.append(f"its log could not be read ({error})")
    else:
        if log:
            atomic.write_bytes(run.directory / "logs" / f"{task.name}.txt", log)
            said.append("\n".join(log.decode("utf-8", "replace").rstrip().splitlines()[-_LAST_LINES:]))
    namespace = server.namespace or "NAMESPACE"
    what = pod or f"--selector pipeline/runid={run.run_id}"
    said.append(
        f"the whole log: {link(server, run.run_id)}, or `kubectl logs --namespace {namespace} {what} --all-containers`"
    )
    return "\n".join(said)


def _read_log(server: Server, place: Settings, run: Run, execution: Execution) -> bytes:
    """A pod's log while the pod is there, else the one that KFP's launcher put beside the outputs."""
    kept = [made for made in execution.artifacts if made.name.startswith(_LOG)]
    if execution.pod:
        path = f"/apis/v1alpha1/runs/{run.run_id}/nodes/{quote(execution.pod)}/log"
        try:
            log = server.get("reading the log", path)
        except ServerError:
            if not kept:
                raise
        else:
            if not log.startswith(_NO_LOG):  # the server has said 200 before it knows
                return log
            if not kept:
                raise ServerError(f"reading the log: {message_of(log)}")
    return _download(server, place, kept[-1]) if kept else b""


def link(server: Server, run_id: str) -> str:
    """Where KFP's UI shows a run."""
    return f"{server.uri}/#/runs/details/{run_id}"
