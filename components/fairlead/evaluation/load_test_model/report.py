"""The report of a load test: each rate's figures, quantile curves, and latency over time."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fairlead.evaluation.load_test_model.steps import RateStep
from fairlead.evaluation.serving_spec import LoadSpec
from fairlead.evaluation.serving_trial.drawing import label_log
from fairlead.evaluation.serving_trial.latencies import QUANTILES, can_tell, quantile
from fairlead.pages import Page
from fairlead.values import number, percent
from fairlead.verdicts import Verdict
from fairlead_serving.package import Manifest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEWEST_SLOTS, SLOTS = 10, 120  # points of a line over time
FAR = 0.999


def write_report(
    path: Path | str, verdict: Verdict, spec: LoadSpec, manifest: Manifest, steps: Sequence[RateStep], memory: int
) -> None:
    """Writes the HTML report.

    Args:
        path: The file.
        verdict: What was concluded.
        spec: What was demanded.
        manifest: What the package is.
        steps: Each rate.
        memory: Bytes that the server held after the last one.
    """
    page = Page("The server under load")
    kind = {"approved": "good", "rejected": "bad"}.get(verdict.outcome, "warn")
    reasons = f": {'; '.join(verdict.reasons)}." if verdict.reasons else "."
    page.note(f"Verdict: {verdict.outcome}{reasons}", kind)  # type: ignore[arg-type]
    page.facts(
        {
            "model": manifest.name,
            "package": verdict.model_digest,
            "highest rate": f"{verdict.figures['highest_rate']:g}/s",
            "demanded": f"{spec.demanded_rate:g}/s",
            "objective": f"p99 {spec.p99_seconds * 1000:g} ms, errors {percent(spec.error_share)}",
            "arrivals": spec.arrivals,
            "protocol": f"{spec.protocol}, rows in a request: {spec.rows_per_request}",
            "memory": f"{memory / 1e6:.0f} MB",
        }
    )
    page.heading("Each rate")
    page.table(
        ["requests/s", "objective", "answered/s", "p50", "p90", "p99", "p99.9", "highest", "failed", "client's share"],
        [_row(step) for step in steps],
        "Latencies in milliseconds, from when each request was due; the client's share is of one core.",
    )
    page.heading("Quantiles")
    page.figure(_curves(steps, spec), _CURVES.format(number(spec.p99_seconds * 1000)))
    page.heading("Over time")
    page.figure(_over_time(steps, spec), "The slowest request of each moment, by when it was due; failures as crosses.")
    page.write(path)


_CURVES = (
    "How many of the requests were answered within which time; each curve is one rate, as far as so many requests can "
    "tell. The objective is {} ms for 99 of 100 (the cross of the dashed lines): a curve must pass below it."
)


def _row(step: RateStep) -> tuple[object, ...]:
    latencies = step.load.latencies
    shown = [_milliseconds(quantile(latencies, s)) if can_tell(s, latencies.size) else "—" for s in QUANTILES]
    finite = latencies[np.isfinite(latencies)]
    highest = _milliseconds(float(finite.max())) if finite.size else "—"
    return (
        f"{step.rate:g}", step.result, f"{step.answered_per_second:,.0f}", *shown, highest, int(step.load.failed.sum()),
        percent(step.load.client_share),
    )  # fmt: skip


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f}" if np.isfinite(seconds) else "none"


def _curves(steps: Sequence[RateStep], spec: LoadSpec) -> "Figure":
    from fairlead import plots

    figure, axes = plots.figure(7, 4)
    for step in steps:
        latencies = np.sort(step.load.latencies)
        shares = 1 - np.geomspace(0.5, 1 - FAR, 90)
        shares = shares[[can_tell(share, latencies.size) for share in shares]]
        values = np.array([quantile(latencies, share) for share in shares]) * 1000
        seen = np.isfinite(values)
        plots.line(axes, 1 / (1 - shares[seen]), values[seen], label=f"{step.rate:g}/s")
    axes.axhline(spec.p99_seconds * 1000, color=plots.SERIES[4], linewidth=1.2, linestyle="--")
    axes.axvline(100, color=plots.SERIES[4], linewidth=1.2, linestyle="--")
    axes.set(xscale="log", yscale="log", xlim=(2, 1 / (1 - FAR)))
    _ticks(axes)
    plots.label(axes, "per cent of the requests", "milliseconds")
    return figure


def _ticks(axes: "Axes") -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    places = {2: "50", 10: "90", 20: "95", 100: "99", 200: "99.5", 1000: "99.9"}
    axes.xaxis.set_major_locator(FixedLocator(list(places)))
    axes.xaxis.set_major_formatter(FixedFormatter(list(places.values())))
    axes.xaxis.set_minor_locator(NullLocator())
    label_log(axes.yaxis)


def _over_time(steps: Sequence[RateStep], spec: LoadSpec) -> "Figure":
    from fairlead import plots

    figure, axes = plots.figure(7, 3.4)
    start = 0.0
    for step in steps:
        load = step.load
        count = min(SLOTS, max(FEWEST_SLOTS, load.due.size // 5))
        slots = np.linspace(0, load.due[-1] + 1e-9, count + 1)
        places = np.digitize(load.due, slots) - 1
        slowest = np.array([_slowest(load.latencies[places == slot]) for slot in range(count)]) * 1000
        middle = start + (slots[:-1] + slots[1:]) / 2
        color = plots.SERIES[steps.index(step) % len(plots.SERIES)]
        axes.plot(middle, slowest, color=color, linewidth=1.4, label=f"{step.rate:g}/s")
        failed = load.due[load.failed] + start
        axes.plot(failed, np.full(failed.size, spec.p99_seconds * 1000), "x", color=plots.SERIES[4], markersize=5)
        start += float(load.due[-1])
    axes.axhline(spec.p99_seconds * 1000, color=plots.SERIES[4], linewidth=1.2, linestyle="--")
    axes.set_yscale("log")
    label_log(axes.yaxis)
    plots.label(axes, "seconds", "milliseconds")
    return figure


def _slowest(latencies: np.ndarray) -> float:
    finite = latencies[np.isfinite(latencies)]
    return float(finite.max()) if finite.size else np.nan
