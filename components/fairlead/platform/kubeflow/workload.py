"""The InferenceService of one version, made from what was ordered."""

import math
from dataclasses import dataclass
from typing import Any

from fairlead.errors import ConfigurationError
from fairlead.platform.kubeflow.api import Manifest
from fairlead.platform.kubeflow.kinds import INFERENCE_SERVICE
from fairlead.platform.kubeflow.names import (
    DIGEST,
    JUDGES,
    MODEL,
    PACKAGE,
    PART_OF,
    POLICY,
    REGISTRY_VERSION,
    check_name,
    short,
    version_labels,
    version_name,
)
from fairlead.platform.kubeflow.services import Mode
from fairlead.platform.order import Order

RUNTIME = "fairlead-serving"
SERVICE_ACCOUNT = "fairlead-serving"
STORAGE_CONTAINER = "fairlead"
FEATURES_FOLDER = "/etc/fairlead/features"
PREDICTOR = {"app.kubernetes.io/component": "predictor"}
_STOP_SECONDS = 45  # what the server takes at most: 10 s of draining, then 30 s for requests in flight
_POD_SCALERS = ("cpu", "memory")
_UID, _PORT = 10001, 8080


def features_config_map(problem: str) -> str:
    """The ConfigMap that holds a problem's feature_store.yaml for servers."""
    return f"fairlead-features-{problem}"


def needs_features(order: Order) -> bool:
    """Whether the model looks features up for each request."""
    request = order.package.manifest.request
    return bool(request and request.get("feature_service"))


@dataclass(frozen=True)
class Surroundings:
    """What all versions of a place have in common.

    Attributes:
        namespace: Where they run.
        predictions: Where their prediction logs go; empty: a folder that goes with the pod.
        s3_endpoint: Where their object store is.
        image: The image of their servers; empty: the one that the runtime names.
    """

    namespace: str
    predictions: str = ""
    s3_endpoint: str = ""
    image: str = ""


def inference_service(order: Order, mode: Mode, around: Surroundings) -> Manifest:
    """The manifest of a version.

    Args:
        order: What is ordered.
        mode: How KServe serves it.
        around: Where.

    Raises:
        ConfigurationError: The order asks for what this mode has not.
    """
    _check(order, mode)
    name = check_name(order.service) if mode == "knative" else version_name(check_name(order.service), order.digest)
    labels = {PART_OF[0]: PART_OF[1], **PREDICTOR, **version_labels(order.service, order.digest)}
    annotations = {
        "serving.kserve.io/deploymentMode": "Knative" if mode == "knative" else "Standard",
        DIGEST: order.digest, REGISTRY_VERSION: order.version, MODEL: order.model, PACKAGE: order.uri,
        JUDGES: ",".join(order.judges) or "nobody", POLICY: order.policy_digest or "none",
    }  # fmt: skip
    if mode == "knative":
        annotations["serving.kserve.io/enable-tag-routing"] = "true"
    else:
        labels["networking.kserve.io/visibility"] = "cluster-local"  # the route is ours: KServe is to make none
        pods = order.cluster.minimum_replicas == order.cluster.maximum_replicas
        annotations["serving.kserve.io/autoscalerClass"] = "none" if pods else "hpa"
    return {
        "apiVersion": INFERENCE_SERVICE.api_version, "kind": INFERENCE_SERVICE.kind,
        "metadata": {"name": name, "namespace": around.namespace, "labels": labels, "annotations": annotations},
        "spec": {"predictor": _predictor(order, mode, around)},
    }  # fmt: skip


def _check(order: Order, mode: Mode) -> None:
    options = order.cluster
    if order.sticky_header:
        raise ConfigurationError(
            "serving.sticky_header: neither Knative nor the Gateway API keeps a user with one version while shares "
            "change; leave it out on a cluster"
        )
    if options.maximum_replicas < options.minimum_replicas:
        raise ConfigurationError("serving.cluster: maximum_replicas is less than minimum_replicas")
    if mode == "standard" and options.minimum_replicas == 0:
        raise ConfigurationError("serving.cluster.minimum_replicas: only Knative ends the last server; give at least 1")
    if mode == "standard" and options.scale_by in ("concurrency", "rps"):
        raise ConfigurationError(
            f"serving.cluster.scale_by {options.scale_by}: only Knative counts requests; use cpu or memory"
        )


def _predictor(order: Order, mode: Mode, around: Surroundings) -> dict[str, Any]:
    options = order.cluster
    made: dict[str, Any] = {
        "storageContainerName": STORAGE_CONTAINER,
        "serviceAccountName": SERVICE_ACCOUNT, "automountServiceAccountToken": False,
        "minReplicas": options.minimum_replicas, "maxReplicas": options.maximum_replicas,
        "timeout": math.ceil(order.timeout_seconds), "terminationGracePeriodSeconds": _STOP_SECONDS,
        "securityContext": {"runAsNonRoot": True, "runAsUser": _UID, "runAsGroup": _UID, "fsGroup": _UID,
                            "seccompProfile": {"type": "RuntimeDefault"}},
        "model": _model(order, around),
    }  # fmt: skip
    if options.minimum_replicas != options.maximum_replicas:
        by = options.scale_by or ("concurrency" if mode == "knative" else "cpu")
        made |= {"scaleMetric": by, "scaleTarget": options.scale_at}
    if options.logger_url:
        made["logger"] = {"url": options.logger_url, "mode": options.logger_mode}
    if options.node_selector:
        made["nodeSelector"] = dict(options.node_selector)
    if mode == "knative":
        # Knative takes the time-out of requests for the one, and refuses the other: the containers have their own
        del made["terminationGracePeriodSeconds"], made["securityContext"]
    if needs_features(order):
        config_map = {"name": features_config_map(order.problem)}
        made["volumes"] = [{"name": "features", "configMap": config_map}]
    return made


def _model(order: Order, around: Surroundings) -> dict[str, Any]:
    options = order.cluster
    memory = str(order.memory_bytes) if order.memory_bytes else options.memory
    limits = {"memory": memory, **({"cpu": options.cpu_limit} if options.cpu_limit else {})}
    environment = {"FAIRLEAD_MODEL": order.service, "FAIRLEAD_DIGEST": order.digest}
    if around.predictions:
        environment |= {"FAIRLEAD_PREDICTIONS": around.predictions, "FAIRLEAD_S3_ENDPOINT": around.s3_endpoint}
    probe = {"httpGet": {"path": f"/v2/models/{order.service}/ready", "port": _PORT}}
    made: dict[str, Any] = {
        "modelFormat": {"name": "fairlead", "version": "1"}, "runtime": RUNTIME, "storageUri": order.uri,
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "startupProbe": probe, "readinessProbe": probe,
        **({"image": around.image} if around.image else {}),
        "args": [f"--max-body-bytes={order.maximum_request_bytes}"],
        "resources": {"requests": {"cpu": options.cpu, "memory": memory},
                      "limits": limits},
    }  # fmt: skip
    if needs_features(order):
        made["args"].append(f"--features={FEATURES_FOLDER}")
        made["volumeMounts"] = [{"name": "features", "mountPath": FEATURES_FOLDER, "readOnly": True}]
    return made


def describe(order: Order) -> str:
    """A version in a few words."""
    return f"{order.service} version {order.version} ({short(order.digest)})"
