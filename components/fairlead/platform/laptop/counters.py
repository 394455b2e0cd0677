"""What a version was asked and answered, from Envoy's counters.

All are counters that only grow, so two readings can be subtracted at any moment. Attempts are judged, not requests: a
request that failed at the canary and was answered well by the stable version is the canary's failure.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

# Envoy counts a retried answer under `retry.`, a refused connection as an ejected pending request, a connection that
# broke under a request as destroyed by the other side; none of these are in upstream_rq_completed.
_FAILED_WITHOUT_ANSWER = (
    "retry.upstream_rq_completed",
    "upstream_rq_pending_failure_eject",
    "upstream_cx_destroy_remote_with_active_rq",
    "upstream_rq_per_try_timeout",
)

STATS = (
    *_FAILED_WITHOUT_ANSWER, "upstream_rq_2xx", "upstream_rq_completed", "upstream_rq_total", "upstream_rq_retry",
    "upstream_rq_time",
)  # fmt: skip


class VersionCounters(BaseModel):
    """Counts of one version since Envoy started, or between two readings.

    Attributes:
        first_attempts: Requests that the split sent to this version, retries left out.
        succeeded: Attempts answered 2xx.
        failed: Attempts answered otherwise or not at all.
        seconds: Answered attempts by latency: the upper bounds of buckets in seconds, and the count in each bucket.
    """

    model_config = ConfigDict(frozen=True)

    first_attempts: int = 0
    succeeded: int = 0
    failed: int = 0
    seconds: dict[float, int] = {}

    def since(self, earlier: "VersionCounters") -> "VersionCounters":
        """Gives what came after an earlier reading; where Envoy was restarted in between, all of this one."""
        if self.succeeded < earlier.succeeded or self.failed < earlier.failed:
            return self
        return VersionCounters(
            first_attempts=max(0, self.first_attempts - earlier.first_attempts),
            succeeded=self.succeeded - earlier.succeeded,
            failed=self.failed - earlier.failed,
            seconds={bound: max(0, n - earlier.seconds.get(bound, 0)) for bound, n in self.seconds.items()},
        )


def read_counters(stats: Sequence[Mapping[str, Any]], cluster: str) -> VersionCounters:
    """Reads one cluster's counters.

    Args:
        stats: Envoy's answer to `/stats?format=json&histogram_buckets=cumulative`: its `stats`.
        cluster: The cluster's name.
    """
    prefix = f"cluster.{cluster}."
    value = {s["name"].removeprefix(prefix): s["value"] for s in stats if str(s.get("name", "")).startswith(prefix)}
    histograms = [h for s in stats if "histograms" in s for h in s["histograms"]]
    good = int(value.get("upstream_rq_2xx", 0))
    failed = (
        int(value.get("upstream_rq_completed", 0)) - good + sum(int(value.get(k, 0)) for k in _FAILED_WITHOUT_ANSWER)
    )
    asked = int(value.get("upstream_rq_total", 0)) + int(value.get("upstream_rq_pending_failure_eject", 0))
    return VersionCounters(
        first_attempts=asked - int(value.get("upstream_rq_retry", 0)),
        succeeded=good,
        failed=failed,
        seconds=_seconds(histograms, f"{prefix}upstream_rq_time"),
    )


def _seconds(histograms: Sequence[Mapping[str, Any]], name: str) -> dict[float, int]:
    """Counts per bucket of one histogram, from its cumulative counts."""
    found = next((h for h in histograms if h["name"] == name), None)
    counts, below = {}, 0
    for bucket in found["buckets"] if found else ():
        counts[float(bucket["upper_bound"]) / 1000] = int(bucket["cumulative"]) - below
        below = int(bucket["cumulative"])
    return counts
