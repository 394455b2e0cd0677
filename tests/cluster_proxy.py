"""A real cluster's API server with parts taken away: through a proxy, or from what the proxy recorded.

    with served(Live(cluster), …, without=("serving.kserve.io",)) as kubeconfig: …   the cluster as if it had no KServe
    with served(Recorded(file), …, refused=("secrets",)) as kubeconfig: …            the same from a recording

Both answer the same requests, and the contract tests hold the recording to the cluster. What is taken away is an API
group with everything that tells of it: its discovery, its kinds' definitions, the namespace of its controller. What is
refused is answered 403, and `no` where it is asked whether it is allowed.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import yaml

from fairlead.platform.kubeflow.api import Cluster

Answer = tuple[int, dict[str, Any]]
HOMES = {  # where a group's controller lives
    "serving.kserve.io": ("kserve",),
    "serving.knative.dev": ("knative-serving",),
    "trainer.kubeflow.org": ("kubeflow-system",),
    "gateway.networking.k8s.io": (),
}


class Source(Protocol):
    """Who answers what is not taken away."""

    def answer(self, method: str, path: str, body: dict[str, Any] | None) -> Answer:
        """The status and the JSON."""


class Live:
    """A real API server.

    Args:
        cluster: Where.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.seen: dict[str, Any] = {}

    def answer(self, method: str, path: str, body: dict[str, Any] | None) -> Answer:
        """Asks it, and keeps what it said."""
        from kubernetes.client.exceptions import ApiException

        try:
            response = self._cluster._client.call_api(
                path, method, body=body, auth_settings=["BearerToken"], _preload_content=False,
                header_params={"Accept": "application/json", "Content-Type": "application/json"}, response_type="str",
                _return_http_data_only=True,
            )  # fmt: skip
            found = (200, _lean(json.loads(response.data)))
        except ApiException as error:
            status, text = int(error.status or 500), str(error.body)
            found = (status, json.loads(text) if text.startswith("{") else _status(status, text.strip()))
        self.seen[_key(method, path, body)] = list(found)
        return found


class Recorded:
    """What a real API server said once.

    Args:
        file: The recording.
    """

    def __init__(self, file: Path) -> None:
        self._said = json.loads(file.read_text())

    def answer(self, method: str, path: str, body: dict[str, Any] | None) -> Answer:
        """Looks it up; what was not recorded is an error of the test."""
        key = _key(method, path, body)
        if key not in self._said:
            return 500, _status(500, f"not recorded: {key}")
        status, content = self._said[key]
        return int(status), content


def _key(method: str, path: str, body: dict[str, Any] | None) -> str:
    return f"{method} {path}" + (f" {json.dumps(body.get('spec'), sort_keys=True)}" if body else "")


def _lean(content: Any) -> Any:
    """Without what only fills recordings."""
    if isinstance(content, dict):
        return {k: _lean(v) for k, v in content.items() if k not in {"managedFields", "openAPIV3Schema", "_example"}}
    return [_lean(entry) for entry in content] if isinstance(content, list) else content


def _status(code: int, message: str) -> dict[str, Any]:
    reasons = {403: "Forbidden", 404: "NotFound"}
    return {
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code,
        "reason": reasons.get(code, "InternalError"),
    }  # fmt: skip


def _gone(path: str, without: Sequence[str]) -> bool:
    parts = urlsplit(path).path.split("/")
    for group in without:
        if parts[1:3] == ["apis", group] or parts[-1].endswith(f".{group}"):
            return True
        if any(f"/namespaces/{home}/" in path for home in HOMES.get(group, ())):
            return True
    return False


def _filtered(source: Source, method: str, path: str, body: Any, without: Sequence[str], refused: Sequence[str]) -> Answer:  # fmt: skip  # noqa: E501
    if _gone(path, without):
        return 404, _status(404, "the server could not find the requested resource")
    resource = next((r for r in refused if f"/{r}" in urlsplit(path).path), "")
    if resource:
        return 403, _status(403, f'{resource} is forbidden: User "somebody" cannot get resource "{resource}"')
    status, answer = source.answer(method, path, body)
    if path.endswith("accessreviews") and body and body["spec"]["resourceAttributes"]["resource"] in refused:
        answer = answer | {"status": {"allowed": False}}
    return status, answer


@contextmanager
def served(
    source: Source, folder: Path, namespace: str, without: Sequence[str] = (), refused: Sequence[str] = ()
) -> Iterator[Path]:
    """Serves a cluster with parts taken away on loopback; gives the kubeconfig that leads there.

    Args:
        source: Who answers the rest.
        folder: Where the kubeconfig is written.
        namespace: The context's.
        without: API groups that are not there.
        refused: Resources that this user may not touch.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            status, answer = _filtered(source, self.command, self.path, body, without, refused)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield _kubeconfig(folder, f"http://127.0.0.1:{server.server_address[1]}", namespace)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def _kubeconfig(folder: Path, address: str, namespace: str) -> Path:
    file = folder / "kubeconfig"
    content = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": address}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": namespace}}],
    }  # fmt: skip
    file.write_text(yaml.safe_dump(content))
    return file
