"""The work of write_model_card: gather what is known, tell it twice."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead import atomic
from fairlead.evaluation.documents import markdown
from fairlead.evaluation.documents import page as make_page
from fairlead.evaluation.write_model_card.chapters import make_document
from fairlead.evaluation.write_model_card.facts import gather


@dataclass(frozen=True)
class ModelCard:
    """What was written.

    Attributes:
        digest: The model that it is about.
        judges: Whose verdicts are in it.
        not_recorded: What a reader would look for, and nobody has recorded.
    """

    digest: str
    judges: tuple[str, ...]
    not_recorded: tuple[str, ...]


def write_model_card(
    package: Path | str,
    card: Path | str,
    page: Path | str,
    facts: Path | str,
    card_spec: Mapping[str, Any],
    verdicts: Iterable[Path | str] = (),
    training: Mapping[str, Any] | None = None,
    test: Path | str | None = None,
) -> ModelCard:
    """Writes a model card as Markdown, as a page, and as JSON.

    Args:
        package: The model package's folder.
        card: The Markdown file.
        page: The HTML file.
        facts: The JSON file.
        card_spec: The section `card` of a problem; see CardSpec.
        verdicts: The files of the verdicts at hand, one of each judge.
        training: Figures of the training, as train_model logged them.
        test: The dataset that the model was evaluated on.

    Returns:
        What was written.

    Raises:
        PackageError: The package is broken.
        VerdictError: A verdict is none, is for another model, or one judge has two.
        ConfigurationError: A key of `card` is wrong.
        SourceError: The test dataset is unfinished.
    """
    known = gather(package, card_spec, verdicts, training, test)
    document = make_document(known)
    atomic.write_text(card, markdown(document))
    make_page(document).write(page)
    atomic.write_json(facts, known.to_json())
    return ModelCard(known.digest, tuple(known.verdicts), tuple(known.missing))
