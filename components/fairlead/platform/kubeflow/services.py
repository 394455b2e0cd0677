"""What is wanted of each service on a cluster: one ConfigMap a service, `fairlead-service-NAME`.

It is written before anything is changed by it, and every change can be made again, so whoever finds it after a crash
knows what to finish. Nobody writes it over who has not read what stands there (resourceVersion), and nobody who is no
longer in charge (`charge`, and the epoch that a record remembers).
"""

import time
from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fairlead.errors import PlatformError, StateError
from fairlead.platform.kubeflow.api import AlreadyExistsError, Cluster, ConflictError, Manifest
from fairlead.platform.kubeflow.charge import Charge
from fairlead.platform.kubeflow.kinds import CONFIG_MAP
from fairlead.platform.kubeflow.names import PART_OF, SERVICE, config_map_name
from fairlead.platform.serving import LostChargeError, Previous

Mode = Literal["standard", "knative"]
_KEY, _COMPONENT = "service.json", {"app.kubernetes.io/component": "service"}
_ATTEMPTS = 10


class VersionRecord(Previous):
    """One version that runs, or ran.

    Attributes:
        model: The model's name in the registry.
        manifest: Its InferenceService as it was applied: what is needed to start it again.
        ready_timeout_seconds: How long its server may take until it can answer.
    """

    model_config = ConfigDict(extra="ignore")

    model: str = ""
    manifest: dict[str, Any]
    ready_timeout_seconds: float = 60.0


class ServiceRecord(BaseModel):
    """One service.

    Attributes:
        name: The model's name in request paths.
        mode: How KServe serves it; that cannot be changed.
        host: The host name that clients ask for; empty until KServe has said it.
        scheme: http or https.
        timeout_seconds: How long a client waits at most.
        predictions: Where the prediction log is.
        stable: The digest that serves what the canary does not.
        canary: The digest on trial.
        canary_percent: Its share, 0 to 100.
        shadow_percent: The share of the requests of which it gets copies.
        previous: The version that was stable before.
        versions: What runs, by digest.
        epoch: How often charge of it had changed hands when it was last changed by whoever was in charge.
    """

    model_config = ConfigDict(extra="ignore")

    name: str
    mode: Mode
    host: str = ""
    scheme: str = "http"
    timeout_seconds: float = 15.0
    predictions: str = ""
    stable: str | None = None
    canary: str | None = None
    canary_percent: float = 0.0
    shadow_percent: float = 0.0
    previous: VersionRecord | None = None
    versions: dict[str, VersionRecord] = Field(default_factory=dict)
    epoch: int = 0

    @property
    def endpoint(self) -> str:
        """Where clients post predictions."""
        return f"{self.scheme}://{self.host}/v1/models/{self.name}:predict"

    def percent(self, digest: str) -> float:
        """A version's share of the requests."""
        share = self.canary_percent if self.canary else 0.0
        return share if digest == self.canary else 100 - share if digest == self.stable else 0.0

    def give_all(self, digest: str) -> None:
        """Makes a version the stable one; the one before is remembered."""
        if self.stable not in (None, digest):
            self.previous = self.versions[str(self.stable)]
        self.stable = digest
        self.end_trial()

    def end_trial(self, digest: str | None = None) -> None:
        """No version is on trial any more; with a digest, only if it was that one."""
        if digest in (None, self.canary):
            self.canary, self.canary_percent, self.shadow_percent = None, 0.0, 0.0

    def drop(self, digest: str) -> None:
        """Forgets a version that is gone."""
        self.end_trial(digest)
        self.versions.pop(digest, None)


class ServiceRecords:
    """The services of one namespace.

    Args:
        cluster: The cluster.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def find(self, name: str) -> ServiceRecord | None:
        """A service's record; None where there is none.

        Raises:
            StateError: It is corrupt.
        """
        found = self._cluster.get(CONFIG_MAP, config_map_name("service", name))
        return None if found is None else _parse(found)

    def get(self, name: str) -> ServiceRecord:
        """A service's record.

        Raises:
            PlatformError: There is none of that name.
        """
        found = self.find(name)
        if found is None:
            known = ", ".join(sorted(self.all())) or "none"
            raise PlatformError(
                f"no service {name!r} in namespace {self._cluster.namespace} (there: {known}); deploy a version first"
            )
        return found

    def all(self) -> dict[str, ServiceRecord]:
        """All records, by name."""
        labels = {PART_OF[0]: PART_OF[1], **_COMPONENT}
        found = [_parse(one) for one in self._cluster.list(CONFIG_MAP, labels)]
        return {record.name: record for record in found}

    def change(
        self,
        name: str,
        change: Callable[[ServiceRecord], None],
        charge: Charge | None,
        new: ServiceRecord | None = None,
    ) -> ServiceRecord:
        """Reads, changes and writes a record, again where somebody else was quicker.

        Args:
            name: The service.
            change: Changes the record that was read; called again for every attempt.
            charge: What allows it; None for changes that move no traffic.
            new: The record to begin with where there is none yet.

        Returns:
            The record as it was written.

        Raises:
            LostChargeError: Somebody else is in charge.
            PlatformError: There is no such service.
        """
        for attempt in range(_ATTEMPTS):
            found = self._cluster.get(CONFIG_MAP, config_map_name("service", name))
            record = _parse(found) if found else new or self.get(name)
            _fence(record, charge)
            change(record)
            manifest = self._manifest(found, record)
            try:
                (self._cluster.create if found is None else self._cluster.replace)(manifest)
            except (ConflictError, AlreadyExistsError):
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(0.05 * 2**attempt)
            else:
                return record
        raise AssertionError("the last attempt returns or raises")

    def remove(self, name: str) -> None:
        """Forgets a service."""
        self._cluster.delete(CONFIG_MAP, config_map_name("service", name))

    def _manifest(self, found: Manifest | None, record: ServiceRecord) -> Manifest:
        if found is None:
            labels = {PART_OF[0]: PART_OF[1], **_COMPONENT, SERVICE: record.name}
            metadata = {
                "name": config_map_name("service", record.name), "namespace": self._cluster.namespace, "labels": labels,
            }  # fmt: skip
            found = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
        return {**found, "data": {_KEY: record.model_dump_json(indent=1)}}


def _fence(record: ServiceRecord, charge: Charge | None) -> None:
    if charge is None:
        return
    charge.check()
    if record.epoch > charge.epoch:
        raise LostChargeError(
            f"somebody took charge of {record.name} after this process (epoch {record.epoch} against {charge.epoch})"
        )
    record.epoch = charge.epoch


def _parse(manifest: Manifest) -> ServiceRecord:
    try:
        return ServiceRecord.model_validate_json(manifest["data"][_KEY])
    except (ValidationError, KeyError, TypeError) as error:
        name = manifest["metadata"]["name"]
        raise StateError(f"ConfigMap {name} is not a service's record ({type(error).__name__}); remove it") from None
