"""What the report shows of generated texts: how the figures spread, and over which lengths."""

from typing import TYPE_CHECKING

import numpy as np

from fairlead.evaluation.evaluate_model.findings import MODEL, Findings, spoken
from fairlead.evaluation.text_metrics import bleu_signature
from fairlead.pages import Page
from fairlead.values import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BINS = 8


def texts_section(page: Page, findings: Findings) -> None:
    """Adds how chrF spreads over texts, and how it depends on their length.

    Args:
        page: The page.
        findings: Of generated texts.
    """
    page.heading("Over texts")
    exact = findings.figures["exact_match"].estimate
    page.figure(
        _drawn(findings),
        f"Left: chrF of each text (1: equal to the reference, as {number(100 * exact)} % are). Right: its mean over "
        "texts of a length, with the middle half of them as a band.",
    )
    page.text(f"BLEU: {bleu_signature()} (sacrebleu's signature, to be told with the figure). chrF: character n-grams "
              "up to 6, beta 2, as sacrebleu's default.")  # fmt: skip


def _drawn(findings: Findings) -> "Figure":
    from fairlead import plots

    figure, (left, right) = plots.panels(1, 2, width=9, height=3.4)
    for name in (MODEL, *(baseline.name for baseline in findings.baselines)):
        words = "the model" if name == MODEL else spoken(name)
        plots.histogram(left, 1 - findings.scores.losses(name), words, np.linspace(0, 1, 26))
    plots.label(left, "chrF of a text", "share of texts", "Spread")
    lengths = np.array([len(text) for text in findings.scores.labels])
    scores = 1 - findings.scores.losses(MODEL)
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, BINS + 1)))
    index = np.clip(np.searchsorted(edges, lengths, side="right") - 1, 0, max(len(edges) - 2, 0))
    parts = [np.flatnonzero(index == k) for k in np.unique(index)]
    places = [float(lengths[rows].mean()) for rows in parts]
    band = tuple([float(np.quantile(scores[rows], share)) for rows in parts] for share in (0.25, 0.75))
    plots.line(right, places, [float(scores[rows].mean()) for rows in parts], band=(band[0], band[1]))
    right.set_ylim(0, 1)
    plots.label(right, "length of the reference (characters)", "chrF", "By length")
    return figure
