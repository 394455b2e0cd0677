"""validate_server: the contract."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from fairlead import image


@dsl.component(base_image=image.BASE, install_kfp_package=False, packages_to_install=[])
def validate_server(
    package: Input[Model],
    sample: Input[Dataset],
    label: str,
    server: dict,
    verdict: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
) -> NamedTuple("Outputs", [("outcome", str)]):  # type: ignore[valid-type]
    """Judges the real server of a model: same predictions over every protocol, budgets, malformed input, its end.

    Args:
        package: The package that is to be served.
        sample: Real rows that the server is asked with.
        label: The column that the package predicts.
        server: The problem's section `server`: which server, how many rows, tolerance and budgets.

    Returns:
        outcome: `approved`, `rejected` or `inconclusive`.
        verdict: The verdict `server`, bound to the package's digest.
        metrics: Largest differences, memory, latency, counts of malformed requests, flat.
        report: The report: each check with what was demanded and measured, latencies, memory, refusals.
    """
    from fairlead.evaluation.validate_server.task import validate_server as work

    done = work(package.path, sample.path, label, server, verdict.path, report.path)
    verdict.metadata.update({"judge": "server", "outcome": done.outcome, "digest": done.digest})
    for name, value in done.metrics.items():
        metrics.log_metric(name, value)
    return (done.outcome,)
