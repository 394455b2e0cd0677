"""What the gateway itself counted: requests that failed on their way to a version, of which its servers know nothing.

Contour's Envoy tells it on its statistics port, by upstream cluster `NAMESPACE_SERVICE_PORT`; Knative's Kourier by
`NAMESPACE/REVISION`. Who may not read that (pods in the gateway's namespace) judges by what the servers counted alone;
a server that is gone is seen by its pods.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from fairlead.errors import PlatformError
from fairlead.platform.kubeflow.api import Cluster
from fairlead.platform.kubeflow.gateway import inside
from fairlead.platform.kubeflow.kinds import POD
from fairlead.platform.kubeflow.pods import read_pod

_RESPONSES, _CLASS, _CLUSTER = "envoy_cluster_upstream_rq_xx", "envoy_response_code_class", "envoy_cluster_name"
_FAILED_CLASS = "5"
_TIMEOUT_SECONDS = 3.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Edge:
    """A kind of gateway whose statistics were seen to be such.

    Attributes:
        labels: Of its Envoy's pods.
        port: Where those tell statistics.
        path: Under which path.
    """

    labels: Mapping[str, str]
    port: int
    path: str = "stats/prometheus"


CONTOUR = Edge({"app": "envoy"}, 8002)
KOURIER = Edge({"app": "3scale-kourier-gateway"}, 9000)
KOURIER_NAMESPACE = "kourier-system"  # as net-kourier's manifests have it


class EdgeCounter:
    """Reads how many requests a gateway answered 5xx, by version.

    Args:
        cluster: The cluster.
        namespace: The gateway's namespace.
        edge: Its kind.
    """

    def __init__(self, cluster: Cluster, namespace: str, edge: Edge = CONTOUR) -> None:
        self._cluster, self._namespace, self._edge = cluster, namespace, edge
        self._refused = False

    def read(self, upstreams: Mapping[str, str]) -> dict[str, int] | None:
        """The requests to each upstream that were answered 5xx, since the gateway began.

        Args:
            upstreams: By role, how the name of its upstream cluster begins.

        Returns:
            By role; None where it cannot be read.
        """
        if self._refused:
            return None
        try:
            pods = [read_pod(one) for one in self._cluster.list(POD, self._edge.labels, self._namespace)]
            texts = [self._text(pod.name, pod.ip) for pod in pods if pod.ready]
        except (PlatformError, httpx.TransportError) as error:
            logger.warning("what the gateway counted cannot be read: %s", error)
            self._refused = True
            return None
        return count_failures(texts, upstreams) if texts else None

    def _text(self, pod: str, ip: str) -> str:
        if not inside():
            return self._cluster.proxy(pod, self._edge.port, self._edge.path, self._namespace)
        address = f"[{ip}]" if ":" in ip else ip
        answer = httpx.get(f"http://{address}:{self._edge.port}/{self._edge.path}", timeout=_TIMEOUT_SECONDS)
        return answer.text if answer.is_success else ""


def count_failures(texts: list[str], upstreams: Mapping[str, str]) -> dict[str, int]:
    """Adds up 5xx answers by role, from Envoys' statistics in Prometheus' text format."""
    from prometheus_client.parser import text_string_to_metric_families

    found = dict.fromkeys(upstreams, 0)
    for text in texts:
        lines = "\n".join(line for line in text.splitlines() if _RESPONSES in line) + "\n"
        for family in text_string_to_metric_families(lines):
            for sample in family.samples:
                if sample.labels.get(_CLASS) != _FAILED_CLASS:
                    continue
                for role, beginning in upstreams.items():
                    if sample.labels.get(_CLUSTER, "").startswith(beginning):
                        found[role] += int(sample.value)
    return found
