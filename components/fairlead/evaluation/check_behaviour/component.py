"""check_behaviour: the contract."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from fairlead import image


@dsl.component(base_image=image.BASE, install_kfp_package=False, packages_to_install=[])
def check_behaviour(
    package: Input[Model],
    sample: Input[Dataset],
    label: str,
    behaviour: dict,
    verdict: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
) -> NamedTuple("Outputs", [("outcome", str)]):  # type: ignore[valid-type]
    """Tests how a model behaves: rows that must get an answer, changes that must not move it, changes that must.

    Args:
        package: The model package, as export_model or quantize_model made it.
        sample: Real rows that tests draw from; best those that training never saw.
        label: The column that the model predicts.
        behaviour: The problem's section `behaviour`: the tests.

    Returns:
        outcome: `approved`, `rejected` or `inconclusive`; a model that is not approved does not fail the step.
        verdict: The verdict `behaviour`, bound to the package's digest.
        metrics: The share of failures of every test, flat.
        report: The report: an overview of all tests, and failures as rows or pictures before and after.
    """
    from fairlead.evaluation.check_behaviour.task import check_behaviour as work

    done = work(package.path, sample.path, label, behaviour, verdict.path, report.path)
    verdict.metadata.update({"judge": "behaviour", "outcome": done.outcome, "digest": done.digest})
    for name, value in done.metrics.items():
        metrics.log_metric(name, value)
    return (done.outcome,)
