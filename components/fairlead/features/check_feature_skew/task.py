"""The work of check_feature_skew."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.datasets import read_table, scan
from fairlead.errors import DataError, StateError
from fairlead.features import store
from fairlead.features.check_feature_skew import report as pages
from fairlead.features.declarations import Lookup
from fairlead.features.feast_library import quiet
from fairlead.features.homes import FeatureHome, OnlineStore, open_home, open_online
from fairlead.features.join import join_features, keys_of
from fairlead.features.spec import RequestSpec, parse_moment
from fairlead.features.tables import EVENT_TIMESTAMP, read_tables
from fairlead.settings import settings

if TYPE_CHECKING:
    import pyarrow as pa

TOLERANCE = 1e-6  # relative; both paths carry float32 unchanged, so a real difference is larger


@dataclass(frozen=True)
class Mismatch:
    """One value that differs.

    Attributes:
        view: The feature view.
        feature: The feature.
        entity: The entity keys, as text.
        joined: What the point-in-time join gave.
        served: What the server would use.
        served_time: The event time of what the online store holds (ISO 8601), if it holds anything.
    """

    view: str
    feature: str
    entity: str
    joined: Any
    served: Any
    served_time: str


@dataclass(frozen=True)
class Skew:
    """The outcome of a comparison without mismatches.

    Attributes:
        rows: Entity rows compared.
        values: Values compared.
        missing: Values that are missing on both paths.
        stale: Values that the online store holds but that are too old to be used.
        mismatches: Values that differ.
    """

    rows: int
    values: int
    missing: int
    stale: int
    mismatches: tuple[Mismatch, ...] = ()

    def metadata(self) -> dict[str, int]:
        """Flat values for the metrics."""
        return {
            "rows": self.rows, "values": self.values, "missing": self.missing, "stale": self.stale,
            "mismatches": len(self.mismatches),
        }  # fmt: skip


@dataclass(frozen=True)
class _Answer:
    """What the online store answers: values and event times by feature, N of each."""

    values: dict[str, list[Any]]
    times: dict[str, list[datetime | None]]


def check_feature_skew(
    training_set: Path | str,
    features: Path | str,
    report: Path | str,
    problem: str,
    repository: str,
    feature_service: str,
    request: Mapping[str, Any],
    as_of: str,
    sample: int = 500,
    home: Path | None = None,
) -> Skew:
    """Compares the point-in-time join at `as_of` with what the online store answers.

    A value that the server would find too old counts as missing on both paths.

    Args:
        training_set: Where the sampled entities come from: its latest distinct ones.
        features: The folder of feature tables.
        report: Where the HTML report goes; it is written also when values differ.
        problem: The problem's name.
        repository: The Feast repository.
        feature_service: The feature service.
        request: The problem's section `request`.
        as_of: The moment to which the online store was brought.
        sample: How many entities are compared.
        home: The feature store's folder; None: the problem's under the settings' home.

    Returns:
        What was compared.

    Raises:
        StateError: The online store does not hold that moment.
        DataError: A value differs.
    """
    asked, moment, tables = RequestSpec.parse(request, "request"), parse_moment(as_of, "as_of"), read_tables(features)
    place = settings()
    kept = open_home(place, problem, home)
    limits = {view: asked.freshness.limit(view) for view in tables.keys}
    entities = _sample_entities(training_set, [key for key in asked.fields if key in _all_keys(tables.keys)], sample)
    rows = _at(entities, moment)
    joined, wanted = join_features(tables, repository, feature_service, rows, limits)
    with kept.locked():
        servers = open_online(place, kept.folder, store.project_name(problem))
        _check_moment(kept, servers, moment)
        store.write_configuration(kept.folder, problem, servers.section())
        answer = _ask(kept.folder, servers, feature_service, rows.select(keys_of(wanted)))
    skew = _compare(rows, joined, answer, wanted, limits, moment)
    pages.write_report(skew, moment, TOLERANCE, report)
    if skew.mismatches:
        raise DataError(_describe(skew))
    return skew


def _all_keys(keys: Mapping[str, list[str]]) -> set[str]:
    return {key for names in keys.values() for key in names}


def _sample_entities(training_set: Path | str, keys: list[str], sample: int) -> "pa.Table":
    """The latest distinct entities, in an order that repeats."""
    import pyarrow as pa

    names = [name for name in (*keys, EVENT_TIMESTAMP) if name in scan(training_set).schema.names]
    latest = read_table(training_set, names).sort_by([(EVENT_TIMESTAMP, "descending")])
    distinct = latest.group_by(keys, use_threads=False).aggregate([(EVENT_TIMESTAMP, "max")])
    ordered = distinct.sort_by([(f"{EVENT_TIMESTAMP}_max", "descending"), *((key, "ascending") for key in keys)])
    chosen: pa.Table = ordered.select(keys).slice(0, sample)
    return chosen


def _at(entities: "pa.Table", moment: datetime) -> "pa.Table":
    import pyarrow as pa

    times = pa.array([moment] * entities.num_rows, pa.timestamp("us", tz="UTC"))
    return entities.append_column(EVENT_TIMESTAMP, times)


def _check_moment(home: FeatureHome, servers: OnlineStore, moment: datetime) -> None:
    state = home.read_state()
    held = state.moment if state and servers.holds(state.online) else None
    if held != moment:
        holds = f"holds {held.isoformat()}" if held else "has not been filled"
        raise StateError(
            f"the online store {home.address} {holds}, not {moment.isoformat()}; run materialize_features with that "
            "as_of first"
        )


def _ask(folder: Path, servers: OnlineStore, service: str, keys: "pa.Table") -> _Answer:
    opened = store.open_store(folder, servers.environment())
    try:
        with quiet(), servers.told():
            asked = opened.get_feature_service(service)
            found = opened.get_online_features(asked, keys.to_pydict()).to_dict(include_event_timestamps=True)
    finally:
        store.close(opened)
    names = [name for name in found if not name.endswith("__ts") and name not in keys.column_names]
    times = {name: [value or None for value in found[f"{name}__ts"]] for name in names}
    return _Answer({name: found[name] for name in names}, {name: _moments(times[name]) for name in names})


def _moments(seconds: Sequence[Any]) -> list[datetime | None]:
    from datetime import UTC

    return [datetime.fromtimestamp(value, tz=UTC) if value else None for value in seconds]


def _compare(
    rows: "pa.Table", joined: "pa.Table", answer: _Answer, wanted: Sequence[Lookup],
    limits: Mapping[str, float | None], moment: datetime,
) -> Skew:  # fmt: skip
    stale = missing = 0
    wrong: list[Mismatch] = []
    for lookup in wanted:
        limit = limits.get(lookup.view)
        for name in lookup.features:
            offline = joined.column(name).to_pylist()
            for at, (one, other, time) in enumerate(zip(offline, answer.values[name], answer.times[name], strict=True)):
                old = time is not None and limit is not None and (moment - time).total_seconds() > limit
                served = None if old else other
                stale += old and other is not None
                missing += _absent(one) and _absent(served)
                if not equal(one, served):
                    keys = ", ".join(f"{column}={rows.column(column)[at].as_py()}" for column in lookup.keys.values())
                    wrong.append(Mismatch(lookup.view, name, keys, one, served, time.isoformat() if time else ""))
    values = rows.num_rows * sum(len(lookup.features) for lookup in wanted)
    return Skew(rows.num_rows, values, missing, stale, tuple(wrong))


def _absent(value: Any) -> bool:
    return value is None or value != value  # noqa: PLR0124 - NaN


def equal(one: Any, other: Any) -> bool:
    """Whether two values are equal: floats within TOLERANCE (relative), a missing value and NaN equal each other."""
    if _absent(one) or _absent(other):
        return _absent(one) and _absent(other)
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(one == other)


def _describe(skew: Skew) -> str:
    first = skew.mismatches[0]
    return (
        f"{len(skew.mismatches)} of {skew.values} values differ between training and serving, such as {first.feature} "
        f"of {first.entity}: the point-in-time join gives {first.joined}, the online store {first.served} "
        f"({first.served_time or 'no row'}); the report lists them all. Run materialize_features again, and look for "
        "writers that push rows of their own"
    )
