"""The page about changed copies."""

from pathlib import Path

from fairlead.datasets import DatasetManifest
from fairlead.ingestion.augment_dataset.spec import AugmentationSpec
from fairlead.pages import Page


def write_report(
    path: Path | str, before: DatasetManifest, after: DatasetManifest, spec: AugmentationSpec, shown: list[list[bytes]]
) -> None:
    """Writes the page.

    Args:
        path: The HTML file.
        before: The dataset that came.
        after: The dataset that was written.
        spec: How far copies may differ.
        shown: Some families of pictures: the original, then its copies.
    """
    page = Page("Changed copies")
    page.facts({"rows before": before.row_count, "rows after": after.row_count, **spec.model_dump()})
    page.heading("Originals and their copies")
    page.pictures(
        [
            (content, "original" if not number else f"copy {number}")
            for family in shown
            for number, content in enumerate(family)
        ],
        columns=1 + spec.copies,
    )
    page.write(path)
