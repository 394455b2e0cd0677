"""What a verdict says in short: the few figures of each judge that tell most, for the report and the terminal."""

import re
from collections.abc import Iterable, Iterator

from fairlead import values
from fairlead.verdicts import Verdict

JUDGES = ("evaluation", "comparison", "canary")  # in the order in which they judge
MOST = 8  # figures that a card shows
_AHEAD = "log_loss_minus_"
_TELLING = {
    "evaluation": ("roc_auc", "log_loss", "expected_calibration_error"),
    "comparison": (
        "difference", "challenger_log_loss", "champion_log_loss", "challenger_roc_auc", "champion_roc_auc",
    ),
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
}
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
    ahead = [name for name in verdict.figures if name.startswith(_AHEAD)]
    wanted = _TELLING.get(verdict.judge) or tuple(verdict.figures)
    names = [name for name in dict.fromkeys([*demanded, *wanted, *ahead]) if name in verdict.figures]
    return [(figure_title(name), measured(verdict, name), demand(verdict, name)) for name in names[:MOST]]


def figure_title(name: str) -> str:
    """Return a verdict's figure as people say it."""
    if name.startswith(_AHEAD):
        return f"log loss against {name.removeprefix(_AHEAD).replace('_', ' ')}"
    for side in ("challenger", "champion"):
        if name.startswith(f"{side}_"):
            return f"{side}'s {values.title(name.removeprefix(f'{side}_'))}"
    return _TITLES.get(name, values.title(name))


def measured(verdict: Verdict, name: str) -> str:
    """Return a figure's value, with its interval where the verdict has one."""
    for low, high in _ENDS:
        if f"{name}{low}" in verdict.figures and f"{name}{high}" in verdict.figures:
            return values.interval(
                verdict.figures[name], verdict.figures[f"{name}{low}"], verdict.figures[f"{name}{high}"]
            )
    value = values.number(verdict.figures[name])
    return f"+{value}" if name.startswith(_AHEAD) and verdict.figures[name] > 0 else value


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
    tell = {"evaluation": _evaluation, "comparison": _comparison, "canary": _canary}.get(verdict.judge, _any)
    return "; ".join(part for part in tell(verdict) if part)


def _evaluation(verdict: Verdict) -> Iterator[str]:
    yield _listed(verdict, {"roc_auc": "ROC AUC", "log_loss": "log loss", "expected_calibration_error": "ECE"})
    yield against_baselines(verdict)


def against_baselines(verdict: Verdict) -> str:
    """Return whether an evaluated model beats the baselines beside it: the verdict's reasons name those it does not."""
    names = [name.removeprefix(_AHEAD).replace("_", " ") for name in verdict.figures if name.startswith(_AHEAD)]
    unbeaten = [name for name in names if any(_says_unbeaten(reason, name) for reason in verdict.reasons)]
    if not names:
        return ""
    if unbeaten:
        return f"does not beat {' or '.join(unbeaten)}"
    return f"beats {names[0]}" if len(names) == 1 else f"beats all {len(names)} baselines"


def _says_unbeaten(reason: str, name: str) -> bool:
    """Tell whether a reason is the remark that a baseline is not beaten."""
    said = {"majority": "the majority class"}.get(name, name)
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


def _any(verdict: Verdict) -> Iterator[str]:
    yield ", ".join(f"{name} {value}" for name, value, _ in telling(verdict)[:3])


def _listed(verdict: Verdict, names: dict[str, str]) -> str:
    return ", ".join(f"{title} {verdict.figures[name]:.3g}" for name, title in names.items() if name in verdict.figures)


def _judged_nothing(verdict: Verdict) -> bool:
    """Tell whether a canary had no request to be judged by, as the first version of a model has not."""
    return verdict.judge == "canary" and not verdict.figures.get("canary_requests")
