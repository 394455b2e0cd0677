"""How differently a model treats groups of rows: fairlearn's figures, with intervals and tests.

Every figure is a function of how often each answer meets each truth in each group. A bootstrap resample of the rows is
a draw of these counts (of whole blocks, where rows depend on one another), so that intervals cost nothing per row; what
fairlearn offers computes pandas tables for each resample.

The largest difference between groups is above zero by chance alone, and the more groups the more so. Intervals are
therefore basic ones (twice the estimate less the resamples' quantiles), which take this bias away, and gates are
decided by tests of every pair of groups, corrected for how many there are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fairlead.evaluation.estimates import FEWEST_CASES, Blocks
from fairlead.evaluation.grouping import Groups
from fairlead.evaluation.intervals import Interval
from fairlead.evaluation.slice_spec import FAIRNESS_METRICS

RATES = ("selection_rate", "true_positive_rate", "false_positive_rate")
_RATES_OF = {
    "demographic_parity_difference": (0,),
    "demographic_parity_ratio": (0,),
    "equalized_odds_difference": (1, 2),
    "equal_opportunity_difference": (1,),
}


@dataclass(frozen=True)
class GroupRates:
    """How one group is treated.

    Attributes:
        name: The group.
        rows: How many.
        base_rate: Share of them whose truth is yes.
        rates: By RATES, with intervals; NaN where the group has no such rows.
    """

    name: str
    rows: int
    base_rate: float
    rates: dict[str, Interval]


@dataclass(frozen=True)
class GroupFairness:
    """How the groups of one column are treated.

    Attributes:
        column: The sensitive column.
        groups: Those with enough rows, the most rows first.
        small: Names and rows of the others, which no figure counts.
        figures: By FAIRNESS_METRICS, with intervals; one for which fewer than two groups have enough rows is absent.
        table: The counts, for tests.
    """

    column: str
    groups: Sequence[GroupRates]
    small: Sequence[tuple[str, int]]
    figures: dict[str, Interval]
    table: "CountTable"


@dataclass(frozen=True)
class CountTable:
    """How often each answer meets each truth in each group, and in resamples.

    Attributes:
        names: G groups.
        counts: (G, 2, 2) float64: by group, truth and answer.
        drawn: (R, G, 2, 2) float64, resamples.
        degrees: Of freedom of a difference: blocks less one, or infinite.
    """

    names: Sequence[str]
    counts: np.ndarray
    drawn: np.ndarray
    degrees: float

    def eligible(self, metric: str) -> np.ndarray:
        """Groups that have enough rows of the truths that a metric looks at: positions."""
        truths = self.counts.sum(axis=2)  # (G, 2)
        enough = np.ones(len(self.names), dtype=bool)
        for truth, index in ((1, 1), (0, 2)):
            if index in _RATES_OF[metric]:
                enough &= truths[:, truth] >= FEWEST_CASES
        return np.flatnonzero(enough)

    def violations(self, metric: str, bound: float) -> list[tuple[str, float, float, float]]:
        """Tests every ordered pair of groups against a bound on their difference (or ratio).

        Returns:
            The pair in words, its difference (ratio), the p-value of the hypothesis that the bound is kept, and that
            of the hypothesis that it is violated.
        """
        names, chosen = self.names, self.eligible(metric)
        found = []
        for index in _RATES_OF[metric]:
            rates, drawn, errors = _rates(self.counts)[:, index], _rates(self.drawn)[..., index], self._errors(index)
            for high in chosen.tolist():
                for low in chosen[chosen != high].tolist():
                    ratio = metric.endswith("ratio")
                    weight, limit = (bound, 0.0) if ratio else (1.0, bound)
                    beyond = weight * rates[high] - rates[low] - limit
                    spread = float(np.nanstd(weight * drawn[:, high] - drawn[:, low]))
                    error = max(spread, float(np.hypot(weight * errors[high], errors[low])))
                    shown = _ratio(rates[low], rates[high]) if ratio else rates[high] - rates[low]
                    words = f"{names[high]} against {names[low]} ({RATES[index].replace('_', ' ')})"
                    found.append((words, float(shown), *_tails(beyond / error, self.degrees)))
        return found

    def _errors(self, index: int) -> np.ndarray:
        """Standard errors of independent rows' rates, never 0 (Agresti & Coull 1998): (G,)."""
        hits, among = _hits(self.counts)
        share = (hits[..., index] + 2) / (among[..., index] + 4)
        return np.asarray(np.sqrt(share * (1 - share) / (among[..., index] + 4)))


def _ratio(low: float, high: float) -> float:
    return float(low / high) if high > 0 else 1.0  # nobody is selected in either group


def _tails(score: float, degrees: float) -> tuple[float, float]:
    from scipy import special

    below = special.ndtr(score) if np.isinf(degrees) else special.stdtr(degrees, score)
    above = special.ndtr(-score) if np.isinf(degrees) else special.stdtr(degrees, -score)
    return float(above), float(below)


def compare_groups(
    column: str,
    groups: Groups,
    labels: np.ndarray,
    answers: np.ndarray,
    *,
    minimum_rows: int,
    confidence: float,
    resamples: int,
    seed: int,
    blocks: Blocks | None = None,
) -> GroupFairness:
    """Compares how groups are treated.

    Args:
        column: The sensitive column.
        groups: Its groups.
        labels: (N,) the truth, 0 or 1.
        answers: (N,) bool, the model's.
        minimum_rows: Groups with fewer are left out of every figure.
        confidence: Of the intervals.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.
        blocks: Which rows depend on one another.

    Returns:
        Rates by group, and fairlearn's differences between groups.
    """
    sizes = np.bincount(groups.codes, minlength=len(groups.names))
    order = np.argsort(-sizes, kind="stable")
    kept = [code for code in order.tolist() if sizes[code] >= minimum_rows]
    small = [(groups.names[code], int(sizes[code])) for code in order.tolist() if 0 < sizes[code] < minimum_rows]
    table = _count(groups, kept, labels, answers, resamples, seed, blocks)
    named = [_group_rates(table, n, confidence) for n in range(len(kept))]
    figures = {}
    for metric in FAIRNESS_METRICS if len(kept) > 1 else ():
        chosen = table.eligible(metric)
        if chosen.size > 1:
            estimate = fairlearn_figure(metric, table.counts[chosen])
            figures[metric] = _interval(metric, estimate, table.drawn[:, chosen], confidence)
    return GroupFairness(column, named, small, figures, table)


def fairlearn_figure(metric: str, counts: np.ndarray) -> float:
    """A figure by fairlearn, which gets each distinct row once, weighted: exact, whatever the number of rows.

    Args:
        metric: One of FAIRNESS_METRICS.
        counts: (G, 2, 2), by group, truth and answer.
    """
    import fairlearn.metrics  # type: ignore[import-untyped]

    groups, labels, answers = np.nonzero(counts)
    compute = getattr(fairlearn.metrics, metric)
    weights = counts[groups, labels, answers]
    return float(compute(labels, answers, sensitive_features=groups, sample_weight=weights))


def _count(
    groups: Groups, kept: Sequence[int], labels: np.ndarray, answers: np.ndarray, resamples: int, seed: int,
    blocks: Blocks | None,
) -> CountTable:  # fmt: skip
    number = np.full(len(groups.names) + 1, -1)
    number[np.array(kept, dtype=np.int64)] = np.arange(len(kept))
    codes = number[groups.codes]
    inside = codes >= 0
    cells = (codes * 4 + (labels == 1) * 2 + answers)[inside]
    width, names, rng = 4 * len(kept), [groups.names[code] for code in kept], np.random.default_rng(seed)
    counts = np.bincount(cells, minlength=width).astype(np.float64)
    if not cells.size:
        return CountTable([], np.zeros((0, 2, 2)), np.zeros((resamples, 0, 2, 2)), np.inf)
    if blocks is None:
        drawn, degrees = rng.multinomial(cells.size, counts / cells.size, size=resamples).astype(np.float64), np.inf
    else:
        by_block = np.bincount(blocks.codes[inside] * width + cells, minlength=blocks.count * width)
        weights = rng.multinomial(blocks.count, np.full(blocks.count, 1 / blocks.count), size=resamples)
        drawn, degrees = weights.astype(np.float64) @ by_block.reshape(blocks.count, width), float(blocks.count - 1)
    return CountTable(names, counts.reshape(-1, 2, 2), drawn.reshape(resamples, -1, 2, 2), max(degrees, 1.0))


def _hits(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Yes answers, and the rows among which they are counted, by RATES: (…, G, 3) each, of counts (…, G, 2, 2)."""
    yes, all_rows = counts[..., 1], counts.sum(axis=-1)
    hits = np.stack([yes.sum(axis=-1), yes[..., 1], yes[..., 0]], axis=-1)
    return hits, np.stack([all_rows.sum(axis=-1), all_rows[..., 1], all_rows[..., 0]], axis=-1)


def _rates(counts: np.ndarray) -> np.ndarray:
    hits, among = _hits(counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(hits / among)


def _group_rates(table: CountTable, position: int, confidence: float) -> GroupRates:
    counts, drawn = table.counts[position], _rates(table.drawn[:, position])
    rates = _rates(counts)
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    found = {}
    for index, name in enumerate(RATES):
        defined = drawn[~np.isnan(drawn[:, index]), index]
        low, high = np.quantile(defined, ends) if defined.size else (np.nan, np.nan)
        found[name] = Interval(float(rates[index]), float(low), float(high))
    rows = int(counts.sum())
    return GroupRates(table.names[position], rows, float(counts[1].sum() / rows), found)


def _interval(metric: str, estimate: float, drawn: np.ndarray, confidence: float) -> Interval:
    """The basic bootstrap interval of a figure, within [0, 1]."""
    values = _differences(metric, _rates(drawn))
    low, high = np.quantile(values[~np.isnan(values)], [(1 - confidence) / 2, (1 + confidence) / 2])
    ends = np.clip([2 * estimate - high, 2 * estimate - low], 0, 1)
    return Interval(estimate, float(ends[0]), float(ends[1]))


def _differences(metric: str, rates: np.ndarray) -> np.ndarray:
    """The figure of each resample: (R,), of rates (R, G, 3)."""
    chosen = rates[..., list(_RATES_OF[metric])]
    low, high = chosen.min(axis=-2), chosen.max(axis=-2)
    if metric.endswith("ratio"):
        return np.asarray(np.where(high > 0, low / np.where(high > 0, high, 1), 1.0)[:, 0])
    return np.asarray((high - low).max(axis=-1))
