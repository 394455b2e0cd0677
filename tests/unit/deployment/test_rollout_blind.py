"""What the engine does when it sees nothing, or when what it sees cannot be."""

from pathlib import Path

import pytest
from fakes import SimulatedTarget
from simulated_rollouts import rollout

from fairlead.deployment.records import Records
from fairlead.platform.laptop.record_files import RecordFiles


@pytest.fixture
def records(tmp_path: Path) -> Records:
    """A service's rollout files."""
    return Records(RecordFiles(tmp_path / "rollouts", "m"))


def test_metrics_that_stay_away_for_a_moment_are_waited_for(records: Records) -> None:
    """Envoy started anew, or an API server that was busy: the rollout goes on with the evidence so far."""
    target = SimulatedTarget(fails_after=2, answers_after=5)
    state = rollout(target, records, minimum_requests=80).run()
    assert state.outcome == "promoted"
    assert state.blind_seconds == 0


def test_nobody_judges_a_canary_blindly_for_long(records: Records) -> None:
    """Without metrics its traffic is taken away, and the reason says so."""
    target = SimulatedTarget(fails_after=2)
    state = rollout(target, records, blind_seconds=2.0).run()
    assert state.outcome == "inconclusive"
    assert "metrics could not be read" in state.reasons[0]
    assert target.log[-1] == "roll back"


def test_a_canary_that_answers_and_logs_nothing_is_rolled_back(records: Records) -> None:
    """Answers with status 200 that hold no prediction are no success."""
    target = SimulatedTarget(logs=False, requests=400)
    state = rollout(target, records, look_seconds=2.0, minimum_requests=10_000).run()
    assert state.outcome == "rolled_back"
    assert "logged no prediction" in state.reasons[0]
