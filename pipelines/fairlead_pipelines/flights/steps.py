"""The stretches that the pipelines of this problem share: from data to sets, and from a package to users."""

from typing import Any, NamedTuple

from kfp import dsl

from fairlead import components as fl


class Prepared(NamedTuple):
    """What comes before a model: artifacts of the data stages."""

    features: Any
    training_set: Any
    train: Any
    validation: Any
    test: Any


def prepare(p: dict[str, Any]) -> Prepared:
    """Ingests, validates, makes features as of `as_of`, joins them point in time, and splits.

    Args:
        p: The pipeline's parameters by name.

    Returns:
        The artifacts.
    """
    flights = fl.ingest_dataset(name="flights", source=p["data_flights_source"], table=p["data_flights"])
    weather = fl.ingest_dataset(name="weather", source=p["data_weather_source"], table=p["data_weather"])
    valid = fl.validate_dataset(dataset=flights.outputs["dataset"], expectations=p["expectations"])
    made = fl.compute_features(
        dataset=flights.outputs["dataset"],
        context=weather.outputs["dataset"],
        queries=p["features_queries"],
        entity_rows_query=p["features_entity_rows"],
        as_of=p["as_of"],
    ).after(valid)
    joined = fl.build_training_set(
        features=made.outputs["features"],
        entity_rows=made.outputs["entity_rows"],
        repository=p["features_repository"],
        feature_service=p["features_service"],
        label=p["label"],
        request=p["request"],
        window=p["window"],
    )
    sets = fl.split_dataset(dataset=joined.outputs["training_set"], split=p["split"], label=p["label_column"])
    training_set = joined.outputs["training_set"]
    return Prepared(made.outputs["features"], training_set, *(sets.outputs[s] for s in ("train", "validation", "test")))


def prove(p: dict[str, Any], data: Prepared, package: Any) -> dsl.PipelineTask:
    """Evaluates a package, compares it with the champion, and registers it if the policy's verdicts are there.

    Args:
        p: The pipeline's parameters by name.
        data: The data stages' artifacts.
        package: The model package.

    Returns:
        The registering task.
    """
    test = {"test": data.test, "label": p["label_column"]}
    evaluated = fl.evaluate_model(package=package, train=data.train, evaluation=p["evaluation"], **test)
    champion = uncached(fl.fetch_model(name=p["name"], alias="champion")).outputs["package"]
    compared = fl.compare_models(challenger=package, champion=champion, comparison=p["comparison"], **test)
    return uncached(
        fl.register_model(
            package=package,
            name=p["name"],
            policy=p["policy"],
            evaluation=evaluated.outputs["verdict"],
            comparison=compared.outputs["verdict"],
        )
    )


def publish_features(p: dict[str, Any], data: Prepared, registered: dsl.PipelineTask) -> dsl.PipelineTask:
    """Brings the online store up to `as_of` and proves that it answers what the model was trained on.

    Args:
        p: The pipeline's parameters by name.
        data: The data stages' artifacts.
        registered: The task to wait for: a refused model changes nothing online.

    Returns:
        The proving task.
    """
    store = {"problem": p["name"], "repository": p["features_repository"], "as_of": p["as_of"]}
    online = uncached(fl.materialize_features(features=data.features, **store)).after(registered)
    return uncached(
        fl.check_feature_skew(
            training_set=data.training_set,
            features=data.features,
            feature_service=p["features_service"],
            request=p["request"],
            **store,
        )
    ).after(online)


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
