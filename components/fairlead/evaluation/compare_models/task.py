"""The work of compare_models: a challenger is not to be worse than the champion, shown on the same rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fairlead.errors import ConfigurationError
from fairlead.evaluation.compare_models.conclusion import all_figures, differences, judge
from fairlead.evaluation.compare_models.contestants import meet
from fairlead.evaluation.compare_models.report import write_report
from fairlead.evaluation.comparison_spec import ComparisonSpec
from fairlead.evaluation.judgement import Judgement
from fairlead.progress import step


def compare_models(
    challenger: Path | str,
    champion: Path | str,
    test: Path | str,
    label: str,
    comparison: Mapping[str, Any],
    verdict: Path | str,
    report: Path | str,
    champion_found: bool = True,
    seeds: Sequence[Path | str] = (),
) -> Judgement:
    """Judges a challenger against the champion on the same rows, and writes verdict and report.

    Args:
        challenger: The package that may take over.
        champion: The package that serves now, or an empty folder where there is none.
        test: The dataset of rows that neither was trained on.
        label: The label's column.
        comparison: The section `comparison` of a problem; see ComparisonSpec.
        verdict: The verdict's file.
        report: The report's HTML file.
        champion_found: False says that there is no champion, whatever the folder holds.
        seeds: Packages of the challenger's recipe, trained with other seeds.

    Returns:
        The outcome: approved where the challenger is shown not to be worse by more than the margin, rejected where it
        is shown to be, inconclusive otherwise. Without a champion, the challenger is approved.

    Raises:
        ConfigurationError: A key of `comparison` is wrong, a model predicts another label or answers another question,
            or `decide_by: training` has no seeds.
        SchemaError: One of the models takes columns that the rows do not have.
        DataError: A label is missing, or none of the task; or a cluster cuts a group in two.
        PackageError: A package is broken, or answers what is none of its task.
        SourceError: The dataset is unfinished or corrupt.
    """
    spec = ComparisonSpec.parse(comparison, "comparison")
    present = champion if champion_found and _holds_files(champion) else None
    contest = meet(challenger, present, seeds, test, label, spec)
    if present is not None and spec.decide_by == "training" and len(contest.trainings) == 1:
        raise ConfigurationError(
            "comparison.decide_by is training, but there is no other training of the challenger; give compare_models "
            "`seeds`, packages of the same recipe trained with other seeds, or decide by rows"
        )
    with step("comparing"):
        found, figures = differences(contest), all_figures(contest)
        judged = judge(contest, found, figures)
        write_report(report, judged, contest, found, figures)
        judged.issue(verdict)
    facts = {"approved": float(judged.outcome == "approved"), "rows": float(contest.scores.labels.size)}
    return Judgement(judged.outcome, judged.model_digest, {**judged.figures, **facts})


def _holds_files(path: Path | str) -> bool:
    return Path(path).is_dir() and any(Path(path).iterdir())
