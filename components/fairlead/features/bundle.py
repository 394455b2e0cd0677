"""What a server needs of a feature store: its configuration and its part of Feast's registry, a few kilobytes."""

from fairlead.errors import StateError
from fairlead.features import store
from fairlead.features.home_s3 import read_registry
from fairlead.features.homes import open_home, open_online
from fairlead.objects import Objects
from fairlead.settings import Settings


def read_bundle(place: Settings, problem: str) -> dict[str, bytes]:
    """Reads what belongs into a server's folder of features. No password is in it: it names a variable instead.

    Args:
        place: The settings.
        problem: The problem's name.

    Returns:
        Contents by file name: feature_store.yaml and registry.db.

    Raises:
        StateError: Nothing was materialized yet, or the registry cannot be read.
        ConfigurationError: What the settings name does not fit together.
    """
    home, project = open_home(place, problem), store.project_name(problem)
    if place.feature_registry:
        registry = read_registry(Objects.connect(place), place.feature_registry, project)
    else:
        file = place.features_home(problem) / store.REGISTRY
        registry = file.read_bytes() if file.exists() else None
    if registry is None:
        raise StateError(f"no feature store at {home.address}; run a pipeline with materialize_features first")
    text = store.configuration_text(problem, open_online(place, place.features_home(problem), project).section())
    return {store.CONFIGURATION: text.encode(), store.REGISTRY: registry}
