"""The contract of roll_out_model."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import HTML, Artifact, Input, Metrics, Output

from fairlead import image


@dsl.component(base_image=image.BASE, install_kfp_package=False, packages_to_install=[])
def roll_out_model(
    registered: Input[Artifact],
    rollout: dict,
    policy: dict,
    verdict: Output[Artifact],
    report: Output[HTML],
    metrics: Output[Metrics],
) -> NamedTuple("Outputs", [("outcome", str), ("endpoint", str)]):  # type: ignore[valid-type] # how KFP declares outputs
    """Gives a deployed version growing shares of the traffic while it is judged, then promotes it or rolls it back.

    A first version gets all traffic at once. A promoted version becomes the registry's champion; the old one is drained
    and stopped.

    Args:
        registered: The version, as register_model wrote it; deploy_model has started it.
        rollout: The problem's section `rollout`: steps, checks, alpha.
        policy: The problem's section `policy`: the judges that must have approved.

    Returns:
        outcome: `promoted`, `rolled_back` or `inconclusive`.
        endpoint: Where the service's clients post predictions.
        verdict: The canary's verdict, bound to the version's digest, with the evidence.
        report: The split and the evidence over time, and the decisions.
        metrics: The evidence as figures.
    """
    from fairlead.deployment.roll_out_model.task import roll_out_model as work

    done = work(registered.path, rollout, policy, verdict.path, report.path)
    found = done.verdict
    verdict.metadata.update({"judge": found.judge, "outcome": found.outcome, "digest": found.model_digest})
    for name, value in done.figures.items():
        metrics.log_metric(name, value)
    return (done.outcome, done.endpoint)
