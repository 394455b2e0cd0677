"""Who is in charge of a service's rollout on a cluster: a Lease, renewed by a thread, checked before every write.

A Lease fences nothing by itself, so a holder that was cut off, stopped or slow must notice by its own clock that its
time is over: `check` refuses once the last renewal that succeeded is older than two thirds of the Lease's duration. A
taker does not trust the time that is written in a Lease, because clocks of machines differ: it watches for the whole
duration, by its own clock, that nothing is renewed, and takes over only then.
"""

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from fairlead.errors import PlatformError
from fairlead.platform.kubeflow.api import AlreadyExistsError, Cluster, ConflictError, Manifest
from fairlead.platform.kubeflow.kinds import LEASE
from fairlead.platform.kubeflow.names import PART_OF, SERVICE
from fairlead.platform.serving import InChargeError, LostChargeError

DURATION_SECONDS = 20
_RENEW_SECONDS = 3.0
_DEADLINE = 2 / 3  # of the duration: from then on a holder that could not renew writes nothing any more
_IDLE_SECONDS = 120.0  # a holder that does nothing for this long hangs, and is not renewed
_POLL_SECONDS = 0.5
logger = logging.getLogger(__name__)

Watched = tuple[str, float]  # a Lease as it was seen (`version_of`), and since when by this process's monotonic clock
NOT_WATCHED: Watched = ("", 0.0)

_held: dict[tuple[str, str], "Charge"] = {}  # of this process, by namespace and service


class Charge:
    """This process's charge of one service.

    Args:
        cluster: The cluster.
        name: The service.
        lease: The Lease as it was taken.
    """

    def __init__(self, cluster: Cluster, name: str, lease: Manifest) -> None:
        self._cluster, self.name, self._lease = cluster, name, lease
        self.epoch = int(lease["spec"]["leaseTransitions"])
        self.holder = str(lease["spec"]["holderIdentity"])
        self._duration = float(lease["spec"]["leaseDurationSeconds"])
        self._renewed = self._beaten = time.monotonic()
        self._lost = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._renew_for_ever, name=f"lease {name}", daemon=True)

    def check(self) -> None:
        """Makes sure that this process is still in charge; to be called before every write.

        Raises:
            LostChargeError: It is not, or cannot know.
        """
        age = time.monotonic() - self._renewed
        if not self._lost and age > self._duration * _DEADLINE:
            self._lost = f"its Lease could not be renewed for {age:.0f} s"
        if self._lost:
            raise LostChargeError(
                f"this process is no longer in charge of {self.name}'s rollout: {self._lost}; run it again, it goes on "
                f"from what was written down"
            )

    def beat(self) -> None:
        """Tells that the holder is not hanging."""
        self._beaten = time.monotonic()

    def start(self) -> None:
        """Begins to renew."""
        self._thread.start()

    def release(self) -> None:
        """Stops renewing, and gives the Lease back."""
        self._stop.set()
        self._thread.join(5)
        if not self._lost:
            self._lease["spec"]["holderIdentity"] = ""
            with suppress(PlatformError):  # it ends by itself
                self._cluster.replace(self._lease)
        self._lost = self._lost or "it was given back"

    def _renew_for_ever(self) -> None:
        while not self._stop.wait(_RENEW_SECONDS) and not self._lost:
            if time.monotonic() - self._beaten > _IDLE_SECONDS:
                self._lost = f"it has done nothing for {_IDLE_SECONDS:.0f} s"
                return
            try:
                self._renew()
            except PlatformError as error:
                logger.warning("the Lease of %s cannot be renewed: %s", self.name, error)

    def _renew(self) -> None:
        asked = time.monotonic()
        self._lease["spec"]["renewTime"] = _now()
        try:
            self._lease = self._cluster.replace(self._lease)
        except ConflictError:
            found = self._cluster.get(LEASE, lease_name(self.name))
            if found is None or found["spec"].get("holderIdentity") != self.holder:
                taken = "nobody" if found is None else found["spec"].get("holderIdentity") or "nobody"
                self._lost = f"{taken} holds its Lease"
                return
            self._lease = found
            return
        self._renewed = asked


def lease_name(service: str) -> str:
    """The name of a service's Lease."""
    return f"fairlead-rollout-{service}"


def charge_of(cluster: Cluster, service: str) -> Charge:
    """This process's charge of a service, proven to hold.

    Raises:
        LostChargeError: This process is not in charge.
    """
    charge = _held.get((cluster.namespace, service))
    if charge is None:
        raise LostChargeError(f"this process is not in charge of {service}; take charge by its records first")
    charge.check()
    return charge


@contextmanager
def take_charge(
    cluster: Cluster, service: str, duration_seconds: int = DURATION_SECONDS, watched: Watched = NOT_WATCHED
) -> Iterator[Charge]:
    """Takes charge of a service.

    A Lease whose holder died is taken over when nobody has renewed it for its whole duration.

    Args:
        cluster: The cluster.
        service: The service.
        duration_seconds: How long a holder that cannot renew keeps it.
        watched: What this process has seen of the Lease already, if it has watched it.

    Raises:
        InChargeError: Its holder is alive.
    """
    key = (cluster.namespace, service)
    if key in _held:
        raise InChargeError(f"this process is in charge of {service} already")
    charge = Charge(cluster, service, _take(cluster, service, duration_seconds, watched))
    charge.start()
    _held[key] = charge
    try:
        yield charge
    finally:
        del _held[key]
        charge.release()


def version_of(lease: Manifest | None) -> str:
    """What changes with every renewal of a Lease."""
    spec = lease["spec"] if lease else {}
    return f"{spec.get('holderIdentity')} {spec.get('renewTime')}"


def is_held(lease: Manifest) -> bool:
    """Whether a Lease names a holder, alive or dead."""
    return bool(lease["spec"].get("holderIdentity"))


def _take(cluster: Cluster, service: str, duration_seconds: int, watched: Watched) -> Manifest:
    seen, since = watched if watched[0] else ("", time.monotonic())
    while True:
        found = cluster.get(LEASE, lease_name(service))
        if found is None or not is_held(found):
            lease = _try_to_take(cluster, service, found, duration_seconds)
            if lease is not None:
                return lease
            continue
        spec = found["spec"]
        version = version_of(found)
        if seen and version != seen:
            raise InChargeError(
                f"{spec['holderIdentity']} is in charge of {service}'s rollout; wait for its end, or tell it to end: "
                f"fairlead rollback {service}"
            )
        if seen and time.monotonic() - since > float(spec.get("leaseDurationSeconds", duration_seconds)):
            logger.warning("%s has not renewed its Lease of %s: taken over", spec["holderIdentity"], service)
            lease = _try_to_take(cluster, service, found, duration_seconds)
            if lease is not None:
                return lease
        seen = seen or version
        time.sleep(_POLL_SECONDS)


def _try_to_take(cluster: Cluster, service: str, found: Manifest | None, duration_seconds: int) -> Manifest | None:
    """Writes this process into the Lease; None where another was quicker."""
    spec: dict[str, Any] = dict(found["spec"]) if found else {}
    spec |= {
        "holderIdentity": f"{socket.gethostname()[:40]}-{os.getpid()}-{uuid.uuid4().hex[:8]}",
        "leaseDurationSeconds": duration_seconds, "acquireTime": _now(), "renewTime": _now(),
        "leaseTransitions": int(spec.get("leaseTransitions", 0)) + 1,
    }  # fmt: skip
    try:
        if found is not None:
            return cluster.replace({**found, "spec": spec})
        labels = {PART_OF[0]: PART_OF[1], SERVICE: service}
        metadata = {"name": lease_name(service), "namespace": cluster.namespace, "labels": labels}
        return cluster.create({"apiVersion": LEASE.api_version, "kind": "Lease", "metadata": metadata, "spec": spec})
    except (ConflictError, AlreadyExistsError):
        return None


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
