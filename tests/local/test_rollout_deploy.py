"""deploy_model and roll_out_model with the real server, the real registry and a real package."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from laptops import Laptop, laptop
from models import tiny_package, tiny_rows

from fairlead.deployment import by_hand
from fairlead.deployment.deploy_model.task import deploy_model
from fairlead.deployment.roll_out_model.task import RolledOut, roll_out_model
from fairlead.errors import PackageError, PlatformError, RolloutError, VerdictError
from fairlead.registry import deployments, store
from fairlead.registry.garbage import collect_garbage
from fairlead.verdicts import Verdict
from fairlead_serving.package import package_digest

POLICY = {"registration": ["evaluation"], "deployment": ["evaluation"]}
SERVING = {"name": "tiny", "ready_timeout_seconds": 60.0}
ROLLOUT: dict[str, Any] = {
    "steps": [30.0, 60.0],
    "minimum_requests": 30.0,
    "step_timeout_seconds": 20.0,
    "look_seconds": 0.2,
    "checks": [{"metric": "success_rate"}, {"metric": "latency", "floor_seconds": 0.5}, {"metric": "log_loss"}],
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """One platform for this module."""
    with pytest.MonkeyPatch.context() as patch, laptop(tmp_path_factory.mktemp("home"), patch) as made:
        yield made


@pytest.fixture
def platform(running: Laptop, own_state: Path, monkeypatch: pytest.MonkeyPatch) -> Laptop:
    """The platform, as the settings name it."""
    running.name_in_settings(monkeypatch)
    return running


def registered(folder: Path, bias: float, approved: bool = True) -> Path:
    """Registers a package whose model has this bias, and writes what register_model would."""
    package = tiny_package(folder / f"package{bias}", bias=bias)
    verdict = Verdict("evaluation", package_digest(package), "approved")
    version = store.register(package, "tiny", [verdict] if approved else [], ["evaluation"] if approved else [])
    file = folder / f"registered{bias}.json"
    file.write_text(json.dumps({
        "name": "tiny", "version": str(version.version), "digest": version.digest, "uri": str(version.uri),
    }))  # fmt: skip
    return file


def roll_out(file: Path, folder: Path) -> RolledOut:
    """Rolls a version out by the task."""
    return roll_out_model(file, ROLLOUT, POLICY, folder / "verdict.json", folder / "report.html")


def instances(count: int = 1) -> list[dict[str, Any]]:
    """Rows to predict."""
    rows = tiny_rows(count, seed=3)
    return [{name: values[i].item() for name, values in rows.items() if name != "late"} for i in range(count)]


def test_versions_follow_one_another(platform: Laptop, tmp_path: Path) -> None:
    """The first version gets all traffic at once, a second goes through the steps, and each becomes the champion."""
    first = registered(tmp_path, -0.7)
    deployed = deploy_model(first, SERVING, POLICY, "tiny")
    assert "as its package does" in deployed.proof
    assert deploy_model(first, SERVING, POLICY, "tiny").digest == deployed.digest
    done = roll_out(first, tmp_path)
    assert (done.outcome, done.endpoint) == ("promoted", deployed.endpoint)
    answer = httpx.post(done.endpoint, json={"instances": instances()})
    assert answer.status_code == 200
    assert answer.headers["x-fairlead-digest"] == deployed.digest

    second = registered(tmp_path, -0.6)
    deploy_model(second, SERVING, POLICY, "tiny")
    with platform.clients("tiny", content={"instances": instances()}) as traffic:
        done = roll_out(second, tmp_path)
        time.sleep(0.3)
    assert done.outcome == "promoted"
    assert traffic.failures == []
    champion = store.find("tiny", "champion")
    assert champion is not None
    assert champion.digest == done.verdict.model_digest
    assert done.figures["canary_requests"] >= 60
    assert "e-value" in (tmp_path / "report.html").read_text()
    assert Verdict.read(tmp_path / "verdict.json").outcome == "approved"
    assert roll_out(second, tmp_path).outcome == "promoted"  # again: nothing is left to do

    back = by_hand.roll_back("tiny")
    assert back.stable == deployed.digest
    champion = store.find("tiny", "champion")
    assert champion is not None
    assert champion.digest == deployed.digest
    archived = store.find("tiny", "archived")
    assert archived is not None
    assert archived.digest == done.verdict.model_digest
    ((digest, (where,)),) = deployments.deployments("tiny").items()
    assert (digest, where.role, where.percent) == (deployed.digest, "stable", 100)
    assert collect_garbage(0) == []  # one is served, the other is what a rollback would bring back


def test_what_may_not_serve_is_refused(platform: Laptop, tmp_path: Path) -> None:
    """A model without its verdict, a changed package, and a version that was not deployed each get a clear error."""
    unapproved = registered(tmp_path, -0.1, approved=False)
    with pytest.raises(VerdictError, match="evaluation"):
        deploy_model(unapproved, SERVING, POLICY, "tiny")
    fine = registered(tmp_path, -0.2)
    with pytest.raises(RolloutError, match="run deploy_model"):
        roll_out(fine, tmp_path)
    changed = json.loads(fine.read_text())
    (Path(changed["uri"]) / "extra.txt").write_text("x")
    with pytest.raises(PackageError, match="was changed"):
        deploy_model(fine, SERVING, POLICY, "tiny")


def test_a_server_that_does_not_start_shows_its_log(platform: Laptop, tmp_path: Path) -> None:
    """A package that the server cannot load is refused with the last lines of the log, and its server is removed."""
    broken = tiny_package(tmp_path / "broken", bias=0.5)
    (broken / "model.onnx").write_bytes(b"no model")
    version = store.register(
        broken, "tiny", [Verdict("evaluation", package_digest(broken), "approved")], ["evaluation"]
    )
    file = tmp_path / "registered.json"
    content = {"name": "tiny", "version": str(version.version), "digest": version.digest, "uri": str(version.uri)}
    file.write_text(json.dumps(content))
    with pytest.raises(PlatformError, match="its log ends"):
        deploy_model(file, {**SERVING, "name": "broken"}, POLICY, "tiny")
    assert "broken" not in platform.supervisor.status().services
