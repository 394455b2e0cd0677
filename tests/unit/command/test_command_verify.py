"""verify and keys: what they print, and with which status they end."""

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from trust import Handover, hand_over

from fairlead.registry.policy import digest_of
from fairlead.registry.spec import PolicySpec
from fairlead.signatures import read_public_key
from fairlead.verdicts import Verdict
from fairlead_pipelines.command.main import main


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Handover:
    """A model, its verdicts and its policy."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    return hand_over(tmp_path / "received")


def call(*arguments: object, code: int = 0) -> Result:
    """Run a command and check its exit status."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def test_a_good_model_is_shown_with_its_judges(made: Handover) -> None:
    """Digest, policy, a line for each verdict; status 0."""
    shown = call("verify", made.package, "--policy", made.policy_file).output
    assert f"tiny  {made.digest}" in shown
    assert digest_of(PolicySpec.parse(made.policy, "policy")) in shown
    assert "Verified: exactly these bytes were approved by evaluation, server." in shown
    lines = {line.split()[0]: line.split() for line in shown.splitlines() if "approved" in line and "counts" in line}
    assert lines["evaluation"][1:3] == ["approved", "ci"]
    assert lines["server"][1:3] == ["approved", "platform"]


def test_a_bad_one_is_refused_with_every_reason(made: Handover) -> None:
    """Status 1; a policy is not needed for that."""
    (made.package / "MLmodel").write_text("")
    for arguments in (["--policy", made.policy_file], []):
        shown = call("verify", made.package, *arguments, code=1).output
        assert shown.count("✗") == 2
        assert "Refused." in shown
    assert "No policy" not in shown


def test_without_a_policy_it_says_so(made: Handover) -> None:
    """Nobody should take that for the policy's word."""
    assert "No policy was given" in call("verify", made.package).output


def test_verdicts_keys_and_digest_can_be_named(made: Handover, tmp_path: Path) -> None:
    """Verdicts from elsewhere, the verifier's own keys, one stage, a digest that was told by telephone."""
    made.verdicts.rename(tmp_path / "elsewhere")
    assert "server: no verdict" in call("verify", made.package, "--policy", made.policy_file, code=1).output
    given = ["--verdicts", tmp_path / "elsewhere" / "evaluation.json"]
    call("verify", made.package, "--policy", made.policy_file, *given, code=1)
    call("verify", made.package, "--policy", made.policy_file, "--for", "registration", *given)
    (tmp_path / "keys.yaml").write_text(yaml.safe_dump({"ci": made.keys["ci"].public}))
    call("verify", made.package, "--trust", tmp_path / "keys.yaml", *given)
    call("verify", made.package, "--trust", tmp_path / "keys.yaml", "--verdicts", tmp_path / "elsewhere", code=1)
    call("verify", made.package, *given, "--digest", made.digest)
    assert "not sha256:0" in call("verify", made.package, *given, "--digest", "sha256:0", code=1).output


def test_machines_read_json(made: Handover) -> None:
    """The same, with the status."""
    found = json.loads(call("verify", made.package, "--policy", made.policy_file, "--json").output)
    assert (found["verified"], found["digest"]) == (True, made.digest)
    Verdict("server", made.digest, "rejected").signed(made.keys["platform"]).write(made.verdicts / "server.json")
    found = json.loads(call("verify", made.package, "--policy", made.policy_file, "--json", code=1).output)
    assert found["verified"] is False
    assert found["problems"] == ["server: rejected: no reason recorded"]


def test_what_is_nowhere_is_said(made: Handover) -> None:
    """Neither a folder nor a registered model; and a folder that only bears a model's name is none."""
    assert "there is no folder ./nothing" in call("verify", "./nothing", code=1).output
    (made.folder.parent / "flights").mkdir()
    assert "no registered model flights" in call("verify", "flights", code=1).output
    (made.folder.parent / "flights").rmdir()
    (made.folder.parent / "empty").mkdir()
    assert "no model package" in call("verify", "./empty", code=1).output


def test_keys_are_made_and_shown(made: Handover, tmp_path: Path, own_state: Path) -> None:
    """The private half is never printed; the lines to paste work."""
    shown = call("keys", "new", "ci").output
    file = own_state / "keys" / "ci.pem"
    assert f"FAIRLEAD_SIGNING_KEY={file}" in shown
    assert file.read_text().splitlines()[1] not in shown
    public = call("keys", "show", file)
    assert public.stdout.strip() == read_public_key((own_state / "keys" / "ci.pub.pem").read_text())
    assert public.stdout == call("keys", "show", own_state / "keys" / "ci.pub.pem").stdout
    assert "fingerprint sha256:" in public.stderr
    policy = yaml.safe_load(shown.split("trusted keys:\n")[1])
    assert PolicySpec.parse(policy, "policy").trusted == {"ci": (public.stdout.strip(),)}
    assert "not overwritten" in call("keys", "new", "ci", code=1).output
    assert "letters, digits" in call("keys", "new", "../ci", code=1).output
    (tmp_path / "x").write_text("x")
    assert "no Ed25519 public key" in call("keys", "show", tmp_path / "x", code=1).output


def test_policies_are_digested_and_signed(made: Handover, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it prints can be appended to the policy."""
    assert "Set FAIRLEAD_SIGNING_KEY" in call("keys", "policy", made.policy_file).output
    monkeypatch.setenv("FAIRLEAD_SIGNING_KEY", str(made.folder / "keys" / "platform.pem"))
    printed = call("keys", "policy", made.policy_file).output
    assert f"# FAIRLEAD_POLICY_DIGEST={digest_of(PolicySpec.parse(made.policy, 'policy'))}" in printed
    made.policy_file.write_text(made.policy_file.read_text() + printed)
    (tmp_path / "team.yaml").write_text(yaml.safe_dump({"platform": made.keys["platform"].public}))
    monkeypatch.setenv("FAIRLEAD_POLICY_TRUST_FILE", str(tmp_path / "team.yaml"))
    call("verify", made.package, "--policy", made.policy_file)
    monkeypatch.setenv("FAIRLEAD_POLICY_DIGEST", f"sha256:{'0' * 64}")
    call("verify", made.package, "--policy", made.policy_file, code=1)
