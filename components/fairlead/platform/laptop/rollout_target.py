"""The laptop as the target of a rollout: the five verbs over the supervisor, Envoy's counters and the servers' logs."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import httpx

from fairlead.errors import PlatformError, RolloutError
from fairlead.platform.laptop.client import Supervisor, connect
from fairlead.platform.laptop.counters import VersionCounters
from fairlead.platform.laptop.envoy_config import VERSION_HEADER
from fairlead.platform.laptop.outcomes import OutcomeReader
from fairlead.platform.laptop.state import short
from fairlead.platform.laptop.status import ServiceStatus, SplitRequest
from fairlead.platform.target import Cursor, ObservedSplit, VersionMetrics, Window

LEASE_SECONDS = 20.0  # a canary that nobody has judged for this long loses its traffic
_PROBE_SECONDS = 5.0
_Answer = TypeVar("_Answer")


class LaptopTarget:
    """One deployed version of one service, to be rolled out on this machine.

    Args:
        name: The service.
        digest: The version on trial.

    Raises:
        RolloutError: The version was not deployed.
    """

    def __init__(self, name: str, digest: str) -> None:
        self.name, self.digest = name, digest
        self._supervisor = connect()
        service = self._service()
        if digest not in service.versions:
            raise RolloutError(f"{name}: version {short(digest)} does not run; run deploy_model for it first")
        self.stable = service.stable if service.stable != digest else None
        self.endpoint = service.endpoint
        self._outcomes = OutcomeReader(Path(service.predictions), [d for d in (self.stable, digest) if d])
        self._applied = self._counters()
        self._mismatch = ""

    @property
    def has_stable(self) -> bool:
        """Whether another version serves now."""
        return self.stable is not None

    @property
    def promoted(self) -> bool:
        """Whether this version is the stable one already."""
        return self._service().stable == self.digest

    def apply_split(self, canary_percent: float, shadow_percent: float = 0.0) -> None:
        """Gives the canary its share, for as long as somebody keeps reading its metrics."""
        lease = LEASE_SECONDS if canary_percent > 0 or shadow_percent > 0 else None
        request = SplitRequest(
            canary=self.digest, canary_percent=canary_percent, shadow_percent=shadow_percent, lease_seconds=lease
        )
        self._call(lambda supervisor: supervisor.apply_split(self.name, request))
        self._mismatch = self._probe()
        self._applied = self._counters()

    def observe_split(self) -> ObservedSplit:
        """Counts by Envoy's counters; digests of answers were compared when the split was applied."""
        now = self._counters()
        sent = {role: now[role].since(self._applied[role]).first_attempts for role in now}
        return ObservedSplit(sent.get("stable", 0), sent["canary"], self._mismatch, self._service().sticky)

    def read_metrics(self, since: Cursor | None) -> Window:
        """Reads Envoy's counters and the logs, and renews the lease."""
        service = self._call(lambda supervisor: supervisor.renew(self.name, LEASE_SECONDS))
        now = self._counters()
        restarts = service.versions[self.digest].restarts if self.digest in service.versions else 0
        counters = {role: counts.model_dump(mode="json") for role, counts in now.items()}
        if since is None:
            cursor = {"counters": counters, "outcomes": self._outcomes.begin(), "restarts": restarts}
            past = _metrics(now["stable"], [], []) if "stable" in now else VersionMetrics()
            return Window(past, VersionMetrics(), cursor, self._trouble(service, restarts))
        found, log = self._outcomes.read(since["outcomes"])
        before = {role: VersionCounters.model_validate(counts) for role, counts in since["counters"].items()}
        sides = {
            role: _metrics(
                counts.since(before.get(role, VersionCounters())), found.outcomes[digest], found.scores[digest]
            )
            for (role, counts), digest in zip(now.items(), self._roles().values(), strict=True)
        }
        cursor = {"counters": counters, "outcomes": log, "restarts": since["restarts"]}
        stable = sides.get("stable", VersionMetrics())
        pairs = tuple((answers[self.digest], answers[self.stable]) for answers in found.pairs if self.stable)
        return Window(stable, sides["canary"], cursor, self._trouble(service, since["restarts"]), pairs)

    def promote(self) -> None:
        """Gives the version all traffic for good."""
        self._call(lambda supervisor: supervisor.promote(self.name, self.digest))

    def roll_back(self) -> None:
        """Takes the traffic away first, then stops the server."""
        service = self._service()
        if self.digest in service.versions and service.stable != self.digest:
            if service.canary == self.digest:
                self.apply_split(0)
            self._call(lambda supervisor: supervisor.remove(self.name, self.digest))

    def close(self) -> None:
        """Closes the connection to the supervisor."""
        self._supervisor.close()

    def _roles(self) -> dict[str, str]:
        return {"canary": self.digest, **({"stable": self.stable} if self.stable else {})}

    def _counters(self) -> dict[str, VersionCounters]:
        found = self._call(lambda supervisor: supervisor.counters(self.name))
        return {role: found.get(digest, VersionCounters()) for role, digest in self._roles().items()}

    def _service(self) -> ServiceStatus:
        return self._call(lambda supervisor: supervisor.service(self.name))

    def _trouble(self, service: ServiceStatus, restarts: int) -> str:
        version = service.versions.get(self.digest)
        if version is None:
            return "the canary's server was removed"
        if version.restarts > restarts:
            return f"the canary's server died: {version.last_exit.splitlines()[0]}"
        return "" if version.condition == "ready" else f"the canary's server is {version.condition}"

    def _probe(self) -> str:
        """Asks each version by header through the proxy: do the answers carry the digests that they should?"""
        address = self.endpoint.partition("/v1/")[0]
        with httpx.Client(timeout=_PROBE_SECONDS, trust_env=False) as client:
            for role, digest in self._roles().items():
                try:
                    url = f"{address}/v2/models/{self.name}/ready"
                    answer = client.get(url, headers={VERSION_HEADER: role})
                except httpx.TransportError as error:
                    return f"the proxy does not answer ({type(error).__name__})"
                served = answer.headers.get("x-fairlead-digest", "none")
                if answer.is_success and served != digest:
                    return f"{role} answers with digest {short(served)}, but {short(digest)} was asked for"
        return ""

    def _call(self, ask: Callable[[Supervisor], _Answer]) -> _Answer:
        """Asks the supervisor; one that was killed is replaced, and its successor asked again."""
        try:
            return ask(self._supervisor)
        except PlatformError:
            self._supervisor.close()
            self._supervisor = connect()
            return ask(self._supervisor)


def _metrics(counts: VersionCounters, outcomes: list[tuple[float, int]], scores: list[float]) -> VersionMetrics:
    return VersionMetrics(counts.succeeded, counts.failed, counts.seconds, tuple(outcomes), tuple(scores))
