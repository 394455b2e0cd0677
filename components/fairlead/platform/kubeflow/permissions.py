"""What each family of components may do in its namespace: no more than its code asks of the API server.

manifests/base/permissions writes the same down as Roles; the tests hold the two together, take every verb away to see
that its family then fails, and ask the API server that nothing else is allowed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.kinds import Kind

WORKFLOW_TASK_RESULT = Kind("argoproj.io", "v1alpha1", "workflowtaskresults", "WorkflowTaskResult")


@dataclass(frozen=True)
class Permission:
    """One verb on one kind of object.

    Attributes:
        verb: As Kubernetes calls it.
        kind: The kind of object.
        subresource: A part of the object, such as a pod's `log`.
        name: The one object that is meant; empty for all.
    """

    verb: str
    kind: Kind
    subresource: str = ""
    name: str = ""

    @property
    def resource(self) -> str:
        """As Roles write it: `pods/log`."""
        return f"{self.kind.plural}/{self.subresource}" if self.subresource else self.kind.plural

    def __str__(self) -> str:
        """As a user reads it: `create experiments.kubeflow.org`."""
        group = f".{self.kind.group}" if self.kind.group else ""
        return f"{self.verb} {self.resource}{group}{f' {self.name}' if self.name else ''}"


def _all(verbs: str, kind: Kind, subresource: str = "", name: str = "") -> tuple[Permission, ...]:
    return tuple(Permission(verb, kind, subresource, name) for verb in verbs.split())


_WHY_NOT = (*_all("list", kinds.EVENT), *_all("list", kinds.POD), *_all("get", kinds.POD, "log"))
"""What tells why a pod does not come up."""

FAMILIES: Mapping[str, tuple[Permission, ...]] = MappingProxyType(
    {
        # Kubeflow Pipelines' launcher and driver, and Argo's executor, run under the account of the run.
        "pipeline": (
            *_all("create patch", WORKFLOW_TASK_RESULT),
            *_all("get", kinds.CONFIG_MAP, name="kfp-launcher"),
            *_all("get", kinds.SECRET, name="mlpipeline-minio-artifact"),
            *_all("get", kinds.POD),
        ),
        "tuning": (
            *_all("get create delete", kinds.EXPERIMENT),
            *_all("list", kinds.TRIAL),
            *_all("get", kinds.SUGGESTION),
            *_WHY_NOT,
        ),
        "training": (*_all("get create delete", kinds.TRAIN_JOB), *_WHY_NOT),
        "deployment": (
            *_all("get create patch delete", kinds.INFERENCE_SERVICE),
            *_all("get create patch delete", kinds.HTTP_ROUTE),
            *_all("get create update", kinds.LEASE),
            *_all("get list create update delete", kinds.CONFIG_MAP),
            *_all("get", kinds.DEPLOYMENT),
            *_all("get", kinds.REVISION),
            *_WHY_NOT,
        ),
    }
)
"""By family: what the Role `fairlead-FAMILY` grants."""

KSERVE_NAMESPACE = "kserve"
KSERVE_READER = (
    *_all("get", kinds.CONFIG_MAP, name="inferenceservice-config"),
    *_all("get", kinds.GATEWAY),
)
"""What `fairlead-kserve-reader` grants in KServe's namespace."""

OPERATOR = (*FAMILIES["deployment"], *_all("get", kinds.POD, "proxy"))
"""What people need who roll out from outside the cluster: Role `fairlead-operator`."""

ACCOUNTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "fairlead-pipeline": ("pipeline",),
        "fairlead-tuning": ("pipeline", "tuning"),
        "fairlead-training": ("pipeline", "training"),
        "fairlead-deployment": ("pipeline", "deployment"),
        "fairlead-run": ("pipeline", "tuning", "training", "deployment"),
        "fairlead-serving": (),
    }
)
"""By service account: the families whose Roles it has."""


def granted(account: str) -> Iterator[Permission]:
    """Yields what a service account may do in its namespace, each permission once.

    Args:
        account: One of `ACCOUNTS`.
    """
    seen = set()
    for family in ACCOUNTS[account]:
        for permission in FAMILIES[family]:
            if permission not in seen:
                seen.add(permission)
                yield permission
