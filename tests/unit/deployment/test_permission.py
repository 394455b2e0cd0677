"""Before a version gets traffic its verdicts are held against the policy anew, by hand too."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from trust import Handover, hand_over

from fairlead.deployment import by_hand
from fairlead.deployment.permission import PolicyRecord, require_recorded, require_verdicts
from fairlead.errors import PolicyError, StateError, VerdictError
from fairlead.registry import store
from fairlead.verdicts import Verdict


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Handover:
    """A model whose verdicts the registry keeps: here, the files as they lie."""
    found = hand_over(tmp_path / "made")
    monkeypatch.setattr(store, "verdicts", lambda *_: [Verdict.read(f) for f in found.verdicts.iterdir()])
    return found


def test_the_deployment_part_of_the_policy_counts(made: Handover) -> None:
    """What registration does not need, deployment may."""
    require_verdicts("tiny", made.digest, made.policy)
    (made.verdicts / "server.json").unlink()
    with pytest.raises(VerdictError, match="server: no verdict"):
        require_verdicts("tiny", made.digest, made.policy)
    require_verdicts("tiny", made.digest, {"deployment": []})


def test_by_hand_the_policy_of_the_deployment_counts(made: Handover) -> None:
    """It is on record for each version of a service; a verdict that fell since then refuses."""
    PolicyRecord("tiny", made.policy).write("flights", made.digest)
    assert PolicyRecord.read("flights", made.digest) == PolicyRecord("tiny", made.policy)
    require_recorded("flights", made.digest)
    Verdict("server", made.digest, "rejected", reasons=["leaks"]).signed(made.keys["platform"]).write(
        made.verdicts / "server.json"
    )
    with pytest.raises(VerdictError, match="server: rejected: leaks"):
        require_recorded("flights", made.digest)


def test_age_does_not_keep_back_what_served_before(made: Handover) -> None:
    """Going back is for emergencies; who has approved matters then, when does not."""
    for name, key in (("evaluation", "ci"), ("server", "platform")):
        old = replace(Verdict.read(made.verdicts / f"{name}.json"), created_at="2013-01-01T00:00:00+00:00")
        old.signed(made.keys[key]).write(made.verdicts / f"{name}.json")
    PolicyRecord("tiny", {**made.policy, "maximum_age_days": 30}).write("flights", made.digest)
    require_recorded("flights", made.digest, aged=True)
    with pytest.raises(VerdictError, match="days old"):
        require_recorded("flights", made.digest)
    other = f"sha256:{'0' * 64}"
    PolicyRecord("tiny", made.policy).write("flights", other)
    with pytest.raises(VerdictError, match="for another model"):
        require_recorded("flights", other, aged=True)


def test_without_a_record_a_place_that_pins_refuses(made: Handover, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was started past deploy_model has no policy; a corrupt record is an error, not a pass."""
    require_recorded("flights", made.digest)
    monkeypatch.setenv("FAIRLEAD_POLICY_DIGEST", f"sha256:{'0' * 64}")
    with pytest.raises(PolicyError, match="is not on record"):
        require_recorded("flights", made.digest)
    PolicyRecord("tiny", made.policy).write("flights", made.digest)
    with pytest.raises(PolicyError, match="it was changed, or the pin is out of date"):
        require_recorded("flights", made.digest)
    record = next(Path(str(made.folder.parent)).rglob(f"policies/flights/{made.digest[7:]}.json"))
    record.write_text("{}")
    with pytest.raises(StateError, match="does not say a policy"):
        require_recorded("flights", made.digest)


def test_promotion_by_hand_asks_before_anything_moves(made: Handover) -> None:
    """Nothing is told to promote what the policy refuses."""
    told: list[Any] = []
    place: Any = SimpleNamespace(target=lambda *asked: told.append(asked), bring_back=told.append)
    version = SimpleNamespace(condition="ready", digest=made.digest, version="2")
    service: Any = SimpleNamespace(
        name="flights", canary=made.digest, versions={made.digest: version}, previous=version
    )
    PolicyRecord("tiny", {**made.policy, "deployment": ["load"]}).write("flights", made.digest)
    with pytest.raises(VerdictError, match="load: no verdict"):
        by_hand._promote(place, service)
    with pytest.raises(VerdictError, match="load: no verdict"):
        by_hand._bring_back(place, service)
    assert told == []
