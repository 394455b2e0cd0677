"""Latencies, summed up honestly: quantiles that exist, and how sure a share of late requests is."""

import math
from dataclasses import dataclass

import numpy as np

QUANTILES = (0.5, 0.9, 0.99, 0.999)
BUSIEST_CLIENT = 0.9
"""Of one core: a client that takes more is late in ways that it cannot see."""


def quantile(latencies: np.ndarray, share: float) -> float:
    """A quantile that was really observed: the smallest latency within which `share` of the requests were answered.

    Args:
        latencies: (N,) seconds; infinite where no answer came.
        share: Between 0 and 1.

    Returns:
        Seconds; infinite where too few were answered, NaN where there are no requests.
    """
    if not latencies.size:
        return math.nan
    return float(np.quantile(latencies, share, method="inverted_cdf"))


def can_tell(share: float, requests: int) -> bool:
    """Whether so many requests have anything to say on this quantile: at least one beyond it is to be expected."""
    return requests * (1 - share) >= 1 - 1e-9


def chance_of_at_least(late: int, requests: int, share: float) -> float:
    """The chance that `late` or more of `requests` are late by chance, where each is with probability `share`.

    Exact (binomial), without SciPy, which the serving image does not hold.

    Args:
        late: How many were late.
        requests: Of how many.
        share: Between 0 and 1, exclusive.
    """
    if late <= 0:
        return 1.0
    below = sum(math.exp(_log_chance(count, requests, share)) for count in range(late)) if late <= requests else 1.0
    return max(0.0, 1.0 - below)


def _log_chance(count: int, requests: int, share: float) -> float:
    ways = math.lgamma(requests + 1) - math.lgamma(count + 1) - math.lgamma(requests - count + 1)
    return ways + count * math.log(share) + (requests - count) * math.log1p(-share)


@dataclass(frozen=True)
class Objective:
    """What latencies must be.

    Attributes:
        seconds: The limit.
        share: The share of requests that must be within it.
        error_share: The share of requests that may fail altogether.
    """

    seconds: float
    share: float = 0.99
    error_share: float = 0.0

    def met(self, latencies: np.ndarray) -> bool:
        """Whether the requests meet it."""
        failed = float(np.isinf(latencies).mean()) if latencies.size else 1.0
        return quantile(latencies, self.share) <= self.seconds and failed <= self.error_share

    def blames_client(self, latencies: np.ndarray, lags: np.ndarray, client_share: float) -> bool:
        """Whether a miss may be the fault of the client that measured.

        It is late to send by `lags`, which are measured, and late to read by about as much, which is not.

        Args:
            latencies: (N,) seconds.
            lags: (N,) seconds by which the client was late to send.
            client_share: The share of one processor core that the client took.
        """
        late = 2 * quantile(lags, self.share)
        return client_share > BUSIEST_CLIENT or late >= self.seconds or self.met(latencies - late)

    def surely_missed(self, latencies: np.ndarray, chance: float = 0.05) -> bool:
        """Whether so many late (or failed) requests would come by chance in less than `chance` of such runs."""
        late, failed = int((latencies > self.seconds).sum()), int(np.isinf(latencies).sum())
        too_late = chance_of_at_least(late, latencies.size, 1 - self.share) < chance
        if not self.error_share:
            return too_late or failed > 0
        return too_late or chance_of_at_least(failed, latencies.size, self.error_share) < chance
