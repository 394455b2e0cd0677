"""Plots: styled without pyplot, and safe on the values that real runs produce."""

import sys

import numpy as np
import pytest
from matplotlib.patches import StepPatch

from fairlead import pages, plots


def test_pyplot_is_not_needed() -> None:
    """A figure is made and rendered without pyplot, which would keep it alive."""
    before = "matplotlib.pyplot" in sys.modules
    figure, axes = plots.figure()
    plots.bars(axes, ["a", "b"], [1, 2], errors=[0.1, 0.2])
    pages.inline_svg(figure, "x")
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_a_style_does_not_leak() -> None:
    """Making a figure leaves matplotlib's own settings as they were."""
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    plots.figure()
    assert dict(mpl.rcParams) == before


def test_bars_read_from_the_top() -> None:
    """The first bar is on top, also if the axes get a second series."""
    _, axes = plots.figure()
    plots.bars(axes, ["a", "b"], [1, 2])
    plots.bars(axes, ["a", "b"], [1, 2])
    assert axes.yaxis_inverted()


def test_a_histogram_leaves_out_what_is_not_finite() -> None:
    """NaN and infinities do not count, and shares add up to one."""
    _, axes = plots.figure()
    plots.histogram(axes, [0.0, 1.0, float("nan"), float("inf")], "x", bins=2)
    drawn = axes.patches[0]
    assert isinstance(drawn, StepPatch)
    assert float(np.sum(drawn.get_data()[0])) == pytest.approx(1.0)


def test_empty_values_are_drawn_as_nothing() -> None:
    """No rows is no error: a report of an empty slice must still be written."""
    figure, axes = plots.panels(1, 2, 6, 2)
    plots.histogram(axes[0], [], "none")
    plots.reliability(axes[1], [], [], "none", counts=[])
    plots.label(axes[1], "x", "y", "title")
    assert pages.inline_svg(figure, "x").startswith("<svg")


def test_series_are_told_apart() -> None:
    """Histograms and reliability curves on the same axes get different colours."""
    _, axes = plots.panels(1, 2)
    for shift in (0.0, 1.0):
        plots.histogram(axes[0], np.arange(10) + shift, str(shift))
        plots.reliability(axes[1], [0.1, 0.9], [0.1, 0.8 - shift / 10], str(shift))
    assert len({patch.get_facecolor() for patch in axes[0].patches}) == 2
    assert len({line.get_color() for line in axes[1].lines[1:]}) == 2
