"""The contract of deploy_model."""

from typing import NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Input

from fairlead import image


@dsl.component(base_image=image.BASE, install_kfp_package=False, packages_to_install=[])
def deploy_model(
    registered: Input[Artifact],
    serving: dict,
    policy: dict,
    problem: str,
) -> NamedTuple("Outputs", [("endpoint", str), ("digest", str)]):  # type: ignore[valid-type] # how KFP declares outputs
    """Starts a registered model's server at weight 0 and proves one real prediction through it.

    The verdicts that the policy demands are verified against the digest that is about to be shipped. Traffic comes
    with roll_out_model.

    Args:
        registered: The version, as register_model wrote it.
        serving: The problem's section `serving`: name, time-outs, the largest request.
        policy: The problem's section `policy`: the judges that must have approved.
        problem: The problem's name, by which its feature store is found.

    Returns:
        endpoint: Where the service's clients post predictions.
        digest: The digest that is served.
    """
    from fairlead.deployment.deploy_model.task import deploy_model as work

    done = work(registered.path, serving, policy, problem)
    return (done.endpoint, done.digest)
