"""A Kubernetes cluster as the home of deployment: KServe's InferenceServices behind the protocol of both homes."""

import os
import pwd
from base64 import b64encode
from typing import Any, Self

from fairlead import image, progress
from fairlead.errors import PlatformError, RolloutError
from fairlead.platform.kubeflow.api import Cluster
from fairlead.platform.kubeflow.gateway import host_of
from fairlead.platform.kubeflow.kinds import CONFIG_MAP, SELF_SUBJECT_REVIEW
from fairlead.platform.kubeflow.knative import KnativeRouter
from fairlead.platform.kubeflow.modes import KServeConfig, find_mode, read_config
from fairlead.platform.kubeflow.names import PART_OF, SERVICE, short
from fairlead.platform.kubeflow.records import ConfigMapRecords
from fairlead.platform.kubeflow.router import pods_of, wait_until_ready
from fairlead.platform.kubeflow.scrape import PodScraper, total
from fairlead.platform.kubeflow.services import Mode, ServiceRecord, ServiceRecords, VersionRecord
from fairlead.platform.kubeflow.standard import StandardRouter
from fairlead.platform.kubeflow.status import version_status
from fairlead.platform.kubeflow.target import KServeTarget
from fairlead.platform.kubeflow.workload import (
    Surroundings,
    describe,
    features_config_map,
    inference_service,
    needs_features,
)
from fairlead.platform.order import Address, Order
from fairlead.platform.serving import ServiceStatus, Tally
from fairlead.settings import Settings

_BACK_SECONDS = 180.0


class Home:
    """Deployment on a cluster.

    Args:
        place: The settings: `namespace`, `kube_context`, `serving_mode`, `gateway`, `gateway_url`, `object_store`.
    """

    def __init__(self, place: Settings) -> None:
        self._settings = place
        self._connected: Cluster | None = None

    def connect(self, *, start: bool = True) -> "ClusterServing":
        """Connects to the cluster; there is nothing to start."""
        del start
        return ClusterServing(self._cluster, self._settings)

    def running(self) -> bool:
        """There is a cluster, or connecting says what is wrong."""
        return True

    def records(self, name: str) -> ConfigMapRecords:
        """The ConfigMaps of a service's rollouts."""
        return ConfigMapRecords(self._cluster, name)

    def rolled_out(self) -> list[str]:
        """The services of which a rollout is kept."""
        labels = {PART_OF[0]: PART_OF[1], "app.kubernetes.io/component": "rollout"}
        found = self._cluster.list(CONFIG_MAP, labels)
        return sorted({one["metadata"]["labels"][SERVICE] for one in found if one.get("binaryData")})

    def user(self) -> str:
        """The name by which the API server knows whoever acts; this machine's user where it does not say."""
        review = {"apiVersion": SELF_SUBJECT_REVIEW.api_version, "kind": SELF_SUBJECT_REVIEW.kind, "metadata": {}}
        try:
            return str(self._cluster.create(review)["status"]["userInfo"]["username"])
        except (PlatformError, KeyError):  # Kubernetes before 1.28
            return pwd.getpwuid(os.getuid()).pw_name

    @property
    def place(self) -> str:
        """The cluster's namespace."""
        return f"kubernetes-{self._cluster.namespace}"

    def served(self) -> dict[str, str]:
        """What the namespace's services run, or would go back to."""
        found: dict[str, str] = {}
        for record in ServiceRecords(self._cluster).all().values():
            if record.previous is not None:
                found[record.previous.digest] = f"{record.name} goes back to it on a rollback"
            found |= dict.fromkeys(record.versions, f"{record.name} serves it")
        return found

    @property
    def _cluster(self) -> Cluster:
        if self._connected is None:
            self._connected = Cluster.connect(self._settings)
        return self._connected


class ClusterServing:
    """A connection to a namespace's services.

    Args:
        cluster: The cluster.
        place: The settings.
    """

    def __init__(self, cluster: Cluster, place: Settings) -> None:
        self._cluster, self._settings = cluster, place
        self._records = ServiceRecords(cluster)
        self._config: KServeConfig | None = None
        self._routers: dict[Mode, StandardRouter | KnativeRouter] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held open."""

    def deploy(self, order: Order) -> float:
        """Applies the version's InferenceService, and waits until it can answer."""
        record = self._ordered(order)
        router = self.router(record.mode)
        with progress.step(f"deploying {describe(order)}"):
            for digest in [d for d in record.versions if d not in (record.stable, record.canary, order.digest)]:
                self._drop(record.name, digest)
            self._put_features(order)
            router.start(record, order.digest, record.versions[order.digest].manifest)
        waited = wait_until_ready(self._cluster, router, record, order.digest, order.ready_timeout_seconds)
        record = self._named(record, order.digest)
        router.introduce(record, order.digest)
        return waited

    def address(self, name: str, digest: str) -> Address:
        """The way to one version."""
        record = self._records.get(name)
        return self.router(record.mode).address(record, digest)

    def withdraw(self, name: str, digest: str) -> None:
        """Removes a version that will not do; the stable one stays."""
        record = self._records.find(name)
        if record is None or digest not in record.versions or record.stable == digest:
            return
        if record.stable is None:
            self.router(record.mode).remove(record, digest, None)
            self.router(record.mode).forget(record)
            self._records.remove(name)
            return
        record = self._records.change(name, lambda r: r.end_trial(digest), None)
        if isinstance(self.router(record.mode), StandardRouter):
            self.router(record.mode).split(record, None)
        self._drop(name, digest)

    def services(self) -> dict[str, ServiceStatus]:
        """Everything that runs, by name."""
        return {name: self._status(record) for name, record in self._records.all().items()}

    def service(self, name: str) -> ServiceStatus:
        """How one service is doing."""
        return self._status(self._records.get(name))

    def tallies(self, name: str) -> dict[str, Tally]:
        """What the pods that run now were asked and answered; nothing where they cannot be asked."""
        record, scraper = self._records.get(name), PodScraper(self._cluster)
        try:
            read = {d: scraper.read(pods_of(self._cluster, name, d), d) for d in record.versions}
        except PlatformError:
            return {}
        finally:
            scraper.close()
        sums = {digest: total(counts.values()) for digest, counts in read.items()}
        return {digest: Tally(counts.succeeded, counts.failed) for digest, counts in sums.items()}

    def remark(self) -> str:
        """Nothing: gateways are others' to watch."""
        return ""

    def overview(self) -> dict[str, Any]:
        """The cluster, the namespace and its services."""
        services = {name: one.model_dump(mode="json") for name, one in self.services().items()}
        return {"cluster": self._cluster.where, "namespace": self._cluster.namespace, "services": services}

    def target(self, name: str, digest: str) -> KServeTarget:
        """A deployed version, to be rolled out."""
        record = self._records.get(name)
        if digest not in record.versions:
            raise RolloutError(f"{name}: version {short(digest)} does not run; run deploy_model for it first")
        return KServeTarget(self._cluster, self._settings, self.router(record.mode), self._records, name, digest)

    def bring_back(self, name: str) -> None:
        """Starts the version that was stable before, and gives it all traffic; the caller is in charge."""
        previous = self._records.get(name).previous
        if previous is None:
            raise PlatformError(f"{name} has no earlier version to go back to")

        def want(record: ServiceRecord) -> None:
            record.versions[previous.digest] = previous
            record.canary, record.canary_percent, record.shadow_percent = previous.digest, 0.0, 0.0

        record = self._records.change(name, want, None)
        router = self.router(record.mode)
        router.start(record, previous.digest, previous.manifest)
        try:
            wait_until_ready(self._cluster, router, record, previous.digest, _BACK_SECONDS)
            router.introduce(record, previous.digest)
        except PlatformError:
            self.withdraw(name, previous.digest)
            raise
        target = self.target(name, previous.digest)
        target.promote()
        target.close()

    def router(self, mode: Mode) -> StandardRouter | KnativeRouter:
        """The way of serving that a service has."""
        if mode not in self._routers:
            if mode == "standard":
                self._routers[mode] = StandardRouter(self._cluster, self._settings, self._kserve())
            else:
                self._routers[mode] = KnativeRouter(self._cluster, self._settings)
        return self._routers[mode]

    def _kserve(self) -> KServeConfig:
        if self._config is None:
            self._config = read_config(self._cluster)
        return self._config

    def _ordered(self, order: Order) -> ServiceRecord:
        """Writes the version into the service's record, as the one on trial unless it is the stable one."""
        known = self._records.find(order.service)
        mode = known.mode if known else find_mode(self._cluster, self._settings, self._kserve())
        predictions = self._predictions(order.service)
        manifest = inference_service(order, mode, self._surroundings(predictions))
        version = VersionRecord(
            digest=order.digest, version=order.version, package=order.uri, model=order.model, manifest=manifest,
            ready_timeout_seconds=order.ready_timeout_seconds,
        )  # fmt: skip

        def want(record: ServiceRecord) -> None:
            _refuse_second(record, order.digest)
            record.versions[order.digest] = version
            record.timeout_seconds, record.predictions = order.timeout_seconds, predictions
            record.canary = None if record.stable == order.digest else order.digest
            record.canary_percent, record.shadow_percent = 0.0, 0.0

        new = ServiceRecord(name=order.service, mode=mode, scheme=self._kserve().scheme)
        return self._records.change(order.service, want, None, new)

    def _named(self, record: ServiceRecord, digest: str) -> ServiceRecord:
        """Notes the host name that KServe has given."""
        url = self.router(record.mode).host(record, digest)

        def name(found: ServiceRecord) -> None:
            found.host = host_of(url) or found.host

        return self._records.change(record.name, name, None)

    def _put_features(self, order: Order) -> None:
        """Writes the files of the problem's feature store into the ConfigMap that the version's pods mount."""
        if not needs_features(order):
            return
        name = features_config_map(order.problem)
        files = {key: b64encode(content).decode() for key, content in order.read_features().items()}
        found = self._cluster.get(CONFIG_MAP, name)
        metadata = {"name": name, "namespace": self._cluster.namespace, "labels": dict([PART_OF])}
        content = found or {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
        if content.get("binaryData") != files:
            (self._cluster.replace if found else self._cluster.create)({**content, "binaryData": files})

    def _surroundings(self, predictions: str) -> Surroundings:
        registry = self._settings.image_registry
        own = image.place(image.SERVING, registry) if registry else ""
        return Surroundings(self._cluster.namespace, predictions, self._settings.s3_endpoint, own)

    def _predictions(self, service: str) -> str:
        store = self._settings.object_store.rstrip("/")
        return f"{store}/predictions/{service}" if store else ""

    def _drop(self, name: str, digest: str) -> None:
        """Ends a version that nobody asks, and forgets it."""
        record = self._records.get(name)
        if record.mode == "standard" or record.canary is None:
            self.router(record.mode).remove(record, digest, None)
        self._records.change(name, lambda r: r.drop(digest), None)

    def _status(self, record: ServiceRecord) -> ServiceStatus:
        pods = {digest: pods_of(self._cluster, record.name, digest) for digest in record.versions}
        versions = {
            digest: version_status(self._cluster, record, version, pods[digest])
            for digest, version in record.versions.items()
        }
        return ServiceStatus(
            name=record.name, endpoint=record.endpoint, stable=record.stable, canary=record.canary,
            canary_percent=record.canary_percent, shadow_percent=record.shadow_percent, previous=record.previous,
            predictions=record.predictions, versions=versions,
        )  # fmt: skip


def _refuse_second(record: ServiceRecord, digest: str) -> None:
    if record.canary not in (None, digest) and (record.canary_percent or record.shadow_percent):
        raise RolloutError(
            f"{record.name}: canary {short(str(record.canary))} gets {record.canary_percent:g} % of the traffic; end "
            f"its rollout first (fairlead promote {record.name}, or fairlead rollback {record.name})"
        )
