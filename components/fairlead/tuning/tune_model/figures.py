"""Drawings of a search: its course, what each parameter matters and does, and all trials side by side."""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fairlead import plots
from fairlead.tuning.space import Parameter
from fairlead.tuning.spec import TuneSpec
from fairlead.tuning.study import STOPPED, TrialRecord
from fairlead.values import title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from optuna.distributions import BaseDistribution

FEWEST_FOR_IMPORTANCE = 10  # of fewer trials a forest would learn noise

_PANELS_A_ROW = 3
_FEW = 4  # values that all stand beside an axis


def draw_history(trials: Sequence[TrialRecord], tuning: TuneSpec) -> "Figure":
    """Draws the metric of each trial in the order of the search, and the best so far."""
    figure, axes = plots.figure(height=3.2)
    done = _succeeded(trials)
    stopped = [trial for trial in trials if trial.state == STOPPED and trial.metric is not None]  # Katib's have none
    axes.scatter([t.number for t in done], _metric(done), s=30, color=plots.SERIES[0], alpha=0.8, linewidth=0,
                 label="trials")  # fmt: skip
    if stopped:
        axes.scatter([t.number for t in stopped], _metric(stopped), s=34, color=plots.SERIES[6], marker="x",
                     label="stopped early")  # fmt: skip
    best, line = None, []
    for value in _metric(done):
        best = value if best is None or tuning.objective.is_better(value, best) else best
        line.append(best)
    axes.step([t.number for t in done], line, where="post", color=plots.SERIES[1], linewidth=1.8, label="best so far")
    plots.few_ticks(axes, [trial.number for trial in trials])
    plots.label(axes, x="trial", y=title(tuning.objective.metric))
    return figure


def importance(trials: Sequence[TrialRecord], tuning: TuneSpec) -> Mapping[str, float]:
    """The share of the metric's variance that each parameter explains, by fANOVA.

    Args:
        trials: The finished trials; stopped and failed ones are left out.
        tuning: The search.

    Returns:
        By the parameters' names, from the largest, adding up to 1; empty where the trials are too few or all alike.

    References:
        Hutter, Hoos, Leyton-Brown: An efficient approach for assessing hyperparameter importance. ICML 2014.
    """
    done = _succeeded(trials)
    if len(done) < FEWEST_FOR_IMPORTANCE or len(set(_metric(done))) == 1:
        return {}
    import optuna

    study = optuna.create_study(direction=tuning.objective.type)
    distributions = {parameter.name: distribution(parameter) for parameter in tuning.parameters}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values of a grid need not be Optuna's own to the last bit
        study.add_trials(
            [optuna.create_trial(params=dict(t.values), distributions=distributions, value=t.metric) for t in done]
        )
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def distribution(parameter: Parameter) -> "BaseDistribution":
    """A parameter as Optuna has it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not parameter.ranged:
        return CategoricalDistribution(parameter.choices)
    low, high, step = parameter.low, parameter.high, parameter.step
    if parameter.kind == "int":
        return IntDistribution(int(low), int(high), log=parameter.log, step=int(step or 1))
    return FloatDistribution(float(low), float(high), log=parameter.log, step=None if step is None else float(step))


def draw_importance(shares: Mapping[str, float]) -> "Figure":
    """Draws the importance of each parameter, the largest on top."""
    figure, axes = plots.figure(height=0.9 + 0.36 * len(shares))
    plots.bars(axes, list(shares), [100 * share for share in shares.values()])
    plots.label(axes, x="% of the variance explained")
    return figure


def draw_parallel(trials: Sequence[TrialRecord], best: TrialRecord, tuning: TuneSpec) -> "Figure":
    """Draws each trial as a line through its values, one upright axis a parameter and one for the metric."""
    done = sorted(_succeeded(trials), key=lambda t: t.metric or 0.0, reverse=tuning.objective.type == "minimize")
    figure, axes = plots.figure(width=max(7, 1.5 * (len(tuning.parameters) + 1)), height=4)
    scales = [_Scale.of(parameter) for parameter in tuning.parameters]
    metric = _Scale(title(tuning.objective.metric), _metric(done))
    for rank, trial in enumerate(done):  # the best last, on top
        heights = [scale.height(trial.values[p.name]) for scale, p in zip(scales, tuning.parameters, strict=True)]
        mine, share = trial.number == best.number, (rank + 1) / len(done)
        axes.plot(
            range(len(scales) + 1), [*heights, metric.height(trial.metric)], color=plots.SERIES[1 if mine else 0],
            alpha=1.0 if mine else 0.12 + 0.6 * share**2, linewidth=2.4 if mine else 1.3,
        )  # fmt: skip
    _dress(axes, [*scales, metric])
    return figure


class _Scale:
    """One upright axis of the parallel coordinates, from 0 at its foot to 1."""

    def __init__(self, name: str, values: Sequence[Any], *, log: bool = False) -> None:
        self.name, self.log, self.values = name, log, list(values)
        numbers = [self._number(value) for value in self.values]
        self.low, self.high = min(numbers), max(numbers)

    @classmethod
    def of(cls, parameter: Parameter) -> "_Scale":
        if parameter.ranged:
            return cls(parameter.name, [float(parameter.low), float(parameter.high)], log=parameter.log)
        return cls(parameter.name, parameter.choices)

    @property
    def texts(self) -> bool:
        return any(isinstance(value, str) for value in self.values)

    def _number(self, value: Any) -> float:
        if self.texts:
            return float(self.values.index(value))
        return math.log10(value) if self.log else float(value)

    def height(self, value: Any) -> float:
        return 0.5 if self.high == self.low else (self._number(value) - self.low) / (self.high - self.low)

    def ticks(self) -> list[tuple[float, str]]:
        shown = self.values if self.texts or len(self.values) <= _FEW else [min(self.values), max(self.values)]
        return [(self.height(value), _short(value)) for value in shown]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _dress(axes: "Axes", scales: Sequence[_Scale]) -> None:
    for place, scale in enumerate(scales):
        axes.axvline(place, color=plots.GRID, linewidth=1)
        for height, text in scale.ticks():
            axes.annotate(text, (place, height), xytext=(4, 3), textcoords="offset points", fontsize=8, color=plots.INK)
    axes.set_xticks(range(len(scales)), [scale.name for scale in scales])
    axes.set(ylim=(-0.05, 1.08), xlim=(-0.1, len(scales) - 0.6))
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)


def draw_slices(trials: Sequence[TrialRecord], best: TrialRecord, tuning: TuneSpec) -> "Figure":
    """Draws the metric against each parameter, the best trial ringed."""
    rows = -(-len(tuning.parameters) // _PANELS_A_ROW)
    columns = min(len(tuning.parameters), _PANELS_A_ROW)
    figure, panels = plots.panels(rows, columns, width=3 * columns + 1, height=3 * rows)
    for at, (axes, parameter) in enumerate(zip(panels, tuning.parameters, strict=False)):
        _draw_slice(axes, parameter, _succeeded(trials), best)
        plots.label(axes, x=parameter.name, y="" if at % columns else title(tuning.objective.metric))
    for axes in panels[len(tuning.parameters) :]:
        axes.set_axis_off()
    return figure


def _draw_slice(axes: "Axes", parameter: Parameter, done: Sequence[TrialRecord], best: TrialRecord) -> None:
    text = parameter.kind == "categorical"
    x = [str(t.values[parameter.name]) if text else t.values[parameter.name] for t in done]
    axes.scatter(x, _metric(done), s=36, color=plots.SERIES[0], alpha=0.8, linewidth=0)
    mine = best.values[parameter.name]
    place = [str(mine) if text else mine], [best.metric or 0.0]
    axes.scatter(*place, s=130, facecolors="none", edgecolors=plots.SERIES[1], linewidths=1.8)
    if not text:
        plots.few_ticks(axes, [float(t.values[parameter.name]) for t in done], parameter.log)


def _succeeded(trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    return [trial for trial in trials if trial.succeeded]


def _metric(trials: Sequence[TrialRecord]) -> list[float]:
    return [trial.metric or 0.0 for trial in trials]
