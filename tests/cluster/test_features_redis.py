"""Servers that look features up in Feast's online store, a Redis in the cluster; its registry is in the object store.

The features are materialized from this machine, by a forwarded port. Each answer is held against the package itself,
given what the feature tables say of that moment.
"""

import itertools
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import httpx
import numpy as np
import pytest
import shops
from cluster_stores import apply_stores, forwarded, redis_image, wait_gone, wait_ready
from kserve_home import SMALL, KServeHome
from overlay_copies import kubectl
from shared_stores import materialize

from fairlead.datasets import read_table
from fairlead.features.bundle import read_bundle
from fairlead.features.materialize_features.task import Materialized
from fairlead.platform.kubeflow.router import pods_of
from fairlead.predictions import PredictionLog
from fairlead.settings import settings

pytestmark = pytest.mark.cluster
pytest_plugins = ("kserve_fixtures",)
logger = logging.getLogger(__name__)
REDIS = "fairlead-redis-0"
EARLY, LATE = datetime.fromisoformat("2024-03-08T00:00:00Z"), datetime.fromisoformat("2024-03-10T00:00:00Z")
NOTICE = timedelta(hours=2)  # predictions are made so long before the hour that they are about
TOWNS = {"north": "mid", "south": "mid", "west": "east"}
REQUEST: dict[str, Any] = {
    **shops.REQUEST, "feature_service": "shops",
    "freshness": {"maximum_age_seconds": 86400.0, "fallback": "missing", "views": {"town_guests": 30 * 86400.0}},
}  # fmt: skip
WEIGHTS: dict[str, Any] = {
    "numeric": {"guests_last": 0.3, "guests_mean_1d": -0.2, "town_total": 0.002, "hour": 0.05},
    "categorical": {"shop": {"north": 0.4, "south": -0.4, "west": 0.1}},
}
REFUSING = {**WEIGHTS, "request": REQUEST}
LENIENT = {**WEIGHTS, "request": {**REQUEST, "freshness": {**REQUEST["freshness"], "unavailable": "missing"}}}
NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> shops.World:
    """Shops, and what is known of them."""
    return shops.make_world(tmp_path_factory.mktemp("shops"))


@pytest.fixture(scope="module")
def redis_password(serving_namespace: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Redis of manifests/stores, beside the servers; gives its password."""
    image, password = redis_image(tmp_path_factory.mktemp("redis")), secrets.token_hex(16)
    literals = {
        "users.acl": f"user default on >{password} ~* &* +@all -@admin -@dangerous +info",
        "FAIRLEAD_REDIS": f"fairlead-redis.{serving_namespace}:6379,password={password}",
    }
    words = [f"--from-literal={key}={value}" for key, value in literals.items()]
    made = kubectl("--namespace", serving_namespace, "create", "secret", "generic", "fairlead-redis", *words)
    assert made.returncode == 0, made.stderr
    apply_stores(serving_namespace, {"redis": image}, "redis")
    wait_ready(serving_namespace, REDIS)
    return password


Bring = Callable[[datetime], Materialized]


@pytest.fixture
def bring(
    world: shops.World, serving_namespace: str, package_bucket: str, redis_password: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Bring:  # fmt: skip
    """Brings the online store to a moment, by materialize_features."""
    monkeypatch.setenv("FAIRLEAD_FEATURE_REGISTRY", f"s3://{package_bucket}/features/registry.db")
    monkeypatch.setenv("FAIRLEAD_REDIS", f"127.0.0.1:1,password={redis_password}")

    def to(moment: datetime) -> Materialized:
        with forwarded(serving_namespace, "service/fairlead-redis", 6379) as port:
            monkeypatch.setenv("FAIRLEAD_REDIS", f"127.0.0.1:{port},password={redis_password}")
            return materialize(world, moment.isoformat())

    return to


class Service:
    """A service as its users meet it, and what they should be answered."""

    def __init__(self, place: KServeHome, world: shops.World, tiny: dict[str, Any]) -> None:
        self.place, self._world, self.name = place, world, f"shops{next(NUMBERS)}"
        read = partial(read_bundle, settings(), "shops")
        files = read()  # with the object store as this machine reaches it
        roomy = SMALL.model_copy(update={"memory": "768Mi"})
        self.digest = place.serve(
            self.name, 0.1, tiny=tiny, problem="shops", read_features=lambda: files, cluster=roomy
        )
        self.package, _ = place.package(0.1, tiny=tiny)
        self._url, self._host = f"{place.gateway_url}/v1/models/{self.name}:predict", place.host(self.name)

    def post(self, shop: str, moment: datetime, request_id: str = "") -> httpx.Response:
        """Asks for the hour that begins `NOTICE` after a moment."""
        instance = {"shop": shop, "town": TOWNS.get(shop, "nowhere"), "opened": (moment + NOTICE).isoformat()}
        headers = {"Host": self._host, **({"x-request-id": request_id} if request_id else {})}
        return httpx.post(self._url, json={"instances": [instance]}, headers=headers, timeout=30)

    def predict(self, shop: str, moment: datetime, request_id: str = "") -> float:
        """The probability that is answered."""
        answer = self.post(shop, moment, request_id)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-fairlead-digest"] == self.digest
        return float(answer.json()["predictions"][0]["probability"])

    def expect(self, shop: str, moment: datetime, known: datetime, missing: tuple[str, ...] = ()) -> float:
        """The probability that the package gives, where the store holds what was known at a moment."""
        hour = (moment + NOTICE).hour + 1  # Madrid, in winter
        row = {"shop": shop, "hour": float(hour), **self._features(shop, known)}
        row |= dict.fromkeys(missing, np.nan)
        return float(self.package.predict({name: [value] for name, value in row.items()})["probability"][0])

    def _features(self, shop: str, known: datetime) -> dict[str, float]:
        """The last rows of the feature tables at a moment; nothing of a shop that is not in them."""
        found = {}
        for table, key, value in (("shop_guests", "shop", shop), ("town_guests", "town", TOWNS.get(shop, "nowhere"))):
            rows = read_table(self._world.features / table).to_pylist()
            past = [row for row in rows if row[key] == value and row["event_timestamp"] <= known]
            last: dict[str, Any] = max(past, key=lambda row: row["event_timestamp"], default={})
            for name in ("guests_last", "guests_mean_1d") if table == "shop_guests" else ("town_total",):
                number = last.get(name)
                found[name] = np.nan if number is None else float(number)
        return found


def test_answers_are_the_packages_own_with_the_features_of_redis(
    real: KServeHome, world: shops.World, bring: Bring
) -> None:
    """Known and unknown shops; what became stale is missing; what is materialized later counts without a restart."""
    assert bring(EARLY).keys_online == {"shop_guests": 3, "town_guests": 2}
    service = Service(real, world, REFUSING)
    for shop in (*TOWNS, "nowhere"):
        assert service.predict(shop, EARLY) == pytest.approx(service.expect(shop, EARLY, EARLY), abs=1e-5)
    old = ("guests_last", "guests_mean_1d")
    stale = service.expect("north", LATE, EARLY, missing=old)
    assert service.predict("north", LATE, "stale") == pytest.approx(stale, abs=1e-5)
    bring(LATE)
    fresh = service.expect("north", LATE, LATE)
    assert abs(fresh - stale) > 1e-3
    assert service.predict("north", LATE, "fresh") == pytest.approx(fresh, abs=1e-5)
    log = PredictionLog.open(f"{settings().object_store}/predictions/{service.name}")
    lines = {name: logged(log, name) for name in ("stale", "fresh")}
    assert (sorted(lines["stale"]["stale"]), lines["fresh"]["stale"]) == (sorted(old), [])
    assert lines["fresh"]["event_time_guests_last"] == LATE


def logged(log: PredictionLog, request_id: str) -> dict[str, Any]:
    """What the prediction log says of a request; servers bring it every few seconds."""
    deadline = time.monotonic() + 30
    while not (rows := log.find(request_id).to_pylist()):
        assert time.monotonic() < deadline, request_id
        time.sleep(0.5)
    return dict(rows[0])


@pytest.fixture
def no_redis(serving_namespace: str, redis_password: str) -> Iterator[Callable[[], None]]:
    """Takes the Redis away; it comes back after the test, and empty."""
    del redis_password

    def scale(replicas: int) -> None:
        words = ("--namespace", serving_namespace, "statefulset/fairlead-redis", f"--replicas={replicas}")
        assert kubectl("scale", *words).returncode == 0

    def take() -> None:
        scale(0)
        wait_gone(serving_namespace, REDIS)

    yield take
    scale(1)


@pytest.mark.slow
def test_redis_away_is_answered_as_the_package_says(
    real_standard: KServeHome, world: shops.World, bring: Bring, no_redis: Callable[[], None], serving_namespace: str
) -> None:
    """503 at once, or a prediction without; no server is restarted; a Redis that comes back empty is filled again."""
    bring(EARLY)
    refusing, lenient = Service(real_standard, world, REFUSING), Service(real_standard, world, LENIENT)
    before = refusing.expect("west", EARLY, EARLY)
    assert refusing.predict("west", EARLY) == pytest.approx(before, abs=1e-5)
    no_redis()
    begun = time.monotonic()
    answer = refusing.post("west", EARLY)
    logger.info("without Redis: %d after %.2f s: %s", answer.status_code, time.monotonic() - begun, answer.text)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "the online store does not answer" in answer.json()["error"]
    assert time.monotonic() - begun < 3
    without = lenient.expect("west", EARLY, EARLY, missing=("guests_last", "guests_mean_1d", "town_total"))
    assert lenient.predict("west", EARLY) == pytest.approx(without, abs=1e-5)
    time.sleep(10)  # several probes
    for service in (refusing, lenient):
        (pod,) = pods_of(real_standard.cluster, service.name, service.digest)
        assert (pod.ready, pod.restarts) == (True, 0)
    kubectl("scale", "--namespace", serving_namespace, "statefulset/fairlead-redis", "--replicas=1")
    wait_ready(serving_namespace, REDIS)
    assert lenient.predict("west", EARLY) == pytest.approx(without, abs=1e-5)  # it is empty
    assert bring(EARLY).mode == "rebuilt"
    assert refusing.predict("west", EARLY) == pytest.approx(before, abs=1e-5)
