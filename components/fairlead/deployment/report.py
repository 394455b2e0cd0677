"""The report of a rollout: the split over time, the evidence of each check, and what was decided when."""

from math import log, log10
from pathlib import Path

from fairlead import pages, plots
from fairlead.deployment.records import RolloutState
from fairlead.deployment.spec import RolloutSpec
from fairlead.platform.laptop.state import short

_TITLES = {
    "success_rate": ("Failed requests", "difference of shares"),
    "latency": ("Slow requests", "difference of shares"),
    "log_loss": ("Log loss", "difference, nats"),
}
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
    page.text(" ".join(f"{reason[0].upper()}{reason[1:]}." for reason in state.reasons if reason))
    page.facts({
        "outcome": state.outcome.replace("_", " "),
        "version": state.version,
        "digest": short(state.digest),
        "compared with": short(state.stable) if state.stable else "nothing: the first version",
        "seconds": round(state.seconds, 1),
        "canary requests": int(figures.get("canary_requests", 0)),
        "stable requests": int(figures.get("stable_requests", 0)),
    })  # fmt: skip
    if state.looks:
        _draw_split(page, state)
        for metric in state.looks[-1].checks:
            _draw_check(page, state, spec, metric)
    page.heading("Decisions")
    rows = [(event.seconds, event.percent, event.what) for event in state.events]
    page.table(["seconds", "step, %", "decision"], rows)
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
    seconds = [moment for moment, _ in looks]
    figure, panels = plots.panels(1, 2, width=9, height=3)
    e_values = [min(max(values[0] / log(10), _FLOOR), _CEILING) for _, values in looks]
    plots.line(panels[0], seconds, e_values, label="evidence against the canary")
    limit = log10(len(spec.checks) / spec.alpha)
    plots.line(panels[0], [seconds[0], seconds[-1]], [limit, limit], label="rolled back from here on", dashed=True)
    plots.label(panels[0], x="seconds", y="log10 of the e-value")
    band = ([values[2] for _, values in looks], [values[3] for _, values in looks])
    plots.line(panels[1], seconds, [values[1] for _, values in looks], label="canary less stable", band=band)
    plots.label(panels[1], x="seconds", y=unit)
    page.figure(figure, "Left: evidence that the canary is worse than allowed. Right: the difference, with bounds that "
                        "hold at all moments together.")  # fmt: skip
