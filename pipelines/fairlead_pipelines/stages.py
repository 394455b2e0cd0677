"""The stretches that pipelines of every problem share: from sets of rows to a proven package, and from there to users.

`p` is always a pipeline's parameters by name, and each stretch takes the ones that it needs.
"""

from typing import Any, NamedTuple

from kfp import dsl

from fairlead import components as fl


class Sets(NamedTuple):
    """The rows that a model learns from, is chosen by and is judged by: artifacts of split_dataset."""

    train: Any
    validation: Any
    test: Any


class Learned(NamedTuple):
    """A model package, and the figures of the training that made it."""

    package: Any
    training: Any


def learn(p: dict[str, Any], sets: Sets, best: Any = None) -> Learned:
    """Trains, exports, tries INT8 and calibrates.

    Args:
        p: The pipeline's parameters by name.
        sets: The rows.
        best: Tuned hyperparameters, where there are any.

    Returns:
        The package to prove.
    """
    label = p["label_column"]
    trained = fl.train_model(
        train=sets.train, validation=sets.validation, label=label, model=p["model"], train_spec=p["train"],
        **({} if best is None else {"best": best}),
    )  # fmt: skip
    exported = fl.export_model(
        checkpoint=trained.outputs["checkpoint"], sample=sets.validation, name=p["name"], label=label,
        request=p.get("request", {}), feature_service=p.get("features_service", ""),
    )  # fmt: skip
    smaller = fl.quantize_model(
        package=exported.outputs["package"], sample=sets.validation, label=label,
        tolerance=p["quantization_tolerance"],
    )  # fmt: skip
    calibrated = fl.calibrate_model(
        package=smaller.outputs["chosen"], validation=sets.validation, label=label, calibration=p["calibration"]
    )
    return Learned(calibrated.outputs["calibrated"], trained.outputs["metrics"])


def prove(p: dict[str, Any], sets: Sets, package: Any, training: Any = None) -> dsl.PipelineTask:
    """Judges a package in every way, writes its card and datasheet, and registers it if the policy is content.

    Args:
        p: The pipeline's parameters by name.
        sets: The rows.
        package: The model package.
        training: The figures of the training, where it was trained here.

    Returns:
        The registering task.
    """
    test = {"test": sets.test, "label": p["label_column"]}
    sample = {"sample": sets.test, "label": p["label_column"], "package": package}
    champion = uncached(fl.fetch_model(name=p["name"], alias="champion")).outputs["package"]
    judges = {
        "evaluation": fl.evaluate_model(package=package, train=sets.train, evaluation=p["evaluation"], **test),
        "slices": fl.evaluate_slices(package=package, slices=p["slices"], **test),
        "behaviour": fl.check_behaviour(behaviour=p["behaviour"], **sample),
        "comparison": fl.compare_models(challenger=package, champion=champion, comparison=p["comparison"], **test),
        "server": fl.validate_server(server=p["server"], **sample),
        "load": fl.load_test_model(load=p["load"], **sample),
    }
    verdicts = {judge: task.outputs["verdict"] for judge, task in judges.items()}
    figures = {} if training is None else {"training": training}
    card = fl.write_model_card(package=package, card_spec=p["card"], **verdicts, **figures)
    sheet = fl.write_datasheet(dataset=sets.train, datasheet_spec=p["datasheet"])
    return uncached(
        fl.register_model(
            package=package, name=p["name"], policy=p["policy"], **verdicts,
            model_card=card.outputs["card"], datasheet=sheet.outputs["datasheet"],
        )
    )  # fmt: skip


def ship(p: dict[str, Any], registered: dsl.PipelineTask, after: dsl.PipelineTask) -> None:
    """Starts the registered version's server and moves the traffic to it, step by step.

    Args:
        p: The pipeline's parameters by name.
        registered: The registering task.
        after: The task to wait for.
    """
    version = {"registered": registered.outputs["registered"], "policy": p["policy"]}
    deployed = uncached(fl.deploy_model(serving=p["serving"], problem=p["name"], **version)).after(after)
    uncached(fl.roll_out_model(rollout=p["rollout"], **version)).after(deployed)


def uncached(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """Marks a task that acts on the outside or looks at it: every run does it anew."""
    return task.set_caching_options(enable_caching=False)
