"""What both ways of serving on a cluster have in common: where a version's pods are, and who answers."""

import time
from collections.abc import Callable, Mapping
from typing import Protocol

from fairlead import progress
from fairlead.errors import PlatformError
from fairlead.platform.kubeflow.api import Cluster, Manifest
from fairlead.platform.kubeflow.charge import Charge
from fairlead.platform.kubeflow.gateway import NO_ANSWER, Gateway
from fairlead.platform.kubeflow.kinds import INFERENCE_SERVICE
from fairlead.platform.kubeflow.names import short, version_labels
from fairlead.platform.kubeflow.pods import Pod, explain_pods, list_pods
from fairlead.platform.kubeflow.services import ServiceRecord
from fairlead.platform.order import Address

POLL_SECONDS = 0.25
_SURE = 20  # own requests in a row that must be answered as they should, before a share of 0 or 100 % counts as there
_KNOWN = 5  # and so many that a version must answer before it counts as known: a gateway may be several processes
_SETTLE_SECONDS = 90.0
_NO_POD = ("FailedCreate", "denied the request", "ContainerMissing")  # a quota, Pod Security; a webhook; Knative: image
_STUCK_SECONDS = 6.0  # an image that is not there yet, or a first crash, gets this long before it counts as hopeless


class Router(Protocol):
    """One way of serving: how a version starts, gets its share, and goes."""

    def start(self, record: ServiceRecord, digest: str, manifest: Manifest) -> None:
        """Starts a version at weight 0; returns before it is ready."""

    def ready(self, record: ServiceRecord, digest: str) -> bool:
        """Whether a version can answer."""

    def introduce(self, record: ServiceRecord, digest: str) -> None:
        """Makes a version that is ready known to the gateway, at no share: testers reach it from now on."""

    def host(self, record: ServiceRecord, digest: str) -> str:
        """The URL under which clients find the service, once a version runs; empty before it is known."""

    def complaints(self, record: ServiceRecord, digest: str) -> list[str]:
        """What stands in the way of a version that does not come up, besides its pods."""

    def split(self, record: ServiceRecord, charge: Charge | None) -> None:
        """Makes the traffic as the record says; returns when that is in effect."""

    def promoted(self, record: ServiceRecord, charge: Charge) -> None:
        """Makes the traffic as the record says after a promotion, for good."""

    def remove(self, record: ServiceRecord, digest: str, charge: Charge | None) -> None:
        """Ends a version's servers; it has no traffic any more."""

    def address(self, record: ServiceRecord, digest: str) -> Address:
        """Where this process reaches one version, whatever its share."""

    def edge_failures(self, record: ServiceRecord) -> dict[str, int]:
        """By digest, the requests that the gateway answered 5xx so far; empty where it does not tell."""

    def gateway(self, record: ServiceRecord) -> Gateway | None:
        """The gateway as clients meet it; None where this process does not reach it."""


def pods_of(cluster: Cluster, service: str, digest: str) -> list[Pod]:
    """A version's pods."""
    return list_pods(cluster, version_labels(service, digest))


def wait_until_ready(
    cluster: Cluster, router: Router, record: ServiceRecord, digest: str, timeout_seconds: float
) -> float:
    """Waits until a version can answer, and says why where it does not come to that.

    Returns:
        How long it took, in seconds.

    Raises:
        PlatformError: It is stuck, or takes too long; with conditions, events, container states and log lines.
    """
    version, started, since = record.versions[digest].version, time.monotonic(), 0.0
    with progress.step(f"waiting for {record.name} version {version}") as step:
        while not router.ready(record, digest):
            waited = time.monotonic() - started
            pods = pods_of(cluster, record.name, digest)
            hopeless = (
                next(filter(None, (pod.hopeless for pod in pods)), "") if pods else _refusal(router, record, digest)
            )
            since = (since or waited) if hopeless else 0.0
            if hopeless and waited - since > _STUCK_SECONDS:
                raise PlatformError(_explain(cluster, router, record, digest, f"does not start: {hopeless}"))
            if waited > timeout_seconds:
                text = f"was not ready after {timeout_seconds:g} s (serving.ready_timeout_seconds)"
                raise PlatformError(_explain(cluster, router, record, digest, text))
            step.update(waited, pods=len(pods), ready=sum(pod.ready for pod in pods))
            time.sleep(POLL_SECONDS)
    return round(time.monotonic() - started, 3)


def _refusal(router: Router, record: ServiceRecord, digest: str) -> str:
    """Why no pod may come up at all (quota, Pod Security, a webhook); empty if nothing says so."""
    return next((line for line in router.complaints(record, digest) if any(word in line for word in _NO_POD)), "")


def _explain(cluster: Cluster, router: Router, record: ServiceRecord, digest: str, what: str) -> str:
    pods = pods_of(cluster, record.name, digest)
    told = [*router.complaints(record, digest), explain_pods(cluster, pods)]
    return "\n".join(
        [f"{record.name} version {record.versions[digest].version} ({short(digest)}) {what}", *filter(None, told)]
    )


def conditions(manifest: Manifest | None) -> list[str]:
    """The conditions of an object that are not met, in words."""
    found = (manifest or {}).get("status", {}).get("conditions", [])
    return [
        f"{one['type']} is {one['status']}" + (f": {one['reason']}" if one.get("reason") else "")
        + (f" ({one['message']})" if one.get("message") else "")
        for one in found
        if one.get("status") != "True" and one.get("severity") != "Info"
    ]  # fmt: skip


def model_complaints(cluster: Cluster, name: str) -> list[str]:
    """What an InferenceService says is wrong with it."""
    found = cluster.get(INFERENCE_SERVICE, name)
    if found is None:
        return [f"InferenceService {name} is not there"]
    failure = found.get("status", {}).get("modelStatus", {}).get("lastFailureInfo", {})
    said = f"its model: {failure.get('reason', '')} {failure.get('message', '')}".strip() if failure else ""
    events = [line for line in cluster.events("InferenceService", name) if "Failed" in line or "Error" in line][-3:]
    return [f"InferenceService {name}: {line}" for line in [*conditions(found), *filter(None, [said]), *events]]


def wait_until_in_effect(gateway: Gateway | None, record: ServiceRecord) -> None:
    """Asks through the gateway until the answers are such as the record wants.

    Raises:
        PlatformError: They are not, for half a minute.
    """
    if gateway is None:
        return
    wanted = {digest for digest in (record.stable, record.canary) if digest and record.percent(digest) > 0}
    deadline = time.monotonic() + _SETTLE_SECONDS
    seen: list[str] = []
    while True:
        answer = gateway.ask()
        if not answer.startswith(NO_ANSWER):  # says nothing about the split
            seen = [*seen, answer][-_SURE:]
        if len(seen) == _SURE and set(seen) <= wanted:
            return
        if time.monotonic() > deadline:
            names = ", ".join(sorted({short(one) for one in seen}))
            should = ", ".join(sorted(short(one) for one in wanted)) or "nobody"
            raise PlatformError(
                f"{record.name}: {_SETTLE_SECONDS:.0f} s after the split was changed the gateway at {gateway.url} "
                f"still answers with {names or NO_ANSWER}, where {should} should"
            )


def wait_until_known(gateway: Gateway | None, record: ServiceRecord, digest: str, headers: Mapping[str, str]) -> None:
    """Asks for a version as testers do, until it alone answers: only then do all of the gateway know its servers.

    A share given before that would be answered 503 for a moment.

    Raises:
        PlatformError: It does not answer.
    """
    if gateway is None:
        return
    deadline, right = time.monotonic() + _SETTLE_SECONDS, 0
    while right < _KNOWN:
        answer = gateway.ask(headers)
        right = right + 1 if answer == digest else 0
        if time.monotonic() > deadline:
            raise PlatformError(
                f"{record.name}: the gateway at {gateway.url} does not lead testers to {short(digest)}: {short(answer)}"
            )
        if not right:
            time.sleep(POLL_SECONDS)


def wait_for(
    what: str, done: Callable[[], bool], timeout_seconds: float, charge: Charge | None, why: Callable[[], str]
) -> None:
    """Waits until something is so, as long as this process is in charge.

    Raises:
        PlatformError: It takes too long.
        LostChargeError: Somebody else took charge.
    """
    deadline = time.monotonic() + timeout_seconds
    while not done():
        if charge is not None:
            charge.beat()
            charge.check()
        if time.monotonic() > deadline:
            raise PlatformError(f"{what} did not happen in {timeout_seconds:.0f} s: {why()}")
        time.sleep(POLL_SECONDS)
