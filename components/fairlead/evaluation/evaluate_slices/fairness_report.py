"""The part of the slices' report that compares groups."""

from typing import TYPE_CHECKING

import numpy as np

from fairlead.evaluation.evaluate_slices.words import rounded
from fairlead.evaluation.fairness import RATES, GroupFairness
from fairlead.evaluation.intervals import Interval
from fairlead.evaluation.slice_spec import FAIRNESS_METRICS, SliceSpec
from fairlead.pages import Page
from fairlead.values import number, percent, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN_GROUPS = 30
_SPOKEN = {
    "selection_rate": "answered yes",
    "true_positive_rate": "of the true yes, answered yes",
    "false_positive_rate": "of the true no, answered yes",
}
_MEANING = {
    "demographic_parity_difference": "the largest difference between groups in how often the answer is yes",
    "demographic_parity_ratio": "the lowest of these rates by the highest; 1 is equal treatment",
    "equalized_odds_difference": "the larger of the differences among the true yes and among the true no",
    "equal_opportunity_difference": "the largest difference in how many of the true yes are found",
}


def write_fairness(page: Page, of: GroupFairness, spec: SliceSpec) -> None:
    """Adds the groups of one sensitive column.

    Args:
        page: The report.
        of: What was found.
        spec: What was demanded.
    """
    page.heading(f"Fairness between groups of {of.column}")
    if of.small:
        listed = ", ".join(f"{name} ({number(rows)})" for name, rows in of.small[:10])
        more = f" and {len(of.small) - 10} more" if len(of.small) > 10 else ""  # noqa: PLR2004
        page.text(f"Left out, having fewer than {spec.minimum_rows} rows: {listed}{more}.")
    if not of.figures:
        page.note("Fewer than two groups have enough rows to be compared.", "warn")
        return
    demanded = _demands(of.column, spec)
    page.table(
        ["figure", "measured", *(["demanded"] if demanded else []), "what it is"],
        [
            (title(m), rounded(of.figures[m]), *([demanded.get(m, "")] if demanded else []), _MEANING[m])
            for m in FAIRNESS_METRICS
            if m in of.figures
        ],
        f"By fairlearn; {spec.confidence:.0%} intervals by bootstrap.",
    )
    page.figure(_dots(of), f"How groups are treated, with {spec.confidence:.0%} intervals; dashed: all rows together.")
    page.table(
        ["group", "rows", "true yes", *(_SPOKEN[rate] for rate in RATES)],
        [
            (group.name, group.rows, percent(group.base_rate), *(_share(group.rates[rate]) for rate in RATES))
            for group in of.groups
        ],
    )


def _demands(column: str, spec: SliceSpec) -> dict[str, str]:
    gates = spec.fairness.gates if spec.fairness else ()
    own = [gate for gate in gates if gate.column in ("", column)]
    return {gate.metric: f"≥ {gate.at_least:g}" if gate.at_least is not None else f"≤ {gate.at_most:g}" for gate in own}


def _share(of: Interval) -> str:
    if np.isnan(of.estimate):
        return "—"
    return f"{percent(of.estimate)} ({percent(of.low)} to {percent(of.high)})"


def _dots(of: GroupFairness) -> "Figure":
    from fairlead import plots

    groups = of.groups[:SHOWN_GROUPS]
    figure, panels = plots.panels(1, len(RATES), 9.5, 1.2 + 0.27 * len(groups))
    places = np.arange(len(groups))
    for axes, rate, color in zip(panels, RATES, plots.SERIES, strict=False):
        found = [group.rates[rate] for group in groups]
        for place, rates in zip(places.tolist(), found, strict=True):
            axes.plot([rates.low, rates.high], [place, place], color=color, linewidth=2.2, alpha=0.5)
            axes.plot([rates.estimate], [place], color=color, marker="o", markersize=6, linestyle="")
        axes.axvline(_pooled(of, rate), color=plots.GRID, linewidth=1.3, linestyle="--")
        axes.set_yticks(
            places, [group.name for group in groups] if axes is panels[0] else [""] * len(groups), fontsize=9
        )
        axes.set_ylim(len(groups) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        plots.label(axes, "share", title=_SPOKEN[rate])
        plots.few_ticks(axes, [])
    return figure


def _pooled(of: GroupFairness, rate: str) -> float:
    """A rate of all compared groups together."""
    counts = of.table.counts.sum(axis=0)  # (2, 2): by truth and answer
    rows = {"selection_rate": counts.sum(axis=0), "true_positive_rate": counts[1], "false_positive_rate": counts[0]}
    no, yes = rows[rate]
    return float(yes / (no + yes)) if no + yes else float("nan")
