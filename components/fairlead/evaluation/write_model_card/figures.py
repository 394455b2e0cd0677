"""A verdict's figures as tables: each with its interval and what was demanded of it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fairlead.evaluation.documents import Table
from fairlead.evaluation.figure_names import baseline_of, difference_name, figure_name
from fairlead.values import interval, limit, number, title
from fairlead.verdicts import Verdict

_ENDS = ("_low", "_high")
_OF_CLASS = re.compile(r"(precision|recall|f1)_of_(.+)")
_AT_RATE = re.compile(r"(.+)_at_(\d+(?:_\d+)?)")
_WORDS = {" at least": "at least", " at most": "at most"}


@dataclass(frozen=True)
class Figure:
    """One figure of a verdict.

    Attributes:
        name: Its name there.
        value: What was measured.
        low: The lower end of its interval, if it has one.
        high: The upper end.
        demanded: What was demanded of it, in words; empty where nothing was.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    demanded: str = ""

    @property
    def told(self) -> str:
        """The value with its interval."""
        if self.low is None or self.high is None:
            return number(self.value)
        return interval(self.value, self.low, self.high)


def figures_of(verdict: Verdict) -> dict[str, Figure]:
    """A verdict's figures by name; the ends of an interval belong to the figure between them."""
    found = verdict.figures
    within = {name for name in found if all(f"{name}{end}" in found for end in _ENDS)}
    ends = {f"{name}{end}" for name in within for end in _ENDS}
    return {
        name: Figure(
            name, value, found[f"{name}_low"] if name in within else None,
            found[f"{name}_high"] if name in within else None, _demanded(name, verdict.thresholds),
        )
        for name, value in found.items()
        if name not in ends
    }  # fmt: skip


def tables_of(verdict: Verdict) -> list[Table]:
    """All figures of a verdict in tables that can be read: its own, beside baselines, by class, by rate."""
    figures = figures_of(verdict)
    by_class = {name: found for name in figures if (found := _OF_CLASS.fullmatch(name))}
    by_rate = (
        {name: found for name in figures if (found := _AT_RATE.fullmatch(name))} if verdict.judge == "load" else {}
    )
    beside = {name for name in figures if baseline_of(name)} if verdict.judge == "evaluation" else set()
    own = [figure for name, figure in figures.items() if name not in {*by_class, *by_rate, *beside}]
    tables = [_own(own)] if own else []
    if beside:
        tables.append(_beside(figures, beside))
    if by_class:
        tables.append(_pivot(figures, {name: (m[2], m[1]) for name, m in by_class.items()}, "class", "By class"))
    if by_rate:
        at = {name: (m[2].replace("_", "."), m[1]) for name, m in by_rate.items()}
        tables.append(_pivot(figures, at, "requests per second", "By rate"))
    return tables


def terms_of(verdict: Verdict) -> dict[str, float | str]:
    """What was set that is not the bound of a figure, such as `alpha` and `protocols`."""
    figures = figures_of(verdict)
    bounds = {f"{name}{word}" for name in figures for word in ("", *_WORDS)}
    return {title(name): value for name, value in verdict.thresholds.items() if name not in bounds}


def _demanded(name: str, thresholds: Mapping[str, float | str]) -> str:
    keys = {name: "", **{f"{name}{word}": f"{said} " for word, said in _WORDS.items()}}
    return ", ".join(f"{said}{_bound(thresholds[key])}" for key, said in keys.items() if key in thresholds)


def _bound(value: float | str) -> str:
    return value if isinstance(value, str) else limit(value)


def _own(figures: Sequence[Figure]) -> Table:
    rows = [(title(figure.name), figure.told, figure.demanded or None) for figure in figures]
    if not any(figure.demanded for figure in figures):
        return Table(("figure", "measured"), [row[:2] for row in rows])
    return Table(("figure", "measured", "demanded"), rows)


def _beside(figures: Mapping[str, Figure], names: set[str]) -> Table:
    """The model and the baselines on the same rows, and the differences of their losses."""
    baselines = list(dict.fromkeys(baseline_of(name) for name in figures if name in names))
    metrics = [
        metric
        for metric in figures
        if metric not in names and any(figure_name(b, metric) in figures for b in baselines)
    ]
    rows = [
        [title(m), *(figures[n].told if n in figures else None for n in (m, *(figure_name(b, m) for b in baselines)))]
        for m in metrics
    ]
    told = {name for metric in metrics for name in (figure_name(b, metric) for b in baselines)}
    losses = dict.fromkeys(re.sub(r"_minus_.*", "", name) for name in figures if name in names - told)
    for loss in losses:
        minus = (figures.get(difference_name(baseline, loss)) for baseline in baselines)
        rows.append([f"{title(loss)}: model minus baseline", None, *(found.told if found else None for found in minus)])
    return Table(
        ("figure", "model", *(b.replace("-", " ") for b in baselines)), rows, "Beside simple models, on the same rows"
    )


def _pivot(figures: Mapping[str, Figure], at: Mapping[str, tuple[str, str]], first: str, caption: str) -> Table:
    """Figures of several things: a row a thing, a column a figure."""
    things = list(dict.fromkeys(thing for thing, _ in at.values()))
    columns = list(dict.fromkeys(metric for _, metric in at.values()))
    names = {place: name for name, place in at.items()}
    rows = [
        [thing, *(figures[names[thing, c]].told if (thing, c) in names else None for c in columns)] for thing in things
    ]
    return Table((first, *(title(column) for column in columns)), rows, caption)
