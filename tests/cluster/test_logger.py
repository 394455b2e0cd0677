"""`serving.cluster.logger_url`: KServe's agent posts copies of requests and answers, and nobody waits for it."""

import json
import logging
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from cluster_stores import wait_gone, wait_ready
from kserve_home import SMALL, KServeHome

from fairlead.platform.kubeflow import kinds
from fairlead.settings import settings

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
pytest_plugins = ("kserve_fixtures",)
logger = logging.getLogger(__name__)
RECEIVER, PREFIX = "receiver", "org.kubeflow.serving.inference."


@pytest.fixture
def receiver(either: KServeHome, stand_in_image: str) -> Iterator[str]:
    """Something in the cluster that takes events; gives its URL."""
    metadata: dict[str, Any] = {"name": RECEIVER, "namespace": either.namespace, "labels": {"app": RECEIVER}}
    nothing = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    pod = {
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": RECEIVER, "image": stand_in_image, "command": ["python3", "/receiver.py"],
            "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1}, "securityContext": nothing,
        }],
        "terminationGracePeriodSeconds": 0,
    }  # fmt: skip
    ports = {"selector": {"app": RECEIVER}, "ports": [{"port": 80, "targetPort": 8080}]}
    either.cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod})
    either.cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": ports})
    wait_ready(either.namespace, RECEIVER)
    yield f"http://{RECEIVER}.{either.namespace}"
    either.cluster.delete(kinds.POD, RECEIVER, missing_ok=True)
    either.cluster.delete(kinds.SERVICE, RECEIVER)
    wait_gone(either.namespace, RECEIVER)


def events(place: KServeHome, service: str) -> Counter[tuple[str, str]]:
    """What came of a service, by kind and by what its body holds.

    The agent posts whatever passes it, our own looks as well, and later what it could not post.
    """
    found = Counter[tuple[str, str]]()
    for one in json.loads(place.cluster.proxy(RECEIVER, 8080, "events")):
        if not one["headers"]["ce-inferenceservicename"].startswith(service):
            continue
        body = next((key for key in ("instances", "predictions") if key in one["body"]), "")
        found[(one["headers"]["ce-type"].removeprefix(PREFIX), body)] += 1
    return found


def test_copies_of_requests_and_answers_are_posted(either: KServeHome, receiver: str) -> None:
    """One event for each; a receiver that is away costs no request, and a rollout goes as without."""
    options = SMALL.model_copy(update={"logger_url": receiver})
    name = f"told-{settings().serving_mode}"
    digest = either.serve(name, -0.7, cluster=options)
    assert either.quiet_client(name).count(20) == {digest: 20}
    wanted, deadline = {("request", "instances"): 20, ("response", "predictions"): 20}, time.monotonic() + 30
    while not all(events(either, name)[key] >= count for key, count in wanted.items()):
        assert time.monotonic() < deadline, events(either, name)
        time.sleep(0.5)
    assert {key: count for key, count in events(either, name).items() if key[1]} == wanted
    either.kill(RECEIVER)
    wait_gone(either.namespace, RECEIVER)
    with either.clients(name) as traffic:
        canary = either.deploy(name, -0.6, "2", cluster=options)
        assert either.roll_out(name, canary).outcome == "promoted"
    logger.info("with an agent and no receiver: %d of %d requests failed", len(traffic.failures), traffic.sent)
    assert traffic.failures == []
