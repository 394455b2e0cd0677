"""The contract of validate_dataset."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Metrics, Output

from fairlead import image


@dsl.component(base_image=image.BASE, install_kfp_package=False, packages_to_install=[])
def validate_dataset(
    dataset: Input[Dataset], report: Output[HTML], metrics: Output[Metrics], expectations: dict
) -> None:
    """Checks a dataset against expectations; fails naming the rows that do not meet them.

    Args:
        dataset: The dataset to check.
        expectations: What must hold: rows, unique columns, and per column type, nullable, minimum, maximum,
            allowed, pattern, maximum_null_fraction, unique (the fields of Expectations).

    Returns:
        report: Statistics of every column, and each failure with row, column, value and check.
        metrics: Rows, expectations, and how many of them failed.
    """
    from fairlead.ingestion.validate_dataset.task import validate

    for name, value in validate(dataset.path, report.path, expectations).metrics().items():
        metrics.log_metric(name, value)
