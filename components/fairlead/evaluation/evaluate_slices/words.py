"""Estimates as words, with as many digits as their intervals give sense to."""

import math

from fairlead.evaluation.estimates import Estimate
from fairlead.evaluation.intervals import Interval
from fairlead.values import interval, number

MOST_ROUNDED = 1000.0  # wider intervals are told with thousands


def told(estimate: Estimate, confidence: float) -> str:
    """An estimate with its interval, where it has one."""
    return rounded(estimate.interval(confidence)) if estimate.usable else number(estimate.value)


def rounded(found: Interval) -> str:
    """An interval whose half width has two digits: `0.180 (0.135 to 0.225)`."""
    half = (found.high - found.low) / 2
    if not 0 < half < MOST_ROUNDED:
        return interval(found.estimate, found.low, found.high)
    digits = max(0, 1 - math.floor(math.log10(half)))
    return f"{found.estimate:.{digits}f} ({found.low:.{digits}f} to {found.high:.{digits}f})"


def brief(value: float) -> str:
    """A figure without an interval, to three digits after the point."""
    return f"{value:.3f}" if abs(value) < MOST_ROUNDED else number(value)


def p_value(value: float) -> str:
    """A p-value."""
    return "<0.0001" if value < 1e-4 else f"{value:.2g}"  # noqa: PLR2004 - further digits tell nothing
