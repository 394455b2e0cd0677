"""A feature store's state, tables and registry in S3, for pods that come and go; its online store is in Redis.

Feast's registry is the one object that the setting feature_registry names, with all problems' projects in it. Beside
it, below the problem's name: state.json, lock.json and tables/. The registry is changed by conditional writes, as the
other problems' pods change it too.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fairlead import atomic
from fairlead.errors import StateError
from fairlead.features import store
from fairlead.features.state import FILE, State, parse_state, state_text
from fairlead.features.tables import FeatureTables
from fairlead.objects import ObjectConflictError, Objects
from fairlead.objects.lease import Lease, leased
from fairlead.settings import Settings

_WAIT_SECONDS = 600.0
_ATTEMPTS = 20


class S3Home:
    """A feature store kept in S3; see fairlead.features.homes.FeatureHome.

    Args:
        place: The settings, whose `feature_registry` says where.
        problem: The problem's name.
        wait_seconds: How long to wait for another writer.
    """

    def __init__(self, place: Settings, problem: str, wait_seconds: float = _WAIT_SECONDS) -> None:
        self.registry = place.feature_registry
        self.address = f"{self.registry.rpartition('/')[0]}/{problem}"
        self.project, self._wait = store.project_name(problem), wait_seconds
        self._connect: Callable[[], Objects] = lambda: Objects.connect(place)
        self._objects: Objects | None = None
        self._folder: Path | None = None
        self._lease: Lease | None = None
        self._tables = ""

    @property
    def folder(self) -> Path:
        """Where feature_store.yaml and this problem's part of the registry lie while it is locked."""
        if self._folder is None:
            raise StateError(f"the feature store {self.address} is not locked")
        return self._folder

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other pods out, and brings this problem's part of the registry here."""
        with (
            tempfile.TemporaryDirectory(prefix="fairlead-features-") as folder,
            leased(self._open(), f"{self.address}/lock.json", wait_seconds=self._wait) as lease,
        ):
            self._folder, self._lease = Path(folder), lease
            found = read_registry(self._open(), self.registry, self.project)
            if found is not None:
                atomic.write_bytes(self._folder / store.REGISTRY, found)
            try:
                yield
            finally:
                self._folder = self._lease = None

    def read_state(self) -> State | None:
        """The state; None where there is no store yet."""
        found = self._open().find_version(f"{self.address}/{FILE}")
        if found is None:
            return None
        return parse_state(found.content, f"{self.address}/{FILE}", f"remove {self.address}/{FILE} and run it again")

    def write_state(self, after: State) -> None:
        """Writes the state, unless the lock was lost."""
        if self._lease:
            self._lease.check()
        self._open().write_bytes(f"{self.address}/{FILE}", state_text(after).encode())

    def publish(self, tables: FeatureTables) -> FeatureTables:
        """Uploads the tables, if they are others; they are read where they are, to which the registry here leads."""
        self._tables = str(tables.path)
        self._open().upload_folder(tables.path, self._uploaded)
        file = self.folder / store.REGISTRY
        if file.exists():
            registry = store.parse_registry(file.read_bytes(), self.registry, _advice(self.registry))
            _lead_to(registry, self._uploaded, self._tables)
            atomic.write_bytes(file, registry.SerializeToString())
        return tables

    def has_registry(self) -> bool:
        """Whether this problem's part of the registry was brought here; without it the store is made anew."""
        return (self.folder / store.REGISTRY).exists()

    def publish_registry(self, fresh: Path) -> None:
        """Puts this problem's part into the registry, which tells of the tables as they were uploaded.

        Raises:
            StateError: Others changed it each time.
        """
        local = store.parse_registry(fresh.read_bytes(), str(fresh), "")
        _lead_to(local, self._tables, self._uploaded)
        for _ in range(_ATTEMPTS):
            before = self._open().find_version(self.registry)
            merged = store.parse_registry(before.content, self.registry, _advice(self.registry)) if before else None
            content = _merged(merged, local, self.project)
            try:
                self._open().replace_bytes(self.registry, content, before)
            except ObjectConflictError:
                continue
            atomic.write_bytes(self.folder / store.REGISTRY, local.SerializeToString())
            return
        raise StateError(f"{self.registry} was changed by others {_ATTEMPTS} times; run it again")

    @property
    def _uploaded(self) -> str:
        return f"{self.address}/{store.TABLES}"

    def _open(self) -> Objects:
        if self._objects is None:
            self._objects = self._connect()
        return self._objects


def read_registry(objects: Objects, uri: str, project: str) -> bytes | None:
    """Reads a project's part of the registry; None where there is none.

    Raises:
        StateError: The registry is corrupt, or of another version.
    """
    found = objects.find_version(uri)
    if found is None:
        return None
    whole = store.parse_registry(found.content, uri, _advice(uri))
    _keep(whole, lambda one: one == project)
    return bytes(whole.SerializeToString()) if whole.feature_views else None


def _advice(uri: str) -> str:
    return f"remove {uri} and run the pipelines of all its problems again; it is made anew"


def _merged(whole: Any | None, local: Any, project: str) -> bytes:
    """The registry with a project's part replaced."""
    if whole is None:
        return bytes(local.SerializeToString())
    _keep(whole, lambda one: one != project)
    whole.MergeFrom(local)  # members are appended; of the rest that of the later counts
    return bytes(whole.SerializeToString())


def _keep(registry: Any, wanted: Callable[[str], bool]) -> None:
    """Leaves out the members of projects that are not wanted."""
    history = registry.feature_view_version_history
    for owner in (registry, history):
        for field in owner.DESCRIPTOR.fields:
            if field.is_repeated and field.message_type is not None:
                kept = [one for one in getattr(owner, field.name) if wanted(_project_of(one))]
                owner.ClearField(field.name)
                getattr(owner, field.name).extend(kept)


def _project_of(member: Any) -> str:
    """The project that a member belongs to; a project is its own."""
    spec = getattr(member, "spec", member)
    names = [getattr(one, name, "") for one in (spec, member) for name in ("project", "project_id")]
    return next((str(name) for name in names if name), str(getattr(spec, "name", "")))


def _lead_to(registry: Any, before: str, after: str) -> None:
    """Lets a registry's sources lead to another folder of tables."""
    for source in [*(view.spec.batch_source for view in registry.feature_views), *registry.data_sources]:
        if source.file_options.uri.startswith(f"{before}/"):
            source.file_options.uri = after + source.file_options.uri.removeprefix(before)
