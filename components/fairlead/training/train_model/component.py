"""The contract of train_model."""

from typing import Optional

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from fairlead import image


@dsl.component(base_image=image.TRAINING, install_kfp_package=False, packages_to_install=[])
def train_model(
    train: Input[Dataset],
    validation: Input[Dataset],
    checkpoint: Output[Model],
    report: Output[HTML],
    metrics: Output[Metrics],
    model: dict,
    train_spec: dict,
    label: str,
    best: Optional[Input[Artifact]] = None,
) -> None:
    """Trains a model by its recipe; the same seed and data give the same weights, bit by bit, also after a kill.

    Args:
        train: The rows to learn from.
        validation: The rows that choose the epoch: the one with the best of the recipe's figures is kept.
        model: The problem's `model` section: the task, and which columns it sees.
        train_spec: The problem's `train` section: recipe, hyperparameters, precision, processes, budget.
        label: The column to predict.
        best: What tune_model found; its hyperparameters replace those of `train_spec`.

    Returns:
        checkpoint: A folder of weights.safetensors and checkpoint.json (design, learning curve, lineage), no pickle;
            resources.json says what training took.
        report: The learning curve, what it took, the hyperparameters, the inputs and the lineage.
        metrics: The kept epoch's validation figures, rows, seconds, energy and cost.
    """
    from fairlead.training.train_model import task

    trained = task.train(
        train.path, validation.path, checkpoint.path, report.path,
        model=model, train_spec=train_spec, label=label, best_path=best.path if best else None,
    )  # fmt: skip
    checkpoint.metadata.update(trained.metadata)
    for name, value in trained.metrics.items():
        metrics.log_metric(name, value)
