"""The rollout engine over a simulated target: every outcome, resumption at any moment, the verified split."""

from pathlib import Path
from typing import Any

import pytest
from fakes import Behaviour, SimulatedTarget
from simulated_rollouts import rollout

from fairlead.deployment.engine import split_contradiction
from fairlead.deployment.records import Records
from fairlead.deployment.report import write_report
from fairlead.deployment.spec import RolloutSpec
from fairlead.errors import ConfigurationError, StateError
from fairlead.platform.laptop.record_files import RecordFiles
from fairlead.platform.serving import InChargeError
from fairlead.platform.target import ObservedSplit


@pytest.fixture
def records(tmp_path: Path) -> Records:
    """A service's rollout files."""
    return Records(RecordFiles(tmp_path / "rollouts", "m"))


def test_a_good_canary_goes_through_all_steps(records: Records) -> None:
    """Splits grow step by step, then all traffic, then promotion; the alias is set before the old version goes."""
    target = SimulatedTarget()
    made = rollout(target, records)
    made.on_promotion = lambda: target.log.append("alias")
    state = made.run()
    assert state.outcome == "promoted"
    assert target.log == ["split 5", "split 25", "split 50", "split 100", "alias", "promote"]
    assert made.judge.canary_requests >= 150


def test_no_traffic_is_given_before_the_state_is_kept(records: Records) -> None:
    """An engine that is killed right after its first split has left word of it."""
    kept = []

    class Watched(SimulatedTarget):
        def apply_split(self, canary_percent: float, shadow_percent: float = 0.0) -> None:
            state = records.load()
            kept.append(None if state is None else (state.phase, state.step))
            super().apply_split(canary_percent, shadow_percent)

    rollout(Watched(), records).run()
    assert kept == [("stepping", 0), ("stepping", 1), ("stepping", 2), ("promoting", 3)]


def test_a_first_version_is_promoted_at_once(records: Records) -> None:
    """Where nothing serves there is nothing to compare with, and no step."""
    target = SimulatedTarget(stable=None)
    assert rollout(target, records).run().outcome == "promoted"
    assert target.log == ["promote"]


@pytest.mark.parametrize(
    ("canary", "metric"),
    [
        (Behaviour(failure_rate=0.2), "success_rate"),
        (Behaviour(seconds=0.5), "latency"),
        (Behaviour(probability=0.95), "log_loss"),
    ],
)
def test_a_bad_canary_is_rolled_back_with_the_reason(records: Records, canary: Behaviour, metric: str) -> None:
    """The check that rejected it is named, and the traffic never grows to 50 %."""
    target = SimulatedTarget(canary=canary)
    state = rollout(target, records, minimum_requests=500, step_timeout_seconds=500).run()
    assert state.outcome == "rolled_back"
    assert state.reasons[0].startswith(metric)
    assert target.log[-1] == "roll back"
    assert "split 50" not in target.log


def test_a_dead_canary_is_rolled_back_at_once(records: Records) -> None:
    """The look that hears of it is the last one."""
    target = SimulatedTarget(dies_after=3)
    state = rollout(target, records, minimum_requests=10_000).run()
    assert (state.outcome, target.readings) == ("rolled_back", 4)
    assert "died" in state.reasons[0]


def test_too_few_requests_are_inconclusive(records: Records) -> None:
    """At the time limit it stops and says how many requests came and how many are needed."""
    target = SimulatedTarget(requests=10)
    state = rollout(target, records).run()
    assert state.outcome == "inconclusive"
    assert "50 are needed" in state.reasons[0]
    assert target.log == ["split 5", "roll back"]


def test_a_split_that_does_not_happen_stops_the_rollout(records: Records) -> None:
    """No evidence is taken from a split that is not the one that was asked for."""
    target = SimulatedTarget(actual_percent=0.0)
    state = rollout(target, records).run()
    assert state.outcome == "inconclusive"
    assert "not the one that was asked for" in state.reasons[0]


SHADOWED: dict[str, Any] = {
    "steps": ["shadow", 25, 50],
    "checks": [{"metric": "success_rate"}, {"metric": "disagreement", "tolerance": 0.2, "margin": 0.05}],
}


def test_a_shadow_comes_before_any_share_of_the_traffic(records: Records) -> None:
    """Copies first; when enough requests were answered by both, the canary gets its first real ones."""
    target = SimulatedTarget()
    made = rollout(target, records, **SHADOWED)
    state = made.run()
    assert state.outcome == "promoted"
    assert target.log == ["shadow 100", "split 25", "split 50", "split 100", "promote"]
    assert made.judge.figures()["disagreement_canary_observations"] >= 50


def test_a_shadow_that_disagrees_never_answers_a_user(records: Records) -> None:
    """It is rolled back from the shadow step."""
    target = SimulatedTarget(canary=Behaviour(probability=0.9))
    state = rollout(target, records, **SHADOWED, minimum_requests=100_000, step_timeout_seconds=500).run()
    assert state.outcome == "rolled_back"
    assert state.reasons[0].startswith("disagreement")
    assert target.log == ["shadow 100", "roll back"]


def test_another_distribution_of_answers_is_rolled_back(records: Records) -> None:
    """A canary that answers 0.6 where the stable version answers 0.3 is found without any outcome."""
    target = SimulatedTarget(canary=Behaviour(probability=0.6))
    checks = [{"metric": "score_distribution"}]
    state = rollout(target, records, checks=checks, minimum_requests=100_000, step_timeout_seconds=500).run()
    assert state.outcome == "rolled_back"
    assert state.reasons[0].startswith("score_distribution")


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ({"steps": [5, "shadow", 25]}, "the first step only"),
        ({"steps": ["shadow"]}, "shares of the traffic must follow"),
        ({"steps": ["shadowed", 5]}, "shadow"),
        ({"steps": [5], "checks": [{"metric": "disagreement"}]}, "begin `steps` with shadow"),
    ],
)
def test_nonsense_about_shadows_is_refused(section: dict[str, Any], text: str) -> None:
    """The message says what is allowed."""
    with pytest.raises(ConfigurationError, match=text):
        RolloutSpec.parse(section, where="rollout")


def test_a_suspicion_at_the_time_limit_says_what_would_settle_it(records: Records) -> None:
    """Neither promoted nor rolled back: about how many more requests are needed is told."""
    target = SimulatedTarget(canary=Behaviour(failure_rate=0.06), requests=40, seed=3)
    changes: dict[str, Any] = {"steps": [50], "minimum_requests": 50, "step_timeout_seconds": 4, "alpha": 1e-6}
    state = rollout(target, records, checks=[{"metric": "success_rate", "margin": 0.0}], **changes).run()
    assert state.outcome == "inconclusive", state.reasons
    assert "more of its requests would settle it" in state.reasons[0]


@pytest.mark.parametrize(
    ("canary", "stable", "doubted"), [(400, 600, False), (60, 940, False), (20, 980, True), (0, 300, False)]
)
def test_a_split_of_users_may_be_off_by_what_users_send(canary: int, stable: int, doubted: bool) -> None:
    """Only a gross difference counts, and only where enough was expected."""
    split = ObservedSplit(stable=stable, canary=canary, sticky=True)
    assert bool(split_contradiction(split, 25)) == doubted


@pytest.mark.parametrize("moment", range(1, 9))
def test_a_rollout_that_was_cut_off_goes_on(records: Records, moment: int) -> None:
    """Wherever the process ends, the next one continues with the evidence so far and never repeats a step."""
    target = SimulatedTarget(killed_after=moment)
    with pytest.raises(SystemExit):
        rollout(target, records, minimum_requests=80).run()
    left = records.load()
    target.killed_after = None
    resumed = rollout(target, records, left, minimum_requests=80)
    before = resumed.judge.canary_requests
    state = resumed.run()
    assert state.outcome == "promoted"
    assert resumed.judge.canary_requests > before
    splits = [float(verb.split()[1]) for verb in target.log if verb.startswith("split")]
    assert splits == sorted(splits)


def test_an_interrupted_rollout_takes_the_traffic_away(records: Records) -> None:
    """Ctrl-C leaves the canary without traffic; the state stays so that the next run can go on."""
    target = SimulatedTarget()
    made = rollout(target, records)

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    made.sleep = interrupt
    with pytest.raises(KeyboardInterrupt):
        made.run()
    assert target.log == ["split 5", "split 0"]


def test_a_promotion_that_failed_half_way_is_finished_later(records: Records) -> None:
    """When the registry refuses the alias, the next run does what is left."""
    target = SimulatedTarget()
    made = rollout(target, records)

    def refuse() -> None:
        raise StateError("the registry is locked")

    made.on_promotion = refuse
    with pytest.raises(StateError):
        made.run()
    left = records.load()
    assert left is not None
    assert left.phase == "promoting"
    assert rollout(target, records, left).run().phase == "done"
    assert target.log[-1] == "promote"


@pytest.mark.parametrize(("verb", "outcome"), [("promote", "promoted"), ("rollback", "rolled_back")])
def test_a_word_by_hand_ends_it(records: Records, verb: Any, outcome: str) -> None:
    """The process in charge does what it is told at its next look."""
    target = SimulatedTarget()
    records.command(verb)
    state = rollout(target, records, minimum_requests=10_000).run()
    assert (state.outcome, target.readings) == (outcome, 1)
    assert "by hand" in state.reasons[0]


def test_two_are_never_in_charge(records: Records) -> None:
    """The second is refused with the first one's pid."""
    with records.charge(), pytest.raises(InChargeError, match="in charge"), records.charge():
        pass


def test_the_report_shows_split_evidence_and_decisions(records: Records, tmp_path: Path) -> None:
    """One self-contained page; also for a first version, which has no evidence."""
    made = rollout(SimulatedTarget(), records)
    state = made.run()
    write_report(state, made.judge.figures(), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 4
    assert "% of the traffic" in page
    first = rollout(SimulatedTarget(stable=None), records)
    write_report(first.run(), first.judge.figures(), tmp_path / "first.html")
    assert "first version" in (tmp_path / "first.html").read_text()


@pytest.mark.parametrize(
    ("split", "percent", "wrong"),
    [
        (ObservedSplit(950, 50), 5, False),
        (ObservedSplit(1000, 0), 5, True),
        (ObservedSplit(500, 500), 5, True),
        (ObservedSplit(0, 0), 5, False),
        (ObservedSplit(0, 10), 100, False),
        (ObservedSplit(10, 10, "canary answers with digest x"), 50, True),
    ],
)
def test_a_contradicted_split_is_told(split: ObservedSplit, percent: float, wrong: bool) -> None:
    """Counts and digests are compared with what was asked for."""
    assert bool(split_contradiction(split, percent)) == wrong


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"steps": [50, 25]}, "larger share"),
        ({"steps": [0.001]}, "steps"),
        ({"checks": [{"metric": "success_rat"}]}, "success_rate"),
        ({"checks": [{"metric": "latency"}, {"metric": "latency"}]}, "once"),
        ({"minimum_request": 5}, "minimum_requests"),
    ],
)
def test_a_wrong_section_is_explained(section: dict[str, Any], message: str) -> None:
    """Wrong keys and values of `rollout` name what is allowed."""
    with pytest.raises(ConfigurationError, match=message):
        RolloutSpec.parse(section, where="rollout")


def test_corrupt_state_is_named(records: Records) -> None:
    """A state that cannot be read is an error that names the file."""
    records.store.write(b"{")
    with pytest.raises(StateError, match=r"m\.json"):
        records.load()
