"""load_test_model: the contract."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from fairlead import image


@dsl.component(base_image=image.BASE, install_kfp_package=False, packages_to_install=[])
def load_test_model(
    package: Input[Model],
    sample: Input[Dataset],
    label: str,
    load: dict,
    verdict: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
) -> NamedTuple("Outputs", [("outcome", str)]):  # type: ignore[valid-type]
    """Judges how many requests a second a model's server answers in time, under an open load of real rows.

    Args:
        package: The package that is to be served.
        sample: Real rows that the server is asked with.
        label: The column that the package predicts.
        load: The problem's section `load`: rates, objective (99th percentile, errors), the rate that is demanded.

    Returns:
        outcome: `approved`, `rejected` or `inconclusive`.
        verdict: The verdict `load`, bound to the package's digest.
        metrics: The highest rate that meets the objective, latency quantiles and error shares by rate, flat.
        report: The report: each rate's figures, quantile curves, latency over time.
    """
    from fairlead.evaluation.load_test_model.task import load_test_model as work

    done = work(package.path, sample.path, label, load, verdict.path, report.path)
    verdict.metadata.update({"judge": "load", "outcome": done.outcome, "digest": done.digest})
    for name, value in done.metrics.items():
        metrics.log_metric(name, value)
    return (done.outcome,)
