"""What the UI of Kubeflow Pipelines passes on, and pods' logs: ML Metadata by gRPC-Web, artifacts as they are."""

from collections.abc import Mapping
from typing import Any

from kfp_life import Life
from kfp_store import RefusedError

from fairlead_pipelines.kfp_server.metadata_store import messages

_NO_LOG = b'{"error_message":"Failed to read logs for run","error_details":"pods not found"}'
_PAGE = 10  # small pages, so that they are turned


def metadata(lives: Mapping[str, Life], method: str, body: bytes) -> bytes:
    """ML Metadata's answer, in the frames of gRPC-Web."""
    made = messages()
    request = made[f"{method}Request"].FromString(body[5:])
    response = made[f"{method}Response"]()
    runs = list(lives)
    if method == "GetContextByTypeAndName":
        if request.context_name in runs:
            response.context.id, response.context.name = 7 + runs.index(request.context_name), request.context_name
    elif method == "GetEventsByExecutionIDs":
        known = [event for life in lives.values() for event in life.metadata()[2]]
        response.events.extend(event for event in known if event.execution_id in set(request.execution_ids))
    else:
        executions, artifacts, _ = lives[runs[request.context_id - 7]].metadata()
        items, name = (executions, "executions") if "Executions" in method else (artifacts, "artifacts")
        first, size = int(request.options.next_page_token or 0), min(request.options.max_result_size, _PAGE)
        getattr(response, name).extend(items[first : first + size])
        response.next_page_token = str(first + size) if first + size < len(items) else ""
    return framed(response, b"grpc-status: 0\r\n")


def framed(response: Any, trailer: bytes) -> bytes:
    """A message and its trailer, each in a frame."""
    content: bytes = response.SerializeToString()
    return b"\0" + len(content).to_bytes(4, "big") + content + b"\x80" + len(trailer).to_bytes(4, "big") + trailer


def artifact(lives: Mapping[str, Life], path: str) -> bytes:
    """An artifact's content, as the UI hands it over."""
    _, _, source, bucket, key = path.split("/", 4)
    for life in lives.values():
        if f"{source}://{bucket}/{key}" in life.objects():
            return life.objects()[f"{source}://{bucket}/{key}"]
    raise RefusedError(5, f"Failed to get object in bucket {bucket} at path {key}: The specified key does not exist.")


def log(life: Life, node: str) -> bytes:
    """A pod's log; where there is none, the server has said 200 already."""
    pods = {life.pod(task): text for task, text in life.plan.fails.items()}
    return pods[node].encode() if node in pods and not life.plan.pods_gone else _NO_LOG
