"""The contract of calibrate_model."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Metrics, Model, Output

from fairlead import image


@dsl.component(base_image=image.BASE, install_kfp_package=False, packages_to_install=[])
def calibrate_model(
    package: Input[Model],
    validation: Input[Dataset],
    label: str,
    calibrated: Output[Model],
    metrics: Output[Metrics],
    report: Output[HTML],
    calibration: dict,
) -> None:
    """Calibrates a model's probabilities and chooses its threshold, on validation rows; both travel with the model.

    Args:
        package: The model package, from export_model or quantize_model.
        validation: Labelled rows that the model was not fitted on; never the test rows.
        label: The label's column.
        calibration: The problem's section `calibration`: method, folds, the rule of the threshold.

    Returns:
        calibrated: The package with the calibration inside its graph; a copy with the same digest if nothing helps.
        metrics: Log loss and calibration error on held-out folds, before and after, and the threshold.
        report: What was tried, what was kept and why, calibration before and after, and the threshold's choice.
    """
    from fairlead.optimization.calibrate_model import task

    done = task.calibrate(package.path, validation.path, calibrated.path, report.path, label, calibration)
    calibrated.metadata.update({**package.metadata, "digest": done.digest, "calibration": done.kept})
    for key, value in done.metrics.items():
        metrics.log_metric(key, value)
