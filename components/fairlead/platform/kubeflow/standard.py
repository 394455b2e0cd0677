"""KServe's Standard mode: one InferenceService a version, and one HTTPRoute of ours in front of them.

A version's InferenceService never changes: the pods that were judged as a canary are the pods that serve afterwards,
and nothing is started anew by a promotion. KServe is told (visibility cluster-local) to make no route for them, so that
there is nothing to fight about; the route carries the host name that KServe would give a service of that name.
Weights are of 10,000, so a share is exact to a hundredth of a per cent.
"""

import time
from typing import Any

from fairlead.errors import PlatformError
from fairlead.platform.kubeflow.api import Cluster, Manifest
from fairlead.platform.kubeflow.charge import Charge
from fairlead.platform.kubeflow.edge import EdgeCounter
from fairlead.platform.kubeflow.gateway import Gateway, host_of, inside
from fairlead.platform.kubeflow.kinds import DEPLOYMENT, GATEWAY, HTTP_ROUTE, INFERENCE_SERVICE
from fairlead.platform.kubeflow.modes import KServeConfig, find_gateway, find_gateway_url
from fairlead.platform.kubeflow.names import EPOCH, PART_OF, SERVICE, VERSION_HEADER, short, version_name
from fairlead.platform.kubeflow.router import (
    conditions,
    model_complaints,
    pods_of,
    wait_for,
    wait_until_in_effect,
    wait_until_known,
)
from fairlead.platform.kubeflow.services import ServiceRecord
from fairlead.platform.order import Address
from fairlead.settings import Settings

WEIGHTS = 10_000
_PORT, _POD_PORT = 80, 8080
_ACCEPT_SECONDS, _GONE_SECONDS, _DRAIN_SECONDS = 90.0, 90.0, 1.0


class StandardRouter:
    """Versions as InferenceServices behind an HTTPRoute.

    Args:
        cluster: The cluster.
        place: The settings: `gateway`, `gateway_url`.
        config: KServe's configuration.
    """

    def __init__(self, cluster: Cluster, place: Settings, config: KServeConfig) -> None:
        self._cluster, self._settings, self._config = cluster, place, config
        self._edge: EdgeCounter | None = None

    def start(self, record: ServiceRecord, digest: str, manifest: Manifest) -> None:
        """Applies the version's InferenceService."""
        del record, digest
        self._cluster.apply(manifest)

    def ready(self, record: ServiceRecord, digest: str) -> bool:
        """Whether KServe says so, and a pod does."""
        found = self._cluster.get(INFERENCE_SERVICE, version_name(record.name, digest))
        met = {c["type"]: c["status"] for c in (found or {}).get("status", {}).get("conditions", [])}
        return met.get("Ready") == "True" and any(pod.ready for pod in pods_of(self._cluster, record.name, digest))

    def introduce(self, record: ServiceRecord, digest: str) -> None:
        """Adds the version to the route, for testers, and waits until the gateway leads them there."""
        self.split(record, None)
        gateway = self.gateway(record)
        if gateway is not None:
            with gateway:
                role = "canary" if digest == record.canary else "stable"
                wait_until_known(gateway, record, digest, {VERSION_HEADER: role})

    def host(self, record: ServiceRecord, digest: str) -> str:
        """KServe's own template, applied to the service's name."""
        name = version_name(record.name, digest)
        found = self._cluster.get(INFERENCE_SERVICE, name) or {}
        return str(found.get("status", {}).get("url", "")).replace(name, record.name, 1)

    def complaints(self, record: ServiceRecord, digest: str) -> list[str]:
        """Conditions of the InferenceService, and of the Deployment behind it (quota, refused pods)."""
        name = version_name(record.name, digest)
        deployment = self._cluster.get(DEPLOYMENT, f"{name}-predictor")
        told = [f"Deployment {name}-predictor: {line}" for line in conditions(deployment) if "Replica" in line]
        failed = [
            f"Deployment {name}-predictor: {one['reason']}: {one.get('message', '')}"
            for one in (deployment or {}).get("status", {}).get("conditions", [])
            if one["type"] == "ReplicaFailure" and one["status"] == "True"
        ]
        return [*model_complaints(self._cluster, name), *told, *failed]

    def split(self, record: ServiceRecord, charge: Charge | None) -> None:
        """Applies the route, and waits until the gateway has taken it."""
        if charge is not None:
            charge.check()
        route = self._cluster.apply(self._route(record))
        generation = route["metadata"]["generation"]

        def refusal() -> str:
            found = self._cluster.get(HTTP_ROUTE, record.name)
            told = [c for parent in _parents(found) for c in parent.get("conditions", [])]
            return "; ".join(conditions({"status": {"conditions": told}})) or "no gateway has said anything about it"

        wait_for(
            f"the gateway's acceptance of HTTPRoute {record.name}",
            lambda: _accepted(self._cluster.get(HTTP_ROUTE, record.name), generation), _ACCEPT_SECONDS, charge, refusal,
        )  # fmt: skip
        if record.stable or record.canary_percent:
            with_gateway = self.gateway(record)
            if with_gateway is not None:
                with with_gateway:
                    wait_until_in_effect(with_gateway, record)

    def promoted(self, record: ServiceRecord, charge: Charge) -> None:
        """The same: the version's own pods go on serving."""
        self.split(record, charge)

    def remove(self, record: ServiceRecord, digest: str, charge: Charge | None) -> None:
        """Deletes the version's InferenceService, and waits until its pods are gone or going.

        Its requests in flight are answered: the server drains when it is told to end.
        """
        if charge is not None:
            charge.check()
        time.sleep(_DRAIN_SECONDS)  # gateways change one after the other; the last one's requests are still under way
        name = version_name(record.name, digest)
        self._cluster.delete(INFERENCE_SERVICE, name)
        wait_for(
            f"the end of {name}",
            lambda: all(pod.leaving for pod in pods_of(self._cluster, record.name, digest)), _GONE_SECONDS, charge,
            lambda: "; ".join(model_complaints(self._cluster, name)),
        )  # fmt: skip

    def forget(self, record: ServiceRecord) -> None:
        """Deletes the route of a service that has no version any more."""
        self._cluster.delete(HTTP_ROUTE, record.name)

    def address(self, record: ServiceRecord, digest: str) -> Address:
        """A pod's address inside the cluster; elsewhere the gateway, with the header that testers use."""
        if inside():
            for pod in pods_of(self._cluster, record.name, digest):
                if pod.ready:
                    return Address(f"http://{f'[{pod.ip}]' if ':' in pod.ip else pod.ip}:{_POD_PORT}")
            raise PlatformError(f"{record.name}: no pod of version {short(digest)} is ready")
        url = find_gateway_url(self._cluster, self._settings, self._config)
        if not url:
            raise PlatformError("from outside the cluster its gateway must be reached; set FAIRLEAD_GATEWAY_URL")
        role = "canary" if digest == record.canary else "stable"
        return Address(url, {"Host": record.host, VERSION_HEADER: role})

    def edge_failures(self, record: ServiceRecord) -> dict[str, int]:
        """What Contour's Envoy counted; other gateways' statistics were not proven, and are not read."""
        if self._edge is None:
            self._edge = EdgeCounter(self._cluster, find_gateway(self._settings, self._config)[0])
        space = self._cluster.namespace
        return self._edge.read({d: f"{space}_{version_name(record.name, d)}-predictor_" for d in record.versions}) or {}

    def gateway(self, record: ServiceRecord) -> Gateway | None:
        """The gateway, with the service's host name."""
        url = find_gateway_url(self._cluster, self._settings, self._config)
        return Gateway(url, record.host, record.name) if url else None

    def _route(self, record: ServiceRecord) -> Manifest:
        namespace, name = find_gateway(self._settings, self._config)
        labels = {PART_OF[0]: PART_OF[1], SERVICE: record.name}
        roles = {"canary": record.canary, "stable": record.stable}
        rules = [self._tester_rule(record, role, digest) for role, digest in roles.items() if digest]
        backends = self._backends(record)
        if backends:
            rules.append(self._rule(record, backends))
        return {
            "apiVersion": HTTP_ROUTE.api_version, "kind": HTTP_ROUTE.kind,
            "metadata": {"name": record.name, "namespace": self._cluster.namespace, "labels": labels,
                         "annotations": {EPOCH: str(record.epoch)}},
            "spec": {
                "parentRefs": [
                    {"group": GATEWAY.group, "kind": GATEWAY.kind, "namespace": namespace, "name": name}
                ],
                "hostnames": [host_of(f"//{record.host}").partition(":")[0]],
                "rules": rules,
            },
        }  # fmt: skip

    def _backends(self, record: ServiceRecord) -> list[dict[str, Any]]:
        """Weights of what gets requests; together 10,000."""
        canary = round(record.canary_percent * WEIGHTS / 100) if record.canary else 0
        weights = {record.stable: WEIGHTS - canary if record.stable else 0, record.canary: canary}
        return [_backend(record, digest, weight) for digest, weight in weights.items() if digest and weight]

    def _rule(self, record: ServiceRecord, backends: list[dict[str, Any]]) -> dict[str, Any]:
        rule: dict[str, Any] = {
            "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
            "backendRefs": backends, "timeouts": {"request": _duration(record.timeout_seconds)},
        }  # fmt: skip
        if record.shadow_percent and record.canary:
            mirror: dict[str, Any] = {"backendRef": _backend(record, record.canary, None)}
            if record.shadow_percent < 100:  # noqa: PLR2004 (per cent)
                mirror["fraction"] = {"numerator": round(record.shadow_percent * 100), "denominator": WEIGHTS}
            rule["filters"] = [{"type": "RequestMirror", "requestMirror": mirror}]
        return rule

    def _tester_rule(self, record: ServiceRecord, role: str, digest: str) -> dict[str, Any]:
        headers = [{"type": "Exact", "name": VERSION_HEADER, "value": role}]
        return {
            "matches": [{"path": {"type": "PathPrefix", "value": "/"}, "headers": headers}],
            "backendRefs": [_backend(record, digest, 1)], "timeouts": {"request": _duration(record.timeout_seconds)},
        }  # fmt: skip


def _backend(record: ServiceRecord, digest: str, weight: int | None) -> dict[str, Any]:
    name = f"{version_name(record.name, digest)}-predictor"
    made: dict[str, Any] = {"group": "", "kind": "Service", "name": name, "port": _PORT}
    return made if weight is None else made | {"weight": weight}


def _duration(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def _parents(route: Manifest | None) -> list[dict[str, Any]]:
    return list((route or {}).get("status", {}).get("parents", []))


def _accepted(route: Manifest | None, generation: int) -> bool:
    """Whether a gateway has taken this very generation, with all backends found."""
    for parent in _parents(route):
        met = {c["type"]: c for c in parent.get("conditions", [])}
        wanted = [met.get(name, {}) for name in ("Accepted", "ResolvedRefs")]
        if all(one.get("status") == "True" and one.get("observedGeneration", 0) >= generation for one in wanted):
            return True
    return False
