"""The contract of split_dataset."""

from kfp import dsl
from kfp.dsl import Dataset, Input, Output

from fairlead import image


@dsl.component(base_image=image.BASE, install_kfp_package=False, packages_to_install=[])
def split_dataset(
    dataset: Input[Dataset],
    train: Output[Dataset],
    validation: Output[Dataset],
    test: Output[Dataset],
    split: dict,
    label: str = "",
) -> None:
    """Divides a dataset by time with an embargo gap, by entity, or in equal label shares; accounts for every row.

    Args:
        dataset: The dataset to divide.
        split: How: by, column, and times with embargo_seconds or fractions with seed (the fields of SplitSpec).
        label: The label's column; each set must hold two classes of it. Empty: labels are not looked at.

    Returns:
        train: The rows to train on; metadata counts the rows of all sets, and those left out by reason.
        validation: The rows to choose models by.
        test: The rows to judge the chosen model by.
    """
    from fairlead.ingestion.split_dataset import task

    result = task.split(
        dataset.path, {"train": train.path, "validation": validation.path, "test": test.path}, split, label
    )
    train.metadata.update(result.metadata("train"))
    validation.metadata.update(result.metadata("validation"))
    test.metadata.update(result.metadata("test"))
