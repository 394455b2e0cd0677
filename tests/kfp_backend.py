"""A stand-in for Kubeflow Pipelines over real HTTP: its REST API, and what its UI passes on (artifacts, ML Metadata).

Every request and every answer is held to the models of kfp-server-api; a field that they do not have fails the test.
How it answers was taken from the sources of Kubeflow Pipelines 2.17.0 (backend/src/apiserver, frontend/server).
"""

import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import kfp_ui
from kfp_life import Life, Plan
from kfp_models import hold, refusal, uploaded
from kfp_store import RefusedError, Store, specification

from fairlead_pipelines.kfp_server.metadata_store import KIND, SERVICE

PREFIX = "/apis/v2beta1"
_LISTING = {"page_token", "page_size", "sort_by", "filter"}
_TABLES = {
    "pipelines": ("pipelines", "V2beta1ListPipelinesResponse", {"namespace"}),
    "experiments": ("experiments", "V2beta1ListExperimentsResponse", {"namespace"}),
    "runs": ("runs", "V2beta1ListRunsResponse", {"namespace", "experiment_id"}),
    "recurringruns": ("recurring", "V2beta1ListRecurringRunsResponse", {"namespace", "experiment_id"}),
}
_NAMES = {"recurring": "recurringRuns", "versions": "pipeline_versions"}


@dataclass
class Fault:
    """What goes wrong with some requests.

    Attributes:
        path: A pattern of their method and path: `POST .*/runs$`.
        kind: A status (403), or `cut`, `cut after` (done, but the answer is lost), `slow`, `page`, `login`.
        times: How often.
        message: What the server says.
    """

    path: str
    kind: int | str
    times: int = 1 << 30
    message: str = "something is wrong"


@dataclass
class Backend:
    """The stand-in.

    Attributes:
        uri: Its address.
        store: What it remembers.
        plan: How runs go.
        token: What it demands, if anything.
        ui: Whether it passes on what the UI does.
        version: 1 for a Kubeflow Pipelines 1.
        faults: What goes wrong.
        seen: Every request: method, path and query.
        broken: Requests and answers that are not as the models say; must be empty at the end.
    """

    uri: str = ""
    store: Store = field(default_factory=Store)
    plan: Plan = field(default_factory=Plan)
    token: str = ""
    ui: bool = True
    version: int = 2
    faults: list[Fault] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    lives: dict[str, Life] = field(default_factory=dict)

    def count(self, pattern: str) -> int:
        """How many requests matched."""
        return sum(bool(re.search(pattern, seen)) for seen in self.seen)

    def life(self, run: dict[str, Any]) -> Life:
        """The life of a run."""
        version = self.store.find(
            "versions", "pipeline_version_id", run["pipeline_version_reference"]["pipeline_version_id"]
        )
        return self.lives.setdefault(run["run_id"], Life(run, specification(version["pipeline_spec"]), self.plan))


class Handler(BaseHTTPRequestHandler):
    """One request."""

    backend: Backend
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer a GET."""
        self.serve()

    def do_POST(self) -> None:
        """Answer a POST."""
        self.serve()

    def do_DELETE(self) -> None:
        """Answer a DELETE."""
        self.serve()

    def serve(self) -> None:
        """Answer, or go wrong as the faults say."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.backend.seen.append(f"{self.command} {self.path}")
        fault = next(
            (
                f
                for f in self.backend.faults
                if f.times > 0 and re.search(f.path, f"{self.command} {urlsplit(self.path).path}")
            ),
            None,
        )
        if fault:
            fault.times -= 1
            if self.goes_wrong(fault):
                return
        try:
            status, content, kind = self.answer(body)
        except RefusedError as error:
            status, content, kind = error.status, refusal(error), "application/json"
        except (AssertionError, KeyError, ValueError) as error:
            self.backend.broken.append(f"{self.command} {self.path}: {error!r}")
            status, content, kind = (
                500,
                json.dumps({"code": 13, "message": repr(error), "details": []}).encode(),
                "application/json",
            )
        if fault and fault.kind == "cut after":
            self.close_connection = True
            self.connection.close()
            return
        self.send(status, content, kind)

    def goes_wrong(self, fault: Fault) -> bool:
        """Go wrong; return whether that was all."""
        if isinstance(fault.kind, int):
            self.send(fault.kind, refusal(RefusedError(13, fault.message)), "application/json")
        elif fault.kind == "page":
            self.send(200, b"<!doctype html><title>Sign in</title>", "text/html")
        elif fault.kind == "login":
            self.send(302, b"", "text/html", {"Location": "https://login.example.org/auth?client=kfp"})
        elif fault.kind == "slow":
            time.sleep(1.0)
            return False
        elif fault.kind == "cut":
            self.close_connection = True
            self.connection.close()
        else:
            return False
        return True

    def answer(self, body: bytes) -> tuple[int, bytes, str]:
        """The answer to a request: status, content, type."""
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        if self.backend.token and self.headers.get("authorization") != f"Bearer {self.backend.token}":
            raise RefusedError(
                16, "Request header error: there is no user identity header.: token is invalid or expired"
            )
        if self.backend.ui and parts.path.startswith(f"/{SERVICE}/"):
            assert self.headers["Content-Type"] == KIND
            return 200, kfp_ui.metadata(self.backend.lives, parts.path.rpartition("/")[2], body), KIND
        if self.backend.ui and parts.path.startswith("/artifacts/"):
            return 200, kfp_ui.artifact(self.backend.lives, unquote(parts.path)), "application/octet-stream"
        log = re.match(r"^/apis/v1alpha1/runs/([^/]+)/nodes/([^/]+)/log$", parts.path)
        if log:
            return 200, kfp_ui.log(self.backend.lives[log[1]], log[2]), "text/plain"
        if parts.path == "/apis/v1beta1/healthz" and self.backend.version == 1:
            return 200, b'{"commit_sha": "x", "tag_name": "1.8.22", "multi_user": false}', "application/json"
        if not parts.path.startswith(PREFIX) or self.backend.version == 1:
            raise RefusedError(5, "Not Found")
        return 200, json.dumps(self.api(parts.path.removeprefix(PREFIX), query, body)).encode(), "application/json"

    def api(self, path: str, query: dict[str, str], body: bytes) -> Any:
        """The REST API's answer, held to its models."""
        parts = path.strip("/").split("/")
        verbs: dict[str, Callable[..., Any]] = {"GET": self.gets, "POST": self.posts, "DELETE": self.deletes}
        return verbs[self.command](parts, query, body)

    def gets(self, parts: list[str], query: dict[str, str], _: bytes) -> Any:
        """A GET's answer."""
        store = self.backend.store
        match parts:
            case ["healthz"]:
                hold("V2beta1GetHealthzResponse", {"multi_user": store.multi_user, "pipeline_store": "database"})
                return {
                    "commit_sha": "x",
                    "tag_name": "2.17.0",
                    "multi_user": store.multi_user,
                }  # more than the model has
            case ["pipelines", pipeline, "versions"]:
                only = {"pipeline_id": pipeline}
                return self.listing("versions", "V2beta1ListPipelineVersionsResponse", query, set(), only)
            case ["pipelines", _, "versions", version]:
                return hold("V2beta1PipelineVersion", store.find("versions", "pipeline_version_id", version))
            case ["runs", run]:
                found = store.find("runs", "run_id", run)
                self.backend.life(found).look()
                return hold("V2beta1Run", found)
            case [table] if table in _TABLES:
                name, model, allowed = _TABLES[table]
                return self.listing(name, model, query, allowed, self.scope(name, query))
        raise RefusedError(5, "Not Found")

    def posts(self, parts: list[str], query: dict[str, str], body: bytes) -> Any:
        """A POST's answer."""
        store = self.backend.store
        create = {
            "pipelines": ("V2beta1Pipeline", store.create_pipeline),
            "experiments": ("V2beta1Experiment", store.create_experiment),
            "runs": ("V2beta1Run", store.create_run),
            "recurringruns": ("V2beta1RecurringRun", store.create_recurring),
        }
        match parts:
            case ["pipelines", "upload_version"]:
                assert set(query) <= {"name", "display_name", "description", "pipelineid", "tags"}, query
                return hold("V2beta1PipelineVersion", store.create_version(query, uploaded(self.headers, body)))
            case [table] if table in create:
                model, make = create[table]
                return hold(model, make(dict(hold(model, json.loads(body)))))
            case ["recurringruns", each] if ":" in each:
                identity, _, verb = each.partition(":")
                status = {"enable": "ENABLED", "disable": "DISABLED"}[verb]
                store.find("recurring", "recurring_run_id", identity)["status"] = status
                return {}
        raise RefusedError(5, "Not Found")

    def deletes(self, parts: list[str], *_: object) -> Any:
        """A DELETE's answer."""
        store = self.backend.store
        if parts[0] != "recurringruns":
            raise RefusedError(5, "Not Found")
        store.recurring.remove(store.find("recurring", "recurring_run_id", parts[1]))
        return {}

    def scope(self, table: str, query: dict[str, str]) -> dict[str, str]:
        """Which entities a listing is about."""
        if query.get("experiment_id"):
            return {"experiment_id": query["experiment_id"]}
        namespace = self.backend.store.namespace(query.get("namespace"), table)
        return {"namespace": namespace} if namespace and table in {"pipelines", "experiments"} else {}

    def listing(self, table: str, model: str, query: dict[str, str], allowed: set[str], only: dict[str, str]) -> Any:
        """A page of a table; empty lists are left out, as protobuf's JSON leaves them out."""
        assert set(query) <= _LISTING | allowed, query
        found, token = self.backend.store.page(table, query, only)
        content: dict[str, Any] = {"total_size": len(found)} if found else {}
        content |= {_NAMES.get(table, table): found} if found else {}
        return hold(model, content | ({"next_page_token": token} if token else {}))

    def send(self, status: int, content: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        """Send an answer."""
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 (the name that http.server gives)
        """Say nothing."""


@contextmanager
def kfp_backend(certificate: tuple[Path, Path] | None = None, **options: Any) -> Iterator[Backend]:
    """Runs the stand-in; what it heard and said must have been as the models say."""
    backend = Backend(**options)
    with ThreadingHTTPServer(("127.0.0.1", 0), type("OwnHandler", (Handler,), {"backend": backend})) as server:
        server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        backend.uri = f"http{'s' if certificate else ''}://localhost:{server.server_address[1]}"
        yield backend
        server.shutdown()
    assert not backend.broken, backend.broken
