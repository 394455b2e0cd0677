"""What became of an Experiment, from objects as a real controller writes them."""

from typing import Any

import pytest
from unit.tuning.searches import section

from fairlead.errors import DataError, PlatformError
from fairlead.tuning.outcome import conclude, read_state, read_trials
from fairlead.tuning.spec import TuneSpec
from fairlead.tuning.tune_model.task import choose_best

SPEC = TuneSpec.parse(section("random", 4), "tuning")
ASSIGNED = [
    {"name": "hidden", "value": "[16, 8]"}, {"name": "batch_size", "value": "64"}, {"name": "epochs", "value": "3"},
    {"name": "dropout", "value": "0.30000000000000004"}, {"name": "learning_rate", "value": "0.002"},
]  # fmt: skip


def condition(kind: str, *, true: bool = True, reason: str = "", message: str = "") -> dict[str, Any]:
    """One condition."""
    return {"type": kind, "status": "True" if true else "False", "reason": reason, "message": message}


def experiment(*conditions: dict[str, Any], **counts: int) -> dict[str, Any]:
    """An Experiment with a status."""
    return {"metadata": {"name": "late"}, "status": {"conditions": list(conditions), **counts}}


def trial(number: int, *conditions: dict[str, Any], loss: Any = None) -> dict[str, Any]:
    """One Trial; `loss` is the metric's latest value as Katib's text."""
    metric = {"name": "validation_log_loss", "min": "0.1", "max": "unavailable", "latest": loss}
    return {
        "metadata": {"name": f"late-{number}", "creationTimestamp": f"2026-01-01T00:00:0{number}Z"},
        "spec": {"parameterAssignments": ASSIGNED},
        "status": {
            "conditions": [condition("Created"), condition("Running", true=False), *conditions],
            "startTime": "2026-01-01T00:01:00Z", "completionTime": "2026-01-01T00:01:07Z",
            "observation": {"metrics": [metric]} if loss is not None else {},
        },
    }  # fmt: skip


def test_the_newest_condition_that_is_true_counts() -> None:
    """An Experiment goes from no status over created and running to its end; a resumed one runs again."""
    assert read_state({"metadata": {"name": "late"}}).phase == "created"
    assert read_state(experiment(condition("Created"))).phase == "created"
    running = read_state(experiment(condition("Created"), condition("Running"), trialsSucceeded=1, trialsFailed=2))
    assert (running.phase, running.over, running.ended, running.failed) == ("running", False, 3, 2)
    ended = experiment(
        condition("Created"), condition("Running", true=False),
        condition("Succeeded", reason="ExperimentGoalReached", message="reached"), trialMetricsUnavailable=1,
        trialsEarlyStopped=1,
    )  # fmt: skip
    state = read_state(ended)
    assert (state.phase, state.over, state.reason, state.ended, state.failed) == (
        "succeeded", True, "ExperimentGoalReached", 2, 1,
    )  # fmt: skip
    again = experiment(condition("Created"), condition("Restarting"), condition("Running", true=False))
    assert read_state(again).phase == "running"


def test_trials_become_the_records_of_a_laptop() -> None:
    """Values have their own types, the strategy's value counts, times become seconds; the best is found alike."""
    trials = [
        trial(2, condition("Succeeded"), loss="0.5"),
        trial(0, condition("Succeeded"), loss="0.7"),
        trial(1, condition("Failed", reason="TrialFailed", message="BackoffLimitExceeded")),
        trial(3, condition("EarlyStopped")),
        trial(4, condition("Running")),
    ]
    records = conclude(experiment(condition("Succeeded")), trials, SPEC)
    assert [(record.number, record.state) for record in records] == [
        (0, "succeeded"), (1, "failed"), (2, "succeeded"), (3, "early_stopped"),
    ]  # fmt: skip
    assert records[0].values == {
        "learning_rate": 0.002, "dropout": 0.30000000000000004, "epochs": 3, "batch_size": 64, "hidden": "[16, 8]",
    }  # fmt: skip
    assert records[1].error == "TrialFailed: BackoffLimitExceeded"
    assert records[0].seconds == 7
    assert choose_best(records, SPEC).number == 2


@pytest.mark.parametrize("loss", ["unavailable", "nan", "inf", None])
def test_a_success_without_a_number_has_failed(loss: Any) -> None:
    """Katib calls a trial succeeded that printed nan, or nothing."""
    found = [trial(0, condition("Succeeded"), loss=loss)]
    assert read_trials(found, SPEC)[0].state == "failed"
    with pytest.raises(
        DataError, match=r"(?s)no trial .* succeeded, although Katib calls it so.*a metric has no value"
    ):
        conclude(experiment(condition("Succeeded")), found, SPEC)


def test_an_experiment_that_came_to_nothing_is_refused() -> None:
    """Not over, failed by its trials, failed by its suggestions: each is said with what to look at."""
    failed = [trial(0, condition("Failed", reason="TrialFailed", message="DeadlineExceeded"))]
    with pytest.raises(PlatformError, match="is running, not over"):
        conclude(experiment(condition("Running")), failed, SPEC)
    many = condition("Failed", message="Experiment has failed because max failed count has reached")
    with pytest.raises(DataError, match=r"(?s)max failed count.*DeadlineExceeded"):
        conclude(experiment(many), failed, SPEC)
    with pytest.raises(PlatformError, match="its Suggestion late says why"):
        conclude(experiment(condition("Failed", message="Suggestion has failed")), [], SPEC)
