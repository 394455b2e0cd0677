"""The prediction log of servers on a cluster: from requests through the gateway to Parquet in the object store."""

import logging
import time
from typing import Any

import httpx
import pytest
from kserve_home import KServeHome
from models import tiny_rows

from fairlead.objects import Objects
from fairlead.platform.kubeflow import kinds
from fairlead.platform.kubeflow.router import pods_of
from fairlead.predictions import PredictionLog
from fairlead.settings import settings

pytestmark = pytest.mark.cluster
pytest_plugins = ("kserve_fixtures",)
logger = logging.getLogger(__name__)
BOUND_SECONDS = 10.0  # published every 5 s; the rest is for a busy machine
PREDICTED, LAST = 120, 40


class Users:
    """They predict, and report what came of it."""

    def __init__(self, place: KServeHome, name: str) -> None:
        self._url, self._host, self._name = place.gateway_url, place.host(name), name
        rows = tiny_rows(PREDICTED + LAST, seed=5)
        self.outcomes = rows.pop("late").tolist()
        self._rows = [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]
        self.probabilities: list[float] = []

    def predict(self, count: int) -> None:
        """Sends the next so many rows."""
        for _ in range(count):
            number = len(self.probabilities)
            row = {key: value.item() for key, value in self._rows[number].items()}
            answer = self._post("predict", {"instances": [row]}, f"user-{number}")
            self.probabilities.append(answer["predictions"][0]["probability"])

    def report(self, count: int) -> None:
        """Reports the first so many outcomes."""
        for number in range(count):
            self._post("feedback", {"request_id": f"user-{number}", "outcome": self.outcomes[number]})

    def _post(self, verb: str, body: dict[str, Any], request_id: str = "") -> dict[str, Any]:
        headers = {"Host": self._host, **({"x-request-id": request_id} if request_id else {})}
        answer = httpx.post(f"{self._url}/v1/models/{self._name}:{verb}", json=body, headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


def wait_for_rows(log: PredictionLog, count: int, seconds: float) -> float:
    """Waits until the log has so many predictions; gives how long that took."""
    begun = time.monotonic()
    while (found := log.predictions()[0].num_rows) < count:
        assert time.monotonic() - begun < seconds, f"{found} of {count} after {seconds:.0f} s"
        time.sleep(0.25)
    return time.monotonic() - begun


@pytest.mark.slow
def test_predictions_reach_the_object_store_and_outlive_their_pod(real: KServeHome) -> None:
    """Within the bound as Parquet, each once; the last ones, and the outcomes, when the pod is told to end."""
    name = f"log-{settings().serving_mode}"
    digest = real.serve(name, -0.7)
    users = Users(real, name)
    location = f"{settings().object_store}/predictions/{name}"
    log = PredictionLog.open(location)
    cursor = log.end()
    users.predict(PREDICTED)
    waited = wait_for_rows(log, PREDICTED, BOUND_SECONDS)
    users.report(PREDICTED // 2)
    users.predict(LAST)
    (pod,) = pods_of(real.cluster, name, digest)
    real.cluster.delete(kinds.POD, pod.name)  # it may drain, as in any rollout of nodes
    ended = wait_for_rows(log, PREDICTED + LAST, 60)
    logger.info("%s: published after %.1f s; what was left when the pod ended after %.1f s", name, waited, ended)

    table, _ = log.predictions(cursor)
    assert sorted(table["request_id"].to_pylist()) == sorted(f"user-{n}" for n in range(PREDICTED + LAST))
    assert set(table["digest"].to_pylist()) == {digest}
    found = dict(zip(table["request_id"].to_pylist(), table["probability"].to_pylist(), strict=True))
    for number, probability in enumerate(users.probabilities):
        assert found[f"user-{number}"] == pytest.approx(probability, abs=1e-6)
    joined = log.joined()
    assert (joined.counts["known"], joined.counts["unknown"]) == (PREDICTED // 2, 0)
    keys = [one.uri.removeprefix(f"{location}/") for one in Objects.connect().list(location)]
    assert {key.split("/")[0] for key in keys} == {"predictions", "feedback"}
    assert all(key.split("/")[1].startswith("date=") and key.endswith(".parquet") for key in keys)
