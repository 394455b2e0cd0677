"""Compares what training sees with what servers see."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Metrics, Output

from fairlead import image


@dsl.component(base_image=image.BASE, install_kfp_package=False, packages_to_install=[])
def check_feature_skew(
    training_set: Input[Dataset],
    features: Input[Dataset],
    report: Output[HTML],
    metrics: Output[Metrics],
    problem: str,
    repository: str,
    feature_service: str,
    request: dict,
    as_of: str,
    sample: int = 500,
) -> None:
    """Compares the point-in-time join with the online store's answers, value by value, at one moment.

    Args:
        training_set: Where the sampled entities come from.
        features: The folder of tables that compute_features made.
        problem: The problem's name, whose online store is asked.
        repository: The Feast repository: an importable package or a folder.
        feature_service: The feature service that is asked.
        request: The problem's section `request`, for what is too old to be used.
        as_of: The moment to which the online store was brought (ISO 8601).
        sample: How many entity rows are compared.

    Returns:
        report: What was compared, and every value that differs.
        metrics: Values compared, values that differ, values too old.
    """
    from fairlead.features.check_feature_skew import task

    done = task.check_feature_skew(
        training_set.path, features.path, report.path, problem, repository, feature_service, request, as_of, int(sample)
    )
    metrics.metadata.update(done.metadata())
