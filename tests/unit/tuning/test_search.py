"""The search: every algorithm stays inside the space, and a search that was cut off goes on."""

import math
from pathlib import Path
from typing import Any

import pytest
from unit.tuning.searches import GRID, PARAMETERS, hyperband, loss, run, search

from fairlead.errors import ConfigurationError, DataError, StateError
from fairlead.tuning.algorithms import ALGORITHMS
from fairlead.tuning.search import Search, count_figures
from fairlead.tuning.spec import Objective
from fairlead.tuning.study import open_study


class Killed(BaseException):
    """What a test raises where a process would die."""


@pytest.mark.parametrize("name", sorted(set(ALGORITHMS) - {"grid", "hyperband"}))
def test_values_lie_in_the_space(tmp_path: Path, name: str) -> None:
    """Each algorithm gives values of the space, in its types and on its steps, and not the same ones twice."""
    trials = run(tmp_path, search(name, 5))
    assert len(trials) == 5
    for trial in trials:
        values = trial.values
        assert 0.001 <= values["learning_rate"] <= 0.1
        assert values["dropout"] in (0.0, 0.1, 0.2, 0.3)
        assert values["epochs"] in (1, 2, 3, 4)
        assert values["batch_size"] in (64, 128)
        assert values["hidden"] in ("[8]", "[16, 8]")
    assert len({trial.values["learning_rate"] for trial in trials}) == 5


def test_the_grid_is_walked_once(tmp_path: Path) -> None:
    """Every combination comes once, without the noise of binary fractions."""
    trials = run(tmp_path, search("grid", 6))
    assert {(t.values["dropout"], t.values["hidden"]) for t in trials} == {
        (dropout, hidden) for dropout in (0.1, 0.2, 0.3) for hidden in ("[8]", "[16, 8]")
    }


@pytest.mark.parametrize("name", sorted(set(ALGORITHMS) - {"hyperband"}))
def test_trials_that_start_together_differ(tmp_path: Path, name: str) -> None:
    """Trials that are asked for before any has ended, as parallel ones are, try different values."""
    spec = search(name, 4)
    with open_study(tmp_path, spec) as study:
        together = Search(study, spec)
        values = [together.start(worker).asked.values for worker in range(4)]
        assert together.over()
    assert len({str(value) for value in values}) == 4


@pytest.mark.parametrize("name", ["random", "tpe", "grid", "sobol"])
@pytest.mark.parametrize("cut", [1, 4])
def test_a_search_that_was_cut_off_goes_on(tmp_path: Path, name: str, cut: int) -> None:
    """No finished trial is repeated, the cut one is, and the values are those of a search that was not cut off."""
    seen: list[dict[str, Any]] = []

    def evaluate(values: dict[str, Any], hear: Any) -> dict[str, float]:
        seen.append(values)
        if len(seen) == cut:
            raise Killed
        return loss(values, hear)

    spec = search(name, 5)
    with pytest.raises(Killed):
        run(tmp_path / "cut", spec, evaluate)
    resumed = run(tmp_path / "cut", spec, evaluate)
    assert len(seen) == 6
    assert seen[cut - 1] == seen[cut]
    whole = run(tmp_path / "whole", spec)
    assert [trial.values for trial in resumed] == [trial.values for trial in whole]
    assert [trial.number for trial in resumed] == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_a_search_cut_off_between_two_writes_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever write of the study is the last one before a kill, a resumed search ends with the same trials."""
    from sqlalchemy.orm import Session

    spec = search("random", 2, parameters=PARAMETERS[:2])
    whole = [trial.values for trial in run(tmp_path / "whole", spec)]
    commit, seen = Session.commit, []

    def spoil(last: int) -> Any:
        def count(session: Any) -> None:
            seen.append(last)
            if seen.count(last) > last:
                raise Killed
            commit(session)

        return count

    for last in range(100):
        with monkeypatch.context() as patch:
            patch.setattr(Session, "commit", spoil(last))
            try:
                run(tmp_path / str(last), spec)
                break
            except Killed:
                pass
        assert [trial.values for trial in run(tmp_path / str(last), spec)] == whole, last
    assert 10 < last < 99


def test_a_trial_that_kills_the_search_again_and_again_has_failed(tmp_path: Path) -> None:
    """Where each resumed run dies in the same trial, as for want of memory, the search gets past it in the end."""

    def evaluate(values: dict[str, Any], hear: Any) -> dict[str, float]:
        if values["dropout"] > 0.1:
            raise Killed
        return loss(values, hear)

    spec = search("grid", 3, parameters=GRID[:1])
    for _ in range(2 * 5):
        with pytest.raises(Killed):
            run(tmp_path, spec, evaluate)
    trials = run(tmp_path, spec, evaluate)
    assert sorted(trial.state for trial in trials) == ["failed", "failed", "succeeded"]
    assert "killed 5 times while this trial ran" in next(t.error for t in trials if t.values["dropout"] == 0.3)


def test_an_interrupt_is_no_trials_fault(tmp_path: Path) -> None:
    """However often a user stops a search with ctrl-C in the same trial, it is tried again."""

    def evaluate(values: dict[str, Any], hear: Any) -> dict[str, float]:
        raise KeyboardInterrupt

    for _ in range(7):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, search("random", 1), evaluate)
    assert [trial.state for trial in run(tmp_path, search("random", 1))] == ["succeeded"]


def test_more_trials_can_be_asked_for(tmp_path: Path) -> None:
    """A finished search with a higher maxTrialCount runs only the new trials."""
    run(tmp_path, search("random", 2))
    seen: list[dict[str, Any]] = []

    def evaluate(values: dict[str, Any], hear: Any) -> dict[str, float]:
        seen.append(values)
        return loss(values, hear)

    trials = run(tmp_path, search("random", 4), evaluate)
    assert (len(trials), len(seen)) == (4, 2)


def test_failed_trials_are_counted_and_end_the_search(tmp_path: Path) -> None:
    """The search ends at maxFailedTrialCount failures, as Katib does; what failed keeps its reason."""

    def evaluate(values: dict[str, Any], hear: Any) -> dict[str, float]:
        raise DataError(f"no good: {values['hidden']}")

    trials = run(tmp_path, search("random", 5, maxFailedTrialCount=2), evaluate)
    assert [(trial.state, trial.metric) for trial in trials] == [("failed", None)] * 2
    assert trials[0].error.startswith("DataError: no good: [")


@pytest.mark.parametrize("figure", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_has_failed(tmp_path: Path, figure: float) -> None:
    """A trial whose metric is not finite has failed; Katib would call it succeeded and never end well."""

    def evaluate(values: dict[str, Any], hear: Any) -> dict[str, float]:
        hear({"validation_log_loss": figure})
        return {"validation_log_loss": 0.5}

    trial = run(tmp_path, search("random", 1), evaluate)[0]
    assert trial.state == "failed"
    assert "not finite" in trial.error


def test_a_metric_that_no_trial_tells_ends_the_search(tmp_path: Path) -> None:
    """It is an error of the section, not of one trial after another; the nearest name is given."""
    objective = {"type": "minimize", "objectiveMetricName": "validation_logloss"}
    with pytest.raises(ConfigurationError, match="did you mean 'validation_log_loss'"):
        run(tmp_path, search("random", 4, objective=objective))


def test_a_goal_ends_the_search(tmp_path: Path) -> None:
    """A search with a goal stops when it is reached, in either direction."""
    objective = {"type": "minimize", "objectiveMetricName": "validation_log_loss", "goal": 100}
    assert len(run(tmp_path / "a", search("random", 5, objective=objective))) == 1
    objective = {"type": "maximize", "objectiveMetricName": "score", "goal": 100}
    seen = iter([1.0, 100.0, 3.0])
    assert len(run(tmp_path / "b", search("random", 5, objective=objective), lambda *_: {"score": next(seen)})) == 2


def test_a_time_budget_ends_the_search_also_across_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No trial starts after maximum_seconds; what earlier, killed runs took counts."""
    clock = [0.0]
    monkeypatch.setattr("fairlead.tuning.search.time.monotonic", lambda: clock[0])

    def evaluate(values: dict[str, Any], hear: Any) -> dict[str, float]:
        clock[0] += 10
        return loss(values, hear)

    def cut(values: dict[str, Any], hear: Any) -> dict[str, float]:
        if clock[0] >= 20:
            raise Killed
        return evaluate(values, hear)

    with pytest.raises(Killed):
        run(tmp_path, search("random", 9, maximum_seconds=45), cut)
    assert len(run(tmp_path, search("random", 9, maximum_seconds=45), evaluate)) == 5


def test_metrics_count_by_their_strategy() -> None:
    """The strategy latest takes the kept epoch's value; min and max are over all epochs."""
    heard = [{"a": 3.0, "b": 3.0, "c": 3.0}, {"a": 1.0, "b": 1.0, "c": 1.0}, {"a": 2.0, "b": 2.0, "c": 2.0}]
    strategies = [{"name": "b", "value": "max"}, {"name": "c", "value": "min"}]
    objective = Objective.parse(
        {"type": "minimize", "objectiveMetricName": "a", "additionalMetricNames": ["b", "c"],
         "metricStrategies": strategies},
        "objective",
    )  # fmt: skip
    assert count_figures(heard[2], heard, objective) == {"a": 2.0, "b": 3.0, "c": 1.0}


def curve(levels: dict[int, float], epochs: int) -> Any:
    """An evaluation whose loss falls to a level by the trial's place."""
    begun: list[int] = []

    def evaluate(values: dict[str, Any], hear: Any) -> dict[str, float]:
        begun.append(1)
        figures = {}
        for epoch in range(1, epochs + 1):
            figures = {"validation_log_loss": levels[len(begun) - 1] + 1 / epoch}
            hear(figures)
        return figures

    return evaluate


def test_medianstop_compares_once_with_the_mean_of_means(tmp_path: Path) -> None:
    """As Katib: once, the best so far against the mean of the means of earlier trials that were not stopped."""
    stopping = {"algorithmName": "medianstop", "algorithmSettings": {"min_trials_required": "2", "start_step": "2"}}
    spec = search("random", 5, earlyStopping=stopping, parameters=PARAMETERS[:1])
    # means of the first two epochs: level + 0.75; after trials 0 to 2 the limit is 1.83; a trial's best is level + 0.5
    trials = run(tmp_path, spec, curve({0: 0.0, 1: 2.0, 2: 1.24, 3: 1.34, 4: 1.32}, epochs=4))
    assert [trial.state for trial in trials] == ["succeeded", "succeeded", "succeeded", "early_stopped", "succeeded"]
    assert [len(trial.curve) for trial in trials] == [4, 4, 4, 2, 4]
    assert trials[3].metric == pytest.approx(1.84)


def test_hyperband_keeps_the_best_third_at_each_rung(tmp_path: Path) -> None:
    """Of the largest bracket most trials end at its first rungs; what was judged by fewer stays fair to the first."""
    trials = run(tmp_path, hyperband(9), curve({place: place / 10 for place in range(9)}, epochs=9))
    assert [len(trial.curve) for trial in trials] == [9, 1, 1, 1, 1, 1, 1, 1, 1]
    better = run(tmp_path / "b", hyperband(9), curve({place: -place / 10 for place in range(9)}, epochs=9))
    assert [len(trial.curve) for trial in better] == [9] * 9
    assert {trial.values["epochs"] for trial in trials} == {9}


def test_stopped_trials_are_resumed_from_their_records(tmp_path: Path) -> None:
    """A search that is resumed knows what was stopped early, and counts it as done."""
    run(tmp_path, hyperband(4), curve({place: place / 10 for place in range(4)}, epochs=9))
    trials = run(tmp_path, hyperband(6), curve({0: 1.0, 1: 1.0}, epochs=9))
    assert [trial.state for trial in trials] == ["succeeded"] + ["early_stopped"] * 5


def test_corrupt_state_is_named(tmp_path: Path) -> None:
    """A file that is no database is refused with what to do."""
    (tmp_path / "study.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(StateError, match=r"(?s)study\.sqlite cannot be read .*delete it"):
        run(tmp_path, search("random", 1))


@pytest.mark.usefixtures("real_creation")
def test_a_kill_while_the_study_is_made_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The study appears whole: half a database of a kill within is not taken for one."""
    import optuna

    def killed(**_arguments: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(optuna, "create_study", killed)
        with pytest.raises(Killed):
            run(tmp_path, search("random", 1))
    assert not (tmp_path / "study.sqlite").exists()
    assert len(run(tmp_path, search("random", 1))) == 1


def test_the_grid_order_is_that_of_the_seed() -> None:
    """Another seed walks another way."""
    from fairlead.tuning.sampling import grid_point

    first = [grid_point(search("grid", 6, parameters=GRID), place) for place in range(6)]
    other = {"algorithmName": "grid", "algorithmSettings": {"random_state": "6"}}
    assert first != [grid_point(search("grid", 6, algorithm=other), place) for place in range(6)]
