"""Flights, release only: proves a model package that exists already, registers it and rolls it out.

The online features stay as they are: what feeds them goes on feeding them.

fairlead run flights-release package_uri=path/to/package
"""

from kfp import dsl

from fairlead_pipelines.flights.steps import prepare
from fairlead_pipelines.stages import prove, ship


@dsl.pipeline(name="flights-release", description="Proves and rolls out a model package that was made elsewhere.")
def pipeline(
    package_uri: str,
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
    """Prepares the same data, then evaluates, compares, registers and rolls out the package."""
    p = dict(locals())
    package = dsl.importer(artifact_uri=package_uri, artifact_class=dsl.Model, reimport=False)
    registered = prove(p, prepare(p).sets, package.output)
    ship(p, registered, after=registered)
