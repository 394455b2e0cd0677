"""What the judge decides from windows of evidence."""

from typing import Any

from fairlead.deployment.judge import Judge
from fairlead.deployment.spec import RolloutSpec
from fairlead.platform.target import VersionMetrics, Window


def judge(*checks: dict[str, Any], minimum: int = 100, alpha: float = 0.05) -> Judge:
    """A judge of these checks."""
    section = {"checks": list(checks), "minimum_requests": minimum, "alpha": alpha}
    return Judge(RolloutSpec.parse(section, where="rollout"))


def window(canary: tuple[int, int], stable: tuple[int, int]) -> Window:
    """Succeeded and failed attempts of both."""
    return Window(VersionMetrics(*stable), VersionMetrics(*canary), {})


def test_it_waits_for_the_minimum_at_each_step() -> None:
    """Requests of earlier steps count as evidence, not as this step's minimum."""
    made = judge({"metric": "success_rate"})
    assert made.look(window((60, 0), (60, 0))) == "wait"
    assert made.look(window((60, 0), (60, 0))) == "go_on"
    made.begin_step()
    assert made.look(window((60, 0), (60, 0))) == "wait"
    assert made.canary_requests == 180


def test_suspicion_holds_a_canary_for_a_while() -> None:
    """Evidence short of proof makes it wait for three times the minimum, then it goes on."""
    made = judge({"metric": "success_rate", "margin": 0.0}, minimum=30, alpha=1e-9)
    decisions = [made.look(window((5, 0), (50, 0)))]
    decisions += [made.look(window((9, 1), (50, 0))) for _ in range(4)]
    assert made.findings()[0].suspicious
    assert "go_on" not in decisions
    assert "roll_back" not in decisions
    assert [made.look(window((20, 0), (100, 0))) for _ in range(4)][-1] == "go_on"


def test_latency_waits_until_the_stable_version_is_known() -> None:
    """Without earlier requests the first hundred set the threshold; an empty one is no evidence."""
    made = judge({"metric": "latency", "quantile": 0.9, "factor": 2.0, "floor_seconds": 0.0}, minimum=10)
    slow = VersionMetrics(60, 0, {0.01: 0, 0.02: 0, 0.5: 60})
    fast = VersionMetrics(60, 0, {0.01: 60, 0.02: 0, 0.5: 0})
    made.look(Window(fast, slow, {}))
    made.look(Window(fast, slow, {}))
    assert made.findings()[0].canary == 0
    decisions = [made.look(Window(fast, slow, {})) for _ in range(3)]
    assert decisions[-1] == "roll_back"
    assert "0.02 s" in made.findings()[0].describe()


def test_nothing_at_all_changes_nothing() -> None:
    """Empty windows, and canary requests without stable ones, never reject."""
    made = judge({"metric": "success_rate"}, {"metric": "latency"}, {"metric": "log_loss"})
    assert made.look(Window(VersionMetrics(), VersionMetrics(), {})) == "wait"
    assert made.look(window((0, 50), (0, 0))) == "wait"
    assert all(finding.log_e == 0 for finding in made.findings())


def test_outcomes_at_the_ends_of_the_scale_stay_finite() -> None:
    """Probabilities of 0 and 1, and NaN, are clipped."""
    made = judge({"metric": "log_loss", "margin": 0.0})
    wrong = VersionMetrics(3, 0, {}, ((0.0, 1), (1.0, 0), (float("nan"), 1)))
    right = VersionMetrics(3, 0, {}, ((0.0, 0), (1.0, 1), (0.5, 1)))
    for _ in range(60):
        made.look(Window(right, wrong, {}))
    assert made.findings()[0].rejected
    assert all(abs(value) < 1e13 for value in made.figures().values())


def test_a_judge_is_restored_whole() -> None:
    """State that is written and read gives the same figures and the same decision."""
    checks: list[dict[str, Any]] = [{"metric": "success_rate"}, {"metric": "latency"}, {"metric": "log_loss"}]
    first, second = judge(*checks), judge(*checks)
    side = VersionMetrics(70, 2, {0.01: 60, 0.1: 10}, ((0.3, 0), (0.4, 1)))
    for _ in range(3):
        first.look(Window(side, side, {}))
    second.restore(first.state())
    assert second.figures() == first.figures()
    assert second.look(Window(side, side, {})) == first.look(Window(side, side, {}))
