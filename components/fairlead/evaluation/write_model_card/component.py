"""write_model_card: the contract."""

from typing import Optional

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Markdown, Model, Output

from fairlead import image


@dsl.component(base_image=image.BASE, install_kfp_package=False, packages_to_install=[])
def write_model_card(
    package: Input[Model],
    card: Output[Markdown],
    page: Output[HTML],
    facts: Output[Artifact],
    card_spec: dict = {},
    training: Optional[Input[Artifact]] = None,
    test: Optional[Input[Dataset]] = None,
    evaluation: Optional[Input[Artifact]] = None,
    slices: Optional[Input[Artifact]] = None,
    behaviour: Optional[Input[Artifact]] = None,
    comparison: Optional[Input[Artifact]] = None,
    server: Optional[Input[Artifact]] = None,
    load: Optional[Input[Artifact]] = None,
) -> None:
    """Writes a model card from what was measured; what nobody measured or said is told as not recorded.

    Args:
        package: The model package.
        card_spec: The problem's section `card`: what only people can say.
        training: The metrics of train_model.
        test: The rows that the model was evaluated on.
        evaluation: The verdict of evaluate_model.
        slices: The verdict of evaluate_slices.
        behaviour: The verdict of check_behaviour.
        comparison: The verdict of compare_models.
        server: The verdict of validate_server.
        load: The verdict of load_test_model.

    Returns:
        card: The model card.
        page: The model card as a page.
        facts: The model card for machines, in JSON.
    """
    from fairlead.evaluation.write_model_card.task import write_model_card as work

    given = (evaluation, slices, behaviour, comparison, server, load)
    verdicts = [verdict.path for verdict in given if verdict]
    figures = training.metadata if training else None
    done = work(
        package.path, card.path, page.path, facts.path, card_spec, verdicts, figures, test.path if test else None
    )
    card.metadata.update({"digest": done.digest, "not_recorded": len(done.not_recorded)})
