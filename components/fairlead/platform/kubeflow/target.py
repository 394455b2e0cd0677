"""A version on a cluster as the target of a rollout: the engine's verbs over KServe, the gateway and the servers."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from fairlead.errors import PlatformError, RolloutError, SourceError
from fairlead.platform.kubeflow.api import Cluster
from fairlead.platform.kubeflow.charge import charge_of
from fairlead.platform.kubeflow.gateway import Gateway
from fairlead.platform.kubeflow.names import short
from fairlead.platform.kubeflow.pods import Pod, explain_pods
from fairlead.platform.kubeflow.router import Router, pods_of
from fairlead.platform.kubeflow.scrape import Counts, PodScraper, PrometheusScraper, total
from fairlead.platform.kubeflow.services import ServiceRecord, ServiceRecords
from fairlead.platform.laptop.outcomes import OutcomeReader, Reading
from fairlead.platform.target import Cursor, ObservedSplit, VersionMetrics, Window
from fairlead.settings import Settings

_SAMPLE = 10  # own requests through the gateway at each look


class _Scraper(Protocol):
    def read(self, pods: list[Pod], digest: str) -> dict[str, Counts]:
        """The counts of a version, by run of a server."""

    def close(self) -> None:
        """Closes connections."""


class KServeTarget:
    """One deployed version of one service, to be rolled out on a cluster.

    Args:
        cluster: The cluster.
        place: The settings: `prometheus_uri`.
        router: How the service is served.
        records: The namespace's services.
        name: The service.
        digest: The version on trial.
    """

    def __init__(
        self, cluster: Cluster, place: Settings, router: Router, records: ServiceRecords, name: str, digest: str
    ) -> None:
        self.name, self.digest = name, digest
        self._cluster, self._router, self._records = cluster, router, records
        record = records.get(name)
        self.stable = record.stable if record.stable != digest else None
        self.endpoint = record.endpoint
        self._scraper: _Scraper = (
            PrometheusScraper(place.prometheus_uri, cluster.namespace, name)
            if place.prometheus_uri
            else PodScraper(cluster)
        )
        self._gateway: Gateway | None = router.gateway(record)
        self._log = OutcomeReader(record.predictions, list(self._roles().values())) if record.predictions else None
        self._shadow = 0.0
        self._applied: dict[str, dict[str, Counts]] = {}
        self._sampled: Counter[str] = Counter()

    @property
    def has_stable(self) -> bool:
        """Whether another version serves now."""
        return self.stable is not None

    @property
    def promoted(self) -> bool:
        """Whether this version is the stable one already."""
        return self._records.get(self.name).stable == self.digest

    def apply_split(self, canary_percent: float, shadow_percent: float = 0.0) -> None:
        """Writes down what is wanted, makes it so, and returns when the gateway does it.

        Raises:
            LostChargeError: This process is not in charge.
            RolloutError: The version is gone, or the mode cannot split so.
            PlatformError: The gateway goes on as before.
        """
        charge = charge_of(self._cluster, self.name)

        def want(record: ServiceRecord) -> None:
            if self.digest not in record.versions:
                raise RolloutError(f"{self.name}: version {short(self.digest)} was removed; deploy it again")
            record.canary, record.canary_percent = self.digest, canary_percent
            record.shadow_percent = shadow_percent

        record = self._records.change(self.name, want, charge)
        self._router.split(record, charge)
        self._shadow, self._sampled = shadow_percent, Counter()
        self._applied = self._counts()

    def observe_split(self) -> ObservedSplit:
        """Counts what the servers were asked since the split, and who answered own requests through the gateway."""
        now = self._counts()
        if not self._applied:
            self._applied = now
        if self._gateway is not None:
            self._sampled += self._gateway.sample(_SAMPLE)
        roles = self._roles()
        asked = {role: self._since(now, self._applied, role).asked for role in roles}
        if self._shadow:
            asked["canary"] = 0  # copies, which its server cannot tell from requests
        answered = {role: self._sampled[digest] for role, digest in roles.items()}
        return ObservedSplit(
            asked.get("stable", 0) + answered.get("stable", 0), asked["canary"] + answered["canary"], self._mismatch()
        )

    def read_metrics(self, since: Cursor | None) -> Window:
        """Reads the servers' counters and the prediction log, and tells that somebody still judges."""
        charge = charge_of(self._cluster, self.name)
        charge.beat()
        pods = {role: pods_of(self._cluster, self.name, digest) for role, digest in self._roles().items()}
        now = self._counts(pods)
        counters = {role: {key: one.plain() for key, one in counts.items()} for role, counts in now.items()}
        edge = self._router.edge_failures(self._records.get(self.name))
        if since is None:
            restarts = {pod.uid: pod.restarts for pod in pods["canary"]}
            begin = self._begin_log()
            past = _metrics(total(now["stable"].values()), [], []) if "stable" in now else VersionMetrics()
            cursor = {"counters": counters, "restarts": restarts, "outcomes": begin, "edge": edge}
            return Window(past, VersionMetrics(), cursor, self._trouble(pods["canary"], restarts))
        before = {
            role: {key: Counts.of_plain(one) for key, one in counts.items()}
            for role, counts in since["counters"].items()
        }
        found, log = self._read_log(since["outcomes"])
        unseen = {digest: count - since["edge"].get(digest, count) for digest, count in edge.items()}
        sides = {role: self._side(self._since(now, before, role), role, unseen, found) for role in now}
        cursor = {"counters": _kept(counters, since["counters"]), "restarts": since["restarts"], "outcomes": log,
                  "edge": {**since["edge"], **edge}}  # fmt: skip
        answers = found.pairs if found else []
        pairs = tuple((both[self.digest], both[self.stable]) for both in answers if self.stable)
        trouble = self._trouble(pods["canary"], since["restarts"])
        return Window(sides.get("stable", VersionMetrics()), sides["canary"], cursor, trouble, pairs)

    def promote(self) -> None:
        """Gives the version all traffic for good; the old one is drained and removed."""
        charge = charge_of(self._cluster, self.name)
        record = self._records.change(self.name, lambda record: record.give_all(self.digest), charge)
        self._router.promoted(record, charge)
        for old in [digest for digest in record.versions if digest != self.digest]:
            if record.mode == "standard":
                self._router.remove(record, old, charge)
            record = self._records.change(self.name, lambda found, old=old: found.drop(old), charge)  # type: ignore[misc] # mypy takes the default for an argument

    def roll_back(self) -> None:
        """Takes the traffic away first, then ends the servers."""
        charge = charge_of(self._cluster, self.name)
        record = self._records.find(self.name)
        if record is None or self.digest not in record.versions or record.stable == self.digest:
            return
        if record.stable is not None and record.canary == self.digest:
            self.apply_split(0)
        record = self._records.change(self.name, lambda found: found.end_trial(self.digest), charge)
        if record.stable is not None and record.mode == "standard":
            self._router.split(record, charge)
        self._router.remove(record, self.digest, charge)
        self._records.change(self.name, lambda found: found.drop(self.digest), charge)

    def close(self) -> None:
        """Closes connections; what runs runs on."""
        self._scraper.close()
        if self._gateway is not None:
            self._gateway.close()

    def _roles(self) -> dict[str, str]:
        return {"canary": self.digest, **({"stable": self.stable} if self.stable else {})}

    def _counts(self, pods: Mapping[str, list[Pod]] | None = None) -> dict[str, dict[str, Counts]]:
        """By role and run of a server, what was answered."""
        roles = self._roles()
        found = pods or {role: pods_of(self._cluster, self.name, digest) for role, digest in roles.items()}
        return {role: self._scraper.read(found[role], digest) for role, digest in roles.items()}

    @staticmethod
    def _since(
        now: Mapping[str, Mapping[str, Counts]], before: Mapping[str, Mapping[str, Counts]], role: str
    ) -> Counts:
        earlier = before.get(role, {})
        return total(counts.since(earlier.get(key, Counts())) for key, counts in now[role].items())

    def _side(self, counts: Counts, role: str, edge: Mapping[str, int], found: Reading | None) -> VersionMetrics:
        """One version's window; what failed on the way to its servers is added to what they failed themselves."""
        digest = self._roles()[role]
        outcomes, scores = (found.outcomes[digest], found.scores[digest]) if found else ([], [])
        lost = max(0, edge.get(digest, 0) - counts.failed)
        return VersionMetrics(counts.succeeded, counts.failed + lost, counts.seconds, tuple(outcomes), tuple(scores))

    def _begin_log(self) -> dict[str, Any] | None:
        try:
            return self._log.begin() if self._log else None
        except SourceError as error:
            raise PlatformError(f"the prediction log of {self.name} cannot be read: {error}") from None

    def _read_log(self, cursor: dict[str, Any] | None) -> tuple[Reading | None, dict[str, Any] | None]:
        if self._log is None or cursor is None:
            return None, cursor
        try:
            return self._log.read(cursor)
        except SourceError as error:
            raise PlatformError(f"the prediction log of {self.name} cannot be read: {error}") from None

    def _mismatch(self) -> str:
        """What own requests were answered by that is neither version."""
        known = set(self._roles().values())
        strange = [one for one in self._sampled if one.startswith("sha256:") and one not in known]
        return f"the gateway answers with version {short(strange[0])}, which is neither" if strange else ""

    def _trouble(self, pods: list[Pod], before: Mapping[str, int]) -> str:
        """What is wrong with the canary's pods; empty if nothing is."""
        for pod in pods:
            if pod.restarts > before.get(pod.uid, 0):
                ended = next((one.ended for one in pod.containers if one.restarts and one.ended), "was started again")
                return f"the canary's server died: {pod.name} {ended}"
            if pod.hopeless:
                return f"the canary's server does not run: {pod.hopeless}"
        record = self._records.get(self.name)
        if self.digest not in record.versions:
            return "the canary was removed"
        least = record.versions[self.digest].manifest["spec"]["predictor"]["minReplicas"]
        if least and not any(pod.ready for pod in pods):
            told = explain_pods(self._cluster, [pod for pod in pods if not pod.leaving]).splitlines()
            return "no server of the canary is ready" + (
                f": {'; '.join(line.strip() for line in told[:4])}" if told else ""
            )
        return ""


def _metrics(counts: Counts, outcomes: list[tuple[float, int]], scores: list[float]) -> VersionMetrics:
    return VersionMetrics(counts.succeeded, counts.failed, counts.seconds, tuple(outcomes), tuple(scores))


def _kept(now: dict[str, dict[str, Any]], before: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The counters of now, with the last ones of servers that did not answer: they may answer again."""
    return {role: {**before.get(role, {}), **counts} for role, counts in now.items()}
