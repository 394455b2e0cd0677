"""The forest plot: every slice's gap to the rest, with its interval."""

from typing import TYPE_CHECKING

from fairlead.evaluation.evaluate_slices.findings import Findings, SliceFinding
from fairlead.evaluation.slice_spec import SliceSpec
from fairlead.values import number, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN = 30
LONGEST_NAME = 62


def forest(findings: Findings, spec: SliceSpec) -> "Figure":
    """Draws the gaps of the most troubled slices, the largest on top."""
    from fairlead import plots

    shown = sorted(findings.judged[:SHOWN], key=lambda finding: -finding.gap.value)
    figure, axes = plots.figure(9.5, 1.2 + 0.27 * len(shown))
    troubled = {id(finding) for finding in findings.troubled}
    for place, finding in enumerate(shown):
        color = plots.SERIES[4] if id(finding) in troubled else plots.SERIES[6]
        _draw(axes, place, finding, color, spec.confidence)
    _bounds(axes, findings, spec)
    names = [f"{_short(finding.of.title)}  ({number(finding.rows)})" for finding in shown]
    axes.set_yticks(range(len(shown)), names, fontsize=9)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    plots.label(axes, f"{title(findings.metric)}: worse than on the rest by")
    return figure


def _draw(axes: "Axes", place: int, finding: SliceFinding, color: str, confidence: float) -> None:
    found = finding.gap.interval(confidence)
    axes.plot([found.low, found.high], [place, place], color=color, linewidth=2.2, alpha=0.55, solid_capstyle="butt")
    marker, size = ("D", 5.5) if finding.of.found else ("o", 6.5)
    axes.plot([found.estimate], [place], color=color, marker=marker, markersize=size, linestyle="")


def _bounds(axes: "Axes", findings: Findings, spec: SliceSpec) -> None:
    from fairlead import plots

    axes.axvline(0, color=plots.GRID, linewidth=1.2)
    for gate in spec.gates:
        if gate.metric == findings.metric and gate.largest_gap is not None:
            axes.axvline(gate.largest_gap, color=plots.SERIES[1], linewidth=1.6, linestyle="--")
            axes.annotate(
                "allowed", (gate.largest_gap, 1), (4, -9), xycoords=("data", "axes fraction"),
                textcoords="offset points", fontsize=9, color=plots.INK,
            )  # fmt: skip


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1]}…"
