"""The contract of export_model."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Model, Output

from fairlead import image


@dsl.component(base_image=image.TRAINING, install_kfp_package=False, packages_to_install=[])
def export_model(
    checkpoint: Input[Model],
    sample: Input[Dataset],
    package: Output[Model],
    metrics: Output[Metrics],
    name: str,
    label: str,
    request: dict = {},
    feature_service: str = "",
) -> None:
    """Turns a checkpoint into a model package, and proves that the package predicts what the checkpoint does.

    Args:
        checkpoint: What train_model wrote.
        sample: Real rows, on which ONNX Runtime must agree with the framework; they become the reference sample.
        name: The model's name, as it will be registered and served.
        label: The column that it predicts.
        request: The problem's `request` section; where a request holds the model's inputs themselves, its `checks`
            alone, or nothing.
        feature_service: The Feast feature service that gives a request's features; empty for none.

    Returns:
        package: The model package: an MLflow ONNX model and `fairlead/`; its identity is the digest in its metadata.
        metrics: The largest difference from the framework, on how many rows, and the package's size.
    """
    from fairlead.optimization.export_model import task

    exported = task.export(
        checkpoint.path, sample.path, package.path,
        name=name, label=label, request=request, feature_service=feature_service,
    )  # fmt: skip
    package.metadata.update(exported.metadata)
    for key, value in exported.metrics.items():
        metrics.log_metric(key, value)
