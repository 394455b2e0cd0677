"""Which registry the settings name.

`sqlite:///…` is MLflow in an SQLite file, the default; `http://…` and `https://…` an MLflow server; `postgresql://…`
and the like MLflow's database, reached directly; `model-registry+https://host:port` Kubeflow Model Registry, and
`model-registry+http://host:port` one without TLS.
"""

import hashlib
from pathlib import Path

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
    if uri.startswith(_KUBEFLOW):
        from fairlead.registry.kubeflow_registry import KubeflowRegistry

        kubeflow = KubeflowRegistry(uri.removeprefix(_KUBEFLOW), home, place.read_registry_token)
        return kubeflow, FolderPackages(home / "packages")
    if not is_server(uri):
        return MlflowRegistry(uri, home), FolderPackages(home / "packages")
    from fairlead.registry.mlflow_packages import MlflowPackages

    registry = MlflowRegistry(uri, home, place.read_registry_token())
    return registry, MlflowPackages(registry)


def _home(place: Settings) -> Path:
    """The folder of packages, notes and lock: one for each registry, as garbage of one may be another's treasure."""
    home, uri = place.registry_home, place.registry_uri
    if sqlite_file(uri) == home / "mlflow.db":
        return home
    return home / "elsewhere" / hashlib.sha256(uri.encode()).hexdigest()[:8]
