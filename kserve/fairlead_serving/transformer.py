"""From what a client knows to what the model takes: request fields, features of the online store, derived columns.

For each row: the prediction time is a request field minus some seconds, or the time of arrival; the features are
looked up by the entities among the fields; those that are not fresh at the prediction time, and all of them where the
online store does not answer, fall back as the package says; calendar parts are derived by the code that training used.
"""

import datetime as dt
import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairlead_serving.derive import derive
from fairlead_serving.errors import FeaturesStaleError, FeaturesUnavailableError, StartupError
from fairlead_serving.fields import INTEGER, NUMBER, Schema
from fairlead_serving.freshness import (
    FRESH,
    FUTURE,
    MISSING,
    STALE,
    UNAVAILABLE,
    FreshnessRules,
    ViewFreshness,
    judge,
)
from fairlead_serving.metrics import ServingMetrics
from fairlead_serving.online_store import TIMESTAMP, OnlineStore, View
from fairlead_serving.package import Manifest
from fairlead_serving.query import Inputs, Query

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Rows:
    """The rows of one or more queries, being transformed."""

    columns: Mapping[str, Sequence[Any]]
    count: int
    moments: np.ndarray  # (N,) float64, seconds since 1970
    stale: list[list[str]]
    times: dict[str, list[int]]  # of each view, seconds since 1970; 0 where not known


class FeatureTransformer:
    """Turns request fields into the model's inputs.

    Args:
        manifest: The package's manifest; its request specification is obeyed.
        store: The online store of the package's feature service; None where the package names none.
        metrics: Where look-ups are counted.

    Raises:
        StartupError: The feature service does not fit the package, or the online store cannot be read.
    """

    def __init__(self, manifest: Manifest, store: OnlineStore | None, metrics: ServingMetrics) -> None:
        self.request = manifest.request or {}
        self.schema = Schema.of_request(self.request, manifest.checks)
        self.rules = FreshnessRules.from_manifest(self.request.get("freshness"))
        self._derive = list(self.request.get("derive") or ())
        self._asked = self.request.get("prediction_time")
        self._metrics = metrics
        self._store = store
        self._views = store.views if store else ()
        self._features = {view.name: view.features for view in self._views if view.timed}
        self._sources = self._find_sources(manifest)
        self._check()

    def transform(self, queries: Sequence[Query]) -> list[Inputs | FeaturesStaleError]:
        """Makes the inputs of several queries with one call of the online store.

        Args:
            queries: At least one.

        Returns:
            For each query its inputs, or the reason why it is refused.

        Raises:
            FeaturesUnavailableError: The online store does not answer.
        """
        rows = _join(queries, self._moments(queries))
        features = self._look_up(rows)
        derived = derive(rows.columns, self._derive) if self._derive else {}
        pools = {"derive": derived, "field": rows.columns, "feature": features}
        columns = {name: pools[pool][name] for name, pool in self._sources.items()}
        self._count_missing(columns)
        whole = Inputs(columns, rows.count, rows.moments.tolist(), rows.stale, rows.times or None, self._features)
        return [self._admit(part) for part in _split(whole, queries)]

    def _moments(self, queries: Sequence[Query]) -> np.ndarray:
        if not self._asked:
            return np.concatenate([np.full(query.rows, query.received) for query in queries])
        field, minus = self._asked["field"], float(self._asked.get("minus_seconds") or 0)
        times = [(value - EPOCH).total_seconds() - minus for query in queries for value in query.columns[field]]
        return np.array(times, dtype=np.float64)

    def _look_up(self, rows: _Rows) -> dict[str, list[Any]]:
        if self._store is None:
            return {}
        keys = {key: self._without_nulls(key, rows.columns[key]) for key in self._store.keys}
        started = time.perf_counter()
        try:
            features = self._store.read(keys)
        except FeaturesUnavailableError:
            for view in self._views:
                self._metrics.lookups(view.name, Counter({UNAVAILABLE: rows.count}), ())
            if self.rules.unavailable == "refuse":
                raise
            return self._without_features(rows)
        self._metrics.lookup_seconds(time.perf_counter() - started)
        for view in self._views:
            self._apply_freshness(view, features, rows)
        return features

    def _without_features(self, rows: _Rows) -> dict[str, list[Any]]:
        """All features missing, and named as such: the package says that this is better than no answer."""
        names = [feature for view in self._views for feature in view.features]
        for marks in rows.stale:
            marks += [f"unavailable:{name}" for name in names]
        return {name: [None] * rows.count for name in names}

    def _count_missing(self, columns: Mapping[str, Iterable[Any]]) -> None:
        for name, pool in self._sources.items():
            if pool == "feature" and (missing := sum(value is None for value in columns[name])):
                self._metrics.missing(name, missing)

    def _without_nulls(self, key: str, values: Sequence[Any]) -> Sequence[Any]:
        """Feast cannot look up a null key; such rows are looked up as some entity, and then blanked."""
        if None not in values:
            return values
        stand_in: Any = 0 if self.schema.fields[key] in (INTEGER, NUMBER) else ""
        return [stand_in if value is None else value for value in values]

    def _apply_freshness(self, view: View, features: dict[str, list[Any]], rows: _Rows) -> None:
        nulls = [row for key in view.keys for row, value in enumerate(rows.columns[key]) if value is None]
        for row in nulls:
            _blank(view, features, row)
        if not view.timed:
            return
        times = features[view.features[0] + TIMESTAMP]
        for row in nulls:
            times[row] = 0
        rows.times[view.name] = list(times)
        verdict = judge(times, rows.moments, self.rules.maximum_age(view.name))
        self._metrics.lookups(view.name, verdict.tally, verdict.ages)
        if verdict.tally.keys() - {FRESH, MISSING}:
            self._fall_back(view, verdict, features, rows)

    def _fall_back(self, view: View, verdict: ViewFreshness, features: dict[str, list[Any]], rows: _Rows) -> None:
        for row, outcome in enumerate(verdict.outcomes):
            if outcome in (STALE, FUTURE):
                mark = "future:" if outcome == FUTURE else ""
                rows.stale[row] += [mark + feature for feature in view.features]
                if self.rules.fallback == "missing":
                    _blank(view, features, row)

    def _admit(self, inputs: Inputs) -> Inputs | FeaturesStaleError:
        if self.rules.fallback != "refuse" or inputs.stale is None:
            return inputs
        row = next(row for row, stale in enumerate(inputs.stale) if stale)
        return FeaturesStaleError(
            f"row {row} would be predicted from features that are not fresh at its prediction time: "
            f"{', '.join(inputs.stale[row])}; materialize the features, then ask again"
        )

    def _find_sources(self, manifest: Manifest) -> dict[str, str]:
        derived = {spec["name"] for spec in self._derive}
        features = {feature for view in self._views for feature in view.features}
        pools = (("derive", derived), ("field", set(self.schema.fields)), ("feature", features))
        sources = {}
        for item in manifest.inputs:
            found = [pool for pool, names in pools if item.name in names]
            if not found:
                raise StartupError(
                    f"the model's input {item.name!r} is neither a request field, nor derived, nor a feature of the "
                    f"service {self.request.get('feature_service')!r}, whose features are {', '.join(sorted(features))}"
                )
            sources[item.name] = found[0]
        return sources

    def _check(self) -> None:
        """Asks once for a row of made-up entities: what cannot be read then could not be read for a client."""
        if self._store is None:
            return
        lacking = [key for key in self._store.keys if key not in self.schema.fields]
        if lacking:
            raise StartupError(
                f"the feature service {self.request['feature_service']!r} is looked up by {', '.join(lacking)}, which "
                f"the request does not have; its fields are {', '.join(self.schema.fields)}"
            )
        try:
            self._store.read({key: self._without_nulls(key, [None]) for key in self._store.keys})
        except FeaturesUnavailableError as error:
            if self.rules.unavailable == "refuse":
                raise StartupError(
                    f"the online store cannot be read: {error}; start it, or materialize the features first"
                ) from error
            logger.warning("%s; predictions are made without its features until it does", error)
        except (ValueError, TypeError, KeyError) as error:
            raise StartupError(f"the online store cannot be read: {error}; materialize the features first") from error
        logger.info("features of %s from %d views", self.request["feature_service"], len(self._views))


def _blank(view: View, features: dict[str, list[Any]], row: int) -> None:
    for feature in view.features:
        features[feature][row] = None


def _join(queries: Sequence[Query], moments: np.ndarray) -> _Rows:
    if len(queries) == 1:
        columns, count = queries[0].columns, queries[0].rows
    else:
        count = sum(query.rows for query in queries)
        columns = {name: [value for query in queries for value in query.columns[name]] for name in queries[0].columns}
    return _Rows(columns, count, moments, [[] for _ in range(count)], {})


def _split(whole: Inputs, queries: Sequence[Query]) -> list[Inputs]:
    parts, start = [], 0
    for query in queries:
        parts.append(whole.slice(start, start + query.rows))
        start += query.rows
    return parts
