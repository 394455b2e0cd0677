"""Fresh rows straight into the online store, between two materializations."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.errors import ConfigurationError, SchemaError, nearest
from fairlead.features.feast_library import quiet
from fairlead.features.homes import open_online
from fairlead.features.state import locked
from fairlead.features.store import open_store
from fairlead.features.tables import EVENT_TIMESTAMP
from fairlead.settings import settings

if TYPE_CHECKING:
    import feast
    import pandas as pd
    import pyarrow as pa

_stores: "dict[Path, tuple[float, feast.FeatureStore]]" = {}


def push_rows(features_home: Path | str, table: str, rows: "pa.Table | pd.DataFrame") -> int:
    """Writes rows that became known just now to the online store, which servers read at once.

    The latest row of each key is kept; a row that is older than what the store holds is left out, as Feast would
    overwrite the newer one with it. The next materialize_features builds the store anew from the tables.

    Args:
        features_home: The feature store's folder.
        table: The feature view.
        rows: Entity keys, event_timestamp (with a zone) and all features of the view, N rows.

    Returns:
        The number of rows written.

    Raises:
        StateError: There is no feature store, or it is corrupt or locked for long.
        ConfigurationError: There is no such view.
        SchemaError: A column is absent, or times have no zone.
    """
    home = Path(features_home).resolve()
    with locked(home):
        opened = _open(home)
        view = _find_view(opened, table)
        frame = _latest(rows, view)
        frame = frame[_is_newer(opened, view, frame)]
        if len(frame):
            with quiet():  # not write_to_online_store: it silently leaves out rows whose features are all missing
                opened.provider.ingest_df(view, frame)
    return len(frame)


def _open(home: Path) -> "feast.FeatureStore":
    """The store, opened once while its registry stays the same file: opening takes 100 ms."""
    file = home / "registry.db"
    changed = file.stat().st_mtime if file.exists() else 0.0
    if home not in _stores or _stores[home][0] != changed:
        environment = open_online(settings(), home, "").environment()
        _stores[home] = (changed, open_store(home, environment))
    return _stores[home][1]


def _find_view(opened: "feast.FeatureStore", name: str) -> "feast.FeatureView":
    views = {view.name: view for view in opened.list_feature_views(allow_cache=True)}
    if name not in views:
        raise ConfigurationError(f"there is no feature view {name!r}; {nearest(name, views)}")
    return views[name]


def _latest(rows: "pa.Table | pd.DataFrame", view: "feast.FeatureView") -> "pd.DataFrame":
    """The latest row of each key, with the view's columns only."""
    given: Any = rows
    frame = given.to_pandas() if hasattr(given, "to_pandas") else given
    columns = [*view.join_keys, EVENT_TIMESTAMP, *(field.name for field in view.features)]
    for column in columns:
        if column not in frame.columns:
            raise SchemaError(f"{view.name}: the rows have no column {column!r}; {nearest(column, frame.columns)}")
    if getattr(frame[EVENT_TIMESTAMP].dt, "tz", None) is None:
        raise SchemaError(
            f"{view.name}: {EVENT_TIMESTAMP} has no zone; give times in UTC, such as dt.tz_localize('UTC')"
        )
    latest: pd.DataFrame = frame[columns].sort_values(EVENT_TIMESTAMP, kind="stable")
    return latest.drop_duplicates(view.join_keys, keep="last")


def _is_newer(opened: "feast.FeatureStore", view: "feast.FeatureView", frame: "pd.DataFrame") -> list[bool]:
    """Whether each row is at least as new as what the store holds of its key."""
    if not len(frame):
        return []
    feature = view.features[0].name
    keys = {key: frame[key].tolist() for key in view.join_keys}
    with quiet():
        answer = opened.get_online_features([f"{view.name}:{feature}"], keys).to_dict(include_event_timestamps=True)
    held = answer[f"{feature}__ts"]
    times = [moment.timestamp() for moment in frame[EVENT_TIMESTAMP]]
    return [int(time) >= int(before) for time, before in zip(times, held, strict=True)]  # the store keeps whole seconds
