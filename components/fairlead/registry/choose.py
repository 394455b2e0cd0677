"""Which registry the settings name.

`sqlite:///…` is MLflow in an SQLite file, the default; `http://…` and `https://…` an MLflow server; `postgresql://…`
and the like MLflow's database, reached directly; `model-registry+https://host:port` Kubeflow Model Registry, and
`model-registry+http://host:port` one without TLS.

Packages are kept where the setting object_store says; where it is unset, by MLflow's server, or in a folder here.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fairlead.errors import ConfigurationError
from fairlead.objects import Objects
from fairlead.registry.lock import WAIT_SECONDS
from fairlead.registry.mlflow_client import is_server, sqlite_file
from fairlead.registry.mlflow_registry import MlflowRegistry
from fairlead.registry.packages import FolderPackages
from fairlead.registry.records import PackageStore, Registry
from fairlead.settings import Settings

_KUBEFLOW = "model-registry+"


def open_registry(place: Settings) -> tuple[Registry, PackageStore]:
    """Gives the registry that the settings name; nothing is connected to before it is asked something.

    Args:
        place: The settings.

    Returns:
        The registry, and the store of its packages.

    Raises:
        ConfigurationError: The address is of no registry that there is, or its token cannot be read.
    """
    uri, home = place.registry_uri, _home(place)
    if place.platform == "kubeflow":
        _check_lasting(place)
    if uri.startswith(_KUBEFLOW):
        from fairlead.registry.kubeflow_registry import KubeflowRegistry

        address = uri.removeprefix(_KUBEFLOW)
        kubeflow = KubeflowRegistry(address, home, place.read_registry_token, lambda: _alone_everywhere(place))
        return kubeflow, _packages(place, home)
    token = place.read_registry_token() if is_server(uri) else ""
    registry = MlflowRegistry(uri, home, token, lambda: _alone_everywhere(place))
    if not is_server(uri) or place.object_store:
        return registry, _packages(place, home)
    from fairlead.registry.mlflow_packages import MlflowPackages

    return registry, MlflowPackages(registry)


def _packages(place: Settings, home: Path) -> PackageStore:
    if not place.object_store:
        return FolderPackages(home / "packages")
    from fairlead.registry.packages_s3 import S3Packages

    return S3Packages(f"{place.object_store.rstrip('/')}/packages", lambda: Objects.connect(place))


@contextmanager
def _alone_everywhere(place: Settings) -> Iterator[None]:
    """Keeps writers of other machines out too, where there is a place for a lock that all of them see."""
    if not place.object_store:
        yield
        return
    from fairlead.objects.lease import leased

    lock = f"{place.object_store.rstrip('/')}/locks/registry-{_short(place.registry_uri)}.json"
    with leased(Objects.connect(place), lock, wait_seconds=WAIT_SECONDS):
        yield


def _check_lasting(place: Settings) -> None:
    """Refuses to keep in a pod what is gone with it.

    Raises:
        ConfigurationError: The registry is a file, or there is no object store.
    """
    if sqlite_file(place.registry_uri) is not None:
        raise ConfigurationError(
            f"the registry {place.registry_uri} is a file in this pod, and gone with it; set FAIRLEAD_REGISTRY_URI to "
            "an MLflow server (http://mlflow:5000) or a Kubeflow Model Registry (model-registry+https://host:443)"
        )
    if not (place.object_store or is_server(place.registry_uri)):
        raise ConfigurationError(
            "packages would be kept in a folder of this pod, and be gone with it; set FAIRLEAD_OBJECT_STORE to "
            "s3://BUCKET/PREFIX"
        )


def _short(uri: str) -> str:
    return hashlib.sha256(uri.encode()).hexdigest()[:8]


def _home(place: Settings) -> Path:
    """The folder of packages, notes and lock: one for each registry, as garbage of one may be another's treasure."""
    home, uri = place.registry_home, place.registry_uri
    if sqlite_file(uri) == home / "mlflow.db":
        return home
    return home / "elsewhere" / _short(uri)
