"""The stretches that the pipelines of this problem share: from tables to sets of rows, and online features."""

from typing import Any, NamedTuple

from kfp import dsl

from fairlead import components as fl
from fairlead_pipelines.stages import Sets, uncached


class Prepared(NamedTuple):
    """What comes before a model: artifacts of the data stages."""

    features: Any
    training_set: Any
    sets: Sets


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
    return Prepared(made.outputs["features"], training_set, Sets(*(sets.outputs[name] for name in Sets._fields)))


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
