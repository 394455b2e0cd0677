"""Verdicts are bound to a digest, and signed where a key is set."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fairlead.errors import VerdictError
from fairlead.signatures import SigningKey, make_private_key
from fairlead.verdicts import Demand, Verdict, require

THIS, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def ago(**span: float) -> str:
    """A time in the past."""
    return (datetime.now(UTC) - timedelta(**span)).isoformat(timespec="seconds")


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, SigningKey]:
    """Two signers."""
    return {name: make_private_key(tmp_path / "keys" / f"{name}.pem") for name in ("ci", "platform")}


@pytest.fixture
def demand(keys: dict[str, SigningKey]) -> Demand:
    """What a careful policy demands: the evaluation by ci, all else by the platform."""
    trusted = {name: (key.public,) for name, key in keys.items()}
    return Demand(("evaluation", "server"), {"evaluation": ("ci",), "*": ("platform",)}, trusted, timedelta(days=30))


def refused(verdicts: list[Verdict], demand: Demand) -> str:
    """Why they do not let the model go on."""
    with pytest.raises(VerdictError) as caught:
        require(verdicts, demand, THIS)
    return str(caught.value)


def test_a_verdict_survives_writing(tmp_path: Path) -> None:
    """What is read is what was written."""
    verdict = Verdict("evaluation", THIS, "rejected", {"roc_auc": 0.5}, {"roc_auc": 0.6}, ["too low"])
    verdict.write(tmp_path / "v.json")
    assert Verdict.read(tmp_path / "v.json") == verdict
    assert Verdict.from_text(verdict.to_text()) == verdict
    assert "signature" not in (tmp_path / "v.json").read_text()


def test_every_demanded_judge_must_have_approved_this_model() -> None:
    """Missing, foreign, rejected and inconclusive verdicts are refused, each with its reason."""
    approved = Verdict("evaluation", THIS, "approved")
    require([approved], ["evaluation"], THIS)
    with pytest.raises(VerdictError, match="comparison: no verdict"):
        require([approved], ["evaluation", "comparison"], THIS)
    with pytest.raises(VerdictError, match="for another model"):
        require([approved], ["evaluation"], OTHER)
    for outcome in ("rejected", "inconclusive"):
        verdict = Verdict("evaluation", THIS, outcome, reasons=["AUC 0.5 < 0.6"])
        with pytest.raises(VerdictError, match=f"{outcome}: AUC 0.5 < 0.6"):
            require([verdict], ["evaluation"], THIS)


def test_the_latest_verdict_counts() -> None:
    """A later rejection overrules an earlier approval, whatever the time zone it is told in; so does one at once."""
    early = Verdict("evaluation", THIS, "approved", created_at="2013-01-02T00:30:00+02:00")
    late = Verdict("evaluation", THIS, "rejected", reasons=["no"], created_at="2013-01-01T23:00:00+00:00")
    same = Verdict("evaluation", THIS, "rejected", reasons=["no"], created_at="2013-01-01T22:30:00+00:00")
    for verdicts in ([late, early], [early, late], [early, same], [same, early]):
        with pytest.raises(VerdictError):
            require(verdicts, ["evaluation"], THIS)
    require([same, replace(late, outcome="approved")], ["evaluation"], THIS)


@pytest.mark.parametrize(
    "text",
    [
        "", "{}", "[]", "3", "\x00", '{"format": 2}', '{"format": 1, "judge": "x"}',
        '{"format": 1, "judge": "../x", "model_digest": "a", "outcome": "approved"}',
        '{"format": 1, "judge": "x", "model_digest": "a", "outcome": "perfect"}',
        '{"format": 1, "judge": "x", "judge": "y", "model_digest": "a", "outcome": "approved"}',
        '{"format": 1, "judge": "x", "model_digest": "a", "outcome": "approved", "figures": {"a": NaN}}',
        '{"format": 1, "judge": "x", "model_digest": "a", "outcome": "approved", "figures": {"a": true}}',
        '{"format": 1, "judge": "x", "model_digest": "a", "outcome": "approved", "figures": {"a": 1e999}}',
        '{"format": 1, "judge": "x", "model_digest": "a", "outcome": "approved", "created_at": "today"}',
        '{"format": 1, "judge": "x", "model_digest": "a", "outcome": "approved", "reasons": "none"}',
        '{"format": 1, "judge": "x", "model_digest": "a", "outcome": "approved", "more": 1}',
    ],
)  # fmt: skip
def test_what_is_no_verdict_is_refused(text: str, tmp_path: Path) -> None:
    """A broken or foreign file is a clear error."""
    (tmp_path / "v.json").write_text(text)
    with pytest.raises(VerdictError, match="judge the model again"):
        Verdict.read(tmp_path / "v.json")
    with pytest.raises(VerdictError, match="judge the model again"):
        Verdict.read(tmp_path / "none.json")


def test_a_figure_that_json_has_not_is_refused(tmp_path: Path, keys: dict[str, SigningKey]) -> None:
    """Neither written nor signed."""
    verdict = Verdict("evaluation", THIS, "approved", {"roc_auc": float("nan")})
    for attempt in (lambda: verdict.write(tmp_path / "v.json"), lambda: verdict.signed(keys["ci"])):
        with pytest.raises(VerdictError, match="evaluation"):
            attempt()


def test_a_judge_signs_what_it_issues(
    tmp_path: Path, keys: dict[str, SigningKey], demand: Demand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key it issues unsigned; what passes a verdict on never adds a signature."""
    verdict = Verdict("evaluation", THIS, "approved", {"roc_auc": 0.75, "rows": 1000})
    assert verdict.issue(tmp_path / "v.json") == Verdict.read(tmp_path / "v.json") == verdict
    monkeypatch.setenv("FAIRLEAD_SIGNING_KEY", str(tmp_path / "keys" / "ci.pem"))
    issued = verdict.issue(tmp_path / "v.json")
    assert issued == Verdict.read(tmp_path / "v.json") == verdict.signed(keys["ci"])
    require([issued], replace(demand, judges=("evaluation",)), THIS)
    verdict.write(tmp_path / "v.json")
    assert Verdict.read(tmp_path / "v.json").signature == ""


def test_each_judge_has_its_signers(keys: dict[str, SigningKey], demand: Demand) -> None:
    """Several signers, one policy: the right judge's word under the right key."""
    evaluation, server = (Verdict(judge, THIS, "approved") for judge in demand.judges)
    good = [evaluation.signed(keys["ci"]), server.signed(keys["platform"])]
    require(good, demand, THIS)
    assert "'platform' does not count here; the policy demands that of ci" in refused(
        [evaluation.signed(keys["platform"]), good[1]], demand
    )
    assert "unsigned; the policy demands a signature of platform" in refused([good[0], server], demand)
    assert "cannot be checked" in refused(good, replace(demand, trusted={"ci": demand.trusted["ci"]}))


def test_a_name_is_worth_nothing_without_its_key(keys: dict[str, SigningKey], demand: Demand) -> None:
    """Whoever calls himself ci signs with a key that nobody trusts."""
    alone = replace(demand, judges=("evaluation",))
    verdict = Verdict("evaluation", THIS, "approved")
    impostor = replace(verdict.signed(keys["platform"]), key="ci")
    assert "does not fit" in refused([impostor], alone)
    moved = replace(Verdict("server", THIS, "approved").signed(keys["ci"]), judge="evaluation")
    assert "does not fit" in refused([moved], alone)


def test_keys_rotate(tmp_path: Path, keys: dict[str, SigningKey], demand: Demand) -> None:
    """While both keys of a name are trusted, verdicts of either count; when the old one goes, its verdicts go."""
    alone = replace(demand, judges=("evaluation",))
    new = replace(make_private_key(tmp_path / "new.pem"), name="ci")
    verdict = Verdict("evaluation", THIS, "approved")
    old_one, new_one = verdict.signed(keys["ci"]), verdict.signed(new)
    assert "does not fit" in refused([new_one], alone)
    both = replace(alone, trusted={"ci": (keys["ci"].public, new.public)})
    require([old_one], both, THIS)
    require([new_one], both, THIS)
    after = replace(alone, trusted={"ci": (new.public,)})
    require([new_one], after, THIS)
    assert "does not fit" in refused([old_one], after)


def test_what_does_not_count_cannot_overrule(keys: dict[str, SigningKey], demand: Demand) -> None:
    """An unsigned or forged verdict, later and approving or rejecting, changes nothing either way."""
    alone = replace(demand, judges=("evaluation",))
    verdict = Verdict("evaluation", THIS, "approved", created_at=ago(days=2))
    approved = verdict.signed(keys["ci"])
    rejected = replace(verdict, outcome="rejected", created_at=ago(days=1)).signed(keys["ci"])
    stray = Verdict("evaluation", THIS, "rejected", reasons=["a stranger says so"])
    require([approved, stray], alone, THIS)
    forged = replace(approved, created_at=ago(hours=1))
    assert "rejected" in refused([approved, rejected, forged, replace(stray, outcome="approved")], alone)


def test_an_old_verdict_or_one_from_the_future_does_not_count(keys: dict[str, SigningKey], demand: Demand) -> None:
    """The age is that of the signed time; a date yet to come would never grow old."""
    alone = replace(demand, judges=("evaluation",))

    def made(at: str) -> list[Verdict]:
        return [Verdict("evaluation", THIS, "approved", created_at=at).signed(keys["ci"])]

    require(made(ago(days=29)), alone, THIS)
    require(made(ago(seconds=-120)), alone, THIS)
    require(made(ago(days=31)), replace(alone, maximum_age=None), THIS)
    assert "31.0 days old; the policy allows 30" in refused(made(ago(days=31)), alone)
    assert "yet to come" in refused(made(ago(days=-1)), alone)


def test_a_signature_that_is_not_demanded_must_still_fit(keys: dict[str, SigningKey], demand: Demand) -> None:
    """Where the signer is known, a changed verdict is refused even if an unsigned one would do."""
    lenient = replace(demand, judges=("evaluation",), keys={})
    verdict = Verdict("evaluation", THIS, "approved", {"roc_auc": 0.6}).signed(keys["ci"])
    require([verdict], lenient, THIS)
    require([verdict], ["evaluation"], THIS)
    assert "does not fit" in refused([replace(verdict, figures={"roc_auc": 0.9})], lenient)
