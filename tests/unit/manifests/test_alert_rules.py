"""The alert rules are valid, each is tested by promtool, and they name only metrics that the server has."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from kustomize import MANIFESTS
from promtool import promtool

RULES = MANIFESTS / "components" / "monitoring" / "rules.yaml"
CASES = Path(__file__).with_name("alerts.yaml")


def groups() -> dict[str, Any]:
    """The rules as Prometheus reads them, out of the operator's object."""
    return dict(yaml.safe_load(RULES.read_text())["spec"])


def rules() -> list[dict[str, Any]]:
    """Every rule."""
    return [rule for group in groups()["groups"] for rule in group["rules"]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the rules and their tests, as promtool wants them."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(groups()))
    (tmp_path / "alerts.yaml").write_text(CASES.read_text())
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What promtool says."""
    return subprocess.run([promtool(), *arguments], cwd=folder, capture_output=True, text=True, check=False)


def test_promtool_accepts_the_rules(folder: Path) -> None:
    """Every expression parses, every template too."""
    done = run(folder, "check", "rules", "rules.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_when_they_should_and_only_then(folder: Path) -> None:
    """The time series of alerts.yaml raise what it says."""
    done = run(folder, "test", "rules", "alerts.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_would_notice_a_rule_that_never_fires(folder: Path) -> None:
    """The tests fail where a threshold is out of reach, so passing them means something."""
    text = (folder / "rules.yaml").read_text()
    broken = text.replace("(fairlead_model_ready) == 0", "(fairlead_model_ready) == 2")
    assert broken != text
    (folder / "rules.yaml").write_text(broken)
    case = next(t for t in yaml.safe_load(CASES.read_text())["tests"] if t["name"].startswith("one of two pods"))
    (folder / "alerts.yaml").write_text(yaml.safe_dump({"rule_files": ["rules.yaml"], "tests": [case]}))
    assert run(folder, "test", "rules", "alerts.yaml").returncode == 1


def test_every_alert_has_a_test_in_which_it_fires() -> None:
    """And each says how bad it is and what to do."""
    alerts = {rule["alert"]: rule for rule in rules() if "alert" in rule}
    checks = [check for case in yaml.safe_load(CASES.read_text())["tests"] for check in case["alert_rule_test"]]
    assert {check["alertname"] for check in checks if check["exp_alerts"]} == set(alerts)
    for name, rule in alerts.items():
        assert rule["labels"]["severity"] in {"critical", "warning"}, name
        assert set(rule["annotations"]) == {"summary", "action"}, name


def test_rules_name_metrics_that_the_server_shows() -> None:
    """A metric that was renamed would never raise an alert again."""
    documented = (MANIFESTS.parent / "kserve" / "fairlead_serving" / "metrics.py").read_text().split('"""')[1]
    shown = set(re.findall(r"\bfairlead_[a-z_]+", documented))
    used = {name for rule in rules() for name in re.findall(r"(?<![:\w])fairlead_[a-z_]+", rule["expr"])}
    assert used
    assert {name.removesuffix("_bucket") for name in used} <= shown


def test_the_route_takes_alerts_about_models() -> None:
    """The label by which the route chooses is one that an alert carries, and the receiver's Service is named."""
    route = yaml.safe_load((RULES.parent / "alerts.yaml").read_text())["spec"]
    (matcher,) = route["route"]["matchers"]
    assert any(rule.get("labels", {}).get(matcher["name"]) == matcher["value"] for rule in rules())
    (receiver,) = route["receivers"]
    assert receiver["name"] == route["route"]["receiver"]
    assert "//fairlead-retraining." in receiver["webhookConfigs"][0]["url"]
