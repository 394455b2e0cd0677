"""The gateway in front of a service, as clients meet it: who answers through it?"""

import os
from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx

from fairlead.platform.kubeflow.names import DIGEST_HEADER

NO_ANSWER = "no answer"
_TIMEOUT_SECONDS = 5.0


def inside() -> bool:
    """Whether this process runs in a pod."""
    return "KUBERNETES_SERVICE_HOST" in os.environ


class Gateway:
    """Own requests through a gateway; they ask for readiness, so servers count them as no prediction.

    Args:
        url: Where this process reaches the gateway: http(s)://HOST[:PORT].
        host: The host name that clients ask for.
        service: The service, as paths name it.
    """

    def __init__(self, url: str, host: str, service: str) -> None:
        self.url, self.host, self._path = url.rstrip("/"), host, f"/v2/models/{service}/ready"
        # A new connection for each: the threads and replicas of a gateway hear of changes one after the other, and a
        # connection stays with one of them.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(base_url=self.url, timeout=_TIMEOUT_SECONDS, trust_env=False, limits=limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()

    def ask(self, headers: Mapping[str, str] | None = None) -> str:
        """Who answers one request.

        Returns:
            The digest in the answer; where there is none, what came instead: `status 503`, `no answer (…)`.
        """
        try:
            answer = self._client.get(self._path, headers={"Host": self.host, **(headers or {})})
        except httpx.TransportError as error:
            return f"{NO_ANSWER} ({type(error).__name__})"
        return answer.headers.get(DIGEST_HEADER) or f"status {answer.status_code}"

    def sample(self, count: int) -> Counter[str]:
        """Who answers so many requests."""
        return Counter(self.ask() for _ in range(count))


def host_of(url: str) -> str:
    """The host name (and port) of a URL."""
    return urlsplit(url).netloc
