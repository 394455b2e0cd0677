"""Runs one step of a compiled pipeline as a Pod: its own image, command and arguments, called as KFP's launcher does.

What KFP's backend makes of a step (backend/src/v2/compiler/argocompiler/container.go) is copied: the volumes /gcs, /s3,
/minio, /.local, /.cache and /.config, an empty folder each; the Secret with the object store's keys; the launcher as
the container's command, with the step's command after it, in the step's image and as its user. Stricter than there:
the root file system is read-only with /tmp as a volume, no service account token is mounted unless asked for, and the
namespace stands under Pod Security `restricted`.
"""

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.api import Cluster

Document = dict[str, Any]
LAUNCHER = Path(__file__).with_name("launcher.py")
SECRET = "mlpipeline-minio-artifact"
SCRATCH = {"gcs": "/gcs", "s3": "/s3", "minio": "/minio", "dot-local": "/.local", "dot-cache": "/.cache",
           "dot-config": "/.config", "tmp": "/tmp"}  # fmt: skip  # noqa: S108 - a mount path inside the Pod
RESTRICTED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
POLL_SECONDS = 0.3


class Server(Protocol):
    """An S3 server that this machine and pods reach (tests/cluster/conftest.py has it)."""

    endpoint: str
    inside: str
    user: str
    password: str


class StepError(AssertionError):
    """The step failed; the text ends with what it wrote."""


@dataclass(frozen=True)
class Ended:
    """A step that ended well.

    Attributes:
        parameters: Its output parameters.
        artifacts: Its output artifacts by name: uri, metadata, type.
        seconds: From the creation of the Pod to its end.
    """

    parameters: Document
    artifacts: dict[str, Document]
    seconds: float


@contextmanager
def fresh_namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace under Pod Security `restricted` for as long as the block lasts."""
    name = f"fairlead-steps-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "app.kubernetes.io/part-of": "fairlead-tests"}
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    try:
        yield name
    finally:
        cluster.delete(kinds.NAMESPACE, name)


@dataclass
class Pods:
    """Where steps run.

    Attributes:
        cluster: The cluster.
        namespace: Their namespace.
        server: The object store.
        bucket: Its bucket.
        environment: Further variables of every step: settings, names of services.
        service_account: Whose token steps get; none by default.
        timeout_seconds: How long a step may take.
    """

    cluster: Cluster
    namespace: str
    server: Server
    bucket: str
    environment: Mapping[str, str] = field(default_factory=dict)
    service_account: str = ""
    timeout_seconds: float = 300.0

    def prepare(self) -> None:
        """Makes the bucket, and in the namespace the launcher and the keys of the object store."""
        client = self.client()
        if not client.bucket_exists(self.bucket):
            client.make_bucket(self.bucket)
        self._apply("ConfigMap", "kfp-launcher", data={"launcher.py": LAUNCHER.read_text(encoding="utf-8")})
        keys = {"accesskey": self.server.user, "secretkey": self.server.password}
        self._apply("Secret", SECRET, stringData=keys)

    def client(self) -> Any:
        """A client of the object store, from this machine."""
        import minio

        address = urlsplit(self.server.endpoint)
        secure = address.scheme == "https"
        return minio.Minio(address.netloc, self.server.user, self.server.password, secure=secure)

    def read(self, uri: str) -> bytes:
        """An object's bytes."""
        bucket, _, key = uri.partition("://")[2].partition("/")
        response = self.client().get_object(bucket, key)
        try:
            return bytes(response.read())
        finally:
            response.close()
            response.release_conn()

    def files(self, uri: str) -> dict[str, bytes]:
        """An artifact's files by their path within it; one that is a file has the path ``."""
        bucket, _, key = uri.partition("://")[2].partition("/")
        found = self.client().list_objects(bucket, prefix=key, recursive=True)
        names = [
            item.object_name for item in found if item.object_name == key or item.object_name.startswith(f"{key}/")
        ]
        return {name.removeprefix(key).lstrip("/"): self.read(f"s3://{bucket}/{name}") for name in names}

    def upload(self, path: Path, uri: str) -> None:
        """Puts a file, or a folder's files, where an artifact is."""
        client, (bucket, _, key) = self.client(), uri.partition("://")[2].partition("/")
        for file in [path] if path.is_file() else sorted(found for found in path.rglob("*") if found.is_file()):
            name = key if path.is_file() else f"{key}/{file.relative_to(path)}"
            client.fput_object(bucket, name, str(file))

    def download(self, uri: str, folder: Path) -> None:
        """Brings an artifact that is a folder."""
        for name, content in self.files(uri).items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def clear(self) -> None:
        """Removes the bucket with all that is in it."""
        from minio.deleteobjects import DeleteObject

        client = self.client()
        names = [DeleteObject(item.object_name) for item in client.list_objects(self.bucket, recursive=True)]
        assert not list(client.remove_objects(self.bucket, names))
        client.remove_bucket(self.bucket)

    def run(self, name: str, container: Document, executor_input: Document) -> Ended:
        """Runs a step and waits for its end.

        Args:
            name: The task's name.
            container: The step's executor, as the compiled package has it: image, command, args, env.
            executor_input: What KFP's driver would resolve for it.

        Raises:
            StepError: It failed, or did not end in time.
        """
        root = f"s3://{self.bucket}/steps/{self.namespace}/{name}"
        result = f"{root}/result.json"
        given = {"executorInput": executor_input, "result": result}
        self._apply("ConfigMap", f"input-{name}", data={"input.json": json.dumps(given)})
        began = time.monotonic()
        self.cluster.create(self._pod(name, container))
        self._wait(name)
        said = json.loads(self.read(result))
        made = {key: held["artifacts"][0] for key, held in executor_input["outputs"].get("artifacts", {}).items()}
        for key, held in said.get("artifacts", {}).items():
            update = held["artifacts"][0]
            metadata = made[key].get("metadata", {}) | update.get("metadata", {})
            made[key] = made[key] | {"uri": update.get("uri") or made[key]["uri"], "metadata": metadata}
        return Ended(said["parameterValues"], made, time.monotonic() - began)

    def _apply(self, kind: str, name: str, **content: Document) -> None:
        metadata = {"name": name, "namespace": self.namespace}
        self.cluster.apply({"apiVersion": "v1", "kind": kind, "metadata": metadata, **content})

    def _pod(self, name: str, container: Document) -> Document:
        launcher = ["python3", "/kfp-launcher/launcher.py", "/kfp-input/input.json", "--"]
        volumes = [{"name": volume, "emptyDir": {}} for volume in SCRATCH]
        volumes += [{"name": "kfp-launcher", "configMap": {"name": "kfp-launcher"}},
                    {"name": "kfp-input", "configMap": {"name": f"input-{name}"}}]  # fmt: skip
        mounts: list[Document] = [{"name": volume, "mountPath": path} for volume, path in SCRATCH.items()]
        mounts += [
            {"name": volume, "mountPath": f"/{volume}", "readOnly": True} for volume in ("kfp-launcher", "kfp-input")
        ]
        main = {
            "name": "main", "image": container["image"], "imagePullPolicy": "IfNotPresent",
            "command": [*launcher, *container["command"], *container.get("args", [])],
            "env": [*self._environment(), *container.get("env", [])], "volumeMounts": mounts,
            "securityContext": RESTRICTED, "resources": {"requests": {"cpu": "500m", "memory": "256Mi"}},
        }  # fmt: skip
        spec: Document = {
            "restartPolicy": "Never", "containers": [main], "volumes": volumes, "enableServiceLinks": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "automountServiceAccountToken": bool(self.service_account),
        }  # fmt: skip
        if self.service_account:
            spec["serviceAccountName"] = self.service_account
        metadata = {
            "name": name,
            "namespace": self.namespace,
            "labels": {"app.kubernetes.io/part-of": "fairlead-tests"},
        }
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

    def _environment(self) -> list[Document]:
        keys = {"LAUNCHER_USER": "accesskey", "LAUNCHER_PASSWORD": "secretkey"}
        own = {"LAUNCHER_ENDPOINT": self.server.inside, **self.environment}
        secret = [
            {"name": name, "valueFrom": {"secretKeyRef": {"name": SECRET, "key": key}}} for name, key in keys.items()
        ]
        return [*secret, *({"name": name, "value": value} for name, value in own.items())]

    def _wait(self, name: str) -> None:
        deadline = time.monotonic() + self.timeout_seconds
        while time.monotonic() < deadline:
            pod = self.cluster.get(kinds.POD, name, self.namespace) or {}
            phase = pod.get("status", {}).get("phase")
            if phase == "Succeeded":
                return
            if phase == "Failed":
                break
            time.sleep(POLL_SECONDS)
        log = self.cluster.logs(name, lines=60, namespace=self.namespace)
        events = "\n".join(self.cluster.events("Pod", name, self.namespace))
        raise StepError(f"step {name} did not succeed: {pod.get('status', {}).get('phase')}\n{events}\n{log}")
