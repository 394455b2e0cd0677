"""The work of materialize_features."""

import tempfile
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.errors import ConfigurationError, DataError
from fairlead.features import store
from fairlead.features.declarations import Declarations, load_declarations, table_of
from fairlead.features.feast_library import quiet
from fairlead.features.homes import FeatureHome, OnlineStore, open_home, open_online
from fairlead.features.publication import fingerprint
from fairlead.features.spec import parse_moment
from fairlead.features.state import State
from fairlead.features.tables import EVENT_TIMESTAMP, FeatureTables, read_tables
from fairlead.progress import step
from fairlead.settings import settings

if TYPE_CHECKING:
    import feast

_BEGINNING = datetime(1970, 1, 2, tzinfo=UTC)
_NEXT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Materialized:
    """How the store was brought up to date.

    Attributes:
        home: Where the feature store is: a folder, or s3://BUCKET/FOLDER.
        mode: unchanged, incremental or rebuilt.
        as_of: The moment that the online store holds.
        since: The moment that it held before; empty where it was built anew.
        rows_read: Rows of each table in the interval that was written.
        keys_online: Keys that each view holds online now.
    """

    home: str
    mode: str
    as_of: str
    since: str
    rows_read: dict[str, int] = field(default_factory=dict)
    keys_online: dict[str, int] = field(default_factory=dict)

    def metadata(self) -> dict[str, str | int]:
        """Flat values for the metrics."""
        return {
            "mode": self.mode, "as_of": self.as_of, "since": self.since, "rows_read": sum(self.rows_read.values()),
            "keys_online": sum(self.keys_online.values()),
            **{f"keys_online_{view}": count for view, count in self.keys_online.items()},
        }  # fmt: skip


def materialize_features(
    features: Path | str, problem: str, repository: str, as_of: str, home: Path | None = None
) -> Materialized:
    """Publishes the tables and brings the online store to what was known at `as_of`.

    Args:
        features: The folder of feature tables.
        problem: The problem's name.
        repository: The Feast repository.
        as_of: The moment (ISO 8601).
        home: The feature store's folder; None: the problem's under the settings' home.

    Returns:
        How that was done.

    Raises:
        ConfigurationError: `as_of` is no moment or later than the tables', or the repository does not fit the tables.
        StateError: The store is corrupt, of another version, or locked for long.
        SourceError: The tables are not whole.
    """
    place = settings()
    kept, tables, moment = open_home(place, problem, home), read_tables(features), _moment(as_of)
    if tables.as_of and moment > tables.as_of:
        raise ConfigurationError(
            f"as_of {moment.isoformat()} is later than the tables', {tables.as_of.isoformat()}; compute them again"
        )
    with kept.locked():
        before, servers = kept.read_state(), open_online(place, kept.folder, store.project_name(problem))
        published = kept.publish(tables)
        store.write_configuration(kept.folder, problem, servers.section())
        declarations = load_declarations(repository, published)
        with servers.told():
            return _Bringing(kept, servers, problem, published, declarations).bring(moment, before)


def _moment(as_of: str) -> datetime:
    if not as_of:
        raise ConfigurationError("as_of: the online store holds what was known at one moment; say which (2013-06-01)")
    return parse_moment(as_of, "as_of")


@dataclass(frozen=True)
class _Bringing:
    """What brings a store to a moment.

    Attributes:
        home: Where it is kept.
        servers: What servers read.
        problem: The problem's name.
        tables: The tables.
        declarations: The Feast repository.
    """

    home: FeatureHome
    servers: OnlineStore
    problem: str
    tables: FeatureTables
    declarations: Declarations

    def bring(self, moment: datetime, before: State | None) -> Materialized:
        """Does as little as brings the store to the moment."""
        after = State(
            as_of=moment.isoformat(), declarations=self.declarations.digest, tables=self.tables.digest,
            histories=fingerprint(self.tables, moment), online=before.online if before else "",
        )  # fmt: skip
        if before is None or not before.as_of:  # nothing yet, or what a run that did not end has left
            return self._rebuild(after)
        held = self.home.has_registry() and self.servers.holds(before.online)
        if not held or not self._continues(before, after, moment):
            return self._rebuild(after)
        since = before.moment or _BEGINNING
        if moment == since:
            self.home.write_state(after)
            return self._done("unchanged", after, since, {})
        self.home.write_state(replace(before, pending=after.as_of))
        opened = store.open_store(self.home.folder, self.servers.environment())
        read = _materialize(opened, self.declarations, self.tables, since + _NEXT, moment)
        store.close(opened)
        self.home.write_state(after)
        return self._done("incremental", after, since, read)

    def _continues(self, before: State, after: State, moment: datetime) -> bool:
        """Whether writing the interval from the state's moment to the new one gives what a new store would hold."""
        since = before.moment
        if since is None or before.pending or moment < since or before.declarations != after.declarations:
            return False
        latest = self.servers.latest_event()
        if latest is not None and latest > since:  # rows were pushed; the tables may say otherwise
            return False
        return before.histories == (after.histories if moment == since else fingerprint(self.tables, since))

    def _rebuild(self, after: State) -> Materialized:
        """Builds registry and online store beside the old ones and puts them in their place."""
        self.home.write_state(replace(after, as_of="", pending=after.as_of))
        read: dict[str, int] = {}
        with tempfile.TemporaryDirectory(prefix=".fresh-", dir=self.home.folder) as folder:
            fresh = Path(folder)

            def fill(beside: OnlineStore) -> None:
                opened = self._apply(fresh, beside)
                moment = datetime.fromisoformat(after.as_of)
                read.update(_materialize(opened, self.declarations, self.tables, _BEGINNING, moment))
                store.close(opened)
                if beside.project != self.servers.project:  # the registry names the project that was beside
                    (fresh / store.REGISTRY).unlink()
                    store.close(self._apply(fresh, self.servers))

            token = self.servers.rebuild(fresh, fill)
            self.home.publish_registry(fresh / store.REGISTRY)
        after = replace(after, online=token)
        self.home.write_state(after)
        return self._done("rebuilt", after, None, read)

    def _apply(self, folder: Path, servers: OnlineStore) -> "feast.FeatureStore":
        """A store with the declarations, in a folder of its own."""
        store.write_configuration(folder, servers.project, servers.section())
        opened = store.open_new(folder, servers.environment())
        store.apply(opened, self.declarations)
        return opened

    def _done(self, mode: str, after: State, since: datetime | None, read: dict[str, int]) -> Materialized:
        held = self.servers.count_keys()
        if not any(held.values()):
            raise DataError(
                f"the online store holds nothing as of {after.as_of}: every row is later; choose a later as_of"
            )
        return Materialized(self.home.address, mode, after.as_of, since.isoformat() if since else "", read, held)


def _materialize(
    opened: "feast.FeatureStore", declarations: Declarations, tables: FeatureTables, start: datetime, end: datetime
) -> dict[str, int]:
    """Lets Feast write the latest row of each key between two moments; says how many rows it chose from."""
    read = {}
    with step("online store", len(declarations.views)) as progress:
        for view in declarations.views:
            read[view.name] = _count(tables.path / table_of(view), start, end)
            if read[view.name]:
                with quiet():
                    opened.materialize(start, end, [view.name])
            progress.advance()
    return read


def _count(table: Path, start: datetime, end: datetime) -> int:
    import pyarrow.dataset as pads

    from fairlead.datasets import scan

    time = pads.field(EVENT_TIMESTAMP)
    return int(scan(table).count_rows(filter=(time >= start) & (time <= end)))
