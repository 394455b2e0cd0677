"""The report of a comparison: both models' figures, the difference with its interval and margin, calibration."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.evaluation.intervals import Interval
from fairlead.evaluation.metrics import calibration_bins
from fairlead.evaluation.scoring import Scores
from fairlead.evaluation.spec import METRICS, ComparisonSpec
from fairlead.pages import Page
from fairlead.values import limit, number, title
from fairlead.verdicts import Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_report(
    path: Path | str,
    verdict: Verdict,
    spec: ComparisonSpec,
    scores: Scores,
    figures: Mapping[str, Mapping[str, float]],
    difference: Interval | None,
) -> None:
    """Writes the HTML report.

    Args:
        path: The file.
        verdict: What was concluded.
        spec: What was demanded.
        scores: Both models' probabilities on the same rows.
        figures: By model (the challenger first), by metric.
        difference: How much worse the challenger is; None where there is no champion.
    """
    page = Page("Challenger and champion" if difference else "Challenger without a champion")
    kind = {"approved": "good", "rejected": "bad"}.get(verdict.outcome, "warn")
    page.note(f"Verdict: {verdict.outcome}: {'; '.join(verdict.reasons)}.", kind)  # type: ignore[arg-type]
    page.facts(
        {"rows": scores.labels.size, "challenger": verdict.model_digest, "champion": verdict.thresholds["champion"]}
    )
    if difference is not None:
        page.heading("The difference")
        page.figure(_interval(difference, spec), _caption(difference, spec))
    page.heading("Figures on the same rows")
    page.table(
        ["figure", *figures], [(title(name), *(of_model[name] for of_model in figures.values())) for name in METRICS]
    )
    page.heading("Calibration")
    page.figure(_calibration(scores), "A calibrated model lies on the diagonal.")
    page.write(path)


def _caption(difference: Interval, spec: ComparisonSpec) -> str:
    return (
        f"How much worse the challenger's {title(spec.metric)} is: {number(difference.estimate)}, with its "
        f"{spec.confidence:.0%} interval by paired bootstrap. It is approved where the whole interval lies left of the "
        f"margin of {limit(spec.margin)} (dashed)."
    )


def _interval(difference: Interval, spec: ComparisonSpec) -> "Figure":
    from fairlead import plots

    figure, axes = plots.figure(8, 1.9)
    axes.plot([difference.low, difference.high], [0, 0], color=plots.SERIES[0], linewidth=6, alpha=0.35)
    axes.plot([difference.estimate], [0], color=plots.SERIES[0], marker="o", markersize=8, linestyle="")
    axes.axvline(0, color=plots.GRID, linewidth=1)
    axes.axvline(spec.margin, color=plots.SERIES[4], linewidth=1.6, linestyle="--")
    for place, text in ((0, "as good"), (spec.margin, "margin")):
        axes.annotate(text, (place, 1), (4, -10), textcoords="offset points", fontsize=9, color=plots.INK)
    axes.set(yticks=[], ylim=(-1, 1))
    axes.spines["left"].set_visible(False)
    plots.label(axes, f"the challenger's {title(spec.metric)} is worse by")
    return figure


def _calibration(scores: Scores) -> "Figure":
    from fairlead import plots

    figure, axes = plots.figure(5, 4)
    for name, probabilities in scores.probabilities.items():
        bins = calibration_bins(scores.labels, probabilities)
        plots.reliability(axes, bins.predicted, bins.observed, name, bins.counts)
    plots.label(axes, "predicted probability", "observed share")
    return figure
