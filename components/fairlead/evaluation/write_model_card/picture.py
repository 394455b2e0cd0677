"""The one picture of a model card: the model beside simple ones, with intervals."""

from collections.abc import Sequence

from fairlead.evaluation.documents import Picture
from fairlead.evaluation.figure_names import baseline_of, figure_name
from fairlead.evaluation.write_model_card.figures import Figure, figures_of
from fairlead.values import title
from fairlead.verdicts import Verdict


def picture_of(verdict: Verdict, metrics: Sequence[str]) -> Picture | None:
    """Draws a figure of the model and of each baseline; None where there is nothing to compare.

    Args:
        verdict: That of evaluate_model.
        metrics: The figure's name, first of all that are there.
    """
    figures = figures_of(verdict)
    baselines = list(dict.fromkeys(found for name in figures if (found := baseline_of(name))))
    for metric in metrics:
        bars = {"model": figures.get(metric)} | {b: figures.get(figure_name(b, metric)) for b in baselines}
        known = {name: figure for name, figure in bars.items() if figure is not None}
        if "model" in known and len(known) > 1:
            return _draw(title(metric), known)
    return None


def _draw(metric: str, bars: dict[str, Figure]) -> Picture:
    from fairlead import plots

    made, axes = plots.figure(7, 0.7 + 0.45 * len(bars))
    for place, (name, figure) in enumerate(bars.items()):
        color = plots.SERIES[0] if name == "model" else plots.SERIES[6]
        if figure.low is not None and figure.high is not None:
            axes.plot([figure.low, figure.high], [place, place], color=color, linewidth=2.2, solid_capstyle="round")
        axes.plot([figure.value], [place], "o", color=color, markersize=7 if name == "model" else 5.5)
    axes.set_yticks(range(len(bars)), [name.replace("-", " ") for name in bars])
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    plots.label(axes, x=metric)
    return Picture(made, f"{metric} of the model and of simple models on the same rows; lines are intervals.")
