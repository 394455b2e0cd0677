"""write_datasheet: the contract."""

from kfp import dsl
from kfp.dsl import HTML, Dataset, Input, Markdown, Output

from fairlead import image


@dsl.component(base_image=image.BASE, install_kfp_package=False, packages_to_install=[])
def write_datasheet(
    dataset: Input[Dataset],
    datasheet: Output[Markdown],
    page: Output[HTML],
    datasheet_spec: dict = {},
) -> None:
    """Writes a dataset's datasheet: what its rows hold, and what people said of it; the rest is told as not recorded.

    Values are told only where many rows share them; names and identifiers are counted, never listed.

    Args:
        dataset: The rows, such as those that a model is trained on.
        datasheet_spec: The problem's section `datasheet`: what only people can say, and columns that are private.

    Returns:
        datasheet: The datasheet.
        page: The datasheet as a page.
    """
    from fairlead.evaluation.write_datasheet.task import write_datasheet as work

    done = work(dataset.path, datasheet.path, page.path, datasheet_spec)
    datasheet.metadata.update({"digest": done.digest, "rows": done.rows, "not_recorded": len(done.not_recorded)})
