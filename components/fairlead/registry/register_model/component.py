"""register_model: the contract."""

from typing import NamedTuple, Optional

from kfp import dsl
from kfp.dsl import Artifact, Input, Markdown, Model, Output

from fairlead import image


@dsl.component(base_image=image.BASE, install_kfp_package=False, packages_to_install=[])
def register_model(
    package: Input[Model],
    name: str,
    policy: dict,
    registered: Output[Artifact],
    evaluation: Optional[Input[Artifact]] = None,
    slices: Optional[Input[Artifact]] = None,
    behaviour: Optional[Input[Artifact]] = None,
    comparison: Optional[Input[Artifact]] = None,
    server: Optional[Input[Artifact]] = None,
    load: Optional[Input[Artifact]] = None,
    model_card: Optional[Input[Markdown]] = None,
    datasheet: Optional[Input[Markdown]] = None,
) -> NamedTuple("Outputs", [("version", str), ("digest", str)]):  # type: ignore[valid-type]
    """Registers a model that has every verdict that the policy demands, under the alias `challenger`.

    Fails with the reason where a verdict is missing, not `approved`, for another package, or not signed as demanded.
    Verdicts, model card and datasheet are kept with the version.

    Args:
        package: The model package.
        name: The model's name in the registry.
        policy: The problem's section `policy`: whose verdicts are demanded.
        evaluation: The verdict of evaluate_model.
        slices: The verdict of evaluate_slices.
        behaviour: The verdict of check_behaviour.
        comparison: The verdict of compare_models.
        server: The verdict of validate_server.
        load: The verdict of load_test_model.
        model_card: The card of write_model_card.
        datasheet: The datasheet of write_datasheet.

    Returns:
        version: The version; the same package again is the same version.
        digest: The package's identity.
        registered: JSON with name, version, digest and the place of the registered package.
    """
    from fairlead.registry.register_model.task import register_model as work

    judged = (evaluation, slices, behaviour, comparison, server, load)
    verdicts = [verdict.path for verdict in judged if verdict]
    written = {"model_card": model_card, "datasheet": datasheet}
    documents = {title: document.path for title, document in written.items() if document}
    found = work(package.path, name, policy, verdicts, registered.path, documents)
    registered.metadata.update(found.reference())
    return found.version, found.digest
