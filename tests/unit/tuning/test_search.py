"""The search: every algorithm stays inside the space, and a killed search goes on where it stopped."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fairlead.errors import DataError, StateError
from fairlead.tuning.search import TrialRecord, open_study, records, run_search
from fairlead.tuning.spec import ALGORITHMS, TuneSpec

RATES = {"min": "0.001", "max": "0.1", "distribution": "logUniform"}
PARAMETERS = [
    {"name": "learning_rate", "parameterType": "double", "feasibleSpace": RATES},
    {"name": "dropout", "parameterType": "double", "feasibleSpace": {"min": "0.0", "max": "0.35", "step": "0.1"}},
    {"name": "epochs", "parameterType": "int", "feasibleSpace": {"min": "1", "max": "4"}},
    {"name": "batch_size", "parameterType": "discrete", "feasibleSpace": {"list": ["64", "128"]}},
    {"name": "hidden", "parameterType": "categorical", "feasibleSpace": {"list": ["[8]", "[16, 8]"]}},
]
GRID = [
    {"name": "dropout", "parameterType": "double", "feasibleSpace": {"min": "0.1", "max": "0.3", "step": "0.1"}},
    {"name": "hidden", "parameterType": "categorical", "feasibleSpace": {"list": ["[8]", "[16, 8]"]}},
]


class Killed(BaseException):
    """What a test raises where a process would die."""


def search(name: str, trials: int, parameters: list[dict[str, Any]] = PARAMETERS, **changes: Any) -> TuneSpec:
    """A search by an algorithm."""
    return TuneSpec.parse(
        {
            "objective": {"type": "minimize", "objectiveMetricName": "validation_log_loss"},
            "algorithm": {"algorithmName": name, "algorithmSettings": {"random_state": "5"}},
            "maxTrialCount": trials,
            "parameters": parameters,
            **changes,
        },
        "tuning",
    )


def loss(values: Mapping[str, Any]) -> dict[str, float]:
    """A figure that depends on the values."""
    return {"validation_log_loss": abs(values.get("dropout", 0) - 0.2) + values.get("learning_rate", 0)}


def run(path: Path, spec: TuneSpec, evaluate: Any = loss) -> list[TrialRecord]:
    """Runs a search to its end."""
    with open_study(path, "study", spec) as study:
        run_search(study, spec, evaluate, lambda _done: None)
        return records(study)


@pytest.mark.parametrize("name", sorted(set(ALGORITHMS) - {"grid"}))
def test_values_lie_in_the_space(tmp_path: Path, name: str) -> None:
    """Each algorithm gives values of the space, in its types and on its steps, and not the same ones twice."""
    trials = run(tmp_path / "s.sqlite", search(name, 5))
    assert len(trials) == 5
    for trial in trials:
        values = trial.values
        assert 0.001 <= values["learning_rate"] <= 0.1
        assert round(values["dropout"] * 10, 9) in (0, 1, 2, 3)
        assert values["epochs"] in (1, 2, 3, 4)
        assert values["batch_size"] in (64, 128)
        assert values["hidden"] in ("[8]", "[16, 8]")
    assert len({trial.values["learning_rate"] for trial in trials}) == 5


def test_the_grid_is_walked_once(tmp_path: Path) -> None:
    """Every combination comes once, without the noise of binary fractions."""
    trials = run(tmp_path / "s.sqlite", search("grid", 6, GRID))
    assert {(t.values["dropout"], t.values["hidden"]) for t in trials} == {
        (dropout, hidden) for dropout in (0.1, 0.2, 0.3) for hidden in ("[8]", "[16, 8]")
    }


@pytest.mark.parametrize(("name", "parameters"), [("random", PARAMETERS), ("tpe", PARAMETERS), ("grid", GRID)])
def test_a_killed_search_goes_on(tmp_path: Path, name: str, parameters: list[dict[str, Any]]) -> None:
    """No finished trial is repeated, the cut one is, and the values are those of a search that was not killed."""
    seen: list[dict[str, Any]] = []

    def evaluate(values: dict[str, Any]) -> dict[str, float]:
        seen.append(values)
        if len(seen) == 3:
            raise Killed
        return loss(values)

    spec = search(name, 5, parameters)
    with pytest.raises(Killed):
        run(tmp_path / "killed.sqlite", spec, evaluate)
    resumed = run(tmp_path / "killed.sqlite", spec, evaluate)
    assert len(seen) == 6
    assert seen[2] == seen[3]
    whole = run(tmp_path / "whole.sqlite", spec)
    assert [trial.values for trial in resumed] == [trial.values for trial in whole]
    assert [trial.number for trial in resumed] == [0, 1, 2, 3, 4]


def test_more_trials_can_be_asked_for(tmp_path: Path) -> None:
    """A finished search with a higher maxTrialCount runs only the new trials."""
    run(tmp_path / "s.sqlite", search("random", 2))
    seen: list[dict[str, Any]] = []

    def evaluate(values: dict[str, Any]) -> dict[str, float]:
        seen.append(values)
        return loss(values)

    trials = run(tmp_path / "s.sqlite", search("random", 4), evaluate)
    assert (len(trials), len(seen)) == (4, 2)


def test_failed_trials_are_counted_and_end_the_search(tmp_path: Path) -> None:
    """The search ends at maxFailedTrialCount failures, as Katib does; what failed keeps its reason."""

    def evaluate(values: dict[str, Any]) -> dict[str, float]:
        raise DataError(f"no good: {values['hidden']}")

    trials = run(tmp_path / "s.sqlite", search("random", 5, maxFailedTrialCount=2), evaluate)
    assert [trial.metric for trial in trials] == [None, None]
    assert trials[0].error.startswith("DataError: no good: [")


def test_a_goal_ends_the_search(tmp_path: Path) -> None:
    """A search with a goal stops when it is reached."""
    objective = {"type": "minimize", "objectiveMetricName": "validation_log_loss", "goal": 100}
    assert len(run(tmp_path / "s.sqlite", search("random", 5, objective=objective))) == 1


def test_corrupt_state_is_named(tmp_path: Path) -> None:
    """A file that is no database is refused with what to do."""
    (tmp_path / "s.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(StateError, match=r"(?s)s\.sqlite cannot be read .*delete it"):
        run(tmp_path / "s.sqlite", search("random", 1))
