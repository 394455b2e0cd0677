"""Figures in one calm style, made without pyplot.

pyplot keeps every figure alive and picks a screen backend; a task wants neither. Text and axes are drawn in `INK`,
which `fairlead.pages` turns into the reader's own text colour, so that one SVG reads well on light and dark paper. The
colours of the series are mid-toned for the same reason, and chosen to be told apart by the colour-blind.

    figure, axes = plots.figure()
    plots.line(axes, epochs, losses, label="validation")
    plots.label(axes, x="epoch", y="loss")
    page.figure(figure, "The loss falls until epoch 7.")
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Values = Sequence[float] | np.ndarray[Any, Any]

INK = "#000000"
GRID = "#8a94a6"
SERIES = ("#3b82c4", "#e08a1e", "#1fa187", "#c55fa5", "#d2553f", "#8f7cd6", "#7a8593")

_FEW_TICKS = 4
_FEW_ROWS = 12  # up to here a cell has room for its text
_ROOM = 40  # characters of all columns' names that have room side by side
_FEW_POINTS = 30  # up to here a line shows its points


def _style() -> dict[Any, Any]:
    """Return the matplotlib settings that a new figure's axes are made with."""
    from cycler import cycler

    return {
        "axes.axisbelow": True,
        "axes.edgecolor": GRID,
        "axes.grid": True,
        "axes.prop_cycle": cycler(color=list(SERIES)),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "font.size": 10,
        "grid.alpha": 0.28,
        "grid.color": GRID,
        "grid.linewidth": 0.8,
        "xtick.color": GRID,
        "xtick.labelcolor": INK,
        "ytick.color": GRID,
        "ytick.labelcolor": INK,
    }


def figure(width: float = 7, height: float = 4) -> tuple[Figure, Axes]:
    """Return an empty styled figure with one pair of axes.

    Args:
        width: Inches; 7 fills the column of a page.
        height: Inches.
    """
    made, axes = panels(1, 1, width, height)
    return made, axes[0]


def panels(rows: int, columns: int, width: float = 7, height: float = 4) -> tuple[Figure, list[Axes]]:
    """Return a styled figure of several panels and their axes, row by row.

    Args:
        rows: Rows of panels.
        columns: Panels in a row.
        width: Inches, of the whole figure.
        height: Inches, of the whole figure.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_style()):
        made = Figure(figsize=(width, height), layout="constrained")
        axes = made.subplots(rows, columns, squeeze=False)
    return made, list(axes.flat)


def label(axes: Axes, x: str = "", y: str = "", title: str = "") -> None:
    """Name the axes, and add a legend if any series has a label.

    Args:
        axes: The axes.
        x: What the horizontal axis shows, with its unit.
        y: What the vertical axis shows, with its unit.
        title: A short title, set left.
    """
    axes.set(xlabel=x, ylabel=y)
    axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold")
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False, fontsize=9)


def line(
    axes: Axes, x: Values, y: Values, label: str = "", band: tuple[Values, Values] | None = None, dashed: bool = False
) -> None:
    """Draw a series, with an interval around it if given.

    Args:
        axes: The axes.
        x: Positions, shape (N,).
        y: Values, shape (N,).
        label: The series' name in the legend; empty for none.
        band: Lower and upper ends of an interval, each of shape (N,).
        dashed: Draw it as a reference rather than as a result.
    """
    marker = "o" if len(x) <= _FEW_POINTS and not dashed else ""
    drawn = axes.plot(x, y, label=label, linewidth=1.8, marker=marker, markersize=4, linestyle="--" if dashed else "-")
    if band is not None:
        axes.fill_between(x, band[0], band[1], color=drawn[0].get_color(), alpha=0.18, linewidth=0)


def dates(axes: Axes) -> None:
    """Label a horizontal axis of times: few words, no slant."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def few_ticks(axes: Axes, values: Values, log: bool = False) -> None:
    """Label a horizontal axis of numbers at so few places that the labels never touch.

    Args:
        axes: The axes.
        values: What is drawn, shape (N,); on a logarithmic axis all are above 0.
        log: Make the axis logarithmic.
    """
    import numpy as np
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

    if not log:
        axes.xaxis.set_major_locator(MaxNLocator(_FEW_TICKS))
        return
    axes.set_xscale("log")
    ends = np.geomspace(min(values), max(values), _FEW_TICKS)
    axes.set_xticks(sorted({float(f"{tick:.1g}") for tick in ends}))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))


def histogram(axes: Axes, values: Values, label: str = "", bins: int | Values = 40, share: bool = True) -> None:
    """Draw the distribution of values as a filled outline; several can lie on the same axes.

    Args:
        axes: The axes.
        values: Shape (N,); values that are not finite are left out.
        label: The series' name in the legend; empty for none.
        bins: Their number, or their edges, which makes several histograms comparable.
        share: Heights are shares of the whole (they add up to 1) rather than counts.
    """
    import numpy as np

    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    heights, edges = np.histogram(finite, bins=np.asarray(bins) if not isinstance(bins, int) else bins)
    drawn = heights / max(finite.size, 1) if share else heights
    axes.stairs(drawn, edges, label=label or None, fill=True, alpha=0.4, color=_next_color(axes))


def _next_color(axes: Axes) -> str:
    """Return the next colour of the series: patches do not advance the axes' own cycle."""
    return SERIES[(len(axes.patches) + len(axes.containers)) % len(SERIES)]


def reliability(
    axes: Axes,
    predicted: Values,
    observed: Values,
    label: str = "",
    counts: Values | None = None,
    ends: tuple[Values, Values] | None = None,
) -> None:
    """Draw how often what was predicted came true: a calibrated model lies on the diagonal.

    Args:
        axes: The axes.
        predicted: Mean predicted probability of each bin, shape (bins,).
        observed: Share of positives in each bin, shape (bins,).
        label: The model's name in the legend; empty for none.
        counts: Rows in each bin, shape (bins,): a bin's dot grows with them.
        ends: Lower and upper ends of the shares' intervals, each of shape (bins,).
    """
    import numpy as np

    if not axes.lines:
        axes.plot([0, 1], [0, 1], color=GRID, linewidth=1, linestyle="--")
        axes.set(xlim=(0, 1), ylim=(0, 1))
    weights = np.ones(len(predicted)) if counts is None else np.asarray(counts, dtype=np.float64)
    sizes = 12 + 90 * np.sqrt(weights / max(weights.max(initial=1.0), 1.0))
    color = SERIES[(len(axes.lines) - 1) % len(SERIES)]  # the diagonal is the first line
    if ends is not None:
        axes.vlines(predicted, ends[0], ends[1], color=color, linewidth=1.4, alpha=0.55)
    axes.plot(predicted, observed, color=color, linewidth=1.6, label=label)
    axes.scatter(predicted, observed, s=sizes, color=color, alpha=0.75, linewidth=0)


def matrix(
    axes: Axes, shares: Any, texts: Sequence[Sequence[str]], rows: Sequence[str], columns: Sequence[str]
) -> None:
    """Draw a table of coloured cells, such as a confusion matrix.

    Args:
        axes: The axes.
        shares: How strongly each cell is coloured, between 0 and 1, shape (rows, columns).
        texts: What stands in each cell; empty for nothing.
        rows: The rows' names, the first on top.
        columns: The columns' names.
    """
    from matplotlib.colors import to_rgba

    size = 9 if len(rows) <= _FEW_ROWS else 6.5
    for at, line in enumerate(shares):
        for to, share in enumerate(line):
            fill = to_rgba(SERIES[0], 0.08 + 0.62 * float(share)) if share > 0 else "none"  # the text stays readable
            axes.add_patch(_cell(to, at, fill))
            if texts[at][to]:
                axes.text(to, at, texts[at][to], ha="center", va="center", fontsize=size)
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    axes.set_xticks(range(len(columns)), columns, rotation=0 if sum(map(len, columns)) <= _ROOM else 90)
    axes.set_yticks(range(len(rows)), rows)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)


def _cell(column: int, row: int, fill: Any) -> Any:
    """Return a cell's square, with a little air around it."""
    from matplotlib.patches import Rectangle

    return Rectangle((column - 0.47, row - 0.47), 0.94, 0.94, facecolor=fill, edgecolor=GRID, linewidth=0.3)


def bars(axes: Axes, names: Sequence[str], values: Values, errors: Any = None, label: str = "") -> None:
    """Draw one horizontal bar a name, the first on top.

    Args:
        axes: The axes.
        names: What each bar is, N of them.
        values: Lengths, shape (N,).
        errors: Half widths of intervals, shape (N,) or (2, N) for below and above.
        label: The series' name in the legend; empty for none.
    """
    whiskers = {"ecolor": GRID, "elinewidth": 1.4}
    axes.barh(list(names), values, xerr=errors, height=0.68, label=label, color=_next_color(axes), error_kw=whiskers)
    if not axes.yaxis_inverted():
        axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
