"""From a judge's key to a registered name: evaluated, signed, registered, verified; then somebody tampers."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from click.testing import CliRunner, Result
from models import tiny_package, tiny_rows

from fairlead import datasets
from fairlead.errors import PolicyError, VerdictError
from fairlead.evaluation.evaluate_model.task import evaluate_model
from fairlead.evaluation.write_model_card.task import write_model_card
from fairlead.registry import store
from fairlead.registry.policy import digest_of, sign
from fairlead.registry.register_model.task import register_model
from fairlead.registry.spec import PolicySpec
from fairlead.signatures import SigningKey, make_private_key
from fairlead.verdicts import Verdict
from fairlead_pipelines.command.main import main


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, SigningKey]:
    """The judges' key, which is set, and the platform team's, which must have signed policies here."""
    made = {name: make_private_key(tmp_path / f"{name}.pem") for name in ("ci", "platform")}
    monkeypatch.setenv("FAIRLEAD_SIGNING_KEY", str(tmp_path / "ci.pem"))
    (tmp_path / "team.yaml").write_text(yaml.safe_dump({"platform": made["platform"].public}))
    monkeypatch.setenv("FAIRLEAD_POLICY_TRUST_FILE", str(tmp_path / "team.yaml"))
    return made


@pytest.fixture
def policy(keys: dict[str, SigningKey]) -> dict[str, Any]:
    """A signed policy."""
    text = {
        "registration": ["evaluation"],
        "keys": {"*": "ci"},
        "trusted": {"ci": keys["ci"].public},
        "models": ["tiny"],
    }
    return sign(PolicySpec.parse(text, "policy"), keys["platform"]).model_dump(mode="json")


def verify(*arguments: object, code: int) -> Result:
    """Runs `fairlead verify` and checks its exit status."""
    result = CliRunner().invoke(main, ["verify", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def test_a_signed_model_is_registered_and_whoever_tampers_is_found(
    keys: dict[str, SigningKey], policy: dict[str, Any], tmp_path: Path, own_state: Path
) -> None:
    """One model, one registry; each change is undone before the next."""
    package = tiny_package(tmp_path / "package")
    rows = pa.table({name: pa.array(values.tolist()) for name, values in tiny_rows(800).items()})
    datasets.write_dataset(tmp_path / "test", [rows], rows.schema, name="rows", source="drawn")
    gates = {"gates": [{"metric": "roc_auc", "at_least": 0.6}], "resamples": 100}
    evaluate_model(package, tmp_path / "test", "late", gates, tmp_path / "verdict", tmp_path / "report.html")
    verdict = Verdict.read(tmp_path / "verdict")
    assert (verdict.outcome, verdict.key) == ("approved", "ci")

    weaker = {**policy, "registration": []}
    with pytest.raises(PolicyError, match="does not fit the policy"):
        register_model(package, "tiny", weaker, [tmp_path / "verdict"], tmp_path / "registered.json")
    Verdict("evaluation", verdict.model_digest, "approved").write(tmp_path / "unsigned")
    with pytest.raises(VerdictError, match="is unsigned"):
        register_model(package, "tiny", policy, [tmp_path / "unsigned"], tmp_path / "registered.json")
    with pytest.raises(PolicyError, match="not for other"):
        register_model(package, "other", policy, [tmp_path / "verdict"], tmp_path / "registered.json")
    assert store.versions("tiny") == []

    known = register_model(package, "tiny", policy, [tmp_path / "verdict"], tmp_path / "registered.json")
    assert store.verdicts("tiny", known.digest) == [verdict]
    (tmp_path / "policy.yaml").write_text(yaml.safe_dump(policy))
    shown = verify("tiny@challenger", "--policy", tmp_path / "policy.yaml", code=0).output
    assert digest_of(PolicySpec.parse(policy, "policy")) in shown

    (kept,) = (own_state / "registry" / "verdicts").rglob("evaluation.json")
    whole = kept.read_text()
    kept.write_text(json.dumps({**json.loads(whole), "figures": {"roc_auc": 0.99}}))
    assert "does not fit" in verify("tiny@1", "--policy", tmp_path / "policy.yaml", code=1).output
    kept.write_text(whole)
    model = Path(known.uri) / "model.onnx"
    model.write_bytes(model.read_bytes() + b"\0")
    assert "is not what was registered" in verify("tiny@1", "--policy", tmp_path / "policy.yaml", code=1).output
    assert "Refused" in verify(known.uri, "--policy", tmp_path / "policy.yaml", code=1).output


def test_what_an_evaluation_measures_is_what_the_card_tells(keys: dict[str, SigningKey], tmp_path: Path) -> None:
    """Through the real judge: each figure of its verdict is in the card, and who signed it."""
    package = tiny_package(tmp_path / "package")
    rows = pa.table({name: pa.array(values.tolist()) for name, values in tiny_rows(800).items()})
    datasets.write_dataset(tmp_path / "test", [rows], rows.schema, name="rows", source="drawn", licence="none")
    spec = {"baselines": ["majority"], "resamples": 100, "gates": [{"metric": "roc_auc", "at_least": 0.6}]}
    evaluate_model(
        package, tmp_path / "test", "late", spec, tmp_path / "verdict", tmp_path / "report.html", tmp_path / "test"
    )
    outputs = [tmp_path / name for name in ("card.md", "card.html", "card.json")]
    write_model_card(package, outputs[0], outputs[1], outputs[2], {}, [tmp_path / "verdict"], test=tmp_path / "test")
    facts, text = json.loads(outputs[2].read_text()), outputs[0].read_text()
    measured = Verdict.read(tmp_path / "verdict")
    assert facts["verdicts"]["evaluation"]["figures"] == measured.figures
    figure, low, high = (measured.figures[f"roc_auc{end}"] for end in ("", "_low", "_high"))
    assert f"| ROC AUC | {figure:.4f} ({low:.4f} to {high:.4f}) | at least 0.6 |" in text
    assert "| evaluation | ✓" in text
    assert "- **rows:** 800" in text
    assert "- **licence:** none" in text
