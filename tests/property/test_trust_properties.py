"""Whatever is changed, in whatever byte, is refused; what is not changed passes."""

import base64
import json
import shutil
from dataclasses import fields, replace
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from trust import Handover, hand_over

from fairlead.canonical import canonical
from fairlead.errors import ConfigurationError, PolicyError, VerdictError
from fairlead.registry.policy import accept, demand_at, digest_of, sign
from fairlead.registry.spec import PolicySpec
from fairlead.registry.verification import Terms, read_verdicts, verify
from fairlead.verdicts import Verdict, require

TEXT = st.text(st.characters(codec="utf-8"))
JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53) + 1, 2**53 - 1)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
FIGURES = st.dictionaries(st.text(min_size=1, max_size=8), st.floats(-1e9, 1e9) | st.integers(-99, 99), max_size=3)
CHANGES: dict[str, st.SearchStrategy[Any]] = {
    "judge": st.sampled_from(["server", "load", "slices", "evaluations", "Evaluation"]),
    "model_digest": st.text("0123456789abcdef", min_size=64, max_size=64).map(lambda digits: f"sha256:{digits}"),
    "outcome": st.sampled_from(["approved", "rejected", "inconclusive", "perfect"]),
    "figures": FIGURES,
    "thresholds": FIGURES,
    "reasons": st.lists(st.text(max_size=9), max_size=3),
    "created_at": st.datetimes().map(lambda time: f"{time.isoformat()}+00:00"),
    "key": st.sampled_from(["platform", "", "CI", "ci "]),
    "signature": st.binary(min_size=64, max_size=64).map(lambda raw: base64.b64encode(raw).decode()) | st.text(),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Handover:
    """One model for all examples, which each work on copies."""
    return hand_over(tmp_path_factory.mktemp("received"))


@given(JSON)
def test_canonical_json_is_json_with_the_same_meaning(value: Any) -> None:
    """It reads back as what it was, and is canonical already."""
    text = canonical(value)
    read = json.loads(text, parse_int=float)  # readers of JSON have doubles
    assert canonical(read) == text
    assert read == json.loads(json.dumps(value), parse_int=float)


def test_every_field_is_among_the_changes() -> None:
    """A field that is added to verdicts is tampered with below, too."""
    assert set(CHANGES) == {field.name for field in fields(Verdict)}


@pytest.mark.parametrize("name", CHANGES)
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_verdict_with_any_other_field_is_refused(made: Handover, name: str, data: st.DataObject) -> None:
    """Every field is under the signature, the signer's name among them."""
    verdict = Verdict.read(made.verdicts / "evaluation.json")
    changed = replace(verdict, **{name: data.draw(CHANGES[name])})
    assume(changed != verdict)
    with pytest.raises(VerdictError):
        require([changed], demand_at(made.policy, "registration", "tiny"), made.digest)


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_a_verdict_with_any_byte_changed_says_the_same_or_is_refused(
    made: Handover, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Spaces between values have no meaning; every byte that has is covered."""
    whole = (made.verdicts / "evaluation.json").read_bytes()
    changed = damage(whole, data)
    assume(changed != whole)
    file = tmp_path_factory.mktemp("verdict") / "v.json"
    file.write_bytes(changed)
    try:
        found = Verdict.read(file)
        require([found], demand_at(made.policy, "registration", "tiny"), made.digest)
    except VerdictError:
        return
    assert canonical(found.content()) == canonical(Verdict.read(made.verdicts / "evaluation.json").content())


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_package_with_any_byte_changed_is_refused(
    made: Handover, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """A byte changed, cut off or added in any file; a file more, less, or of another name."""
    folder = tmp_path_factory.mktemp("copy") / "package"
    shutil.copytree(made.package, folder)
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    file = data.draw(st.sampled_from(files))
    kind = data.draw(st.sampled_from(["bytes", "remove", "rename", "add"]))
    if kind == "bytes":
        whole = file.read_bytes()
        changed = damage(whole, data)
        assume(changed != whole)
        file.write_bytes(changed)
    elif kind == "add":
        file.with_name(data.draw(st.text("abc", min_size=1, max_size=5)) + ".new").write_bytes(b"")
    else:
        file.unlink() if kind == "remove" else file.rename(file.with_name(f"{file.name}2"))
    verdicts, unreadable = read_verdicts([made.verdicts])
    assert not verify(folder, verdicts, Terms(made.policy), unreadable).is_good


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_signed_or_pinned_policy_with_any_byte_changed_is_refused(made: Handover, data: st.DataObject) -> None:
    """Unless the change is one of spelling that demands the same."""
    spec = sign(PolicySpec.parse({**made.policy, "maximum_age_days": 30}, "policy"), made.keys["platform"])
    whole = yaml.safe_dump(spec.model_dump(mode="json")).encode()
    changed = damage(whole, data)
    trust = made.folder / "team.yaml"
    trust.write_text(yaml.safe_dump({"platform": made.keys["platform"].public}))
    for name, value in (("FAIRLEAD_POLICY_TRUST_FILE", str(trust)), ("FAIRLEAD_POLICY_DIGEST", digest_of(spec))):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(name, value)
            try:
                found = accept(PolicySpec.parse(yaml.safe_load(changed), "policy"), "tiny")
            except (PolicyError, ConfigurationError, yaml.YAMLError, UnicodeDecodeError, TypeError, ValueError):
                continue
            assert digest_of(found) == digest_of(spec)


def damage(whole: bytes, data: st.DataObject) -> bytes:
    """One byte changed, left out or put in, anywhere."""
    at = data.draw(st.integers(0, max(len(whole) - 1, 0)))
    byte = bytes([data.draw(st.integers(0, 255))])
    kind = data.draw(st.sampled_from(["change", "cut", "put"]))
    return whole[:at] + (b"" if kind == "cut" else byte) + whole[at + (kind != "put") :]


@given(st.lists(st.tuples(st.sampled_from(["ci", "platform", "stranger"]), st.booleans(), st.booleans()), max_size=6))
@settings(max_examples=60, deadline=None)
def test_only_words_that_count_decide(made: Handover, tmp_path_factory: pytest.TempPathFactory, words: Any) -> None:
    """Among any mixture of verdicts, the latest that the right key signed for this model decides."""
    policy, verdicts, expected = made.policy, [], None
    for hour, (signer, approves, is_this) in enumerate(words):
        digest = made.digest if is_this else f"sha256:{'0' * 64}"
        outcome = "approved" if approves else "rejected"
        verdict = Verdict("evaluation", digest, outcome, created_at=f"2020-01-01T{hour:02}:00:00+00:00")  # type: ignore[arg-type]
        key = made.keys["platform" if signer == "stranger" else signer]
        verdicts.append(replace(verdict.signed(key), key="ci") if signer == "stranger" else verdict.signed(key))
        expected = approves if signer == "ci" and is_this else expected
    demand = demand_at(policy, "registration", "tiny")
    if expected:
        require(verdicts, demand, made.digest)
    else:
        with pytest.raises(VerdictError):
            require(verdicts, demand, made.digest)
