"""What a verdict says in short: the few figures of each judge that tell most, for the report and the terminal."""

import re
from collections.abc import Iterable, Iterator

from fairlead import values
from fairlead.registry.spec import JUDGES  # in the order in which they judge
from fairlead.verdicts import Verdict

MOST = 8  # figures that a card shows
_AHEAD = re.compile(r"(log_loss|squared_error|ndcg_loss|chrf_loss)_minus_(\w+)")
_OF_TASK = {  # what an evaluation is asked for most, by a figure that only this task has
    "macro_f1": ("accuracy", "macro_f1", "log_loss"),
    "root_mean_squared_error": ("root_mean_squared_error", "mean_absolute_error", "r2"),
    "ndcg": ("ndcg", "mrr", "map"),
    "chrf": ("chrf", "bleu", "exact_match"),
}
_TELLING = {
    "evaluation": ("roc_auc", "log_loss", "expected_calibration_error"),
    "comparison": (
        "difference", "challenger_log_loss", "champion_log_loss", "challenger_roc_auc", "champion_roc_auc",
    ),
    "slices": (
        "slices_judged", "slices_worse_than_the_rest", "slices_found_and_confirmed", "slices_with_low_support",
        "largest_gap", "gates_violated",
    ),
    "behaviour": ("tests_passed", "tests_failed", "tests_doubtful", "tests_not_run"),
    "server": ("p99_seconds", "memory_megabytes", "malformed_requests", "malformed_accepted", "ready_seconds"),
    "load": ("highest_rate",),
    "canary": (
        "canary_requests", "stable_requests", "seconds", "success_rate_difference", "latency_difference",
        "log_loss_difference",
    ),
}  # fmt: skip
_TITLES = {
    "difference": "worse by",
    "success_rate_difference": "more failed requests",
    "latency_difference": "more slow requests",
    "log_loss_difference": "higher log loss",
    "p99_seconds": "p99, seconds",
    "memory_megabytes": "memory, MB",
    "malformed_requests": "malformed requests",
    "malformed_accepted": "of those accepted",
    "ready_seconds": "seconds until ready",
    "highest_rate": "requests/s that it bears",
}
_WANTED_FIRST = ("slices", "behaviour")  # what is demanded of each slice or test fills the rest of the card
_SIGNS = {"at least": "≥", "at most": "≤"}
_ENDS = (("_low", "_high"), ("_lower", "_upper"))


def by_judge(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Return verdicts in the order in which their judges stand in a pipeline; unknown ones come last."""
    return sorted(verdicts, key=rank)


def rank(verdict: Verdict) -> int:
    """Return a verdict's place among the judges."""
    return JUDGES.index(verdict.judge) if verdict.judge in JUDGES else len(JUDGES)


def telling(verdict: Verdict) -> list[tuple[str, str, str]]:
    """Return a verdict's most telling figures: name, value, what is demanded.

    Args:
        verdict: What is demanded comes first, then what its judge is asked for most, at most `MOST` in all. A canary
            that got no request has nothing to tell.
    """
    if _judged_nothing(verdict):
        return []
    demanded = [name for name in verdict.figures if demand(verdict, name)]
    ahead = [name for name in verdict.figures if _baseline(name)]
    wanted = _asked_for(verdict)
    first = [*wanted, *demanded] if verdict.judge in _WANTED_FIRST else [*demanded, *wanted]
    names = [name for name in dict.fromkeys([*first, *ahead, *_rates(verdict)]) if name in verdict.figures]
    return [(figure_title(name), measured(verdict, name), demand(verdict, name)) for name in names[:MOST]]


def _rates(verdict: Verdict) -> list[str]:
    """Return the latencies of a load test, one a rate."""
    return [name for name in verdict.figures if name.startswith("p99_seconds_at_")]


def figure_title(name: str) -> str:
    """Return a verdict's figure as people say it."""
    if _baseline(name):
        return f"{values.title(name.partition('_minus_')[0])} against {_baseline(name)}"
    if name.startswith("p99_seconds_at_"):
        return f"p99 at {name.removeprefix('p99_seconds_at_')} requests/s, seconds"
    if name.startswith("failures_"):
        return f"failures: {values.title(name.removeprefix('failures_'))}"
    for side in ("challenger", "champion"):
        if name.startswith(f"{side}_"):
            return f"{side}'s {values.title(name.removeprefix(f'{side}_'))}"
    return _TITLES.get(name, values.title(name))


def _baseline(name: str) -> str:
    """Return the baseline that a difference of losses is taken to; empty for another figure."""
    found = None if name.endswith(("_low", "_high")) else _AHEAD.fullmatch(name)
    return found[2].replace("_", " ") if found else ""


def _asked_for(verdict: Verdict) -> tuple[str, ...]:
    """Return what a verdict's judge is asked for most; an evaluation by its task."""
    of_task = [names for sign, names in _OF_TASK.items() if sign in verdict.figures]
    if verdict.judge == "evaluation" and of_task:
        return of_task[0]
    return _TELLING.get(verdict.judge) or tuple(verdict.figures)


def measured(verdict: Verdict, name: str) -> str:
    """Return a figure's value, with its interval where the verdict has one."""
    for low, high in _ENDS:
        if f"{name}{low}" in verdict.figures and f"{name}{high}" in verdict.figures:
            return values.interval(
                verdict.figures[name], verdict.figures[f"{name}{low}"], verdict.figures[f"{name}{high}"]
            )
    value = values.number(verdict.figures[name])
    return f"+{value}" if _baseline(name) and verdict.figures[name] > 0 else value


def demand(verdict: Verdict, name: str) -> str:
    """Return what was demanded of a figure, such as "≥ 0.62", or an empty text."""
    if name == "difference":
        margin = next((value for key, value in verdict.thresholds.items() if key.endswith(" margin")), None)
        return f"≤ {_bound(margin)}" if margin is not None else ""
    found = [f"{sign} {_bound(verdict.thresholds[key])}" for word, sign in _SIGNS.items()
             if (key := f"{name} {word}") in verdict.thresholds]  # fmt: skip
    plain = verdict.thresholds.get(name)
    return " and ".join([*found, *([_bound(plain)] if plain is not None else [])])


def _bound(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def headline(verdict: Verdict) -> str:
    """Return a verdict on one line: its judge's figures, and the reason where it holds one that matters."""
    tell = {
        "evaluation": _evaluation, "comparison": _comparison, "canary": _canary, "slices": _slices,
        "behaviour": _behaviour, "server": _server, "load": _load,
    }.get(verdict.judge, _any)  # fmt: skip
    return "; ".join(part for part in tell(verdict) if part)


def _evaluation(verdict: Verdict) -> Iterator[str]:
    titles = {"expected_calibration_error": "ECE"}
    yield _listed(verdict, {name: titles.get(name, values.title(name)) for name in _asked_for(verdict)})
    yield against_baselines(verdict)


def against_baselines(verdict: Verdict) -> str:
    """Return whether an evaluated model beats the baselines beside it: the verdict's reasons name those it does not."""
    names = [found for name in verdict.figures if (found := _baseline(name))]
    unbeaten = [name for name in names if any(_says_unbeaten(reason, name) for reason in verdict.reasons)]
    if not names:
        return ""
    if unbeaten:
        return f"does not beat {' or '.join(unbeaten)}"
    return f"beats {names[0]}" if len(names) == 1 else f"beats all {len(names)} baselines"


def _says_unbeaten(reason: str, name: str) -> bool:
    """Tell whether a reason is the remark that a baseline is not beaten."""
    said = {"majority": "the majority class", "mean": "the mean", "copy": "copying the source"}.get(name, name)
    return re.match(rf"The model does not beat (a )?{re.escape(said)}\b", reason) is not None


def _comparison(verdict: Verdict) -> Iterator[str]:
    if "difference" not in verdict.figures:
        yield "no champion yet, nothing to compare with"
        return
    same = [reason for reason in verdict.reasons if "champion itself" in reason]
    if same:
        yield same[0]
        return
    metric = next((key.removesuffix(" margin") for key in verdict.thresholds if key.endswith(" margin")), "loss")
    estimate = verdict.figures["difference"]
    worse = f"{values.title(metric)} {'worse' if estimate > 0 else 'better'} by {values.number(abs(estimate))}"
    low, high = verdict.figures.get("difference_low"), verdict.figures.get("difference_high")
    if low is not None and high is not None:
        sides = (low, high) if estimate > 0 else (-high, -low)
        worse += f" ({values.number(sides[0])} to {values.number(sides[1])})"
    yield f"{worse}; margin {demand(verdict, 'difference').removeprefix('≤ ')}"


def _canary(verdict: Verdict) -> Iterator[str]:
    if not _judged_nothing(verdict):
        canary, stable = (int(verdict.figures.get(f"{side}_requests", 0)) for side in ("canary", "stable"))
        took = f" in {verdict.figures['seconds']:.0f} s" if verdict.figures.get("seconds") else ""
        yield f"{canary:,} requests beside {stable:,} of stable{took}"
    if verdict.outcome == "approved":  # only how it ended: the report has the rest
        yield "; ".join(verdict.reasons).split("; ")[0]


def _slices(verdict: Verdict) -> Iterator[str]:
    judged, worse = (int(verdict.figures.get(f"slices_{what}", 0)) for what in ("judged", "worse_than_the_rest"))
    yield f"{worse} of {judged} slices worse than the rest beyond chance"
    yield f"largest gap {values.number(verdict.figures.get('largest_gap', 0.0))}"


def _behaviour(verdict: Verdict) -> Iterator[str]:
    counts = {what: int(verdict.figures.get(f"tests_{what}", 0)) for what in ("passed", "failed", "doubtful")}
    yield f"{counts['passed']} of {sum(counts.values())} tests passed"


def _server(verdict: Verdict) -> Iterator[str]:
    figures = verdict.figures
    yield "answers as its package does" if verdict.outcome == "approved" else ""
    if "malformed_requests" in figures:
        refused = int(figures["malformed_requests"] - figures.get("malformed_accepted", 0))
        yield f"{refused} of {int(figures['malformed_requests'])} malformed requests refused"
    yield _milliseconds(figures.get("p99_seconds"))
    yield f"{figures['memory_megabytes']:.0f} MB" if "memory_megabytes" in figures else ""


def _load(verdict: Verdict) -> Iterator[str]:
    rate = verdict.figures.get("highest_rate", 0.0)
    yield f"bears {rate:g} requests/s" if rate else "bears none of the rates"
    yield _milliseconds(verdict.figures.get(f"p99_seconds_at_{rate:g}"))


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"p99 {1000 * seconds:.0f} ms"


def _any(verdict: Verdict) -> Iterator[str]:
    yield ", ".join(f"{name} {value}" for name, value, _ in telling(verdict)[:3])


def _listed(verdict: Verdict, names: dict[str, str]) -> str:
    return ", ".join(f"{title} {verdict.figures[name]:.3g}" for name, title in names.items() if name in verdict.figures)


def _judged_nothing(verdict: Verdict) -> bool:
    """Tell whether a canary had no request to be judged by, as the first version of a model has not."""
    return verdict.judge == "canary" and not verdict.figures.get("canary_requests")
