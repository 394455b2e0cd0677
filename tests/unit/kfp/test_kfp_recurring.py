"""Recurring runs: one per name, however often they are asked for."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from kfp_backend import Backend, Fault

from fairlead.errors import ConfigurationError
from fairlead_pipelines.kfp_server.recurring import Schedule

Fairlead = Callable[..., Result]


@pytest.mark.parametrize(
    ("text", "cron", "seconds"),
    [
        ("30m", "", 1800), ("6h", "", 21600), ("1d", "", 86400), ("90 s", "", 90),
        ("0 3 * * *", "0 0 3 * * *", 0),  # crontab's line; KFP would take it for minute 3 of every hour
        ("*/5 8-18 * * MON-FRI", "0 */5 8-18 * * MON-FRI", 0),
        ("30 0 3 * * ?", "30 0 3 * * ?", 0), ("@daily", "@daily", 0),
    ],
)  # fmt: skip
def test_schedules(text: str, cron: str, seconds: int) -> None:
    """Intervals, crontab's five fields, and KFP's own six."""
    assert Schedule.parse(text) == Schedule(cron, seconds)


@pytest.mark.parametrize("text", ["", "0s", "0m", "daily", "3 * *", "* * * * * * *", "1w", "0 3 * * * $(id)"])
def test_no_schedules(text: str) -> None:
    """What is none is refused, with examples."""
    with pytest.raises(ConfigurationError, match="30m, 6h, 1d"):
        Schedule.parse(text)


def test_life_of_a_recurring_run(backend: Backend, fairlead: Fairlead, pipeline_file: Path) -> None:
    """Created once, left alone when asked for again, replaced when it differs, paused, resumed, deleted."""
    submit = ("submit", str(pipeline_file), "--run-name", "nightly", "--recurring")
    assert "nightly: created, cron 0 0 3 * * *" in fairlead(*submit, "0 3 * * *").output
    (made,) = backend.store.recurring
    assert made["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}
    assert made["max_concurrency"] == "1"
    assert made["no_catchup"] is True
    assert "nightly: unchanged" in fairlead(*submit, "0 3 * * *").output
    assert backend.store.recurring == [made]
    assert "nightly: replaced, every 21600 s" in fairlead(*submit, "6h").output
    (other,) = backend.store.recurring
    assert other["recurring_run_id"] != made["recurring_run_id"]
    assert fairlead("recurring", "pause", "nightly").exit_code == 0
    assert fairlead("recurring", "pause", "nightly").exit_code == 0
    assert other["status"] == "DISABLED"
    assert "paused" in fairlead("recurring", "list").output
    assert "nightly: resumed" in fairlead(*submit, "6h").output
    assert other["status"] == "ENABLED"
    assert fairlead("recurring", "resume", "nightly").exit_code == 0
    assert "nightly is deleted" in fairlead("recurring", "delete", "nightly").output
    assert "nothing to do" in fairlead("recurring", "delete", "nightly").output
    assert "There are no recurring runs." in fairlead("recurring", "list").output
    assert not backend.store.runs


def test_name_that_is_none(backend: Backend, fairlead: Fairlead, pipeline_file: Path) -> None:
    """A name that does not exist gets the nearest that does."""
    fairlead("submit", str(pipeline_file), "--run-name", "nightly", "--recurring", "1d")
    ended = fairlead("recurring", "pause", "nightli")
    assert ended.exit_code == 1
    assert "did you mean 'nightly'" in ended.output


def test_lost_answer_makes_no_second_one(backend: Backend, fairlead: Fairlead, pipeline_file: Path) -> None:
    """Where the answer got lost, what was made is found."""
    backend.faults = [Fault(r"POST .*/recurringruns$", "cut after", 1)]
    submit = ("submit", str(pipeline_file), "--recurring", "1d")
    assert "rows: created" in fairlead(*submit).output
    assert "rows: unchanged" in fairlead(*submit).output
    assert len(backend.store.recurring) == 1


def test_failure_in_between_leaves_the_old_one(backend: Backend, fairlead: Fairlead, pipeline_file: Path) -> None:
    """A replacement that the server refuses takes nothing away."""
    fairlead("submit", str(pipeline_file), "--recurring", "1d")
    backend.faults = [Fault(r"POST .*/recurringruns$", 403, 1)]
    assert fairlead("submit", str(pipeline_file), "--recurring", "2d").exit_code == 1
    (kept,) = backend.store.recurring
    assert kept["trigger"] == {"periodic_schedule": {"interval_second": "86400"}}


def test_schedule_is_read_before_anything_is_sent(backend: Backend, fairlead: Fairlead, pipeline_file: Path) -> None:
    """A wrong schedule uploads nothing."""
    assert fairlead("submit", str(pipeline_file), "--recurring", "often").exit_code == 1
    assert not backend.store.pipelines
