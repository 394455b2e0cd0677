"""The contract of augment_dataset."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Output

from fairlead import image


@dsl.component(base_image=image.BASE, install_kfp_package=False, packages_to_install=[])
def augment_dataset(
    dataset: Input[Dataset], augmented: Output[Dataset], report: Output[HTML], augmentation: dict
) -> None:
    """Adds changed copies of its pictures to a training set: shifted, turned, scaled, sheared.

    Args:
        dataset: Rows with a column of images. Give training rows only: a changed copy of a test picture tells nothing.
        augmentation: Copies and how far they may differ (the fields of AugmentationSpec).

    Returns:
        augmented: The rows and their copies, every original before its copies; the other columns are repeated.
        report: Some pictures beside their copies.
    """
    from fairlead.ingestion.augment_dataset.task import augment

    augmented.metadata.update(augment(dataset.path, augmented.path, report.path, augmentation).metadata())
