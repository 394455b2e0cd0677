"""The contract of quantize_model."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Metrics, Model, Output

from fairlead import image


@dsl.component(base_image=image.TRAINING, install_kfp_package=False, packages_to_install=[])
def quantize_model(
    package: Input[Model],
    sample: Input[Dataset],
    label: str,
    chosen: Output[Model],
    metrics: Output[Metrics],
    report: Output[HTML],
    tolerance: float = 0.002,
) -> None:
    """Tries INT8, and keeps it only where it is faster and no worse.

    Args:
        package: The float model package, from export_model.
        sample: Real, labelled rows: they calibrate and they score.
        label: The label's column.
        tolerance: By how much INT8 may be worse: in nats of log loss, or as a share of the RMSE (no classes).

    Returns:
        chosen: The INT8 package, or a copy of the float package with the same digest.
        metrics: Seconds of a prediction at batch 1 and 64, and log loss or RMSE, of both.
        report: Which was kept, why, and both side by side.
    """
    from fairlead.optimization.quantize_model import task

    done = task.quantize(package.path, sample.path, chosen.path, report.path, label=label, tolerance=tolerance)
    chosen.metadata.update({**package.metadata, "digest": done.digest, "precision": done.kept, "reason": done.reason})
    for key, value in done.metrics.items():
        metrics.log_metric(key, value)
