"""What the differences say: approved, rejected, or that these rows cannot tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fairlead.evaluation.compare_models.contestants import CHALLENGER, CHAMPION, Contest
from fairlead.evaluation.compare_models.differences import Excess, TrainingInterval, excess, over_rows, over_training
from fairlead.evaluation.figures import figures
from fairlead.evaluation.resampling import FEW_UNITS, Interval
from fairlead.values import limit, number, title
from fairlead.verdicts import Outcome, Verdict


@dataclass(frozen=True)
class Difference:
    """How much worse the challenger is by one figure.

    Attributes:
        metric: The figure.
        margin: How much worse it may be.
        rows: This challenger, on other rows like these.
        each: By training, the challenger first, the same.
        training: Its recipe, trained again; None where there is one training only.
        better: The share of rows (of a ranking: groups) on which the challenger costs less than the champion, and the
            share on which it costs more; NaN for the area under the ROC curve.
    """

    metric: str
    margin: float
    rows: Interval
    each: Mapping[str, Interval]
    training: TrainingInterval | None
    better: tuple[float, float]


def differences(contest: Contest) -> list[Difference]:
    """Measures every difference that is asked for; none where there is no champion."""
    if CHAMPION not in contest.models:
        return []
    return [_difference(contest, *pair) for pair in contest.spec.margins(contest.task).items()]


def _difference(contest: Contest, metric: str, margin: float) -> Difference:
    found = {
        name: excess(contest.scores, name, CHAMPION, metric, contest.thresholds, contest.spec)
        for name in contest.trainings
    }
    each = {name: over_rows(one, contest.drawn) for name, one in found.items()}
    training = over_training(list(found.values()), contest.drawn) if len(found) > 1 else None
    return Difference(metric, margin, each[CHALLENGER], each, training, _shares(found[CHALLENGER]))


def _shares(found: Excess) -> tuple[float, float]:
    if len(found.parts) > 1:
        return np.nan, np.nan
    (part,) = found.parts
    defined = part[np.isfinite(part)]
    return float((defined < 0).mean()), float((defined > 0).mean())


def all_figures(contest: Contest) -> dict[str, dict[str, Interval]]:
    """Every figure of challenger and champion, by model."""
    cutoffs = (contest.spec.cutoff,) if contest.spec.cutoff else (5, 10)
    return {
        name: figures(contest.scores, name, contest.drawn, threshold=contest.thresholds[name], cutoffs=cutoffs)
        for name in (CHALLENGER, CHAMPION)
        if name in contest.models
    }


def judge(contest: Contest, found: Sequence[Difference], measured: Mapping[str, Mapping[str, Interval]]) -> Verdict:
    """Comes to the verdict `comparison`.

    With several figures, all must be shown to be within their margins. Each is tested at the full level, since a
    challenger that is worse by one of them passes only if that one test errs (Berger 1982, "Multiparameter hypothesis
    testing and acceptance sampling").

    Args:
        contest: The models.
        found: The differences.
        measured: Every figure, by model.
    """
    spec, digest = contest.spec, contest.digest(CHALLENGER)
    held: dict[str, float | str] = {f"{name} margin": margin for name, margin in spec.margins(contest.task).items()}
    held |= {"confidence": spec.confidence, "champion": contest.digest(CHAMPION), "decided by": spec.decide_by}
    noted = {
        f"{role}_{name}": value.estimate
        for role, of_role in measured.items()
        for name, value in of_role.items()
        if np.isfinite(value.estimate)
    }
    if not found:
        reasons = ["there is no champion yet: the challenger is compared with nothing"]
        return Verdict("comparison", digest, "approved", noted, held, reasons)
    for one in found:
        noted |= _noted(one, first=one is found[0])
    if contest.digest(CHAMPION) == digest:
        return Verdict("comparison", digest, "approved", noted, held, ["the challenger is the champion itself"])
    outcome, reasons = _conclude(contest, found)
    return Verdict("comparison", digest, outcome, noted, held, [*reasons, *_remarks(contest, found)])


def _noted(one: Difference, *, first: bool) -> dict[str, float]:
    name = "difference" if first else f"{one.metric}_difference"
    noted = {name: one.rows.estimate, f"{name}_low": one.rows.low, f"{name}_high": one.rows.high}
    if one.training is not None:
        over = one.training.interval
        noted |= {
            f"{name}_over_training": over.estimate,
            f"{name}_over_training_low": over.low,
            f"{name}_over_training_high": over.high,
        }
    return noted


def deciding(one: Difference, decide_by: str) -> Interval:
    """The interval that decides."""
    return one.rows if decide_by == "rows" or one.training is None else one.training.interval


def _conclude(contest: Contest, found: Sequence[Difference]) -> tuple[Outcome, list[str]]:
    spec = contest.spec
    said = [_say(one, deciding(one, spec.decide_by), spec.confidence, spec.decide_by) for one in found]
    outcomes = [outcome for outcome, _ in said]
    whole: Outcome = "approved"
    if "rejected" in outcomes:
        whole = "rejected"
    elif "inconclusive" in outcomes:
        whole = "inconclusive"
    order = sorted(said, key=lambda pair: pair[0] != whole)  # what decides comes first
    return whole, [reason for _, reason in order]


def _say(one: Difference, interval: Interval, confidence: float, decide_by: str) -> tuple[Outcome, str]:
    who = "the challenger" if decide_by == "rows" else "the challenger's recipe"
    measured = (
        f"{title(one.metric)} worse than the champion's by {number(interval.estimate)} "
        f"({confidence:.0%} interval {number(interval.low)} to {number(interval.high)}; "
        f"at most {limit(one.margin)} is allowed)"
    )
    if interval.high <= one.margin:
        better = ", and better beyond chance" if interval.high < 0 else ""
        return "approved", f"{who} is not worse by more than the margin{better}: {measured}"
    if interval.low > one.margin:
        return "rejected", f"{who} is worse: {measured}"
    more = "more of them" if decide_by == "rows" else "more of them, or more trainings"
    return "inconclusive", f"these rows cannot tell; give {more}, or allow a wider margin: {measured}"


def _remarks(contest: Contest, found: Sequence[Difference]) -> list[str]:
    remarks = []
    first = found[0]
    if first.training is not None and contest.spec.decide_by == "rows":
        over = first.training.interval
        remarks.append(
            f"its recipe, trained {len(first.each)} times, is worse by {number(over.estimate)} on average "
            f"({contest.spec.confidence:.0%} interval over rows and trainings {number(over.low)} to "
            f"{number(over.high)}); this challenger is number {_rank(first)} of them"
        )
    if contest.drawn.independent < FEW_UNITS:
        remarks.append(f"the interval rests on {contest.drawn.independent} independent units only, and is rough")
    return remarks


def _rank(one: Difference) -> str:
    ordered = sorted(interval.estimate for interval in one.each.values())
    return f"{ordered.index(one.rows.estimate) + 1} (1 is best)"
