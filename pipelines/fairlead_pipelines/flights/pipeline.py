r"""Flights: from raw departures to a served model behind a canary.

fairlead run flights
fairlead run flights as_of=2013-08-01 split.train_until=2013-07-01 split.validation_until=2013-07-15 \
    split.test_until=2013-08-01
"""

from kfp import dsl

from fairlead import components as fl
from fairlead_pipelines.flights.steps import prepare, publish_features
from fairlead_pipelines.stages import learn, prove, ship


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
    calibration: dict,
    evaluation: dict,
    slices: dict,
    behaviour: dict,
    comparison: dict,
    server: dict,
    load: dict,
    card: dict,
    datasheet: dict,
    policy: dict,
    serving: dict,
    rollout: dict,
) -> None:
    """Prepares data, tunes, trains, exports, proves, registers and rolls out."""
    p = dict(locals())
    data = prepare(p)
    best = fl.tune_model(
        train=data.sets.train,
        validation=data.sets.validation,
        label=label_column,
        model=model,
        train_spec=train,
        tuning=tuning,
    )
    learned = learn(p, data.sets, best.outputs["best"])
    registered = prove(p, data.sets, learned.package, learned.training)
    ship(p, registered, after=publish_features(p, data, registered))
