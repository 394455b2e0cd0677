"""compare_models: the contract."""

from typing import List, NamedTuple, Optional

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from fairlead import image


@dsl.component(base_image=image.BASE, install_kfp_package=False, packages_to_install=[])
def compare_models(
    challenger: Input[Model],
    champion: Input[Model],
    test: Input[Dataset],
    label: str,
    comparison: dict,
    verdict: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
    seeds: Optional[Input[List[Model]]] = None,
) -> NamedTuple("Outputs", [("outcome", str)]):  # type: ignore[valid-type]
    """Judges a challenger against the champion on the same rows, with a paired interval and a margin.

    Args:
        challenger: The package that may take over.
        champion: The package that serves now, from fetch_model; without one, the challenger is approved.
        test: Rows that neither was trained on.
        label: The column that both predict.
        comparison: The problem's section `comparison`: metric, margin, further figures, cluster, what decides.
        seeds: Packages of the challenger's recipe trained with other seeds, from dsl.Collected: they give the interval
            over training noise.

    Returns:
        outcome: `approved`, `rejected` or `inconclusive`.
        verdict: The verdict `comparison`, bound to the challenger's digest.
        metrics: Every figure of both, and their difference, flat.
        report: The report: difference and margin, over rows and trainings, both models' figures, calibration.
    """
    from fairlead.evaluation.compare_models.task import compare_models as work

    paths = (challenger.path, champion.path, test.path)
    found = bool(champion.metadata.get("found", True))
    others = [model.path for model in seeds or ()]
    done = work(*paths, label, comparison, verdict.path, report.path, found, others)
    verdict.metadata.update({"judge": "comparison", "outcome": done.outcome, "digest": done.digest})
    for name, value in done.metrics.items():
        metrics.log_metric(name, value)
    return (done.outcome,)
