"""The work of materialize_features."""

import tempfile
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.errors import ConfigurationError, DataError
from fairlead.features import online, store
from fairlead.features.declarations import Declarations, load_declarations, table_of
from fairlead.features.feast_library import quiet
from fairlead.features.materialize_features.publication import fingerprint, publish
from fairlead.features.spec import parse_moment
from fairlead.features.state import State, locked, read_state, write_state
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
        home: The feature store's folder.
        mode: unchanged, incremental or rebuilt.
        as_of: The moment that the online store holds.
        since: The moment that it held before; empty where it was built anew.
        rows_read: Rows of each table in the interval that was written.
        keys_online: Keys that each view holds online now.
    """

    home: Path
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
    place = home or settings().features_home(problem)
    tables, moment = read_tables(features), _moment(as_of)
    if tables.as_of and moment > tables.as_of:
        raise ConfigurationError(
            f"as_of {moment.isoformat()} is later than the tables', {tables.as_of.isoformat()}; compute them again"
        )
    with locked(place):
        before = read_state(place)
        published = publish(tables, place / store.TABLES)
        store.write_configuration(place, problem)
        declarations = load_declarations(repository, published)
        return _bring(place, problem, published, declarations, moment, before)


def _moment(as_of: str) -> datetime:
    if not as_of:
        raise ConfigurationError("as_of: the online store holds what was known at one moment; say which (2013-06-01)")
    return parse_moment(as_of, "as_of")


def _bring(
    home: Path, problem: str, tables: FeatureTables, declarations: Declarations, moment: datetime, before: State | None
) -> Materialized:
    """Does as little as brings the store to the moment."""
    after = State(
        as_of=moment.isoformat(), declarations=declarations.digest, tables=tables.digest,
        histories=fingerprint(tables, moment),
    )  # fmt: skip
    if before is not None:
        store.check_registry(home / store.REGISTRY)
        online.check(home / store.ONLINE)
    if before is None or not _continues(home, tables, before, after, moment):
        return _rebuild(home, problem, tables, declarations, after)
    since = before.moment or _BEGINNING
    if moment == since:
        write_state(home, after)
        return _done(home, problem, "unchanged", after, since, {})
    write_state(home, replace(before, pending=after.as_of))
    opened = store.open_store(home)
    read = _materialize(opened, declarations, tables, since + _NEXT, moment)
    store.close(opened)
    write_state(home, after)
    return _done(home, problem, "incremental", after, since, read)


def _continues(home: Path, tables: FeatureTables, before: State, after: State, moment: datetime) -> bool:
    """Whether writing the interval from the state's moment to the new one gives what a new store would hold."""
    since = before.moment
    if since is None or before.pending or moment < since or before.declarations != after.declarations:
        return False
    latest = online.latest_event(home / store.ONLINE)
    if latest is not None and latest > since:  # rows were pushed; the tables may say otherwise
        return False
    return before.histories == (after.histories if moment == since else fingerprint(tables, since))


def _rebuild(home: Path, problem: str, tables: FeatureTables, declarations: Declarations, after: State) -> Materialized:
    """Builds registry and online store beside the old ones and puts them in their place."""
    write_state(home, replace(after, as_of="", pending=after.as_of))
    with tempfile.TemporaryDirectory(prefix=".fresh-", dir=home) as folder:
        fresh = Path(folder)
        store.write_configuration(fresh, problem)
        online.create(fresh / store.ONLINE)
        opened = store.open_new(fresh)
        store.apply(opened, declarations)
        read = _materialize(opened, declarations, tables, _BEGINNING, datetime.fromisoformat(after.as_of))
        store.close(opened)
        online.replace(home / store.ONLINE, fresh / store.ONLINE)
        (fresh / store.REGISTRY).replace(home / store.REGISTRY)
    write_state(home, after)
    return _done(home, problem, "rebuilt", after, None, read)


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


def _done(
    home: Path, problem: str, mode: str, after: State, since: datetime | None, read: dict[str, int]
) -> Materialized:
    prefix = f"{store.configuration(problem)['project']}_"
    held = {table.removeprefix(prefix): count for table, count in online.count_keys(home / store.ONLINE).items()}
    if not any(held.values()):
        raise DataError(f"the online store holds nothing as of {after.as_of}: every row is later; choose a later as_of")
    return Materialized(home, mode, after.as_of, since.isoformat() if since else "", read, held)
