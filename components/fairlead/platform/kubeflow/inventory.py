"""What a cluster has: which parts are installed, in which version, and how they are set up.

Everything is read; nothing is changed. What this user may not read is left unknown, which is not the same as missing.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.api import Cluster, Manifest, NotServedError, RefusedError
from fairlead.platform.kubeflow.kinds import Kind

_DEPLOYED = (  # the controller that tells a part's version, where its group does not
    ("kserve", "kserve", "kserve-controller-manager"),
    ("knative", "knative-serving", "controller"),
    ("katib", "kubeflow", "katib-controller"),
    ("trainer", "kubeflow-system", "kubeflow-trainer-controller-manager"),
    ("kfp", "kubeflow", "ml-pipeline"),
)
_GROUPS = {
    "kserve": kinds.INFERENCE_SERVICE,
    "knative": kinds.KNATIVE_SERVICE,
    "gateway": kinds.HTTP_ROUTE,
    "katib": kinds.EXPERIMENT,
    "trainer": kinds.TRAIN_JOB,
    "prometheus": kinds.POD_MONITOR,
}
_DEFAULT = "storageclass.kubernetes.io/is-default-class"
_VERSION = re.compile(r"v?\d+\.\d+[\w.+-]*")


@dataclass(frozen=True)
class Part:
    """One part of the platform.

    Attributes:
        name: kserve, knative, gateway, katib, trainer, prometheus or kfp.
        present: Whether the cluster serves its kinds; None where that cannot be known.
        version: As its controller's image or its kinds tell; empty where nothing that this user may read does.
    """

    name: str
    present: bool | None
    version: str = ""


@dataclass(frozen=True)
class GatewayState:
    """One Gateway.

    Attributes:
        name: NAMESPACE/NAME.
        programmed: Whether a controller has taken it up.
    """

    name: str
    programmed: bool


@dataclass(frozen=True)
class Inventory:
    """What was found.

    Attributes:
        kubernetes: The API server's version.
        parts: By name.
        serving_mode: KServe's default: standard or knative; empty where it cannot be read.
        gateway: The Gateway that KServe's own routes use, NAMESPACE/NAME; empty where unknown or unused.
        s3_endpoint: HOST:PORT of the object store that KServe asks where a Secret names none; empty for Amazon's.
        gateways: Every Gateway; None where this user may not list them.
        storage_classes: Their names, the default one first and marked `(default)`; None where they cannot be listed.
        runtimes: Serving runtimes that fit: `fairlead-serving (namespace)` or `(cluster)`.
        storage_container: Whether there is the storage initializer of fairlead, which `restricted` lets in.
        training_runtimes: Runtimes of the Trainer that the namespace may use.
    """

    kubernetes: str
    parts: Mapping[str, Part]
    serving_mode: str = ""
    gateway: str = ""
    s3_endpoint: str = ""
    gateways: tuple[GatewayState, ...] | None = None
    storage_classes: tuple[str, ...] | None = None
    runtimes: tuple[str, ...] = ()
    storage_container: bool = False
    training_runtimes: tuple[str, ...] = field(default=())

    def has(self, name: str) -> bool:
        """Whether a part is there for certain."""
        return bool(self.parts[name].present)


def take_inventory(cluster: Cluster) -> Inventory:
    """Reads what a cluster has.

    Args:
        cluster: The cluster, and the namespace that is to be used.

    Raises:
        PlatformError: The cluster does not answer.
    """
    parts = {name: Part(name, cluster.has(kind), _bundle(cluster, kind)) for name, kind in _GROUPS.items()}
    parts["kfp"] = Part("kfp", _has_pipelines(cluster))
    for name, namespace, deployment in _DEPLOYED:
        part = parts[name]
        if part.present is not False and not part.version:
            parts[name] = Part(name, part.present, _controller_version(cluster, namespace, deployment))
    mode, gateway, s3_endpoint = _serving(cluster) if parts["kserve"].present else ("", "", "")
    return Inventory(
        kubernetes=str(cluster.read("/version").get("gitVersion", "")),
        parts=parts,
        serving_mode=mode,
        gateway=gateway,
        s3_endpoint=s3_endpoint,
        gateways=_gateways(cluster) if parts["gateway"].present else (),
        storage_classes=_storage_classes(cluster),
        runtimes=tuple(_named(cluster, "fairlead-serving", kinds.SERVING_RUNTIME, kinds.CLUSTER_SERVING_RUNTIME)),
        storage_container=_get(cluster, kinds.CLUSTER_STORAGE_CONTAINER, "fairlead") is not None,
        training_runtimes=tuple(_runtimes(cluster)) if parts["trainer"].present else (),
    )


def _get(cluster: Cluster, kind: Kind, name: str, namespace: str = "") -> Manifest | None:
    """An object; None where it is not there, or is not for this user."""
    try:
        return cluster.get(kind, name, namespace)
    except RefusedError:
        return None


def _list(cluster: Cluster, kind: Kind, namespace: str = "") -> list[Manifest] | None:
    """All objects of a kind; None where they are not for this user, or the kind is not served."""
    try:
        return cluster.list(kind, namespace=namespace)
    except (RefusedError, NotServedError):
        return None


def _bundle(cluster: Cluster, kind: Kind) -> str:
    """The version that a kind's own definition tells, as Gateway API's and Knative's do."""
    definition = _get(cluster, kinds.CUSTOM_RESOURCE_DEFINITION, f"{kind.plural}.{kind.group}") or {}
    metadata = definition.get("metadata", {})
    told = metadata.get("annotations", {}).get("gateway.networking.k8s.io/bundle-version", "")
    told = told or metadata.get("annotations", {}).get("operator.prometheus.io/version", "")
    return str(told or metadata.get("labels", {}).get("app.kubernetes.io/version", ""))


def _controller_version(cluster: Cluster, namespace: str, name: str) -> str:
    """The version in the tag of a controller's image, or in its labels."""
    deployment = _get(cluster, kinds.DEPLOYMENT, name, namespace)
    if deployment is None:
        return ""
    label = deployment["metadata"].get("labels", {}).get("app.kubernetes.io/version", "")
    images = [c["image"] for c in deployment["spec"]["template"]["spec"]["containers"]]
    tags = (image.rpartition("/")[2].partition("@")[0].partition(":")[2] for image in images)
    return next((tag for tag in tags if _VERSION.fullmatch(tag)), str(label))


def _has_pipelines(cluster: Cluster) -> bool | None:
    """Whether Kubeflow Pipelines is installed; None where this user may not look."""
    try:
        return cluster.get(kinds.SERVICE, "ml-pipeline", "kubeflow") is not None
    except RefusedError:
        return None


def _serving(cluster: Cluster) -> tuple[str, str, str]:
    """KServe's default mode, the Gateway of its own routes and its object store, from its configuration."""
    config = (_get(cluster, kinds.CONFIG_MAP, "inferenceservice-config", "kserve") or {}).get("data", {})
    deploy, ingress = (_section(config, name) for name in ("deploy", "ingress"))
    mode = str(deploy.get("defaultDeploymentMode", ""))
    modern = {"RawDeployment": "standard", "Standard": "standard", "Serverless": "knative", "Knative": "knative"}
    gateway = str(ingress.get("kserveIngressGateway", "")) if ingress.get("enableGatewayApi") else ""
    stores = _section(config, "credentials").get("s3") or {}
    return modern.get(mode, mode.lower()), gateway, str(stores.get("s3Endpoint", ""))


def _section(config: Mapping[str, str], name: str) -> dict[str, Any]:
    """A part of KServe's configuration, which is JSON with a good deal of freedom: YAML takes it all."""
    try:
        found = yaml.safe_load(config.get(name, ""))
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def _gateways(cluster: Cluster) -> tuple[GatewayState, ...] | None:
    """Every Gateway of the cluster."""
    found = _list(cluster, kinds.GATEWAY, "*")
    if found is None:
        return None
    return tuple(
        GatewayState(f"{g['metadata']['namespace']}/{g['metadata']['name']}", is_true(g, "Programmed")) for g in found
    )


def is_true(manifest: Manifest, condition: str) -> bool:
    """Whether an object's status says that a condition holds."""
    conditions: Iterable[Manifest] = manifest.get("status", {}).get("conditions", [])
    return any(c.get("type") == condition and c.get("status") == "True" for c in conditions)


def _storage_classes(cluster: Cluster) -> tuple[str, ...] | None:
    found = _list(cluster, kinds.STORAGE_CLASS)
    if found is None:
        return None
    default = {str(c["metadata"]["name"]): _DEFAULT in c["metadata"].get("annotations", {}) for c in found}
    ordered = sorted(default, key=lambda name: (not default[name], name))
    return tuple(f"{name} (default)" if default[name] else name for name in ordered)


def _named(cluster: Cluster, name: str, own: Kind, shared: Kind) -> Iterator[str]:
    """Where a runtime of a name is: KServe takes the namespace's before the cluster's."""
    if _get(cluster, own, name) is not None:
        yield f"{name} (namespace)"
    if _get(cluster, shared, name) is not None:
        yield f"{name} (cluster)"


def _runtimes(cluster: Cluster) -> Iterator[str]:
    for kind in (kinds.TRAINING_RUNTIME, kinds.CLUSTER_TRAINING_RUNTIME):
        for found in _list(cluster, kind) or []:
            yield str(found["metadata"]["name"])
