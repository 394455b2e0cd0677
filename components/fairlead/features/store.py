"""Feast stores: the one that servers read, and temporary ones over a `features` artifact."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from fairlead import atomic
from fairlead.errors import StateError
from fairlead.features.declarations import Declarations
from fairlead.features.feast_library import import_feast, quiet

if TYPE_CHECKING:
    import feast

CONFIGURATION = "feature_store.yaml"
REGISTRY = "registry.db"
ONLINE = "online.db"
TABLES = "tables"


def configuration(project: str) -> dict[str, Any]:
    """Feast's configuration of a store whose files lie beside its feature_store.yaml."""
    return {
        "project": project.replace("-", "_"),  # Feast takes letters, digits and underscores
        "provider": "local",
        "registry": {"path": REGISTRY, "cache_ttl_seconds": 60},
        "offline_store": {"type": "duckdb"},  # the default one silently drops rows whose features are expired
        "online_store": {"type": "sqlite", "path": ONLINE},
        "entity_key_serialization_version": 3,
    }


def write_configuration(home: Path, project: str) -> None:
    """Writes feature_store.yaml unless it says the same already."""
    text = "# Written by materialize_features; changes are lost.\n" + yaml.safe_dump(configuration(project))
    file = home / CONFIGURATION
    if not file.exists() or file.read_text() != text:
        atomic.write_text(file, text)


def open_store(home: Path) -> "feast.FeatureStore":
    """Opens the store in a folder.

    Args:
        home: The folder of feature_store.yaml.

    Returns:
        Feast's store.

    Raises:
        StateError: There is no store, or its registry is corrupt or of another version.
    """
    if not (home / CONFIGURATION).exists():
        raise StateError(f"no feature store at {home}; run a pipeline with materialize_features first")
    check_registry(home / REGISTRY)
    with quiet():
        return _feature_store(home)


def open_new(home: Path) -> "feast.FeatureStore":
    """Opens a store in a folder that holds nothing but a feature_store.yaml."""
    with quiet():
        return _feature_store(home)


def _feature_store(home: Path) -> "feast.FeatureStore":
    opened: feast.FeatureStore = import_feast().FeatureStore(repo_path=str(home))
    return opened


def check_registry(file: Path) -> None:
    """Looks whether a registry file is one that this Feast reads.

    Raises:
        StateError: It is absent (Feast would take it for empty), corrupt or of another version.
    """
    import_feast()
    from feast.infra.registry.registry import REGISTRY_SCHEMA_VERSION
    from feast.protos.feast.core.Registry_pb2 import Registry
    from google.protobuf.message import DecodeError

    advice = f"delete the folder {file.parent} and run the pipeline again; it is made anew"
    proto = Registry()
    try:
        proto.ParseFromString(file.read_bytes())
    except FileNotFoundError:
        raise StateError(f"the feature registry {file} is missing; {advice}") from None
    except (DecodeError, OSError) as error:
        raise StateError(f"the feature registry {file} is corrupt ({error}); {advice}") from None
    if proto.registry_schema_version != REGISTRY_SCHEMA_VERSION:
        version = proto.registry_schema_version or "unknown"
        raise StateError(
            f"the feature registry {file} is of version {version}, this Feast reads {REGISTRY_SCHEMA_VERSION}; {advice}"
        )


def apply(store: "feast.FeatureStore", declarations: Declarations) -> None:
    """Registers declarations."""
    with quiet():
        store.apply(declarations.objects)


def close(store: "feast.FeatureStore") -> None:
    """Closes the connection that Feast keeps to the online store; Feast itself has no way to."""
    online = getattr(store.provider, "online_store", None)
    connection = getattr(online, "_conn", None)
    if online is not None and connection is not None:
        connection.close()
        online._conn = None  # noqa: SLF001


@contextmanager
def temporary_store(declarations: Declarations, project: str = "join") -> "Iterator[feast.FeatureStore]":
    """A store with the declarations in a registry of its own, which goes with the block.

    Args:
        declarations: What to register; its sources name the tables.
        project: Feast's project name.

    Yields:
        Feast's store; its online store is empty.
    """
    with tempfile.TemporaryDirectory(prefix="fairlead-feast-") as folder:
        write_configuration(Path(folder), project)
        store = open_new(Path(folder))
        apply(store, declarations)
        try:
            yield store
        finally:
            close(store)
