"""How a cluster can serve and split traffic: found by looking, not by asking what was meant to be installed."""

import json
from dataclasses import dataclass
from typing import Any

from fairlead.errors import PlatformError
from fairlead.platform.kubeflow.api import Cluster, RefusedError
from fairlead.platform.kubeflow.kinds import CONFIG_MAP, GATEWAY, HTTP_ROUTE, INFERENCE_SERVICE, KNATIVE_SERVICE
from fairlead.platform.kubeflow.services import Mode
from fairlead.settings import Settings

KSERVE_NAMESPACE, KSERVE_CONFIG = "kserve", "inferenceservice-config"
_SERVERLESS = ("knative", "serverless")


@dataclass(frozen=True)
class KServeConfig:
    """What KServe was told, as far as it can be read.

    Attributes:
        readable: Whether this user may read it.
        mode: The mode of services that name none, in small letters; empty where it is not known.
        gateway: NAMESPACE/NAME of the Gateway to which KServe attaches its own routes; empty where there is none.
        scheme: http or https, as clients are to use.
    """

    readable: bool
    mode: str = ""
    gateway: str = ""
    scheme: str = "http"


def read_config(cluster: Cluster) -> KServeConfig:
    """Reads KServe's configuration; a user who may not read it gets an empty one."""
    try:
        found = cluster.get(CONFIG_MAP, KSERVE_CONFIG, KSERVE_NAMESPACE)
    except RefusedError:
        return KServeConfig(readable=False)
    if found is None:
        return KServeConfig(readable=False)
    deploy, ingress = (_section(found, name) for name in ("deploy", "ingress"))
    return KServeConfig(
        True, str(deploy.get("defaultDeploymentMode", "")).lower(),
        str(ingress.get("kserveIngressGateway", "")) if ingress.get("enableGatewayApi") else "",
        str(ingress.get("urlScheme") or "http"),
    )  # fmt: skip


def find_mode(cluster: Cluster, place: Settings, config: KServeConfig) -> Mode:
    """Chooses how to serve: as the settings say, as KServe does by default, or the one way that there is.

    Raises:
        PlatformError: The cluster has not what that needs.
    """
    if not cluster.has(INFERENCE_SERVICE):
        raise PlatformError("this cluster has no InferenceServices; install KServe (fairlead doctor --cluster)")
    knative, routes = cluster.has(KNATIVE_SERVICE), cluster.has(HTTP_ROUTE)
    wanted = place.serving_mode
    if wanted == "auto":
        serverless = config.mode in _SERVERLESS or not routes
        wanted = "knative" if knative and serverless else "standard"
    if wanted == "knative" and not knative:
        raise PlatformError("serving_mode is knative, but this cluster has no Knative Serving; install it, or unset it")
    if wanted == "standard" and not routes:
        raise PlatformError(
            "KServe's Standard mode splits no traffic by itself (spec.canary makes servers, and no weights), and this "
            "cluster has no HTTPRoutes to do it with; install the Gateway API with a gateway that implements it, or "
            "Knative"
        )
    return wanted


def find_gateway(place: Settings, config: KServeConfig) -> tuple[str, str]:
    """The Gateway to which routes attach: its namespace and name.

    Raises:
        PlatformError: None is known.
    """
    known = place.gateway or config.gateway
    if not known:
        why = "names none (ingress.enableGatewayApi)" if config.readable else "may not be read by this user"
        raise PlatformError(
            f"no Gateway is known: KServe's configuration {why}; set FAIRLEAD_GATEWAY to NAMESPACE/NAME of one of "
            f"`kubectl get gateways -A`"
        )
    namespace, _, name = known.partition("/")
    return namespace, name


def find_gateway_url(cluster: Cluster, place: Settings, config: KServeConfig) -> str:
    """Where this process reaches the Gateway; empty where nobody says."""
    if place.gateway_url:
        return place.gateway_url.rstrip("/")
    namespace, name = find_gateway(place, config)
    try:
        found = cluster.get(GATEWAY, name, namespace)
    except RefusedError:
        return ""
    if found is None:
        raise PlatformError(f"there is no Gateway {namespace}/{name}; correct the setting gateway")
    addresses = [one["value"] for one in found.get("status", {}).get("addresses", [])]
    listeners = found.get("spec", {}).get("listeners", [])
    plain = next((one for one in listeners if one.get("protocol") == "HTTP"), None)
    if not addresses or plain is None:
        return ""
    address = addresses[0]
    return f"http://{f'[{address}]' if ':' in address else address}:{plain['port']}"


def _section(config: dict[str, Any], name: str) -> dict[str, Any]:
    try:
        found = json.loads(config.get("data", {}).get(name, "{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
