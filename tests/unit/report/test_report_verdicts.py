"""Verdicts in short: the few figures that tell most, and one honest line for the terminal."""

from typing import Any

import pytest

from fairlead.evaluation.evaluate_model.findings import spoken
from fairlead.evaluation.figure_names import FIGURES, MAIN, TASK_BASELINES, difference_name
from fairlead.evaluation.loss_names import LOSSES
from fairlead.values import title
from fairlead.verdicts import Verdict
from fairlead_pipelines.report.verdicts import MOST, by_judge, headline, telling

EVALUATED = {
    "f1": 0.48, "log_loss": 0.4891, "expected_calibration_error": 0.0648, "roc_auc": 0.7582,
    "log_loss_minus_majority": -0.07, "log_loss_minus_logistic_regression": -0.014,
    "log_loss_minus_gradient_boosting": 0.0218,
}  # fmt: skip


def verdict(judge: str, figures: dict[str, float], outcome: Any = "approved", **more: Any) -> Verdict:
    """Return a verdict of a model."""
    return Verdict(judge, "sha256:ab", outcome, figures, more.get("thresholds", {}), more.get("reasons", []))


def test_what_is_demanded_comes_first() -> None:
    """Gates stand before the rest, with their bounds, and a card holds few figures."""
    figures = EVALUATED | {f"extra_{i}": 1.0 for i in range(20)}
    found = telling(verdict("evaluation", figures, thresholds={"f1 at least": 0.3, "f1 at most": 1}))
    assert found[0] == ("F1", "0.4800", "≥ 0.3 and ≤ 1")
    assert ("log loss against gradient boosting", "+0.02180", "") in found
    assert len(found) <= MOST


def test_a_judge_that_is_not_known_tells_its_first_figures() -> None:
    """A verdict of another make is shown all the same, with what it demands in its own words."""
    found = telling(verdict("fairness", {"gap": 0.1, "rows": 5.0}, thresholds={"rows": "≥ 3"}))
    assert found == [("rows", "5", "≥ 3"), ("gap", "0.1000", "")]
    assert headline(verdict("fairness", {"gap": 0.1})) == "gap 0.1000"


def test_a_first_version_has_no_canary_figures() -> None:
    """Where nothing was compared there is nothing to tell but that."""
    first = verdict("canary", {"canary_requests": 0, "log_loss_difference": 0.0}, reasons=["it is the first version"])
    assert telling(first) == []
    assert headline(first) == "it is the first version"


def test_a_difference_stands_with_its_interval_and_margin() -> None:
    """The comparison's figure is told with both, and says in a word which model is better."""
    figures = {"difference": -0.004, "difference_low": -0.006, "difference_high": -0.002}
    compared = verdict("comparison", figures, thresholds={"log_loss margin": 0.002})
    assert telling(compared) == [("worse by", "-0.004000 (-0.006000 to -0.002000)", "≤ 0.002")]
    assert headline(compared) == "log loss better by 0.004000 (0.002000 to 0.006000); margin 0.002"
    assert headline(verdict("comparison", {"challenger_f1": 1.0})) == "no champion yet, nothing to compare with"


def test_the_canarys_line_counts_requests() -> None:
    """Requests of both sides, the time, and how it ended."""
    figures = {"canary_requests": 6032, "stable_requests": 46768, "seconds": 528.0}
    done = verdict("canary", figures, reasons=["it passed all 3 steps; no check showed it to be worse"])
    assert headline(done) == "6,032 requests beside 46,768 of stable in 528 s; it passed all 3 steps"


@pytest.mark.parametrize("baseline", TASK_BASELINES["binary"])
def test_a_baseline_that_is_not_beaten_is_named(baseline: str) -> None:
    """Whichever it is, the line says so; without such a remark it says that all are beaten."""
    reason = f"The model does not beat {spoken(baseline)}, which is better (log loss differs by 0.02)."
    line = headline(verdict("evaluation", EVALUATED, reasons=[reason]))
    assert line.startswith("ROC AUC 0.758, log loss 0.489, ECE 0.0648; does not beat ")
    assert line.endswith(baseline.replace("-", " "))
    assert headline(verdict("evaluation", EVALUATED)).endswith("beats all 3 baselines")


@pytest.mark.parametrize("task", list(MAIN))
def test_every_task_tells_its_main_figures_and_baselines(task: str) -> None:
    """On the card and on the line: what the task is asked for first, and which baselines win."""
    loss, baselines = LOSSES[task][0], TASK_BASELINES[task]
    differences = {difference_name(name, loss): -0.5 for name in baselines}
    ends = {f"{name}{end}": value for name, value in differences.items() for end in ("_low", "_high")}
    reasons = [f"The model does not beat {spoken(baselines[0])}: the two cannot be told apart ({loss})."]
    judged = verdict("evaluation", dict.fromkeys(FIGURES[task], 0.25) | differences | ends, reasons=reasons)
    titles = [name for name, _, _ in telling(judged)]
    assert titles[: len(MAIN[task])] == [title(name) for name in MAIN[task]]
    assert f"{title(loss)} against {baselines[0].replace('-', ' ')}" in titles
    assert f"{title(MAIN[task][0])} 0.25" in headline(judged)
    assert headline(judged).endswith(f"does not beat {baselines[0].replace('-', ' ')}")


def test_judges_stand_in_the_order_of_the_pipeline() -> None:
    """Evaluation, comparison, canary, then the others."""
    judges = [v.judge for v in by_judge(verdict(j, {}) for j in ("canary", "other", "comparison", "evaluation"))]
    assert judges == ["evaluation", "comparison", "canary", "other"]
