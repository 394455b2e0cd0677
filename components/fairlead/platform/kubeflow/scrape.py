"""What servers count, read from their pods: each pod's `/metrics`, or Prometheus where it is configured."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from fairlead.errors import PlatformError
from fairlead.platform.kubeflow.api import Cluster
from fairlead.platform.kubeflow.gateway import inside
from fairlead.platform.kubeflow.names import short
from fairlead.platform.kubeflow.pods import Pod

PORT = 8080
_TIMEOUT_SECONDS = 3.0
_REQUESTS, _SECONDS = "fairlead_requests_total", "fairlead_request_seconds_bucket"
_NOT_PREDICTIONS = ("feedback", "explain")
_FIRST_SERVER_ERROR, _REFUSED = 500, 429


@dataclass(frozen=True)
class Counts:
    """What one pod has answered since it began.

    Attributes:
        succeeded: Predictions answered well.
        failed: Predictions that the server failed to answer; a client's own mistake (4xx) is no failure.
        rejected: Predictions refused for a mistake of the client (4xx): they were sent here all the same.
        seconds: Predictions by latency: upper bounds in seconds, and the count in each bucket.
    """

    succeeded: int = 0
    failed: int = 0
    rejected: int = 0
    seconds: Mapping[float, int] = field(default_factory=dict)

    @property
    def asked(self) -> int:
        """Predictions that were sent here."""
        return self.succeeded + self.failed + self.rejected

    def since(self, earlier: "Counts") -> "Counts":
        """What came after an earlier reading; where the server was started anew in between, all of this one."""
        if self.asked < earlier.asked:
            return self
        seconds = {bound: max(0, n - earlier.seconds.get(bound, 0)) for bound, n in self.seconds.items()}
        return Counts(
            self.succeeded - earlier.succeeded, self.failed - earlier.failed, self.rejected - earlier.rejected, seconds
        )

    def plain(self) -> list[Any]:
        """As JSON."""
        kept = [[bound, count] for bound, count in self.seconds.items() if count]
        return [self.succeeded, self.failed, self.rejected, kept]

    @classmethod
    def of_plain(cls, content: Sequence[Any]) -> "Counts":
        """From JSON."""
        return cls(int(content[0]), int(content[1]), int(content[2]), {float(b): int(n) for b, n in content[3]})


def total(counts: Iterable[Counts]) -> Counts:
    """Several pods' counts together."""
    succeeded = failed = rejected = 0
    seconds: dict[float, int] = {}
    for one in counts:
        succeeded, failed, rejected = succeeded + one.succeeded, failed + one.failed, rejected + one.rejected
        for bound, count in one.seconds.items():
            seconds[bound] = seconds.get(bound, 0) + count
    return Counts(succeeded, failed, rejected, dict(sorted(seconds.items())))


def read_counts(text: str, digest: str) -> Counts:
    """Reads one version's counts from a server's answer to GET /metrics.

    Args:
        text: The answer, in Prometheus' text format.
        digest: The version; a server's other models are left out.
    """
    from prometheus_client.parser import text_string_to_metric_families

    samples = [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name in (_REQUESTS, _SECONDS)
    ]
    return count_samples(samples, digest)


def count_samples(samples: Iterable[tuple[str, Mapping[str, str], float]], digest: str) -> Counts:
    """Sorts samples (name, labels, value) of one pod by outcome and by latency."""
    good = bad = refused = 0
    below: dict[float, int] = {}
    for name, labels, value in samples:
        if labels.get("version") != short(digest) or labels.get("protocol") in _NOT_PREDICTIONS:
            continue
        if name == _SECONDS:
            bound = float(labels["le"])
            below[bound] = below.get(bound, 0) + int(value)
            continue
        code = int(labels.get("code", "0"))
        if code >= _FIRST_SERVER_ERROR or code == _REFUSED:
            bad += int(value)
        elif 200 <= code < 300:  # noqa: PLR2004 (HTTP)
            good += int(value)
        else:
            refused += int(value)
    return Counts(good, bad, refused, _in_buckets(below))


def _in_buckets(below: Mapping[float, int]) -> dict[float, int]:
    """Counts in each bucket from counts below each bound; what is beyond the last bound counts as twice that."""
    made, before = {}, 0
    bounds = sorted(below)
    for bound in bounds:
        finite = bound if bound != float("inf") else 2 * max((b for b in bounds if b != bound), default=1.0)
        made[finite] = below[bound] - before
        before = below[bound]
    return made


class PodScraper:
    """Reads counts from pods: by their addresses inside the cluster, through the API server elsewhere.

    Args:
        cluster: The cluster.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._client = httpx.Client(timeout=_TIMEOUT_SECONDS, trust_env=False)

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()

    def read(self, pods: Iterable[Pod], digest: str) -> dict[str, Counts]:
        """The counts of a version's pods, by what names each run of a server: the pod's uid, and its restarts.

        A pod that does not answer is left out: what it counted comes with the next reading, or never.

        Raises:
            PlatformError: Pods that are ready do not answer at all.
        """
        found, deaf = {}, []
        for pod in pods:
            if not pod.ip:
                continue
            try:
                found[f"{pod.uid}/{pod.restarts}"] = read_counts(self._text(pod), digest)
            except (httpx.TransportError, PlatformError, ValueError) as error:
                deaf += [f"{pod.name}: {error}"] if pod.ready else []
        if deaf and not found:
            raise PlatformError(f"the metrics of {short(digest)} cannot be read: {'; '.join(deaf)}")
        return found

    def _text(self, pod: Pod) -> str:
        if not inside():
            return self._cluster.proxy(pod.name, PORT, "metrics")
        answer = self._client.get(f"http://{_bracketed(pod.ip)}:{PORT}/metrics")
        if not answer.is_success:
            raise PlatformError(f"{pod.name} answers /metrics with {answer.status_code}")
        return answer.text


class PrometheusScraper:
    """Reads the same counts from Prometheus, which keeps those of pods that are gone.

    Args:
        uri: Its address.
        namespace: The pods' namespace.
        service: The model's name in metrics.
    """

    def __init__(self, uri: str, namespace: str, service: str) -> None:
        self._client = httpx.Client(base_url=uri.rstrip("/"), timeout=_TIMEOUT_SECONDS, trust_env=False)
        self._namespace, self._service = namespace, service

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()

    def read(self, pods: Iterable[Pod], digest: str) -> dict[str, Counts]:
        """The counts of a version, by pod; `pods` are not asked.

        Raises:
            PlatformError: Prometheus does not answer, or not what it should.
        """
        del pods
        selector = f'{{namespace="{self._namespace}",model="{self._service}",version="{short(digest)}"}}'
        by_pod: dict[str, list[tuple[str, Mapping[str, str], float]]] = {}
        for name in (_REQUESTS, _SECONDS):
            for labels, value in self._query(f"{name}{selector}"):
                by_pod.setdefault(labels.get("pod") or labels.get("instance", ""), []).append((name, labels, value))
        return {pod: count_samples(samples, digest) for pod, samples in by_pod.items()}

    def _query(self, query: str) -> list[tuple[Mapping[str, str], float]]:
        try:
            answer = self._client.get("/api/v1/query", params={"query": query})
            content = answer.json()
            if content["status"] != "success":
                raise PlatformError(f"Prometheus refuses {query}: {content.get('error')}")
            return [(one["metric"], float(one["value"][1])) for one in content["data"]["result"]]
        except (httpx.TransportError, ValueError, KeyError, TypeError) as error:
            raise PlatformError(
                f"Prometheus at {self._client.base_url} does not answer {query} ({type(error).__name__}: {error}); "
                f"correct the setting prometheus_uri, or unset it"
            ) from None


def _bracketed(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip
