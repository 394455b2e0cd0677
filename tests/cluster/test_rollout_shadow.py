"""Copies of requests, in Standard mode: the gateway sends them to the canary, and no user ever waits for it."""

import logging
import time

import numpy as np
import pytest
from kserve_home import KServeHome

from fairlead.deployment.records import RolloutState
from fairlead.platform.kubeflow.router import pods_of
from fairlead.platform.kubeflow.scrape import PodScraper, total

pytestmark = pytest.mark.cluster
pytest_plugins = ("kserve_fixtures",)
logger = logging.getLogger(__name__)
COPIES = {
    "steps": ["shadow", 50],
    "checks": [{"metric": "success_rate"}, {"metric": "disagreement", "tolerance": 0.1, "margin": 0.1}],
    "step_timeout_seconds": 120,
}


def answered(place: KServeHome, name: str, digest: str) -> int:
    """How many predictions the pods of a version have answered."""
    scraper = PodScraper(place.cluster)
    counts = total(scraper.read(pods_of(place.cluster, name, digest), digest).values())
    scraper.close()
    return counts.succeeded


def judged(state: RolloutState) -> str:
    """What a rollout said at its end."""
    return f"{state.outcome} after {state.seconds:.0f} s: {'; '.join(state.reasons)}"


@pytest.mark.slow
def test_a_canary_that_disagrees_is_rolled_back_before_any_user_met_it(real_standard: KServeHome) -> None:
    """Its answers to copies are compared with what users were answered, by the prediction log."""
    stable = real_standard.serve("strange", -0.7)
    canary = real_standard.deploy("strange", -6.0, "2")
    with real_standard.clients("strange", per_second=40) as traffic:
        state = real_standard.roll_out("strange", canary, **COPIES)
    logger.info("%s; %d of %d requests failed", judged(state), len(traffic.failures), traffic.sent)
    assert state.outcome == "rolled_back"
    assert "disagreement" in state.reasons[0]
    assert (traffic.failures, set(traffic.answered)) == ([], {stable})


@pytest.mark.slow
def test_a_canary_that_agrees_goes_on_to_real_traffic(real_standard: KServeHome) -> None:
    """Pairs that agree settle the step; then it gets its share, and all of it."""
    stable = real_standard.serve("alike", -0.7)
    canary = real_standard.deploy("alike", -0.65, "2")
    with real_standard.clients("alike", per_second=40) as traffic:
        state = real_standard.roll_out("alike", canary, **COPIES)
    logger.info("%s; %d of %d requests failed", judged(state), len(traffic.failures), traffic.sent)
    assert (state.outcome, traffic.failures) == ("promoted", [])
    assert set(traffic.answered) == {stable, canary}


@pytest.mark.slow
def test_nobody_waits_for_copies(standard: KServeHome) -> None:
    """A canary that takes 5 s for each copy, and then dies, changes nothing for users; nor does its share."""
    stable = standard.serve("patient", -0.7)
    canary = standard.deploy("patient", -0.6, "2", behaviour={"slow": 5})
    with standard.clients("patient") as before:
        time.sleep(5)
    standard.split("patient", canary, 0, shadow_percent=100)
    with standard.clients("patient") as during:
        time.sleep(10)
        copied = answered(standard, "patient", canary)
        for pod in pods_of(standard.cluster, "patient", canary):
            standard.kill(pod.name)
        time.sleep(5)
    quantiles = [np.quantile(clients.seconds, 0.99) for clients in (before, during)]
    logger.info(
        "p99 %.3f s without copies, %.3f s with; %d copies answered; %d of %d requests failed",
        *quantiles, copied, len(during.failures), during.sent,
    )  # fmt: skip
    assert (before.failures, during.failures) == ([], [])
    assert set(during.answered) == {stable}
    assert copied > 100
    assert max(during.seconds) < 2.5  # half of what the canary takes
    standard.split("patient", canary, 0)
