"""The report of a rollout: the split over time, the evidence of each check, and what was decided when."""

from collections.abc import Sequence
from math import log, log10
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead import pages, plots
from fairlead.deployment.records import RolloutState
from fairlead.deployment.spec import LatencyCheck, RolloutSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TITLES = {
    "success_rate": ("Failed requests", "difference of shares"),
    "latency": ("Slow requests", "difference of shares"),
    "log_loss": ("Log loss", "difference, nats"),
    "disagreement": ("Answers that disagree", "share of the requests"),
    "score_distribution": ("Distribution of the predictions", "largest difference of shares"),
}
_KINDS: dict[str, pages.Kind] = {"promoted": "good", "rolled_back": "bad"}
_Evidence = tuple[float, tuple[float, float, float, float]]  # the moment; log e-value, difference, lower, upper bound
_FLOOR, _CEILING = -6.0, 12.0  # log10 of e-values that are drawn
_SHARE = 100


def write_report(state: RolloutState, figures: dict[str, float], path: Path | str) -> None:
    """Writes the report.

    Args:
        state: A rollout that has ended.
        figures: The judge's figures.
        path: The HTML file.
    """
    spec = RolloutSpec.parse(state.spec, where="rollout")
    page = pages.Page(f"Rollout of {state.name} version {state.version}: {state.outcome.replace('_', ' ')}")
    reasons = "; ".join(reason for reason in state.reasons if reason)
    page.note(f"{state.outcome.replace('_', ' ').capitalize()}: {reasons}.", _KINDS.get(state.outcome, "warn"))
    facts = {
        "version": state.version,
        "model": state.digest,
        "compared with": state.stable or "nothing: the first version",
    }
    if state.looks:
        facts |= {
            "seconds": pages.number(round(state.seconds, 1)),
            "canary requests": pages.number(int(figures.get("canary_requests", 0))),
            "stable requests": pages.number(int(figures.get("stable_requests", 0))),
        }
    page.facts(facts)
    if state.looks:
        _draw_split(page, state)
        for metric in state.looks[-1].checks:
            _draw_check(page, state, spec, metric)
    page.heading("Decisions")
    rows = [(event.seconds, event.percent, event.what) for event in state.events]
    page.table(["seconds", "canary's share, %", "decision"], rows)
    page.write(path)


def _draw_split(page: pages.Page, state: RolloutState) -> None:
    page.heading("Traffic")
    figure, axes = plots.figure(height=2.6)
    seconds = [look.seconds for look in state.looks]
    observed = [_SHARE * look.canary / max(1, look.canary + look.stable) for look in state.looks]
    plots.line(axes, seconds, [look.percent for look in state.looks], label="asked for", dashed=True)
    plots.line(axes, seconds, observed, label="observed since the step began")
    plots.label(axes, x="seconds", y="canary's share, %")
    page.figure(figure, "The canary's share of the requests: what was asked for, and what the proxy counted.")


def _draw_check(page: pages.Page, state: RolloutState, spec: RolloutSpec, metric: str) -> None:
    title, unit = _TITLES.get(metric, (metric, "difference"))
    page.heading(title)
    looks = [(look.seconds, look.checks[metric]) for look in state.looks if metric in look.checks]
    figure, panels = plots.panels(1, 2, width=9, height=2.7)
    _draw_evidence(panels[0], looks, log10(len(spec.checks) / spec.alpha))
    _draw_difference(panels[1], looks, _margin(spec, metric))
    plots.label(panels[0], "seconds", "log10 of the e-value", "Evidence that the canary is worse than allowed")
    plots.label(panels[1], "seconds", unit, "Canary less stable")
    page.figure(figure, "The shaded bounds hold at all moments together, so that one may look at any time. "
                        "Red: where the canary is rolled back, and the difference that is allowed.")  # fmt: skip


def _draw_evidence(axes: "Axes", looks: Sequence[_Evidence], limit: float) -> None:
    e_values = [min(max(values[0] / log(10), _FLOOR), _CEILING) for _, values in looks]
    plots.line(axes, [moment for moment, _ in looks], e_values)
    axes.axhline(limit, color=plots.SERIES[4], linewidth=1.4, linestyle="--")
    axes.set_ylim(min(-1.0, *e_values) - 0.2, max(limit, *e_values) + 0.4)


def _draw_difference(axes: "Axes", looks: Sequence[_Evidence], margin: float | None) -> None:
    """Draws the difference; the first looks' bounds, wide for want of requests, may leave the picture."""
    later = looks[len(looks) // 4 :]
    band = ([values[2] for _, values in looks], [values[3] for _, values in looks])
    plots.line(axes, [moment for moment, _ in looks], [values[1] for _, values in looks], band=band)
    ends = [bound for _, values in later for bound in values[1:]]
    if margin is not None:
        axes.axhline(margin, color=plots.SERIES[4], linewidth=1.4, linestyle="--")
        ends.append(margin)
    spare = 0.1 * (max(ends) - min(ends)) or 0.01
    axes.set_ylim(min(ends) - spare, max(ends) + spare)


def _margin(spec: RolloutSpec, metric: str) -> float | None:
    """The difference that a check allows."""
    found = [check for check in spec.checks if check.metric == metric]
    if not found:
        return None
    return 1 - found[0].quantile if isinstance(found[0], LatencyCheck) else found[0].margin
