"""A policy says whose word counts; a place says which policy counts."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from trust import Handover, hand_over

from fairlead.errors import ConfigurationError, PolicyError, VerdictError
from fairlead.registry.policy import accept, demand_at, digest_of, read_policy, read_trust, sign
from fairlead.registry.spec import JUDGES, PolicySpec
from fairlead.signatures import to_pem
from fairlead.verdicts import Verdict, require


@pytest.fixture
def made(tmp_path: Path) -> Handover:
    """A model, its verdicts and its policy."""
    return hand_over(tmp_path)


def parse(policy: dict[str, Any]) -> PolicySpec:
    """The policy as a section."""
    return PolicySpec.parse(policy, "policy")


def test_every_judge_may_be_demanded() -> None:
    """The seven judges of the house; what is left out demands the evaluation."""
    assert parse({"registration": JUDGES, "deployment": JUDGES}).deployment == JUDGES
    assert parse({}).registration == ("evaluation",)


@pytest.mark.parametrize(
    ("policy", "complaint"),
    [
        ({"registration": ["evaluate"]}, "there is no judge 'evaluate'; did you mean 'evaluation'"),
        ({"deployment": ["behavior"]}, "did you mean 'behaviour'"),
        ({"keys": {"sever": ["ci"]}}, "did you mean 'server'"),
        ({"keys": {"*": []}}, "nobody may sign for"),
        ({"trusted": {"ci": "abc"}}, "the key of 'ci': no Ed25519 public key"),
        ({"trusted": {"ci": []}}, "has no key"),
        ({"maximum_age_days": 0}, "greater than 0"),
        ({"valid_until": "soon"}, "Invalid isoformat"),
        ({"trust": {}}, "did you mean 'trusted'"),
    ],
)
def test_a_wrong_policy_is_refused_in_words(policy: dict[str, Any], complaint: str) -> None:
    """A misspelt judge would otherwise never be asked, or never be satisfied."""
    with pytest.raises(ConfigurationError, match=complaint):
        parse(policy)


def test_trusted_keys_that_nobody_needs_are_a_mistake(made: Handover) -> None:
    """Keys without a demand would be taken for protection; a name without a key could never sign."""
    key = made.keys["ci"].public
    with pytest.raises(ConfigurationError, match="`trusted` without `keys` demands nothing"):
        parse({"trusted": {"ci": key}})
    with pytest.raises(ConfigurationError, match="did you mean 'ci'"):
        parse({"trusted": {"ci": key}, "keys": {"*": "cii"}})


def test_one_policy_has_one_digest_however_it_is_written(made: Handover) -> None:
    """PEM or base64, one name or a list, floats that KFP made, order of keys: the same; any demand more: another."""
    policy = {**made.policy, "maximum_age_days": 30}
    pem = {name: [to_pem(key.public)] for name, key in made.keys.items()}
    same = {"maximum_age_days": 30.0, **made.policy, "trusted": pem, "keys": {"*": "platform", "evaluation": "ci"}}
    assert digest_of(parse(policy)) == digest_of(parse(same))
    signed = sign(parse(policy), made.keys["platform"])
    assert digest_of(signed) == digest_of(parse(policy))
    assert digest_of(parse({**policy, "maximum_age_days": 31})) != digest_of(parse(policy))
    assert digest_of(parse({})) == digest_of(parse({"registration": ["evaluation"]}))


def test_a_pinned_policy_is_the_only_one(made: Handover, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever weakens the problem's policy is refused where the digest is pinned."""
    monkeypatch.setenv("FAIRLEAD_POLICY_DIGEST", digest_of(parse(made.policy)))
    assert demand_at(made.policy, "deployment", "tiny").judges == ("evaluation", "server")
    for weaker in ({}, {**made.policy, "deployment": []}, {**made.policy, "keys": {"*": ["ci"]}}):
        with pytest.raises(PolicyError, match="it was changed, or the pin is out of date"):
            demand_at(weaker, "deployment", "tiny")
    monkeypatch.setenv("FAIRLEAD_POLICY_DIGEST", "sha256:1")
    with pytest.raises(ConfigurationError, match="FAIRLEAD_POLICY_DIGEST"):
        demand_at(made.policy, "deployment", "tiny")


def test_a_place_may_demand_signed_policies(made: Handover, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the platform team's signature counts, and only over what they signed."""
    (tmp_path / "team.yaml").write_text(yaml.safe_dump({"platform": made.keys["platform"].public}))
    monkeypatch.setenv("FAIRLEAD_POLICY_TRUST_FILE", str(tmp_path / "team.yaml"))
    with pytest.raises(PolicyError, match="is unsigned"):
        demand_at(made.policy, "deployment", "tiny")
    signed = sign(parse(made.policy), made.keys["platform"]).model_dump(mode="json")
    assert demand_at(signed, "deployment", "tiny").judges == ("evaluation", "server")
    with pytest.raises(PolicyError, match="only the signature of platform counts"):
        demand_at(sign(parse(made.policy), made.keys["ci"]).model_dump(mode="json"), "deployment", "tiny")
    changes: list[dict[str, Any]] = [{"deployment": []}, {"models": ["other"]}, {"trusted": {}, "keys": {}}]
    for change in changes:
        with pytest.raises(PolicyError, match="does not fit the policy"):
            demand_at({**signed, **change}, "deployment", "tiny")
    impostor = sign(parse(made.policy), made.keys["ci"]).model_dump(mode="json") | {"signed_by": "platform"}
    with pytest.raises(PolicyError, match="does not fit the policy"):
        demand_at(impostor, "deployment", "tiny")


def test_a_policy_ends_and_is_for_certain_models(made: Handover) -> None:
    """An old or lenient signed policy cannot be replayed for ever, nor for another model."""
    now = datetime.now(UTC)
    fine = parse({**made.policy, "models": ["tiny"], "valid_until": (now + timedelta(days=1)).isoformat()})
    assert accept(fine, "tiny") is fine
    with pytest.raises(PolicyError, match="is for tiny, not for other"):
        accept(fine, "other")
    assert accept(parse({**made.policy, "valid_until": (now + timedelta(days=2)).date()}), "tiny")
    with pytest.raises(PolicyError, match="ended at"):
        accept(parse({**made.policy, "valid_until": "2013-01-01"}), "tiny")


def test_a_places_own_keys_take_the_place_of_the_policys(
    made: Handover, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever adds a key of his own to the policy gains nothing where the platform team keeps the keys."""
    (tmp_path / "keys.yaml").write_text(yaml.safe_dump({"ci": [made.keys["ci"].public]}))
    monkeypatch.setenv("FAIRLEAD_TRUST_FILE", str(tmp_path / "keys.yaml"))
    demand = demand_at(made.policy, "deployment", "tiny")
    assert demand.trusted == {"ci": (made.keys["ci"].public,)}
    verdicts = [Verdict.read(file) for file in made.verdicts.iterdir()]
    with pytest.raises(VerdictError, match="server: the signature of 'platform' cannot be checked"):
        require(verdicts, demand, made.digest)


def test_files_of_keys_and_policies_are_read_or_refused_in_words(made: Handover, tmp_path: Path) -> None:
    """A policy is a file of its own or a problem's section."""
    file = tmp_path / "file.yaml"
    file.write_text(yaml.safe_dump({"name": "flights", "policy": made.policy}))
    assert read_policy(file) == read_policy(made.policy_file) == made.policy
    file.write_text("a: &a {deployment: [server]}\npolicy: {<<: *a, deployment: []}")
    assert read_policy(file) == {"deployment": []}
    for read, content, complaint in [
        (read_policy, "name: flights", "without a section `policy`"),
        (read_policy, "name: flights\npolicy: 3", "no keys and values"),
        (read_policy, "a: [", "is no YAML"),
        (read_policy, "deployment: [server]\nkeys: {}\ndeployment: []", "stands there twice"),
        (read_policy, "keys: {'*': [ci], '*': [eve]}", "stands there twice"),
        (read_trust, "", "no keys and values"),
        (read_trust, "ci: abc", "the key of 'ci'"),
        (read_trust, "\x00", "is no YAML"),
    ]:
        file.write_text(content)
        with pytest.raises(ConfigurationError, match=complaint):
            read(file)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_trust(tmp_path / "none.yaml")
    file.write_text(yaml.safe_dump({"ci": made.keys["ci"].public}))
    file.chmod(0o646)
    with pytest.raises(ConfigurationError, match="chmod o-w"):
        read_trust(file)
