"""From request fields to the model's inputs, with a store that answers as told."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from fairlead_serving.errors import FeaturesStaleError, FeaturesUnavailableError, StartupError
from fairlead_serving.freshness import FreshnessRules, judge
from fairlead_serving.metrics import ServingMetrics
from fairlead_serving.online_store import View
from fairlead_serving.package import Manifest, ModelInput
from fairlead_serving.query import Inputs, Query
from fairlead_serving.transformer import FeatureTransformer

NOON = dt.datetime(2013, 7, 1, 12, tzinfo=dt.UTC)
DAY = 86400


class ToldStore:
    """An online store of two views: rates by carrier, and an aircraft's delay."""

    views = (View("rates", ("rate", "flights"), ("carrier",)), View("aircraft", ("delay",), ("tailnum",)))
    keys = ("carrier", "tailnum")

    def __init__(self, rates: Mapping[str, tuple[float, int]], delays: Mapping[str, tuple[float, int]]) -> None:
        self.rates, self.delays = rates, delays
        self.calls: list[dict[str, list[Any]]] = []
        self.broken = False

    def read(self, entities: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
        """Answer as Feast does: values, and event times under __ts."""
        if self.broken:
            raise FeaturesUnavailableError("no such table: flights_rates")
        self.calls.append({name: list(values) for name, values in entities.items()})
        rates = [self.rates.get(key, (None, 0)) for key in entities["carrier"]]
        delays = [self.delays.get(key, (None, 0)) for key in entities["tailnum"]]
        return {
            "rate": [value for value, _ in rates], "rate__ts": [time for _, time in rates],
            "flights": [value and value * 10 for value, _ in rates], "flights__ts": [time for _, time in rates],
            "delay": [value for value, _ in delays], "delay__ts": [time for _, time in delays],
        }  # fmt: skip


def at(moment: dt.datetime) -> int:
    """Give seconds since 1970."""
    return int(moment.timestamp())


def manifest(**changes: Any) -> Manifest:
    """Make a manifest whose inputs come from fields, features and derived columns."""
    request = {
        "fields": {"carrier": "string", "tailnum": "string", "leaves": "timestamp"},
        "prediction_time": {"field": "leaves", "minus_seconds": 7200},
        "derive": [{"name": "hour", "field": "leaves", "part": "hour", "time_zone": "America/New_York"}],
        "feature_service": "told",
        "freshness": {"maximum_age_seconds": DAY, "fallback": "missing", "views": {"aircraft": 10 * DAY}},
        **changes,
    }
    inputs = [ModelInput("carrier", "categorical", ("AA",))]
    inputs += [ModelInput(name, "numeric") for name in ("hour", "rate", "flights", "delay")]
    return Manifest("m", "binary", "late", tuple(inputs), request=request)


def store(age_seconds: float = 3600.0) -> ToldStore:
    """Make a store whose values are so old at the prediction time, 10 o'clock."""
    time = at(NOON) - 7200 - int(age_seconds)
    return ToldStore({"AA": (0.25, time), "UA": (0.5, time)}, {"N1": (7.0, time)})


def transformer(told: ToldStore, registry: CollectorRegistry | None = None, **changes: Any) -> FeatureTransformer:
    """Make a transformer over a store."""
    metrics = ServingMetrics(registry or CollectorRegistry(), "m", "sha256:" + "a" * 64)
    return FeatureTransformer(manifest(**changes), told, metrics)  # type: ignore[arg-type] # it has what is used


def query(*rows: tuple[str | None, str | None, dt.datetime]) -> Query:
    """Make a query of carrier, tail number and departure."""
    carriers, tails, times = zip(*rows, strict=True)
    return Query("v1", "id", {"carrier": list(carriers), "tailnum": list(tails), "leaves": list(times)}, len(rows))


def inputs(result: Inputs | Exception) -> Inputs:
    """Insist on inputs."""
    assert isinstance(result, Inputs)
    return result


def test_fields_features_and_derived_columns_come_together() -> None:
    """Each input of the model comes from where the package says; the prediction time is two hours before departure."""
    result = inputs(transformer(store()).transform([query(("AA", "N1", NOON))])[0])
    columns = {name: list(values) for name, values in result.columns.items()}
    assert columns == {"carrier": ["AA"], "hour": [8.0], "rate": [0.25], "flights": [2.5], "delay": [7.0]}
    assert result.as_of == [at(NOON) - 7200]
    assert result.stale is None


def test_all_queries_share_one_call() -> None:
    """Rows of several queries are looked up together and parted again."""
    told = store()
    made = transformer(told)
    told.calls.clear()
    first, second = made.transform([query(("AA", "N1", NOON)), query(("UA", "N9", NOON), ("AA", "N1", NOON))])
    assert told.calls == [{"carrier": ["AA", "UA", "AA"], "tailnum": ["N1", "N9", "N1"]}]
    assert inputs(first).columns["rate"] == [0.25]
    assert inputs(second).columns["rate"] == [0.5, 0.25]
    assert inputs(second).columns["delay"] == [None, 7.0]


def test_unknown_entities_and_nulls_are_missing_and_counted() -> None:
    """Neither is an error; a null key never takes the value of an entity that is looked up in its stead."""
    told, registry = store(), CollectorRegistry()
    told.delays = {**told.delays, "": (99.0, at(NOON) - 7300)}
    result = inputs(transformer(told, registry).transform([query(("ZZ", "N9", NOON), (None, None, NOON))])[0])
    assert [result.columns[name] for name in ("carrier", "rate", "delay")] == [["ZZ", None], [None, None], [None, None]]
    labels = {"model": "m", "version": "a" * 12, "view": "aircraft", "outcome": "missing"}
    assert registry.get_sample_value("fairlead_feature_lookups_total", labels) == 2


@pytest.mark.parametrize(
    ("fallback", "rate"),
    [("missing", None), ("flag", 0.25)],
)
def test_stale_features_fall_back(fallback: str, rate: float | None) -> None:
    """Older than its view allows, a feature is missing or flagged; both are listed."""
    made = transformer(store(2 * DAY), freshness={**manifest().request["freshness"], "fallback": fallback})  # type: ignore[index]
    result = inputs(made.transform([query(("AA", "N1", NOON), ("ZZ", "N1", NOON))])[0])
    assert result.columns["rate"] == [rate, None]
    assert result.columns["delay"] == [7.0, 7.0]  # its view allows ten days
    assert result.stale == [["rate", "flights"], []]


def test_stale_features_can_refuse_one_query_and_not_its_neighbour() -> None:
    """Under `refuse` the query with the stale row gets the reason; others in the same call are answered."""
    told = store(2 * DAY)
    told.rates = {**told.rates, "UA": (0.5, at(NOON) - 7300)}
    made = transformer(told, freshness={"maximum_age_seconds": DAY, "fallback": "refuse", "views": {"aircraft": 1e9}})
    refused, answered = made.transform([query(("AA", "N1", NOON)), query(("UA", "N1", NOON))])
    assert isinstance(refused, FeaturesStaleError)
    assert "row 0" in str(refused)
    assert "rate, flights" in str(refused)
    assert inputs(answered).columns["rate"] == [0.5]


def test_features_from_the_future_are_not_used() -> None:
    """A replayed request must not see what became known after its prediction time."""
    registry = CollectorRegistry()
    result = inputs(transformer(store(-60), registry).transform([query(("AA", "N1", NOON))])[0])
    assert result.columns["rate"] == [None]
    assert result.stale == [["future:rate", "future:flights", "future:delay"]]
    labels = {"model": "m", "version": "a" * 12, "view": "rates", "outcome": "future"}
    assert registry.get_sample_value("fairlead_feature_lookups_total", labels) == 1


def test_without_a_prediction_time_the_clock_counts() -> None:
    """The time of arrival is the prediction time where the package names no field."""
    made = transformer(store(), prediction_time=None)
    asked = query(("AA", "N1", NOON))
    asked.received = at(NOON) + 5 * DAY
    result = inputs(made.transform([asked])[0])
    assert result.as_of == [at(NOON) + 5 * DAY]
    assert result.stale == [["rate", "flights"]]


def test_a_package_may_only_derive() -> None:
    """A request specification without feature service needs no store."""
    wanted = Manifest("m", "binary", "late", (ModelInput("hour", "numeric"), ModelInput("carrier", "categorical")),
                      request=manifest(feature_service=None).request)  # fmt: skip
    made = FeatureTransformer(wanted, None, ServingMetrics(CollectorRegistry(), "m", "sha256:" + "a" * 64))
    assert inputs(made.transform([query(("AA", None, NOON))])[0]).columns["hour"] == [8.0]


def test_what_does_not_fit_is_found_at_the_start() -> None:
    """An input without source, a key that requests lack, an unreadable store, a wrong freshness: all before serving."""
    told = store()
    with pytest.raises(StartupError, match="input 'hour' is neither a request field, nor derived, nor a feature"):
        transformer(told, derive=[])
    with pytest.raises(StartupError, match="looked up by tailnum, which the request does not have"):
        transformer(told, fields={"carrier": "string", "leaves": "timestamp"})
    with pytest.raises(StartupError, match="fallback 'ignore'"):
        transformer(told, freshness={"fallback": "ignore"})
    with pytest.raises(StartupError, match="key 'max_age'"):
        transformer(told, freshness={"max_age": 1})
    told.broken = True
    with pytest.raises(StartupError, match=r"no such table.*materialize the features first"):
        transformer(told)


@given(
    times=st.lists(st.integers(0, 2_000_000_000), max_size=20),
    moment=st.floats(1, 2_000_000_000),
    maximum=st.floats(0, 1e9),
)
def test_freshness_is_exact(times: list[int], moment: float, maximum: float) -> None:
    """Every row gets one outcome; fresh exactly where 0 ≤ age ≤ the maximum."""
    verdict = judge(times, np.full(len(times), moment), maximum)
    assert verdict.tally.total() == len(times)
    assert [outcome == "fresh" for outcome in verdict.outcomes] == [
        bool(time) and 0 <= moment - time <= maximum for time in times
    ]


def test_a_view_without_limit_is_never_stale() -> None:
    """No maximum age means any age."""
    assert FreshnessRules.from_manifest(None).maximum_age("rates") == float("inf")
    assert FreshnessRules.from_manifest({"maximum_age_seconds": 5, "views": {"a": 7}}).maximum_age("a") == 7
