"""The work of write_datasheet: look at the rows once, tell what may be told."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead import atomic, datasets
from fairlead.evaluation.documents import markdown
from fairlead.evaluation.documents import page as make_page
from fairlead.evaluation.write_datasheet.chapters import make_document, not_recorded
from fairlead.evaluation.write_datasheet.columns import describe
from fairlead.evaluation.write_datasheet.spec import DatasheetSpec
from fairlead.progress import step


@dataclass(frozen=True)
class Datasheet:
    """What was written.

    Attributes:
        digest: The dataset that it is about.
        rows: How many rows it has.
        not_recorded: The questions that nobody answered.
    """

    digest: str
    rows: int
    not_recorded: tuple[str, ...]


def write_datasheet(
    dataset: Path | str, datasheet: Path | str, page: Path | str, datasheet_spec: Mapping[str, Any]
) -> Datasheet:
    """Writes a datasheet as Markdown and as a page.

    Args:
        dataset: The dataset's folder.
        datasheet: The Markdown file.
        page: The HTML file.
        datasheet_spec: The section `datasheet` of a problem; see DatasheetSpec.

    Returns:
        What was written.

    Raises:
        SourceError: The dataset is unfinished or corrupt.
        SchemaError: The section names a column that is not there.
        ConfigurationError: A key of the section is wrong.
    """
    spec, manifest = DatasheetSpec.parse(datasheet_spec, "datasheet"), datasets.read_manifest(dataset)
    with step(f"describing {manifest.name}"):
        facts = describe(dataset, manifest.row_count, spec)
    document = make_document(manifest, facts, spec)
    atomic.write_text(datasheet, markdown(document))
    make_page(document).write(page)
    return Datasheet(manifest.digest, manifest.row_count, not_recorded(spec))
