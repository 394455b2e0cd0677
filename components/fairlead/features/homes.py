"""Where a problem's feature store is kept: a folder here, or S3 and Redis, where pods come and go.

What is kept: state and lock (fairlead.features.state), the tables as published, Feast's registry, and the online store.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from fairlead.errors import ConfigurationError
from fairlead.features import online, state, store
from fairlead.features.online_redis import VARIABLE, RedisOnline
from fairlead.features.publication import publish
from fairlead.features.state import State
from fairlead.features.tables import FeatureTables
from fairlead.settings import Settings


class OnlineStore(Protocol):
    """What servers read."""

    @property
    def project(self) -> str:
        """Feast's project."""

    def section(self) -> dict[str, Any]:
        """Its part of feature_store.yaml."""

    def environment(self) -> dict[str, str]:
        """Variables that Feast puts into feature_store.yaml when it opens the store."""

    def holds(self, token: str) -> bool:
        """Whether it holds what the state that has this token says.

        Raises:
            StateError: It is damaged, or cannot be used.
        """

    def latest_event(self) -> datetime | None:
        """The latest event time of any row held; None for an empty store."""

    def count_keys(self) -> dict[str, int]:
        """Entity keys held, by view."""

    def rebuild(self, folder: Path, fill: "Callable[[OnlineStore], None]") -> str:
        """Builds it anew: readers find what was there until what is new is whole, of each entity.

        Args:
            folder: A folder for what is needed meanwhile.
            fill: Is given an empty store beside this one, to fill.

        Returns:
            The token that goes into the state.
        """

    def told(self) -> AbstractContextManager[None]:
        """Tells what goes wrong when Feast writes to it in our words."""


class FeatureHome(Protocol):
    """What is kept of a feature store, and where; to be used within `locked`."""

    @property
    def folder(self) -> Path:
        """Where feature_store.yaml and Feast's registry lie while it is locked."""

    @property
    def address(self) -> str:
        """What people know it by."""

    def locked(self) -> AbstractContextManager[None]:
        """Keeps other writers out, and brings the registry here.

        Raises:
            StateError: Another holds it for long.
        """

    def read_state(self) -> State | None:
        """The state; None where there is no store yet."""

    def write_state(self, after: State) -> None:
        """Writes the state."""

    def publish(self, tables: FeatureTables) -> FeatureTables:
        """Puts the tables where people find them, and gives those that are to be read here."""

    def has_registry(self) -> bool:
        """Whether Feast's registry is there.

        Raises:
            StateError: It is corrupt or of another version, or its folder is no whole store any more.
        """

    def publish_registry(self, fresh: Path) -> None:
        """Puts Feast's registry where servers find it, in one step."""


class SqliteOnline:
    """An SQLite file in the store's folder.

    Args:
        folder: The folder.
        project: Feast's project.
    """

    def __init__(self, folder: Path, project: str) -> None:
        self.path, self.project = folder / store.ONLINE, project

    def section(self) -> dict[str, Any]:
        """Its part of feature_store.yaml."""
        return {"type": "sqlite", "path": store.ONLINE}

    def environment(self) -> dict[str, str]:
        """None."""
        return {}

    def holds(self, token: str) -> bool:
        """The file says what it holds by itself; looks whether it is whole."""
        del token
        online.check(self.path)
        return True

    def latest_event(self) -> datetime | None:
        """The latest event time of any row held."""
        return online.latest_event(self.path)

    def count_keys(self) -> dict[str, int]:
        """Entity keys held, by view."""
        held = online.count_keys(self.path)
        return {name.removeprefix(f"{self.project}_"): count for name, count in held.items()}

    def rebuild(self, folder: Path, fill: "Callable[[OnlineStore], None]") -> str:
        """Fills a file in the other folder, and puts its content into this one in one transaction."""
        fresh = SqliteOnline(folder, self.project)
        online.create(fresh.path)
        fill(fresh)
        online.replace(self.path, fresh.path)
        return ""

    @contextmanager
    def told(self) -> Iterator[None]:
        """SQLite's errors are told where the file is looked at."""
        yield


class FolderHome:
    """A folder of this machine.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.address = folder, str(folder)

    def locked(self) -> AbstractContextManager[None]:
        """Keeps other writers of this machine out."""
        return state.locked(self.folder)

    def read_state(self) -> State | None:
        """The state; None where there is no store yet."""
        return state.read_state(self.folder)

    def write_state(self, after: State) -> None:
        """Writes the state."""
        state.write_state(self.folder, after)

    def publish(self, tables: FeatureTables) -> FeatureTables:
        """Copies the tables into the folder."""
        return publish(tables, self.folder / store.TABLES)

    def has_registry(self) -> bool:
        """It is there, or somebody took it out of the folder."""
        store.check_registry(self.folder / store.REGISTRY)
        return True

    def publish_registry(self, fresh: Path) -> None:
        """Puts the registry into the folder."""
        fresh.replace(self.folder / store.REGISTRY)


def open_home(place: Settings, problem: str, folder: Path | None = None) -> FeatureHome:
    """Gives the home of a problem's feature store.

    Args:
        place: The settings.
        problem: The problem's name.
        folder: Its folder, if the settings are not to say where it is kept.

    Returns:
        The home.

    Raises:
        ConfigurationError: What the settings name does not fit together.
    """
    if folder is not None:
        return FolderHome(folder)
    if place.feature_registry:
        from fairlead.features.home_s3 import S3Home

        if not place.redis.get_secret_value():
            raise ConfigurationError(
                f"feature_registry is {place.feature_registry}, but redis is unset: an SQLite file here would be read "
                f"by nobody else; set {VARIABLE} to HOST:PORT"
            )
        return S3Home(place, problem)
    if place.platform == "kubeflow":
        raise ConfigurationError(
            "the feature store would be kept in a folder of this pod, and be gone with it; set "
            f"FAIRLEAD_FEATURE_REGISTRY to s3://BUCKET/KEY and {VARIABLE} to HOST:PORT"
        )
    return FolderHome(place.features_home(problem))


def open_online(place: Settings, folder: Path, project: str) -> OnlineStore:
    """Gives the online store that the settings name.

    Args:
        place: The settings.
        folder: The folder of feature_store.yaml.
        project: Feast's project.

    Returns:
        The store; nothing is connected to before it is asked something.
    """
    return RedisOnline(place, project) if place.redis.get_secret_value() else SqliteOnline(folder, project)
