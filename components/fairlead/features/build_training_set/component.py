"""Joins rows to predict with what was known of them at their time."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Output

from fairlead import image


@dsl.component(base_image=image.BASE, install_kfp_package=False, packages_to_install=[])
def build_training_set(
    features: Input[Dataset],
    entity_rows: Input[Dataset],
    training_set: Output[Dataset],
    report: Output[HTML],
    repository: str,
    feature_service: str,
    label: dict,
    request: dict,
    window: list,
) -> None:
    """Joins each row with its features as they were known at its event time, and refuses what leaks the future.

    Every entity row is accounted for: used, without a label, or outside the window.

    Args:
        features: The folder of tables that compute_features made.
        entity_rows: The rows to predict.
        repository: The Feast repository: an importable package or a folder.
        feature_service: The feature service to join.
        label: The problem's section `label`.
        request: The problem's section `request`.
        window: First event time taken and the first not taken any more (ISO 8601).

    Returns:
        training_set: Request fields, features, derived inputs, label (int8) and event_timestamp, ordered by time.
        report: What became of every row, and each feature's statistics.
    """
    from fairlead.features.build_training_set import task

    done = task.build_training_set(
        features.path, entity_rows.path, training_set.path, report.path,
        repository, feature_service, label, request, window,
    )  # fmt: skip
    training_set.metadata.update(done.metadata())
