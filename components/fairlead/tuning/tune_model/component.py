"""The contract of tune_model."""

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Output

from fairlead import image


@dsl.component(base_image=image.TRAINING, install_kfp_package=False, packages_to_install=[])
def tune_model(
    train: Input[Dataset],
    validation: Input[Dataset],
    best: Output[Artifact],
    trials: Output[Dataset],
    report: Output[HTML],
    metrics: Output[Metrics],
    model: dict,
    train_spec: dict,
    tuning: dict,
    label: str,
) -> None:
    """Searches hyperparameters by short trainings on the latest rows; a killed search goes on where it stopped.

    Args:
        train: The rows to learn from.
        validation: The rows that score a trial.
        model: The problem's `model` section: the task, and which columns the model sees.
        train_spec: The problem's `train` section: recipe and the hyperparameters that are not searched.
        tuning: The problem's `tuning` section: objective, algorithm and parameters by a Katib Experiment's names.
        label: The column to predict.

    Returns:
        best: JSON: the best trial's hyperparameters and metric.
        trials: Every trial: state, metrics, seconds, worker, error, and its parameters' values.
        report: The course of the search, what each parameter matters, and every trial.
        metrics: The best trial's metrics, and how many trials succeeded, failed and were stopped early.
    """
    from fairlead.tuning.tune_model import task

    tuned = task.tune(
        train.path, validation.path, best.path, trials.path, report.path,
        model=model, train_spec=train_spec, tuning=tuning, label=label,
    )  # fmt: skip
    best.metadata.update({"trial": tuned.best.number, "trials": len(tuned.trials)})
    for name, value in tuned.metrics.items():
        metrics.log_metric(name, value)
