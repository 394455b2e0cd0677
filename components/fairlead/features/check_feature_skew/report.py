"""The report of check_feature_skew."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.pages import Page
from fairlead.values import number

if TYPE_CHECKING:
    from fairlead.features.check_feature_skew.task import Skew

_SHOWN = 500


def write_report(skew: "Skew", moment: datetime, tolerance: float, path: Path | str) -> None:
    """Writes the page.

    Args:
        skew: What was compared.
        moment: When.
        tolerance: The relative difference from which floats count as different.
        path: The HTML file.
    """
    page = Page("Training and serving features")
    page.facts({
        "As of": moment, "Entities": skew.rows, "Values compared": skew.values,
        "Missing on both paths": skew.missing, "Too old to be served": skew.stale, "Differing": len(skew.mismatches),
    })  # fmt: skip
    page.text(
        f"Each entity was looked up twice: by the point-in-time join that makes training sets, and in the online store "
        f"that servers ask. Floats count as different from a relative difference of {tolerance:g}."
    )
    if not skew.mismatches:
        page.note("Every value is the same on both paths.", "good")
    else:
        page.note(f"{number(len(skew.mismatches))} values differ.", "bad")
        rows = [[m.view, m.feature, m.entity, m.joined, m.served, m.served_time] for m in skew.mismatches[:_SHOWN]]
        page.table(["view", "feature", "entity", "joined", "served", "time of the served row"], rows)
    page.write(path)
