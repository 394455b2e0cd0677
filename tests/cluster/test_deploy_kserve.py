"""The tasks themselves on a real cluster: a registered model, its real server, and what the registry learns of it."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from kserve_home import SMALL, KServeHome

from fairlead.deployment.deploy_model.task import deploy_model
from fairlead.deployment.roll_out_model.task import roll_out_model
from fairlead.platform.kubeflow import kinds
from fairlead.predictions import PredictionLog
from fairlead.registry import deployments, store
from fairlead.settings import settings
from fairlead.verdicts import Verdict
from fairlead_pipelines.command.main import main
from fairlead_serving.package import package_digest

pytestmark = pytest.mark.cluster
pytest_plugins = ("kserve_fixtures",)
POLICY = {"registration": ["evaluation"], "deployment": ["evaluation"]}
SERVING: dict[str, Any] = {"ready_timeout_seconds": 180, "cluster": SMALL.model_dump()}
ROLLOUT: dict[str, Any] = {
    "steps": [50], "minimum_requests": 40, "look_seconds": 0.5, "step_timeout_seconds": 120,
    "checks": [{"metric": "success_rate"}, {"metric": "latency", "floor_seconds": 0.5}],
}  # fmt: skip


@pytest.fixture(params=["standard", "knative"])
def real(request: pytest.FixtureRequest) -> KServeHome:
    """Each mode, with the project's own serving image."""
    found = request.getfixturevalue(f"real_{request.param}")
    assert isinstance(found, KServeHome)
    return found


def registered(place: KServeHome, folder: Path, bias: float) -> Path:
    """Registers a package whose model has this bias, and writes what register_model would."""
    package, uri = place.package(bias)
    verdict = Verdict("evaluation", package_digest(package.path), "approved")
    version = store.register(package.path, "tiny", [verdict], ["evaluation"])
    known = {"name": "tiny", "version": str(version.version), "digest": version.digest, "uri": uri}
    file = folder / f"registered{bias}.json"
    file.write_text(json.dumps(known))
    return file


def deploy(place: KServeHome, file: Path, service: str) -> Any:
    """Deploys as a pod of a pipeline does."""
    with place.as_pods_see_it():
        return deploy_model(file, {**SERVING, "name": service}, POLICY, "tiny")


def command(*arguments: str) -> str:
    """What a command prints."""
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def logged(service: str) -> set[str]:
    """The versions whose predictions have come into the object store; servers bring them every few seconds."""
    log = PredictionLog.open(f"{settings().object_store}/predictions/{service}")
    deadline = time.monotonic() + 60
    while True:
        table, _ = log.predictions(None)
        found = set(table.column("digest").to_pylist()) if table.num_rows else set()
        if len(found) > 1 or time.monotonic() > deadline:
            return found
        time.sleep(1)


def test_versions_follow_one_another_on_kserve(real: KServeHome, tmp_path: Path) -> None:
    """Deployed twice is deployed once; proven by a real prediction; promoted; told by the commands and the registry."""
    service = f"tiny-{settings().serving_mode}"  # a service keeps the mode that it began with
    first, second = (registered(real, tmp_path, bias) for bias in (-0.7, -0.6))
    deployed = deploy(real, first, service)
    assert "as its package does" in deployed.proof
    before = {one["metadata"]["name"]: one["metadata"]["generation"] for one in _services(real, service)}
    assert deploy(real, first, service).digest == deployed.digest
    assert {one["metadata"]["name"]: one["metadata"]["generation"] for one in _services(real, service)} == before
    (annotations,) = (one["metadata"]["annotations"] for one in _services(real, service))
    assert annotations["fairlead.dev/digest"] == deployed.digest
    assert annotations["fairlead.dev/approved-by"] == "evaluation"
    assert annotations["fairlead.dev/policy"].startswith("sha256:")
    verdict, report = tmp_path / "verdict.json", tmp_path / "report.html"
    assert roll_out_model(first, ROLLOUT, POLICY, verdict, report).outcome == "promoted"

    deploy(real, second, service)
    with real.clients(service, per_second=30) as traffic:
        done = roll_out_model(second, ROLLOUT, POLICY, verdict, report)
    assert (done.outcome, traffic.failures) == ("promoted", [])
    assert done.figures["canary_requests"] >= 40
    assert logged(service) >= {deployed.digest, done.verdict.model_digest}
    champion = store.find("tiny", "champion")
    assert champion is not None
    assert champion.digest == done.verdict.model_digest
    ((digest, (where,)),) = deployments.deployments("tiny").items()
    assert (digest, where.role, where.percent) == (champion.digest, "stable", 100)
    assert where.place == f"kubernetes-{settings().namespace}"
    assert "stable" in command("status")
    assert "promoted" in command("rollout", "status", service)
    command("rollback", service, "--reason", "customers complain")
    assert json.loads(command("status", "--json"))["services"][service]["stable"] == deployed.digest
    assert "customers complain" in command("rollout", "history", service)


def _services(place: KServeHome, service: str) -> list[dict[str, Any]]:
    return place.cluster.list(kinds.INFERENCE_SERVICE, {"fairlead.dev/service": service})
