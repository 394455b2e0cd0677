"""The page about a training."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead import plots
from fairlead.pages import Page
from fairlead.training.checkpoint import Checkpoint
from fairlead.values import percent, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_report(path: Path | str, checkpoint: Checkpoint, metrics: Mapping[str, float]) -> None:
    """Writes the page: the learning curve, the hyperparameters, the data and where all of it comes from.

    Args:
        path: The HTML file.
        checkpoint: What was trained.
        metrics: The figures of `Training`.
    """
    page = Page("Training")
    page.facts({title(name): value for name, value in metrics.items()})
    _add_curve(page, checkpoint)
    _add_hyperparameters(page, checkpoint)
    _add_silent(page, checkpoint)
    with page.folded("Inputs as the training rows show them"):
        _add_inputs(page, checkpoint)
    with page.folded("Where it comes from"):
        _add_lineage(page, checkpoint)
    page.write(path)


def _add_curve(page: Page, checkpoint: Checkpoint) -> None:
    best = checkpoint.fitted.best
    page.heading("Learning curve")
    page.figure(_curve(checkpoint), f"Validation log loss is lowest after epoch {best.epoch}; those weights were kept.")
    page.table(
        ["epoch", "train log loss", "validation log loss", "validation ROC AUC", "kept"],
        [
            [e.epoch, e.train_log_loss, e.validation_log_loss, e.validation_roc_auc, "yes" if e == best else ""]
            for e in checkpoint.fitted.epochs
        ],
        "Train log loss is the mean over the epoch's steps, with dropout; validation is measured at its end.",
    )


def _curve(checkpoint: Checkpoint) -> "Figure":
    epochs = checkpoint.fitted.epochs
    numbers = [e.epoch for e in epochs]
    figure, (losses, areas) = plots.panels(1, 2, width=8, height=3.4)
    plots.line(losses, numbers, [e.train_log_loss for e in epochs], label="train", dashed=True)
    plots.line(losses, numbers, [e.validation_log_loss for e in epochs], label="validation")
    plots.label(losses, x="epoch", y="log loss (nats)")
    plots.line(areas, numbers, [e.validation_roc_auc for e in epochs], label="validation")
    plots.label(areas, x="epoch", y="ROC AUC")
    for axes in (losses, areas):
        axes.axvline(checkpoint.fitted.best.epoch, color=plots.GRID, linewidth=1, linestyle=":")
        axes.set_xticks(numbers)
    return figure


def _add_hyperparameters(page: Page, checkpoint: Checkpoint) -> None:
    tuned = checkpoint.lineage["tuned"]
    page.heading("Hyperparameters")
    page.table(
        ["key", "value", "chosen by"],
        [
            [
                key,
                ", ".join(map(str, value)) if isinstance(value, list | tuple) else value,
                "tuning" if key in tuned else "",
            ]
            for key, value in checkpoint.design.spec.model_dump().items()
        ],
    )


def _add_inputs(page: Page, checkpoint: Checkpoint) -> None:
    page.table(["categorical column", "values"], [[n, len(v)] for n, v in checkpoint.design.vocabularies.items()])
    page.table(
        ["numeric column", "median", "mean", "standard deviation", "missing"],
        [
            [
                name,
                s["median"],
                s["mean"],
                s["standard_deviation"],
                percent(s["missing_share"]) if s["missing_share"] else "",
            ]
            for name, s in checkpoint.statistics.items()
        ],
    )


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
    page.facts({**facts["versions"], "revision": facts["revision"] or "none: not run from a git repository"})
