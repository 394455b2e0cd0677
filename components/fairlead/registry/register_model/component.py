"""register_model: the contract."""

from typing import NamedTuple, Optional

from kfp import dsl
from kfp.dsl import Artifact, Input, Model, Output

from fairlead import image


@dsl.component(base_image=image.BASE, install_kfp_package=False, packages_to_install=[])
def register_model(
    package: Input[Model],
    name: str,
    policy: dict,
    registered: Output[Artifact],
    evaluation: Optional[Input[Artifact]] = None,
    comparison: Optional[Input[Artifact]] = None,
) -> NamedTuple("Outputs", [("version", str), ("digest", str)]):  # type: ignore[valid-type]
    """Registers a model that has every verdict that the policy demands, under the alias `challenger`.

    Fails with the reason where a verdict is missing, not `approved`, or for another package.

    Args:
        package: The model package.
        name: The model's name in the registry.
        policy: The problem's section `policy`: whose verdicts are demanded.
        evaluation: The verdict of evaluate_model.
        comparison: The verdict of compare_models.

    Returns:
        version: The version; the same package again is the same version.
        digest: The package's identity.
        registered: JSON with name, version, digest and the place of the registered package.
    """
    from fairlead.registry.register_model.task import register_model as work

    verdicts = [verdict.path for verdict in (evaluation, comparison) if verdict]
    found = work(package.path, name, policy, verdicts, registered.path)
    registered.metadata.update(found.reference())
    return found.version, found.digest
