"""Feast's online store, as the transformer reads it: one call for a batch of rows, one registry for the process's life.

The registry is read once, at the start: a served version stays bound to the feature definitions that it was proven
with, and no request ever waits for a registry to be read again. The values are read at each request.
"""

import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead_serving.errors import FeaturesUnavailableError, StartupError
from fairlead_serving.lean import without_type_instrumentation

RETRIES = (0.01, 0.02, 0.04, 0.08)
REDIS_SECONDS = 0.25
TIMESTAMP = "__ts"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class View:
    """A feature view of the feature service.

    Attributes:
        name: Its name in the registry.
        features: The features that the service takes from it.
        keys: The request fields that are its entity's key.
        timed: Whether its values carry an event time (on-demand views have none).
    """

    name: str
    features: tuple[str, ...]
    keys: tuple[str, ...]
    timed: bool = True


class OnlineStore:
    """A Feast feature service, ready to be asked.

    Args:
        folder: The folder that holds feature_store.yaml.
        service: The feature service's name.

    Raises:
        StartupError: The folder, its registry or the service is not there, or cannot be read.
    """

    def __init__(self, folder: Path, service: str) -> None:
        if not (folder / "feature_store.yaml").is_file():
            raise StartupError(
                f"{folder} has no feature_store.yaml; materialize the features, or give another --features"
            )
        self._lock = threading.Lock()
        self._store = _open_store(folder)
        self._service = _find_service(self._store, service, folder)
        self.views = _views(self._store, self._service)
        _let_writers_write(self._store)
        _bound_waiting(self._store)

    @property
    def keys(self) -> tuple[str, ...]:
        """The request fields that are looked up, without repetition."""
        return tuple(dict.fromkeys(key for view in self.views for key in view.keys))

    def read(self, entities: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """Reads the features of N rows in one call.

        Args:
            entities: For each of `keys` a column of N values, none of them null.

        Returns:
            For each feature a column of N values (None where there is none) and, under its name plus `__ts`, a column
            of event times in seconds since 1970 (0 where the entity is unknown).

        Raises:
            FeaturesUnavailableError: Another process keeps the store locked, or Redis is away, or takes too long.
        """
        from redis.exceptions import RedisError

        for pause in (*RETRIES, None):
            try:
                with self._lock:
                    answer = self._store.get_online_features(features=self._service, entity_rows=entities)
                return dict(answer.to_dict(include_event_timestamps=True))
            except sqlite3.OperationalError as error:
                if pause is None or not ("locked" in str(error) or "busy" in str(error)):
                    raise FeaturesUnavailableError(f"the online store does not answer: {error}; try again") from error
                time.sleep(pause)
            except RedisError as error:
                raise FeaturesUnavailableError(f"the online store does not answer: {error}; try again") from error
        raise FeaturesUnavailableError("the online store does not answer; try again")


def _open_store(folder: Path) -> Any:
    with without_type_instrumentation():
        from feast import FeatureStore
        from feast.repo_config import RepoConfig

        from fairlead_serving import offline

    import yaml

    try:
        text = os.path.expandvars((folder / "feature_store.yaml").read_text(encoding="utf-8"))  # as Feast reads it
        config = RepoConfig(**(yaml.safe_load(text) | {"offline_store": {"type": offline.NAME}}))
        config.repo_path = folder.resolve()
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise StartupError(f"{folder}/feature_store.yaml cannot be read: {error}") from None
    config.registry.cache_ttl_seconds = 0  # 0 means for ever
    config.registry.cache_mode = "thread"  # in the mode "sync" a changed file is read again within a request
    return FeatureStore(repo_path=str(folder.resolve()), config=config)


def _find_service(store: Any, service: str, folder: Path) -> Any:
    from feast.errors import FeastObjectNotFoundException
    from google.protobuf.message import DecodeError

    try:
        return store.get_feature_service(service)
    except FeastObjectNotFoundException:
        names = ", ".join(sorted(found.name for found in store.list_feature_services())) or "none"
        raise StartupError(f"the registry of {folder} has no feature service {service!r}; it has {names}") from None
    except (DecodeError, OSError, ValueError) as error:
        raise StartupError(
            f"the registry of {folder} cannot be read: {error}; materialize the features again"
        ) from None


def _views(store: Any, service: Any) -> tuple[View, ...]:
    on_demand = {view.name for view in store.list_on_demand_feature_views()}
    join_keys = {entity.name: entity.join_key for entity in store.list_entities()}
    views = []
    for projection in service.feature_view_projections:
        features = tuple(feature.name for feature in projection.features)
        if projection.name in on_demand:
            views.append(View(projection.name, features, (), timed=False))
            continue
        entities = store.registry.get_any_feature_view(projection.name, store.project, allow_cache=True).entities
        keys = [join_keys[name] for name in entities if name in join_keys]
        views.append(View(projection.name, features, tuple(projection.join_key_map.get(key, key) for key in keys)))
    return tuple(views)


def _let_writers_write(store: Any) -> None:
    """Puts a SQLite store into write-ahead mode, in which readers and a materializing process do not block each other.

    The mode stays with the file. A store that cannot be changed now is read as it is.
    """
    config = store.config.online_store
    if config.type != "sqlite":
        return
    path = Path(store.repo_path or ".", config.path) if not Path(config.path).is_absolute() else Path(config.path)
    if not path.is_file():
        raise StartupError(f"there is no online store at {path}; materialize the features first")
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=1.0)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:
        logger.info("%s stays in its journal mode: %s", path, error)
    except sqlite3.DatabaseError as error:
        raise StartupError(f"{path} is no SQLite online store: {error}; materialize the features again") from None


def _bound_waiting(store: Any) -> None:
    """Gives a Redis store time limits, which it has none of by itself, and one further attempt instead of many.

    A connection that Redis closed, because it was started again, is thereby replaced within the same request, and a
    request waits for a Redis that hangs for twice `REDIS_SECONDS` and the time of a new connection. Limits in the
    connection string (`socket_timeout`, `socket_connect_timeout`, in seconds) go first.
    """
    config = store.config.online_store
    if config.type != "redis":
        return
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    given = config.connection_string
    for name in ("socket_timeout", "socket_connect_timeout"):
        if f"{name}=" not in given:
            config.connection_string += f",{name}={REDIS_SECONDS}"
    # Feast has no setting for it; the client is made here once, and kept by the store for all reads
    client = store._get_provider().online_store._get_client(config)  # noqa: SLF001
    client.set_retry(Retry(NoBackoff(), 1))
