"""A Kubernetes of one process, for tests where no cluster is: the REST API in memory, and Jobs that really run.

    with TinyKubernetes(tmp_path, namespace="team") as kubernetes:
        monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))

The API: objects of any kind (create, get, list by labels, merge patch, apply, replace by resourceVersion, delete with
what they own), status as a subresource, events by the object that they are about, discovery of what was registered,
logs of pods, and refusals by `refuse`, with the words of Katib's webhook. See tiny_kubelet for Jobs and pods.
"""

import json
import threading
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from tiny_kubelet import Kubelet

from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.kinds import BY_KIND, Kind

Manifest = dict[str, Any]
Key = tuple[str, str, str]  # path of the kind, namespace, name
_ALWAYS = (kinds.POD, kinds.EVENT, kinds.JOB, kinds.SECRET, kinds.NAMESPACE)


class ApiError(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason = status, reason


class Store:
    """The objects."""

    def __init__(self, refuse: Callable[[Manifest], str]) -> None:
        """Starts empty; `refuse` says why an object may not be created, or nothing."""
        self.objects: dict[Key, Manifest] = {}
        self.refuse, self.lock, self.version = refuse, threading.RLock(), 0

    def get(self, key: Key) -> Manifest:
        """Reads an object.

        Raises:
            ApiError: There is none.
        """
        if key not in self.objects:
            raise ApiError(404, "NotFound", f'{key[0].rpartition("/")[2]} "{key[2]}" not found')
        return self.objects[key]

    def list(self, root: str, namespace: str, labels: Mapping[str, str]) -> "list[Manifest]":
        """The objects of a kind that carry the labels."""
        found = [o for (path, space, _), o in sorted(self.objects.items()) if path == root and namespace in ("", space)]
        return [o for o in found if labels.items() <= (o["metadata"].get("labels") or {}).items()]

    def create(self, root: str, namespace: str, body: Manifest) -> Manifest:
        """Creates an object."""
        key = (root, namespace, body["metadata"]["name"])
        if key in self.objects:
            raise ApiError(409, "AlreadyExists", f'{root.rpartition("/")[2]} "{key[2]}" already exists')
        reason = self.refuse(body)
        if reason:
            raise ApiError(400, "BadRequest", f"admission webhook {reason}")
        made: Manifest = json.loads(json.dumps(body))
        made["metadata"] |= {
            "namespace": namespace, "uid": str(uuid.uuid4()),
            "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }  # fmt: skip
        self.objects[key] = self.touch(made)
        return made

    def touch(self, thing: Manifest) -> Manifest:
        """Gives an object a new version."""
        self.version += 1
        thing["metadata"]["resourceVersion"] = str(self.version)
        return thing

    def collect_garbage(self) -> None:
        """Deletes what was made for an owner that had just gone."""
        known = {thing["metadata"]["uid"] for thing in self.objects.values()}
        for key, thing in list(self.objects.items()):
            owners = thing["metadata"].get("ownerReferences") or []
            if owners and not any(owner.get("uid") in known for owner in owners):
                del self.objects[key]

    def delete(self, key: Key) -> None:
        """Deletes an object and all that it owns."""
        uid = self.get(key)["metadata"]["uid"]
        del self.objects[key]
        for other, thing in list(self.objects.items()):
            owners = thing["metadata"].get("ownerReferences") or []
            if other in self.objects and any(owner.get("uid") == uid for owner in owners):
                self.delete(other)


def merge(into: Manifest, change: Mapping[str, Any]) -> Manifest:
    """A merge patch: None takes a key away."""
    for key, value in change.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, Mapping):
            into[key] = merge(into[key] if isinstance(into.get(key), dict) else {}, value)
        else:
            into[key] = value
    return into


class TinyKubernetes:
    """The server, and its kubelet."""

    def __init__(
        self, folder: Path, namespace: str = "team", served: tuple[Kind, ...] = (), *,
        refuse: Callable[[Manifest], str] = lambda _: "", environment: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Prepares; pods' processes get `environment` beside their own."""
        self.store, self.namespace, self.served = Store(refuse), namespace, (*_ALWAYS, *served)
        self.down = False
        self.kubelet = Kubelet(self.store, folder / "pods", dict(environment or {}))
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.kubeconfig = folder / "kubeconfig"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        named = {"name": "tiny"}
        context = {"cluster": "tiny", "user": "tiny", "namespace": self.namespace}
        self.kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1", "kind": "Config", "current-context": "tiny",
                    "clusters": [{**named, "cluster": {"server": f"http://127.0.0.1:{self.server.server_port}"}}],
                    "users": [{**named, "user": {"token": "none"}}], "contexts": [{**named, "context": context}],
                }
            )
        )  # fmt: skip
        self.thread.start()
        self.kubelet.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kubelet.stop()
        self.server.shutdown()
        self.server.server_close()

    def answer(self, method: str, path: str, query: Mapping[str, str], body: Manifest) -> Manifest | str:
        """Answers one request."""
        if self.down:
            raise ApiError(503, "ServiceUnavailable", "the server is being upgraded")
        parts = path.strip("/").split("/")
        if path == "/version":
            return {"gitVersion": "v1.34.0-tiny"}
        if path.endswith("selfsubjectaccessreviews"):
            return {**body, "status": {"allowed": True}}
        size = 2 if parts[0] == "api" else 3
        root, rest = "/" + "/".join(parts[:size]), parts[size:]
        served = [kind for kind in self.served if kind.root == root]
        if not served:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        if not rest:
            return {"resources": [{"name": kind.plural, "kind": kind.kind} for kind in served]}
        namespace = rest[1] if rest[0] == "namespaces" and len(rest) > 2 else ""
        rest = rest[2:] if namespace else rest
        if rest[0] not in {kind.plural for kind in served}:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        with self.store.lock:
            return self._on_objects(method, f"{root}/{rest[0]}", namespace, [*rest[1:], "", ""][:2], query, body)

    def _on_objects(
        self, method: str, root: str, namespace: str, place: list[str], query: Mapping[str, str], body: Manifest
    ) -> Manifest | str:
        name, part = place
        key = (root, namespace, name)
        if method == "POST":
            return self.store.create(root, namespace, body)
        if method == "GET" and part == "log":
            return self.kubelet.log(self.store.get(key), query.get("container", ""), int(query.get("tailLines", "20")))
        if method == "GET" and not name:
            return {"items": self._list(root, namespace, query), "metadata": {}}
        if method == "GET":
            return self.store.get(key)
        if method == "DELETE":
            self.store.delete(key)
            return {}
        return self._change(key, part, method, body)

    def _list(self, root: str, namespace: str, query: Mapping[str, str]) -> list[Manifest]:
        labels = dict(pair.split("=", 1) for pair in query.get("labelSelector", "").split(",") if pair)
        found = self.store.list(root, namespace, labels)
        fields = dict(pair.split("=", 1) for pair in query.get("fieldSelector", "").split(",") if pair)
        wanted = {field.removeprefix("involvedObject."): value for field, value in fields.items()}
        return [o for o in found if wanted.items() <= (o.get("involvedObject") or {}).items()]

    def _change(self, key: Key, part: str, method: str, body: Manifest) -> Manifest:
        if key not in self.store.objects and method == "PATCH" and body.get("kind"):  # an apply makes what is not there
            return self.store.create(key[0], key[1], body)
        thing = self.store.get(key)
        version = body.get("metadata", {}).get("resourceVersion")
        if method == "PUT" and version and version != thing["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "the object has been modified")
        status = body.get("status") if part == "status" else None
        change = {"status": status} if part == "status" else {k: v for k, v in body.items() if k != "status"}
        return self.store.touch(merge(thing, change))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        tiny = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _do(self) -> None:
                url, size = urlsplit(self.path), int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else {}
                query = {key: values[-1] for key, values in parse_qs(url.query).items()}
                try:
                    found, status = tiny.answer(self.command, url.path, query, body), 200
                except ApiError as error:
                    found, status = {"message": str(error), "reason": error.reason}, error.status
                with tiny.store.lock:
                    content = (found if isinstance(found, str) else json.dumps(found)).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _do  # noqa: N815 (http.server's names)

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        return Handler


def katib_webhook(labelled: bool = True) -> Callable[[Manifest], str]:
    """What Katib's webhooks refuse, in their words; `labelled`: whether the namespace has the label."""
    begins = "denied the request: "

    def refuse(body: Manifest) -> str:
        if body.get("kind") != "Experiment":
            return ""
        spec, name = body["spec"], '"validator.experiment.katib.kubeflow.org"'
        if not labelled:
            return (
                f'"defaulter.experiment.katib.kubeflow.org" {begins}Cannot create the Experiment '
                f'"{body["metadata"]["name"]}" in namespace "team": the namespace lacks label '
                '"katib.kubeflow.org/metrics-collector-injection: enabled"'
            )
        if not spec.get("objective"):
            return f"{name} {begins}spec.objective: Required value: must be specified"
        algorithm = spec["algorithm"]["algorithmName"]
        if algorithm not in ("random", "grid", "tpe", "multivariate-tpe", "cmaes", "sobol", "hyperband"):
            return (
                f'{name} {begins}spec.algorithm.algorithmName: Invalid value: "{algorithm}": unable to get Suggestion '
                f"config data for algorithm {algorithm}: failed to find suggestion config for algorithm: {algorithm} "
                "in ConfigMap: katib-config"
            )
        if spec.get("parallelTrialCount", 3) > spec["maxTrialCount"]:
            count = spec.get("parallelTrialCount", 3)
            return (
                f"{name} {begins}spec.parallelTrialCount: Invalid value: {count}: should be less than or equal to "
                "spec.maxTrialCount"
            )
        return ""

    return refuse


KATIB = tuple(BY_KIND[("kubeflow.org/v1beta1", kind)] for kind in ("Experiment", "Trial", "Suggestion"))
