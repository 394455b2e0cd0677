"""The wrongest examples, as pictures or texts: what a figure cannot tell."""

from typing import Any

import numpy as np

from fairlead import datasets
from fairlead.evaluation.evaluate_model.findings import MODEL, Findings
from fairlead.evaluation.evaluate_model.judged import Judged
from fairlead.evaluation.loss_names import TEXT
from fairlead.evaluation.rows import IMAGE_BATCH_ROWS, read_batches
from fairlead.evaluation.spec import EvaluationSpec
from fairlead.pages import Page
from fairlead_serving.images import read_images, write_png
from fairlead_serving.package import ModelInput

LARGEST_PICTURE = 256  # pixels of a side in the report; a larger one is thinned out
LONGEST_TEXT = 240  # characters of a text in the report


def show_pictures(page: Page, findings: Findings, judged: Judged, count: int) -> None:
    """Adds the images that the model got most wrong, with what it said and what is true.

    Args:
        page: The page.
        findings: What was found.
        judged: The model and its test rows; nothing is added where its inputs hold no image.
        count: How many, at most.
    """
    images = judged.package.manifest.images if judged.package else ()
    if not images or not count:
        return
    wrong = _wrongest(findings, count)
    page.heading("The surest mistakes" if findings.scores.task in ("binary", "multiclass") else "The largest errors")
    if not wrong.size:
        page.text("The model makes no mistake on these rows.")
        return
    page.text(f"The {wrong.size} test rows that cost the model most, the worst first.")
    pictures = _read_pictures(judged, images[0], wrong)
    page.pictures(zip(pictures, [_caption(findings, int(row)) for row in wrong], strict=True))


def _wrongest(findings: Findings, count: int) -> np.ndarray:
    """The rows of greatest loss, worst first; of answers, only wrong ones."""
    if findings.task == "ranking":
        return np.zeros(0, dtype=np.int64)
    losses = findings.scores.losses(MODEL)
    if findings.task in ("binary", "multiclass"):
        losses = np.where(findings.scores.losses(MODEL, "error_rate", threshold=findings.threshold) > 0, losses, 0)
    worst = np.argsort(-losses, kind="stable")[:count]
    return np.asarray(worst[losses[worst] > 0])


def _read_pictures(judged: Judged, image: ModelInput, rows: np.ndarray) -> list[bytes]:
    """The images of some rows, as PNG files."""
    found: dict[int, bytes] = {}
    wanted, position = set(rows.tolist()), 0
    for batch in read_batches(judged.test, [image.name], IMAGE_BATCH_ROWS):
        for row in wanted & set(range(position, position + batch.num_rows)):
            value = batch.column(image.name)[row - position].as_py()
            pixels = read_images(image.name, [value], image.shape)[0]
            step = -(-max(pixels.shape[:2]) // LARGEST_PICTURE)
            found[row] = write_png(np.ascontiguousarray(pixels[::step, ::step]))
        position += batch.num_rows
    return [found[int(row)] for row in rows]


def _caption(findings: Findings, row: int) -> str:
    scores = findings.scores
    answer, truth = scores.predictions[MODEL][row], scores.labels[row]
    if scores.task == "multiclass":
        said = int(answer.argmax())
        own = _rounded(answer[int(truth)])
        return f"{scores.classes[said]}, {_rounded(answer[said])}\nis {scores.classes[int(truth)]}, {own}"
    if scores.task == "binary":
        return f"{_rounded(answer)}\nis {'yes' if truth else 'no'}"
    return f"{answer:.4g}\nis {truth:.4g}"


def _rounded(share: float) -> str:
    """A share in whole per cent that no line break parts."""
    return "<1\N{NO-BREAK SPACE}%" if 0 < share < 0.005 else f"{100 * share:.0f}\N{NO-BREAK SPACE}%"  # noqa: PLR2004


def show_texts(page: Page, findings: Findings, judged: Judged, spec: EvaluationSpec) -> None:
    """Adds the generated texts that are furthest from their references.

    Args:
        page: The page.
        findings: What was found; nothing is added for another task than text generation.
        judged: The test rows.
        spec: How many, and which column was given.
    """
    if findings.task != TEXT or not spec.mistakes:
        return
    wrong = _wrongest(findings, spec.mistakes)
    page.heading("The texts that are furthest off")
    if not wrong.size:
        page.text("Every text is equal to its reference.")
        return
    given = datasets.read_table(judged.test, [spec.source])[spec.source].to_pylist() if spec.source else None
    losses = findings.scores.losses(MODEL)
    rows: list[list[Any]] = [
        [
            *([_short(given[row])] if given else []),
            _short(findings.scores.labels[row]),
            _short(findings.scores.predictions[MODEL][row]),
            f"{1 - losses[row]:.2f}",
        ]
        for row in wrong
    ]
    page.table([*(["given"] if given else []), "reference", "generated", "chrF"], rows)


def _short(text: Any) -> str:
    text = str(text)
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"
