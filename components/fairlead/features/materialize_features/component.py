"""Publishes feature tables to the feature store that servers read."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Metrics, Output

from fairlead import image


@dsl.component(base_image=image.BASE, install_kfp_package=False, packages_to_install=[])
def materialize_features(
    features: Input[Dataset],
    metrics: Output[Metrics],
    problem: str,
    repository: str,
    as_of: str,
) -> None:
    """Publishes feature tables and brings the online store to what was known at a moment.

    Incremental: a later moment writes the new interval only, the same moment writes nothing. For an earlier moment the
    online store is built anew beside the old one and takes its place at once, as it must never hold the future.

    Args:
        features: The folder of tables that compute_features made.
        problem: The problem's name; its feature store has one home.
        repository: The Feast repository: an importable package or a folder.
        as_of: The moment (ISO 8601).

    Returns:
        metrics: Rows written, keys held online, and how the store was brought up to date.
    """
    from fairlead.features.materialize_features import task

    done = task.materialize_features(features.path, problem, repository, as_of)
    metrics.metadata.update(done.metadata())
