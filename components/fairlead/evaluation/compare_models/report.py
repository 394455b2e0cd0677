"""The report of a comparison: each difference with its margin, over rows and trainings, and both models' figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fairlead.evaluation.compare_models.conclusion import Difference
from fairlead.evaluation.compare_models.contestants import CHALLENGER, CHAMPION, Contest
from fairlead.evaluation.comparison_spec import AREA
from fairlead.evaluation.metrics import calibration_bins
from fairlead.evaluation.resampling import Interval
from fairlead.pages import Page
from fairlead.values import interval as written
from fairlead.values import limit, number, percent, title
from fairlead.verdicts import Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE_INCHES = 0.34


def write_report(
    path: Path | str,
    verdict: Verdict,
    contest: Contest,
    found: Sequence[Difference],
    figures: Mapping[str, Mapping[str, Interval]],
) -> None:
    """Writes the HTML report.

    Args:
        path: The file.
        verdict: What was concluded.
        contest: The models and their predictions.
        found: The differences; none where there is no champion.
        figures: By model (the challenger first), every figure.
    """
    page = Page("Challenger and champion" if found else "Challenger without a champion")
    kind = {"approved": "good", "rejected": "bad"}.get(verdict.outcome, "warn")
    page.note(f"Verdict: {verdict.outcome}: {'; '.join(verdict.reasons)}.", kind)  # type: ignore[arg-type]
    page.facts(_facts(contest, found))
    if found:
        page.heading("The difference")
        for one in found:
            page.figure(_intervals(one), _caption(one, contest))
        if found[0].training is not None:
            _trainings(page, found, contest)
    page.heading("Figures on the same rows")
    _figures(page, figures)
    if contest.task == "binary":
        page.heading("Calibration")
        page.figure(_calibration(contest), "A calibrated model lies on the diagonal.")
    page.write(path)


def _facts(contest: Contest, found: Sequence[Difference]) -> dict[str, object]:
    facts: dict[str, object] = {
        "rows": contest.scores.labels.size,
        "challenger": contest.digest(CHALLENGER),
        "champion": contest.digest(CHAMPION),
    }
    if contest.spec.cluster:
        facts[f"independent units ({contest.spec.cluster})"] = contest.drawn.independent
    if len(contest.trainings) > 1:
        facts["trainings"] = len(contest.trainings)
    if found and np.isfinite(found[0].better[0]):
        what = "groups" if contest.task == "ranking" else "rows"
        facts[f"{what} where the challenger errs less"] = percent(found[0].better[0])
        facts[f"{what} where it errs more"] = percent(found[0].better[1])
    return facts


def _caption(one: Difference, contest: Contest) -> str:
    drawn_by = f"whole values of {contest.spec.cluster}" if contest.spec.cluster else "rows"
    text = (
        f"How much worse the challenger's {title(one.metric)} is: {number(one.rows.estimate)}, with its "
        f"{contest.spec.confidence:.0%} interval by paired bootstrap of {drawn_by}. It is approved where the whole "
        f"interval lies left of the margin of {limit(one.margin)} (dashed)."
    )
    if one.training is not None:
        what = "decides" if contest.spec.decide_by == "training" else "is told besides"
        text += (
            f" The last line is its recipe trained {len(one.each)} times, over rows and trainings "
            f"({one.training.degrees:.1f} degrees of freedom); it {what}."
        )
    return text


def _intervals(one: Difference) -> "Figure":
    from fairlead import plots

    lines = [(name, found, 0 if name == CHALLENGER else 6) for name, found in one.each.items()]
    if one.training is not None:
        lines.append(("any training", one.training.interval, 1))
    figure, axes = plots.figure(8, 1.35 + LINE_INCHES * len(lines))
    for place, (_, found, color) in enumerate(lines):
        _line(axes, place, found, plots.SERIES[color])
    axes.axvline(0, color=plots.GRID, linewidth=1)
    axes.axvline(one.margin, color=plots.SERIES[4], linewidth=1.6, linestyle="--")
    axes.set(yticks=range(len(lines)), yticklabels=[name for name, *_ in lines], ylim=(len(lines) - 0.4, -1.1))
    together = one.margin == 0
    for spot, text in (
        (0, "as good = margin" if together else "as good"),
        *([] if together else [(one.margin, "margin")]),
    ):
        axes.annotate(text, (spot, -1.1), (4, -11), textcoords="offset points", fontsize=9, color=plots.INK)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    plots.label(
        axes, f"the challenger's {title(one.metric)} is worse by" if one.metric != AREA else "ROC AUC is less by"
    )
    return figure


def _line(axes: "Axes", place: int, found: Interval, color: str) -> None:
    axes.plot([found.low, found.high], [place, place], color=color, linewidth=6, alpha=0.35, solid_capstyle="butt")
    axes.plot([found.estimate], [place], color=color, marker="o", markersize=7, linestyle="")


def _trainings(page: Page, found: Sequence[Difference], contest: Contest) -> None:
    page.heading("Rows and trainings", 3)
    page.text(
        "The challenger's own interval says how it would do on other rows like these. Trained again with another seed, "
        "its recipe gives another model; the interval over trainings says how these would do. Its error has two parts."
    )
    rows = [
        (
            title(one.metric), written(one.rows.estimate, one.rows.low, one.rows.high),
            written(one.training.interval.estimate, one.training.interval.low, one.training.interval.high),
            number(one.training.rows_error), number(one.training.seeds_error),
        )
        for one in found
        if one.training is not None
    ]  # fmt: skip
    headers = ["figure", "this challenger", "its recipe", "error from rows", "error from trainings"]
    page.table(headers, rows, f"Worse than the champion by; {contest.spec.confidence:.0%} intervals")


def _figures(page: Page, figures: Mapping[str, Mapping[str, Interval]]) -> None:
    names = list(figures[CHALLENGER])
    rows = [(title(name), *(_written(of_model.get(name)) for of_model in figures.values())) for name in names]
    page.table(["figure", *figures], rows)


def _written(found: Interval | None) -> str:
    if found is None or not np.isfinite(found.estimate):
        return "—"
    return written(found.estimate, found.low, found.high) if np.isfinite(found.low) else number(found.estimate)


def _calibration(contest: Contest) -> "Figure":
    from fairlead import plots

    figure, axes = plots.figure(5, 4)
    for name in (CHALLENGER, CHAMPION):
        if name in contest.models:
            bins = calibration_bins(contest.scores.labels, contest.scores.predictions[name])
            plots.reliability(axes, bins.predicted, bins.observed, name, bins.counts)
    plots.label(axes, "predicted probability", "observed share")
    return figure
