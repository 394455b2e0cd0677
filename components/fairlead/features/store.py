"""Feast stores: the one that servers read, and temporary ones over a `features` artifact."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from fairlead import atomic
from fairlead.errors import StateError
from fairlead.features.declarations import Declarations
from fairlead.features.feast_library import import_feast, quiet, variables

if TYPE_CHECKING:
    import feast

CONFIGURATION = "feature_store.yaml"
REGISTRY = "registry.db"
ONLINE = "online.db"
TABLES = "tables"


def project_name(problem: str) -> str:
    """Feast's project of a problem: it takes letters, digits and underscores."""
    return problem.replace("-", "_")


def configuration(project: str, online_store: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Feast's configuration of a store whose registry lies beside its feature_store.yaml."""
    return {
        "project": project_name(project),
        "provider": "local",
        "registry": {"path": REGISTRY, "cache_ttl_seconds": 60},
        "offline_store": {"type": "duckdb"},  # the default one silently drops rows whose features are expired
        "online_store": dict(online_store or {"type": "sqlite", "path": ONLINE}),
        "entity_key_serialization_version": 3,
    }


def configuration_text(project: str, online_store: Mapping[str, Any] | None = None) -> str:
    """What is in feature_store.yaml; variables are quoted, as what Feast puts in their place may hold any character."""
    text = yaml.dump(configuration(project, online_store), Dumper=_Dumper)
    return f"# Written by materialize_features; changes are lost.\n{text}"


class _Dumper(yaml.SafeDumper):
    """YAML in which what holds a variable is quoted."""


def _represent(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="'" if "${" in text else None)


_Dumper.add_representer(str, _represent)


def write_configuration(home: Path, project: str, online_store: Mapping[str, Any] | None = None) -> None:
    """Writes feature_store.yaml unless it says the same already."""
    text = configuration_text(project, online_store)
    file = home / CONFIGURATION
    if not file.exists() or file.read_text() != text:
        atomic.write_text(file, text)


def open_store(home: Path, environment: Mapping[str, str] | None = None) -> "feast.FeatureStore":
    """Opens the store in a folder.

    Args:
        home: The folder of feature_store.yaml.
        environment: Variables in it.

    Returns:
        Feast's store.

    Raises:
        StateError: There is no store, or its registry is corrupt or of another version.
    """
    if not (home / CONFIGURATION).exists():
        raise StateError(f"no feature store at {home}; run a pipeline with materialize_features first")
    check_registry(home / REGISTRY)
    with quiet():
        return _feature_store(home, environment or {})


def open_new(home: Path, environment: Mapping[str, str] | None = None) -> "feast.FeatureStore":
    """Opens a store in a folder that holds nothing but a feature_store.yaml."""
    with quiet():
        return _feature_store(home, environment or {})


def _feature_store(home: Path, environment: Mapping[str, str]) -> "feast.FeatureStore":
    with variables(environment):
        opened: feast.FeatureStore = import_feast().FeatureStore(repo_path=str(home))
    return opened


def check_registry(file: Path) -> None:
    """Looks whether a registry file is one that this Feast reads.

    Raises:
        StateError: It is absent (Feast would take it for empty), corrupt or of another version.
    """
    advice = f"delete the folder {file.parent} and run the pipeline again; it is made anew"
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise StateError(f"the feature registry {file} is missing; {advice}") from None
    except OSError as error:
        raise StateError(f"the feature registry {file} is corrupt ({error}); {advice}") from None
    parse_registry(content, str(file), advice)


def parse_registry(content: bytes, file: str, advice: str) -> Any:
    """Takes a registry apart.

    Args:
        content: What is in it.
        file: What people know it by.
        advice: What to do if it cannot be read.

    Returns:
        Feast's message `Registry`.

    Raises:
        StateError: It is corrupt or of another version.
    """
    import_feast()
    from feast.infra.registry.registry import REGISTRY_SCHEMA_VERSION
    from feast.protos.feast.core.Registry_pb2 import Registry
    from google.protobuf.message import DecodeError

    proto = Registry()
    try:
        proto.ParseFromString(content)
    except DecodeError as error:
        raise StateError(f"the feature registry {file} is corrupt ({error}); {advice}") from None
    if proto.registry_schema_version != REGISTRY_SCHEMA_VERSION:
        version = proto.registry_schema_version or "unknown"
        raise StateError(
            f"the feature registry {file} is of version {version}, this Feast reads {REGISTRY_SCHEMA_VERSION}; {advice}"
        )
    return proto


def apply(store: "feast.FeatureStore", declarations: Declarations) -> None:
    """Registers declarations."""
    with quiet():
        store.apply(declarations.objects)


def close(store: "feast.FeatureStore") -> None:
    """Closes the connection that Feast keeps to the online store; Feast itself has no way to."""
    online = getattr(store.provider, "online_store", None)
    for name in ("_conn", "_client"):  # SQLite's, Redis'
        connection = getattr(online, name, None)
        if connection is not None:
            connection.close()
            setattr(online, name, None)


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
