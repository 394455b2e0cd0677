"""What the report shows of rankings: figures by rank, and how they spread over groups."""

from typing import TYPE_CHECKING

import numpy as np

from fairlead.evaluation.evaluate_model.findings import MODEL, Findings, spoken
from fairlead.evaluation.ranking_metrics import group_figures
from fairlead.evaluation.scoring import Scores
from fairlead.pages import Page
from fairlead.values import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RANKS = (1, 2, 3, 5, 7, 10, 15, 20)


def ranking_section(page: Page, findings: Findings) -> None:
    """Adds figures by rank and their spread over groups.

    Args:
        page: The page.
        findings: Of a ranking model.
    """
    per_group = _per_group(findings.scores, MODEL)["ndcg"]
    empty = int(np.isnan(per_group).sum())
    page.heading("By rank, and over groups")
    none = f" {number(empty)} groups have nothing relevant and are left out." if empty else ""
    page.figure(
        _drawn(findings),
        f"Left and middle: means over groups, by how many of the first ranks count. Right: how NDCG spreads over the "
        f"{number(per_group.size - empty)} groups.{none}",
    )


def _per_group(scores: Scores, model: str) -> dict[str, np.ndarray]:
    groups = scores.groups if scores.groups is not None else np.zeros(scores.labels.size, dtype=np.int64)
    longest = int(np.bincount(groups).max())
    ranks = [k for k in RANKS if k <= longest] or [1]
    return group_figures(scores.labels, scores.predictions[model], groups, ranks)


def _drawn(findings: Findings) -> "Figure":
    from fairlead import plots

    figure, (left, middle, right) = plots.panels(1, 3, width=9.6, height=3.4)
    names = {MODEL: "the model", **{b.name: spoken(b.name) for b in findings.baselines}}
    for name, words in names.items():
        found = _per_group(findings.scores, name)
        ranks = [int(key.rpartition("_")[2]) for key in found if key.startswith("ndcg_at_")]
        for axes, figure_name in ((left, "ndcg"), (middle, "recall")):
            values = [float(np.nanmean(found[f"{figure_name}_at_{k}"])) for k in ranks]
            plots.line(axes, ranks, values, words, dashed=name != MODEL)
        if name == MODEL:
            plots.histogram(right, found["ndcg"], bins=np.linspace(0, 1, 26))
    for axes in (left, middle):
        axes.set_ylim(0, 1)
    plots.label(left, "ranks that count", "", "NDCG")
    plots.label(middle, "ranks that count", "", "Recall")
    plots.label(right, "NDCG of a group", "share of groups", "Spread")
    return figure
