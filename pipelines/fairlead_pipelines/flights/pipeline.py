r"""Flights: from raw departures to a served model behind a canary.

fairlead run flights
fairlead run flights as_of=2013-08-01 split.train_until=2013-07-01 split.validation_until=2013-07-15 \
    split.test_until=2013-08-01
"""

from kfp import dsl

from fairlead import components as fl
from fairlead_pipelines.flights.steps import prepare, prove, publish_features, ship


@dsl.pipeline(name="flights", description="Will this flight arrive 15 minutes late or more?")
def pipeline(
    name: str,
    as_of: str,
    data_flights_source: str,
    data_flights: dict,
    data_weather_source: str,
    data_weather: dict,
    expectations: dict,
    features_queries: dict,
    features_entity_rows: str,
    features_repository: str,
    features_service: str,
    request: dict,
    label: dict,
    label_column: str,
    window: list,
    split: dict,
    model: dict,
    train: dict,
    tuning: dict,
    quantization_tolerance: float,
    evaluation: dict,
    comparison: dict,
    policy: dict,
    serving: dict,
    rollout: dict,
) -> None:
    """Prepares data, tunes, trains, exports, proves, registers and rolls out."""
    p = dict(locals())
    data = prepare(p)
    learning = {"train": data.train, "validation": data.validation, "label": label_column}
    best = fl.tune_model(**learning, model=model, train_spec=train, tuning=tuning)
    trained = fl.train_model(**learning, model=model, train_spec=train, best=best.outputs["best"])
    exported = fl.export_model(
        checkpoint=trained.outputs["checkpoint"],
        sample=data.validation,
        name=name,
        label=label_column,
        request=request,
        feature_service=features_service,
    )
    package = fl.quantize_model(
        package=exported.outputs["package"],
        sample=data.validation,
        label=label_column,
        tolerance=quantization_tolerance,
    )
    registered = prove(p, data, package.outputs["chosen"])
    ship(p, registered, after=publish_features(p, data, registered))
