"""The families' work as a service account does it, against a real API server, and what was asked of that noted."""

from typing import Any

from fairlead.errors import FairleadError
from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.api import Cluster, RefusedError
from fairlead.platform.kubeflow.diagnosis import describe_pods
from fairlead.platform.kubeflow.experiments import ExperimentClient
from fairlead.platform.kubeflow.permissions import Permission
from fairlead.platform.kubeflow.train_jobs import TrainJobClient

NAME = "fairlead-permissions"
SEARCH = {
    "objective": {"type": "minimize", "objectiveMetricName": "loss"}, "algorithm": {"algorithmName": "random"},
    "parallelTrialCount": 1, "maxTrialCount": 1, "maxFailedTrialCount": 1,
    "parameters": [{"name": "lr", "parameterType": "double", "feasibleSpace": {"min": "0.1", "max": "0.2"}}],
    "trialTemplate": {
        "primaryContainerName": "trial", "trialParameters": [{"name": "lr", "reference": "lr"}],
        "trialSpec": {
            "apiVersion": "batch/v1", "kind": "Job",
            "spec": {"suspend": True, "template": {"spec": {
                "restartPolicy": "Never", "containers": [
                    {"name": "trial", "image": "none:1", "command": ["sh", "-c", "echo ${trialParameters.lr}"]},
                ],
            }}},
        },
    },
}  # fmt: skip


def user_of(namespace: str, account: str) -> str:
    """The name of a service account as the API server knows it."""
    return f"system:serviceaccount:{namespace}:{account}"


class Acting(Cluster):
    """A cluster as a service account sees it; what is asked of the API server is noted."""

    def __init__(self, cluster: Cluster, account: str) -> None:
        from kubernetes import client

        super().__init__(client.ApiClient(cluster._client.configuration), cluster.namespace, cluster.where)
        self._client.set_default_header("Impersonate-User", user_of(cluster.namespace, account))
        self.used: set[tuple[str, str, str]] = set()

    def _text(self, method: str, path: str, *arguments: Any, **options: Any) -> str:
        self.used.add(_asked(method, path))
        return super()._text(method, path, *arguments, **options)


def _asked(method: str, path: str) -> tuple[str, str, str]:
    """The (group, resource, verb) of a request, as the API server's authorizer reads it."""
    parts = path.strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    rest = rest[2:] if rest[:1] == ["namespaces"] and len(rest) > 2 else rest
    resource = "/".join([rest[0], *rest[2:3]])
    named = len(rest) > 1
    verb = {"GET": "get" if named else "list", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
    return group, resource, verb[method]


def tune(cluster: Cluster) -> None:
    """What tune_model asks of the API server: makes an Experiment, follows, explains and removes it."""
    client = ExperimentClient(cluster, NAME)
    metadata = {"name": NAME, "namespace": cluster.namespace}
    manifest = {"apiVersion": kinds.EXPERIMENT.api_version, "kind": "Experiment", "metadata": metadata, "spec": SEARCH}
    client.create(manifest)
    client.find()
    _told(client.explain())
    describe_pods(cluster, {"a": "b"})
    cluster.logs(NAME)
    client.delete()


def train(cluster: Cluster) -> None:
    """What train_model asks of the API server: makes a TrainJob, follows, explains and removes it."""
    client = TrainJobClient(cluster, NAME)
    metadata = {"name": NAME, "namespace": cluster.namespace}
    spec = {"runtimeRef": {"name": "fairlead-training", "kind": "TrainingRuntime"}, "suspend": True}
    manifest = {"apiVersion": kinds.TRAIN_JOB.api_version, "kind": "TrainJob", "metadata": metadata, "spec": spec}
    client.create(manifest)
    client.find()
    _told(client.explain())
    cluster.logs(NAME)
    client.delete()


def _told(lines: list[str]) -> None:
    """An explanation never fails: what it could not ask it says."""
    if lines and lines[0].startswith("the cluster could not be asked why: "):
        raise RefusedError(lines[0])


def request(cluster: Cluster, permission: Permission) -> None:
    """One request that a permission allows, of an object that is not there, or that is not kept."""
    kind, path = (
        permission.kind,
        permission.kind.path(cluster.namespace, permission.name or NAME, permission.subresource),
    )
    body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": NAME}}
    dry = {"dryRun": "All"}
    match permission.verb:
        case "get":
            cluster._text("GET", path)
        case "list":
            cluster.list(kind, {"a": "b"})
        case "create":
            cluster._text("POST", kind.path(cluster.namespace), query=dry, body=body)
        case "update":
            cluster._text("PUT", path, query=dry, body=body)
        case "patch":
            cluster._text("PATCH", path, query=dry, body={}, content="application/merge-patch+json")
        case "delete":
            cluster._text("DELETE", path, query=dry, body={})


def is_refused(cluster: Cluster, permission: Permission) -> str:
    """What the user is told where the authorizer refuses a request; empty where it let it through."""
    try:
        request(cluster, permission)
    except RefusedError as error:
        return str(error) if " cannot " in str(error) else ""  # else an admission webhook, which comes later
    except FairleadError:
        pass  # not found, not valid, not served: it was let through
    return ""
