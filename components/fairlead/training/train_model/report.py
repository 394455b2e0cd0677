"""The page about a training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead import plots
from fairlead.pages import Page
from fairlead.training.checkpoint import Checkpoint
from fairlead.training.recipes.protocol import Epoch
from fairlead.training.recipes.registry import find_recipe
from fairlead.values import percent, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANELS = 3  # of the learning curve; more figures stand in the table only
_MARKED_EPOCHS = 20  # more ticks would run into each other


def write_report(
    path: Path | str, checkpoint: Checkpoint, metrics: Mapping[str, float], resources: Mapping[str, Any]
) -> None:
    """Writes the page: the learning curve, what it took, the hyperparameters, the data and where all of it comes from.

    Args:
        path: The HTML file.
        checkpoint: What was trained.
        metrics: The figures of `Training`.
        resources: What `resources.json` says.
    """
    page = Page("Training")
    page.facts({title(name): value for name, value in metrics.items()})
    _add_curve(page, checkpoint)
    _add_resources(page, checkpoint, resources)
    _add_hyperparameters(page, checkpoint)
    _add_silent(page, checkpoint)
    with page.folded("Inputs as the training rows show them"):
        _add_inputs(page, checkpoint)
    with page.folded("Where it comes from"):
        _add_lineage(page, checkpoint)
    page.write(path)


def _add_curve(page: Page, checkpoint: Checkpoint) -> None:
    design, epochs, best = checkpoint.design, checkpoint.fitted.epochs, checkpoint.fitted.best
    objective = find_recipe(design.spec.recipe).objective(design.model)
    names = [objective.metric, *(name for name in best.validation if name != objective.metric)]
    word = "lowest" if objective.direction == "minimize" else "highest"
    page.heading("Learning curve")
    page.figure(
        _curve(epochs, best, names),
        f"{_sentence(objective.metric)} is {word} after epoch {best.epoch}; those weights were kept.",
    )
    rows = [[e.epoch, e.train_loss, *(e.validation[n] for n in names), "yes" if e == best else ""] for e in epochs]
    page.table(
        ["epoch", "train loss", *map(title, names), "kept"],
        rows,
        "The train loss is the mean over the epoch's steps, with dropout and augmentation; validation is measured at "
        "its end.",
    )


def _curve(epochs: Sequence[Epoch], best: Epoch, names: Sequence[str]) -> "Figure":
    """The loss with the figure that decides, where that is a loss too, and each other figure beside it."""
    shared = "loss" in names[0]
    others = list(names[1:] if shared else names)[: _PANELS - 1]
    figure, panels = plots.panels(1, 1 + len(others), width=4 + 3.4 * len(others), height=3.4)
    numbers = [e.epoch for e in epochs]
    plots.line(panels[0], numbers, [e.train_loss for e in epochs], label="train", dashed=True)
    if shared:
        plots.line(panels[0], numbers, [e.validation[names[0]] for e in epochs], label="validation")
    plots.label(panels[0], x="epoch", y=_unit(names[0]) if shared else "training loss")
    for axes, name in zip(panels[1:], others, strict=True):
        plots.line(axes, numbers, [e.validation[name] for e in epochs], label="validation")
        plots.label(axes, x="epoch", y=_unit(name))
    for axes in panels:
        _mark(axes, numbers, best.epoch)
    return figure


def _mark(axes: "Axes", numbers: Sequence[int], best: int) -> None:
    axes.axvline(best, color=plots.GRID, linewidth=1, linestyle=":")
    if len(numbers) <= _MARKED_EPOCHS:
        axes.set_xticks(numbers)


def _sentence(name: str) -> str:
    text = title(name)
    return text[:1].upper() + text[1:]


def _unit(name: str) -> str:
    text = title(name.removeprefix("validation_"))
    return f"{text} (nats)" if name.endswith("log_loss") else text


def _add_resources(page: Page, checkpoint: Checkpoint, resources: Mapping[str, Any]) -> None:
    page.heading("What it took")
    computed = checkpoint.lineage.get("computed", {})
    shown = {name: computed[name] for name in ("device", "strategy", "accumulate", "threads") if name in computed}
    page.facts({title(name): value for name, value in {**resources, **shown}.items() if value != ""})
    if "kilowatt_hours" in resources:
        page.text(
            "Energy is that of the whole machine while it trained, by the processor's own counters where they can be "
            "read and by its nominal power elsewhere."
        )
    else:
        page.note("Energy was not measured.")


def _add_hyperparameters(page: Page, checkpoint: Checkpoint) -> None:
    tuned, spec = checkpoint.lineage["tuned"], checkpoint.design.spec.model_dump(exclude={"budget", "pod"})
    values = {**spec.pop("options"), **spec}
    page.heading("Hyperparameters")
    page.table(
        ["key", "value", "chosen by"],
        [[key, _plain(value), "tuning" if key in tuned else ""] for key, value in values.items()],
    )


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else value


def _add_inputs(page: Page, checkpoint: Checkpoint) -> None:
    design = checkpoint.design
    if design.model.task == "multiclass":
        page.text(f"Classes: {', '.join(design.classes)}")
    if design.image_shape:
        height, width, channels = design.image_shape
        page.text(f"Pictures {design.model.image}: {width} x {height} pixels, channels: {channels}")
    if design.vocabularies:
        page.table(["categorical column", "values"], [[n, len(v)] for n, v in design.vocabularies.items()])
    page.table(
        ["numbers", "median", "mean", "standard deviation", "missing"],
        [[name, *_statistics(known)] for name, known in checkpoint.statistics.items()],
    )


def _statistics(known: Mapping[str, float | None]) -> list[Any]:
    missing = known.get("missing_share")
    figures = [known.get(name) for name in ("median", "mean", "standard_deviation")]
    return [*figures, percent(missing) if missing else ""]


def _add_silent(page: Page, checkpoint: Checkpoint) -> None:
    silent = [name for name, s in checkpoint.statistics.items() if not s["standard_deviation"]]
    if silent:
        page.note(
            f"These columns never vary in the training rows and tell the model nothing: {', '.join(silent)}", "warn"
        )


def _add_lineage(page: Page, checkpoint: Checkpoint) -> None:
    facts = checkpoint.lineage
    page.table(
        ["dataset", "name", "rows", "from", "until", "digest"],
        [
            [
                role,
                facts[role]["name"],
                facts[role]["rows"],
                *(facts[role]["time_range"] or ["", ""]),
                facts[role]["digest"],
            ]
            for role in ("train", "validation")
        ],
    )
    page.facts(
        {
            **facts["versions"],
            "revision": facts["revision"] or "none: not run from a git repository",
            "data order": facts.get("computed", {}).get("order", ""),
        }
    )
