"""Verdicts are bound to a digest."""

from pathlib import Path

import pytest

from fairlead.errors import VerdictError
from fairlead.verdicts import Verdict, require

THIS, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def test_a_verdict_survives_writing(tmp_path: Path) -> None:
    """What is read is what was written."""
    verdict = Verdict("evaluation", THIS, "rejected", {"roc_auc": 0.5}, {"roc_auc": 0.6}, ["too low"])
    verdict.write(tmp_path / "v.json")
    assert Verdict.read(tmp_path / "v.json") == verdict


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
    """A later rejection overrules an earlier approval."""
    early = Verdict("evaluation", THIS, "approved", created_at="2013-01-01T00:00:00+00:00")
    late = Verdict("evaluation", THIS, "rejected", reasons=["no"], created_at="2013-01-02T00:00:00+00:00")
    with pytest.raises(VerdictError):
        require([late, early], ["evaluation"], THIS)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 2}', '{"format": 1, "judge": "x"}'])
def test_what_is_no_verdict_is_refused(text: str, tmp_path: Path) -> None:
    """A broken or foreign file is a clear error."""
    (tmp_path / "v.json").write_text(text)
    with pytest.raises(VerdictError, match="judge the model again"):
        Verdict.read(tmp_path / "v.json")
