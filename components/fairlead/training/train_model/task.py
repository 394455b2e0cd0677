"""Trains a model by its recipe and leaves a checkpoint."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead import progress
from fairlead.errors import SourceError
from fairlead.training import lineage
from fairlead.training.checkpoint import Checkpoint
from fairlead.training.recipes.protocol import Design, Epoch, Fitted
from fairlead.training.recipes.registry import find_recipe
from fairlead.training.spec import ModelSpec, TrainSpec
from fairlead.training.tabular import Rows, describe_numbers, encode, fit_vocabularies, read_rows
from fairlead.training.train_model.report import write_report

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Training:
    """What came out.

    Attributes:
        metrics: Figures for the run's page.
        metadata: Facts for the checkpoint artifact.
    """

    metrics: dict[str, float]
    metadata: dict[str, str | int | float | bool]


def train(
    train_path: Path | str,
    validation_path: Path | str,
    checkpoint_path: Path | str,
    report_path: Path | str,
    *,
    model: Mapping[str, Any],
    train_spec: Mapping[str, Any],
    label: str,
    best_path: Path | str | None = None,
) -> Training:
    """Trains a model.

    Args:
        train_path: The dataset to learn from.
        validation_path: The dataset that chooses the epoch.
        checkpoint_path: The folder to write: weights.safetensors, checkpoint.json.
        report_path: The HTML page to write.
        model: The problem's `model` section.
        train_spec: The problem's `train` section.
        label: The column to predict; it holds 0 and 1.
        best_path: What tune_model found; its hyperparameters replace those of `train_spec`.

    Returns:
        Metrics and metadata.

    Raises:
        ConfigurationError: A key, a value or the recipe's name is wrong.
        SourceError: A dataset or `best` is not finished or corrupt.
        SchemaError: A column is absent or of a wrong type.
        DataError: Too few rows, a label that is missing, not 0 or 1, or always the same, or a loss that is not finite.
    """
    inputs, spec = ModelSpec.parse(model, "model"), TrainSpec.parse(train_spec, "train")
    tuned = read_hyperparameters(best_path) if best_path is not None else {}
    spec = spec.with_hyperparameters(tuned)
    recipe = find_recipe(spec.recipe)
    train_table, validation_table = read_rows(train_path, inputs, label), read_rows(validation_path, inputs, label)
    design = Design(inputs, spec, fit_vocabularies(train_table, inputs.categorical))
    train_rows, validation_rows = _encode(train_table, design, label), _encode(validation_table, design, label)
    with progress.step("training", total=spec.epochs) as step:
        recipe.load()
        started = time.monotonic()
        fitted = recipe.fit(train_rows, validation_rows, design, Teller(step, len(train_rows)))
        seconds = time.monotonic() - started
    facts = describe_lineage(train_path, validation_path, tuned)
    checkpoint = Checkpoint(design, label, fitted, facts, describe_numbers(train_rows, inputs))
    checkpoint.write(checkpoint_path)
    result = Training(_metrics(fitted, train_rows, validation_rows, seconds), _metadata(checkpoint))
    write_report(report_path, checkpoint, result.metrics)
    return result


def _encode(table: "pa.Table", design: Design, label: str) -> Rows:
    return encode(table, design.model, design.vocabularies, label)


class Teller:
    """Turns a recipe's observations into progress, with the rate of rows and the epoch's figures."""

    def __init__(self, step: progress.Step, rows: int) -> None:
        """Starts the clock; `rows` are those of one epoch."""
        self.step, self.rows, self.started = step, rows, time.monotonic()

    def __call__(self, epochs_done: float, epoch: Epoch | None) -> None:
        """Tells how far training is."""
        elapsed = max(time.monotonic() - self.started, 1e-9)
        figures: dict[str, float] = {"rows_per_second": round(self.rows * epochs_done / elapsed)}
        if epoch is not None:
            figures |= {"log_loss": epoch.validation_log_loss, "roc_auc": epoch.validation_roc_auc}
        self.step.update(epochs_done, **figures)


def read_hyperparameters(path: Path | str) -> dict[str, Any]:
    """Reads the hyperparameters that tune_model found.

    Raises:
        SourceError: The file is absent or no such JSON.
    """
    try:
        return dict(json.loads(Path(path).read_text())["hyperparameters"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path} holds no hyperparameters ({error!r}); give the file that tune_model wrote") from None


def describe_lineage(train_path: Path | str, validation_path: Path | str, tuned: Mapping[str, Any]) -> dict[str, Any]:
    """What the model comes from; no times of day, so that equal trainings give equal checkpoints."""
    return {
        "train": lineage.describe_dataset(train_path),
        "validation": lineage.describe_dataset(validation_path),
        "tuned": dict(tuned),
        "versions": lineage.library_versions(),
        "revision": lineage.code_revision(),
    }


def _metrics(fitted: Fitted, train_rows: Rows, validation_rows: Rows, seconds: float) -> dict[str, float]:
    return {
        "validation_log_loss": fitted.best.validation_log_loss,
        "validation_roc_auc": fitted.best.validation_roc_auc,
        "best_epoch": fitted.best.epoch,
        "epochs": len(fitted.epochs),
        "train_rows": len(train_rows),
        "validation_rows": len(validation_rows),
        "parameters": sum(int(value.size) for value in fitted.weights.values()),
        "seconds": round(seconds, 3),
        "rows_per_second": round(len(train_rows) * len(fitted.epochs) / seconds),
    }


def _metadata(checkpoint: Checkpoint) -> dict[str, str | int | float | bool]:
    best = checkpoint.fitted.best
    return {
        "recipe": checkpoint.design.spec.recipe,
        "label": checkpoint.label,
        "seed": checkpoint.design.spec.seed,
        "best_epoch": best.epoch,
        "validation_log_loss": best.validation_log_loss,
        "validation_roc_auc": best.validation_roc_auc,
        "train_digest": checkpoint.lineage["train"]["digest"],
        "train_rows": checkpoint.lineage["train"]["rows"],
        "revision": checkpoint.lineage["revision"] or "",
    }
