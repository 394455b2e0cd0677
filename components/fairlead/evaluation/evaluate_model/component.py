"""evaluate_model: the contract."""

from typing import NamedTuple, Optional

from kfp import dsl
from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from fairlead import image


@dsl.component(base_image=image.BASE, install_kfp_package=False, packages_to_install=[])
def evaluate_model(
    package: Input[Model],
    test: Input[Dataset],
    label: str,
    evaluation: dict,
    verdict: Output[Artifact],
    metrics: Output[Metrics],
    report: Output[HTML],
    train: Optional[Input[Dataset]] = None,
    predictions: Optional[Input[Dataset]] = None,
) -> NamedTuple("Outputs", [("outcome", str)]):  # type: ignore[valid-type]
    """Judges a model by itself: the task's figures with intervals, calibration, baselines on the same rows, gates.

    Args:
        package: The model package, as export_model or quantize_model made it.
        test: Rows that training never saw.
        label: The column that the model predicts.
        evaluation: The problem's section `evaluation`: baselines, gates, how intervals are made.
        train: Training rows; with them, baselines are fitted and shown beside the model.
        predictions: What the package answered elsewhere; without it, it predicts here. Text generation needs it.

    Returns:
        outcome: `approved` or `rejected`; a rejected model does not fail the step, but register_model refuses it.
        verdict: The verdict `evaluation`, bound to the package's digest.
        metrics: Every figure, flat.
        report: The report: figures, baselines, calibration, what goes wrong.
    """
    from fairlead.evaluation.evaluate_model.task import evaluate_model as work

    rows, answers = (given.path if given else None for given in (train, predictions))
    done = work(package.path, test.path, label, evaluation, verdict.path, report.path, rows, answers)
    verdict.metadata.update({"judge": "evaluation", "outcome": done.outcome, "digest": done.digest})
    for name, value in done.metrics.items():
        metrics.log_metric(name, value)
    return (done.outcome,)
