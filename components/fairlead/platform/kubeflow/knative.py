"""KServe's Knative mode: one InferenceService a service, a revision a version, `canaryTrafficPercent` between two.

KServe splits by whole per cents and copies no requests, so steps of less than 1 %, and shadow steps, are refused here.
The very first version gets all traffic as soon as it is ready: there is nothing else that could.
"""

from typing import Any

from fairlead.errors import PlatformError, RolloutError
from fairlead.platform.kubeflow.api import Cluster, Manifest
from fairlead.platform.kubeflow.charge import Charge
from fairlead.platform.kubeflow.edge import KOURIER, KOURIER_NAMESPACE, EdgeCounter
from fairlead.platform.kubeflow.gateway import Gateway, host_of, inside
from fairlead.platform.kubeflow.kinds import INFERENCE_SERVICE, REVISION
from fairlead.platform.kubeflow.names import VERSION, short
from fairlead.platform.kubeflow.router import (
    conditions,
    model_complaints,
    wait_for,
    wait_until_in_effect,
    wait_until_known,
)
from fairlead.platform.kubeflow.services import ServiceRecord
from fairlead.platform.order import Address
from fairlead.settings import Settings

_ALL = 100
_TRAFFIC_SECONDS, _BACK_SECONDS = 90.0, 180.0


class KnativeRouter:
    """Versions as revisions of one InferenceService.

    Args:
        cluster: The cluster.
        place: The settings: `gateway_url`.
    """

    def __init__(self, cluster: Cluster, place: Settings) -> None:
        self._cluster, self._settings = cluster, place
        self._versions: dict[str, str] = {}
        self._edge = EdgeCounter(cluster, KOURIER_NAMESPACE, KOURIER)

    def start(self, record: ServiceRecord, digest: str, manifest: Manifest) -> None:
        """Applies the version's spec; beside a stable version it gets no traffic."""
        if record.stable is not None and record.stable != digest:
            manifest = _with_percent(manifest, 0)
        self._cluster.apply(manifest)

    def ready(self, record: ServiceRecord, digest: str) -> bool:
        """Whether the version's revision is the latest ready one, and the traffic is as it was before.

        KServe writes the predictor's address some time after its revision is ready and has its traffic.
        """
        part = self._predictor(record)
        latest = part.get("latestReadyRevision", "")
        if not part.get("url") or not latest or self._revision_version(latest) != short(digest):
            return False
        if record.stable is None or record.stable == digest:
            return self._share(record, digest) == _ALL
        return self._share(record, digest) == 0 and self._share(record, record.stable) == _ALL

    def introduce(self, record: ServiceRecord, digest: str) -> None:
        """Waits until the gateway leads testers to the version.

        KServe names its address by a tag that the version before had; Knative tells who has a tag before its gateway
        follows, and until then the other version answers.
        """
        gateway = self.gateway(record)
        if gateway is not None:
            gateway.close()
            host = host_of(self._url(record, digest))
            with Gateway(self.address(record, digest).url, host, record.name) as testers:
                wait_until_known(testers, record, digest, {})

    def host(self, record: ServiceRecord, digest: str) -> str:
        """The address that Knative gave the predictor."""
        del digest
        return str(self._predictor(record).get("url", ""))

    def complaints(self, record: ServiceRecord, digest: str) -> list[str]:
        """Conditions of the InferenceService, and of the version's revision."""
        told = model_complaints(self._cluster, record.name)
        created = self._predictor(record).get("latestCreatedRevision", "")
        revision = self._cluster.get(REVISION, created) if created else None
        if revision is not None and revision["metadata"].get("labels", {}).get(VERSION) == short(digest):
            told += [f"revision {created}: {line}" for line in conditions(revision)]
        return told

    def split(self, record: ServiceRecord, charge: Charge | None) -> None:
        """Sets the canary's share, and waits until the traffic really is so."""
        canary = record.canary
        if record.shadow_percent:
            raise RolloutError("Knative copies no requests: leave out the step `shadow`, or serve in Standard mode")
        if canary is None:
            self._all_to_stable(record, charge)
            return
        if record.stable is None:
            return  # the first version has all traffic already
        percent = round(record.canary_percent)
        if percent != record.canary_percent:
            raise RolloutError(
                f"Knative splits by whole per cents, {record.canary_percent:g} % was asked for; change rollout.steps, "
                "or serve in Standard mode"
            )
        self._apply(_with_percent(record.versions[canary].manifest, percent), charge)
        self._wait_for_share(record, canary, percent, charge)

    def promoted(self, record: ServiceRecord, charge: Charge) -> None:
        """Takes the split away: the latest revision has everything."""
        self._all_to_stable(record, charge)

    def remove(self, record: ServiceRecord, digest: str, charge: Charge | None) -> None:
        """Has the InferenceService name the stable package again, as a new revision that takes over when it is ready.

        Knative ends the servers of revisions without traffic by itself.
        """
        del digest
        stable = record.stable
        if stable is None:
            if charge is not None:
                charge.check()
            self._cluster.delete(INFERENCE_SERVICE, record.name)
            return
        if self._revision_version(self._predictor(record).get("latestReadyRevision", "")) != short(stable):
            self._apply(_with_percent(record.versions[stable].manifest, 0), charge)
            self._wait_for_latest(record, stable, charge)
        self._all_to_stable(record, charge)

    def forget(self, record: ServiceRecord) -> None:
        """Deletes the InferenceService of a service that has no version any more."""
        self._cluster.delete(INFERENCE_SERVICE, record.name)

    def address(self, record: ServiceRecord, digest: str) -> Address:
        """The revision's own host (KServe's tag routing), by the gateway or, in a pod, as it is."""
        url, reach = self._url(record, digest), self._settings.gateway_url
        return Address(reach.rstrip("/"), {"Host": host_of(url)}) if reach else Address(url)

    def _url(self, record: ServiceRecord, digest: str) -> str:
        """A version's URL by its tag; one that has all the traffic is reached by the service's own as well."""
        traffic = self._predictor(record).get("traffic") or []
        wanted = [entry for entry in traffic if self._revision_version(entry["revisionName"]) == short(digest)]
        tagged = [str(entry["url"]) for entry in wanted if entry.get("url")]
        if tagged:
            return tagged[0]
        url = self.host(record, digest) if self._share(record, digest) == _ALL else ""
        if not url:
            raise PlatformError(f"{record.name}: version {short(digest)} has no address; its revision is gone")
        return url

    def edge_failures(self, record: ServiceRecord) -> dict[str, int]:
        """What Kourier's Envoy counted; other gateways' statistics were not proven, and are not read.

        Knative's activator holds requests back while a revision has no server; what it gives up on, no server counts.
        """
        traffic = self._predictor(record).get("traffic") or []
        revisions = {entry["revisionName"]: f"{self._cluster.namespace}/{entry['revisionName']}" for entry in traffic}
        counted = self._edge.read(revisions) or {}
        found: dict[str, int] = {}
        for digest in record.versions:
            own = [count for name, count in counted.items() if self._revision_version(name) == short(digest)]
            found |= {digest: sum(own)} if own else {}
        return found

    def gateway(self, record: ServiceRecord) -> Gateway | None:
        """Knative's gateway: where the settings say; in a pod its cluster-local address."""
        if self._settings.gateway_url:
            return Gateway(self._settings.gateway_url, host_of(record_url(record)), record.name)
        if inside():
            host = f"{record.name}-predictor.{self._cluster.namespace}.svc.cluster.local"
            return Gateway(f"http://{host}", host, record.name)
        return None

    def _apply(self, manifest: Manifest, charge: Charge | None) -> None:
        """Applies a spec, unless somebody changed the object after this process was found to be in charge."""
        if charge is not None:
            charge.check()
        self._cluster.apply(manifest)

    def _all_to_stable(self, record: ServiceRecord, charge: Charge | None) -> None:
        stable = record.stable
        if stable is None:
            return
        self._apply(record.versions[stable].manifest, charge)
        self._wait_for_share(record, stable, _ALL, charge)

    def _wait_for_latest(self, record: ServiceRecord, digest: str, charge: Charge | None) -> None:
        def done() -> bool:
            part = self._predictor(record)
            latest = part.get("latestReadyRevision", "")
            created = part.get("latestCreatedRevision", latest)
            return bool(latest) and latest == created and self._revision_version(latest) == short(digest)

        wait_for(
            f"the start of {short(digest)} beside the canary", done, _BACK_SECONDS, charge,
            lambda: "; ".join(self.complaints(record, digest)),
        )  # fmt: skip

    def _wait_for_share(self, record: ServiceRecord, digest: str, percent: int, charge: Charge | None) -> None:
        wait_for(
            f"{percent} % of {record.name}'s traffic for {short(digest)}",
            lambda: self._share(record, digest) == percent, _TRAFFIC_SECONDS, charge,
            lambda: f"it is {self._predictor(record).get('traffic')}; {'; '.join(self.complaints(record, digest))}",
        )  # fmt: skip
        gateway = self.gateway(record)
        if gateway is not None:
            with gateway:
                wait_until_in_effect(gateway, record)

    def _share(self, record: ServiceRecord, digest: str) -> int:
        """What KServe says that a version gets, in per cent."""
        part = self._predictor(record)
        return sum(
            int(entry.get("percent") or 0)
            for entry in part.get("traffic") or []
            if self._revision_version(entry["revisionName"]) == short(digest)
        )

    def _predictor(self, record: ServiceRecord) -> dict[str, Any]:
        found = self._cluster.get(INFERENCE_SERVICE, record.name) or {}
        part = found.get("status", {}).get("components", {}).get("predictor", {})
        return dict(part)

    def _revision_version(self, name: str) -> str:
        """The version that a revision runs, by its label; a revision never changes."""
        if name not in self._versions:
            found = self._cluster.get(REVISION, name) if name else None
            if found is None:
                return ""
            self._versions[name] = str(found["metadata"].get("labels", {}).get(VERSION, ""))
        return self._versions[name]


def record_url(record: ServiceRecord) -> str:
    """The service's URL without a path."""
    return f"{record.scheme}://{record.host}"


def _with_percent(manifest: Manifest, percent: int) -> Manifest:
    spec = manifest["spec"]
    return {**manifest, "spec": {**spec, "predictor": {**spec["predictor"], "canaryTrafficPercent": percent}}}
