"""What a run's tasks made, from ML Metadata: parameters, artifacts, figures, and in which pod."""

from dataclasses import dataclass, field
from typing import Any

from fairlead_pipelines.kfp_server.connection import Server
from fairlead_pipelines.kfp_server.metadata_store import CACHED, OUTPUT, RUN_CONTEXT, call, pages, plain

_BATCH = 100
_OF_KFP = frozenset({"display_name", "store_session_info"})


@dataclass(frozen=True)
class Made:
    """An artifact.

    Attributes:
        name: The output's name.
        uri: Where it lies: minio://BUCKET/KEY, s3://BUCKET/KEY.
        metadata: What the task noted of it; a Metrics artifact's figures are here alone.
    """

    name: str
    uri: str
    metadata: dict[str, Any]


@dataclass
class Execution:
    """One task's execution.

    Attributes:
        task: The task's name in its graph.
        pod: The pod in which it ran.
        cached: Whether an earlier execution's outputs were taken.
        parameters: Its scalar outputs.
        artifacts: Its artifact outputs.
    """

    task: str
    pod: str
    cached: bool
    parameters: dict[str, Any]
    artifacts: list[Made] = field(default_factory=list)


def executions(server: Server, run_id: str) -> list[Execution]:
    """What the tasks of a run made.

    Args:
        server: The server; its address must be that of KFP's UI, which passes such questions on.
        run_id: The run.

    Returns:
        An execution per task that was begun, in order of their ids.

    Raises:
        ServerError: ML Metadata cannot be reached there, or refuses.
    """
    context = call(server, "GetContextByTypeAndName", type_name=RUN_CONTEXT, context_name=run_id).context
    if not context.id:
        return []  # no driver has come so far yet
    listed = list(pages(server, "GetExecutionsByContext", "executions", context_id=context.id))
    found = {each.id: _execution(each) for each in sorted(listed, key=lambda each: each.id)}
    artifacts = {each.id: each for each in pages(server, "GetArtifactsByContext", "artifacts", context_id=context.id)}
    ids = list(found)
    for first in range(0, len(ids), _BATCH):
        events = call(server, "GetEventsByExecutionIDs", execution_ids=ids[first : first + _BATCH]).events
        for event in events:
            if event.type == OUTPUT and event.artifact_id in artifacts and event.execution_id in found:
                found[event.execution_id].artifacts.append(_made(event, artifacts[event.artifact_id]))
    return list(found.values())


def _execution(each: Any) -> Execution:
    noted = {name: plain(value) for name, value in each.custom_properties.items()}
    outputs = noted.get("outputs")
    return Execution(
        task=str(noted.get("task_name") or ""),
        pod=str(noted.get("pod_name") or ""),
        cached=each.last_known_state == CACHED or bool(noted.get("cached_execution_id")),
        parameters=dict(outputs) if isinstance(outputs, dict) else {},
    )


def _made(event: Any, artifact: Any) -> Made:
    keys = [step.key for step in event.path.steps if step.WhichOneof("value") == "key"]
    noted = {name: plain(value) for name, value in (*artifact.properties.items(), *artifact.custom_properties.items())}
    metadata = {name: value for name, value in noted.items() if name not in _OF_KFP}
    return Made(keys[0] if keys else artifact.name, artifact.uri, metadata)
