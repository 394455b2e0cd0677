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
    """Trains a model by its recipe; the same seed and data give the same weights, bit by bit.

    Args:
        train: The rows to learn from.
        validation: The rows that choose the epoch: the one with the lowest log loss is kept.
        model: The problem's `model` section: which columns are categorical, which are numeric.
        train_spec: The problem's `train` section: recipe and hyperparameters.
        label: The column to predict; it holds 0 and 1.
        best: What tune_model found; its hyperparameters replace those of `train_spec`.

    Returns:
        checkpoint: A folder of weights.safetensors and checkpoint.json (design, learning curve, lineage); no pickle.
        report: The learning curve, the hyperparameters, the inputs and the lineage.
        metrics: Validation log loss and ROC AUC of the kept epoch, rows, seconds.
    """
    from fairlead.training.train_model import task

    trained = task.train(
        train.path, validation.path, checkpoint.path, report.path,
        model=model, train_spec=train_spec, label=label, best_path=best.path if best else None,
    )  # fmt: skip
    checkpoint.metadata.update(trained.metadata)
    for name, value in trained.metrics.items():
        metrics.log_metric(name, value)
