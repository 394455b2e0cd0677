"""evaluate_slices: the contract."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from fairlead import image


@dsl.component(base_image=image.BASE, install_kfp_package=False, packages_to_install=[])
def evaluate_slices(
    package: Input[Model],
    test: Input[Dataset],
    label: str,
    slices: dict,
    verdict: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
) -> NamedTuple("Outputs", [("outcome", str)]):  # type: ignore[valid-type]
    """Judges a model on parts of the rows, declared ones and such as a search finds, and between groups of people.

    Args:
        package: The model package, as export_model or quantize_model made it.
        test: Rows that training never saw.
        label: The column that the model predicts.
        slices: The problem's section `slices`: columns, crosses, quantiles, discovery, fairness, gates.

    Returns:
        outcome: `approved`, `rejected` or `inconclusive`; a model that is not approved does not fail the step.
        verdict: The verdict `slices`, bound to the package's digest.
        metrics: Every figure, flat.
        report: The report: gates, a forest plot, slices by trouble, what the search found, fairness.
    """
    from fairlead.evaluation.evaluate_slices.task import evaluate_slices as work

    done = work(package.path, test.path, label, slices, verdict.path, report.path)
    verdict.metadata.update({"judge": "slices", "outcome": done.outcome, "digest": done.digest})
    for name, value in done.metrics.items():
        metrics.log_metric(name, value)
    return (done.outcome,)
