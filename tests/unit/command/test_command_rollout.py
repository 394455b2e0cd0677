"""`fairlead rollout`: the evidence of a rollout under way and of those that ended."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from fakes import Behaviour, SimulatedTarget

from fairlead.deployment.engine import Rollout
from fairlead.deployment.records import Records, RolloutState
from fairlead.deployment.spec import RolloutSpec
from fairlead.platform.laptop.places import Places
from fairlead.platform.laptop.record_files import RecordFiles
from fairlead.settings import settings
from fairlead_pipelines.command.main import main

SPEC = {
    "steps": ["shadow", 25, 50],
    "minimum_requests": 50,
    "look_seconds": 1,
    "checks": [{"metric": "success_rate"}, {"metric": "disagreement"}],
}


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Records:
    """A service's rollout files where the settings look for them."""
    monkeypatch.setenv("FAIRLEAD_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "160")
    return Records(RecordFiles(Places(settings().platform_home).rollouts, "m"))


def roll_out(records: Records, target: SimulatedTarget, looks: int = 10_000) -> RolloutState:
    """Rolls a simulated canary out, for so many looks at most."""
    spec = RolloutSpec.parse(SPEC, where="rollout")
    state = RolloutState(name="m", digest="sha256:b", version="2", stable="sha256:a", spec=spec.model_dump(mode="json"))

    def clock() -> float:
        return float(target.readings)

    def sleep(_: float) -> None:
        if target.readings >= looks:
            raise KeyboardInterrupt

    rollout = Rollout(target, spec, state, records.save, clock=clock, sleep=sleep)
    if looks < 10_000:
        with pytest.raises(KeyboardInterrupt):
            rollout.run()
    else:
        rollout.run()
        records.append({"by": "canary", "version": "2", "outcome": state.outcome, "reasons": state.reasons})
    return state


def told(*arguments: str) -> str:
    """What the command prints."""
    result = CliRunner().invoke(main, ["rollout", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_rollout_that_ended_is_told(records: Records) -> None:
    """Outcome, evidence of each check, and the decisions."""
    roll_out(records, SimulatedTarget())
    shown = told("status", "m")
    assert "version 2" in shown
    assert "promoted" in shown
    assert "step 3 of 3: 50 % asked for" in shown
    assert all(check in shown for check in ("success_rate", "disagreement"))
    assert "promoted" in told("history", "m")


def test_a_rollout_under_way_is_told(records: Records) -> None:
    """A shadow step says that no user sees its answers."""
    roll_out(records, SimulatedTarget(requests=10), looks=2)
    shown = told("status", "m")
    assert "stepping" in shown
    assert "copies of 100 % of the requests" in shown
    assert "of 50 requests of this step" in shown


def test_evidence_fills_the_bar(records: Records) -> None:
    """A rejected canary's bar is full, and the reason is among the decisions."""
    roll_out(records, SimulatedTarget(canary=Behaviour(probability=0.9)))
    shown = told("status", "m", "--watch")  # it has ended: shown once
    assert "100%" in shown
    assert "rolled back" in shown
    assert "disagreement" in shown


def test_the_whole_state_is_there_for_programs(records: Records) -> None:
    """--json prints what the engine keeps."""
    state = roll_out(records, SimulatedTarget())
    content = json.loads(told("status", "m", "--json"))
    assert content["outcome"] == "promoted"
    assert len(content["looks"]) == len(state.looks)


def test_an_unknown_service_is_told_with_the_nearest(records: Records) -> None:
    """No traceback, and what there is."""
    roll_out(records, SimulatedTarget())
    result = CliRunner().invoke(main, ["rollout", "status", "mm"])
    assert result.exit_code == 1
    assert "no rollout of 'mm'" in result.output
