"""A stand-in for the Kubeflow Model Registry server, over real HTTP, in memory.

Every request and every answer is validated by the OpenAPI models that the server's own Python client brings. How it
answers was taken down from the real server (kubeflow/model-registry of April 2026 on PostgreSQL 15); the slow tests of
tests/unit/registry run the same contract against a real one, where TEST_MODEL_REGISTRY_URI is its address:

- ids are given out in one sequence per table, and a refused insertion uses one up;
- names are unique below one parent, external ids in the whole table; artifacts of no parent may share a name;
- a version may be created below a model that does not exist;
- a PATCH leaves alone what it does not name, but replaces all custom properties where it names any;
- lists are ordered by id; a page's token is opaque; nothing can be deleted.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import mr_openapi
from model_registry_store import Entity, RefusedError, Store, Table

PREFIX = "/api/model_registry/v1"
_TITLES = {400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 409: "Conflict"}

Answer = tuple[int, str, Entity]
"""The status, the model of the answer, and the answer."""


def _kind(store: Store, path: str) -> tuple[str, Table, str]:
    """What entities of a path are called, where they are, and the model that they have."""
    kinds = {
        "registered_model": ("registered model", store.contexts, "RegisteredModel"),
        "model_version": ("model version", store.contexts, "ModelVersion"),
        "artifact": ("artifact", store.artifacts, "Artifact"),
    }
    if path.removesuffix("s") not in kinds:
        raise RefusedError(404, "404 page not found")
    return kinds[path.removesuffix("s")]


def _get(store: Store, parts: list[str], query: dict[str, str]) -> Answer:
    kind, table, model = _kind(store, parts[0])
    match parts:
        case [_, identity, below]:
            kind, table, model = _kind(store, "model_versions" if below == "versions" else below)
            return 200, f"{model}List", store.page(table, kind, query, identity)
        case [_, identity]:
            return 200, model, table.get(kind, identity)
        case [many] if many.endswith("s"):
            return 200, f"{model}List", store.page(table, kind, query)
    return 200, model, store.find(table, kind, query)


def _post(store: Store, parts: list[str], body: Any) -> Answer:
    match parts:
        case ["model_versions", identity, "artifacts"]:
            return 201, "Artifact", store.create_artifact(body, identity)
        case ["registered_models"]:
            return 201, "RegisteredModel", store.create_model(body)
        case ["model_versions"]:
            return 201, "ModelVersion", store.create_version(body)
        case ["artifacts"]:
            return 201, "Artifact", store.create_artifact(body)
    raise RefusedError(404, "404 page not found")


def _answer(store: Store, method: str, path: str, query: dict[str, str], body: Any) -> Answer:
    parts = path.strip("/").split("/")
    if method == "GET":
        return _get(store, parts, query)
    if method == "POST":
        return _post(store, parts, body)
    if method == "PATCH":
        kind, table, model = _kind(store, parts[0])
        return 200, model, store.update(table, kind, f"{model}Update", parts[1], body)
    raise RefusedError(405, "method not allowed")


def _public(content: Any) -> Any:
    """An answer without what only this server knows."""
    if isinstance(content, list):
        return [_public(item) for item in content]
    if isinstance(content, dict):
        return {key: _public(value) for key, value in content.items() if key != "_kind"}
    return content


class Handler(BaseHTTPRequestHandler):
    """One request to the server whose knowledge is `store`, by those who know the `token`."""

    store: Store
    token: str
    broken: list[int]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer a request of any method."""
        length = int(self.headers.get("Content-Length") or 0)
        raw, parts = self.rfile.read(length), urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        with self.store.lock:
            self.store.requests.append((self.command, parts.path.removeprefix(PREFIX)))
            try:
                self._refuse_strangers(parts.path)
                body = json.loads(raw) if raw else None
                status, model, content = _answer(self.store, self.command, parts.path.removeprefix(PREFIX), query, body)
                answer = _public(content)
                getattr(mr_openapi, model).from_dict(answer)
            except RefusedError as error:
                status, answer = error.status, {"code": _TITLES.get(error.status, "Error"), "message": error.message}
                mr_openapi.Error.from_dict(answer)
            self._send(status, json.dumps(answer).encode())

    def do_POST(self) -> None:
        """Answer a POST."""
        self.do_GET()

    def do_PATCH(self) -> None:
        """Answer a PATCH."""
        self.do_GET()

    def do_DELETE(self) -> None:
        """Refuse a DELETE: the API has none."""
        self.do_GET()

    def _refuse_strangers(self, path: str) -> None:
        if self.broken:
            raise RefusedError(self.broken.pop(0), "told to fail")
        if not path.startswith(PREFIX):
            raise RefusedError(404, "404 page not found")
        if self.token and self.headers.get("Authorization") != f"Bearer {self.token}":
            raise RefusedError(401, "who are you?")

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Say nothing."""


class Running:
    """A server that runs.

    Attributes:
        url: Its address.
        store: What it knows.
        broken: Statuses with which it answers the next requests, whatever they are.
    """

    def __init__(self, url: str, handler: type[Handler]) -> None:
        self.url, self.store, self.broken = url, handler.store, handler.broken

    @property
    def registry_uri(self) -> str:
        """The setting `registry_uri` for it."""
        return f"model-registry+{self.url}"


@contextmanager
def serve(token: str = "") -> Iterator[Running]:
    """Runs a server on loopback while the block lasts."""
    handler = type("OneHandler", (Handler,), {"store": Store(), "token": token, "broken": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield Running(f"http://127.0.0.1:{server.server_address[1]}", handler)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
