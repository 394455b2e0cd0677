"""A Feast repository is checked against its tables before Feast sees either."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from fairlead.errors import ConfigurationError, FairleadError, SchemaError
from fairlead.features.declarations import Lookup, find_repository, limit_ages, load_declarations, lookups
from fairlead.features.spec import RequestSpec, parse_moment
from fairlead.features.tables import FeatureTables, read_tables


@pytest.fixture
def tables(world: Any) -> FeatureTables:
    """The small world's tables."""
    return read_tables(world.features)


def changed(world: Any, folder: Path, old: str, new: str) -> str:
    """The small world's repository with one text changed."""
    text = (world.repository / "shops_features.py").read_text()
    assert old in text
    folder.mkdir(exist_ok=True)
    (folder / "shops_features.py").write_text(text.replace(old, new))
    return str(folder)


def test_lookups_tell_keys_features_and_ages(world: Any, tables: FeatureTables) -> None:
    """In an order that repeats, whatever Feast's is."""
    assert lookups(load_declarations(str(world.repository), tables), "shops") == [
        Lookup("shop_guests", "shop_guests", {"shop": "shop"}, ["guests_last", "guests_mean_1d"], 21600.0),
        Lookup("town_guests", "town_guests", {"town": "town"}, ["town_total"], None),
    ]


def test_limits_shorten_and_never_lengthen(world: Any, tables: FeatureTables) -> None:
    """A view without ttl gets one, a short one stays."""
    declarations = load_declarations(str(world.repository), tables)
    limit_ages(declarations, {"shop_guests": 1e9, "town_guests": 60.0})
    assert [lookup.ttl_seconds for lookup in lookups(declarations, "shops")] == [21600.0, 60.0]


def test_loading_leaves_no_trace(world: Any, tables: FeatureTables) -> None:
    """Neither modules nor variables stay behind."""
    before = set(sys.modules), dict(os.environ)
    load_declarations(str(world.repository), tables)
    assert not [name for name in set(sys.modules) - before[0] if "shops_features" in name]
    assert "FAIRLEAD_FEATURE_TABLES" not in os.environ


@pytest.mark.parametrize(
    ("old", "new", "error", "text"),
    [
        ("guests_last", "guest_last", SchemaError, "no 'guest_last'; did you mean 'guests_last'"),
        ("dtype=Int64", "dtype=Float32", SchemaError, "town_total is declared Float32, but the table has int64"),
        ('tables / "town_guests"', 'tables / "city_guests"', ConfigurationError, "the table 'city_guests'; did you"),
        ('str(tables / "town_guests" / "*.parquet")', '"/data/t.parquet"', ConfigurationError, "its path must be"),
        ('timestamp_field="event_timestamp"', 'timestamp_field="at"', SchemaError, "has no 'at'"),
        ("shops = FeatureService", "shops = len or FeatureService", ConfigurationError, "no feature service"),
        ("import os", "import osx", ConfigurationError, r"shops_features\.py fails: ModuleNotFoundError"),
    ],
)
def test_a_wrong_declaration_is_named(
    world: Any, tables: FeatureTables, tmp_path: Path, old: str, new: str, error: type[FairleadError], text: str
) -> None:
    """Each is told by view and column, before any join."""
    with pytest.raises(error, match=text):
        lookups(load_declarations(changed(world, tmp_path / "repository", old, new), tables), "shops")


def test_repositories_are_packages_or_folders(tmp_path: Path) -> None:
    """The shipped repository is found by its package's name; others by their folder."""
    assert (find_repository("fairlead_feature_repo") / "flights_features.py").exists()
    with pytest.raises(ConfigurationError, match="neither a folder nor an importable package"):
        find_repository("nowhere.at.all")
    with pytest.raises(ConfigurationError, match=r"holds no \.py file"):
        find_repository(str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"derive": [{"name": "h", "field": "shop", "part": "hour"}]}, "'shop' is no timestamp field"),
        ({"derive": [{"name": "h", "field": "opened", "part": "hours"}]}, "request.derive.0.part"),
        ({"derive": [{"name": "shop", "field": "opened", "part": "hour"}]}, "named twice among fields and derive"),
        ({"prediction_time": {"field": "open"}}, "'open' is no timestamp field of the request"),
        ({"derive": [{"name": "h", "field": "opened", "part": "hour", "time_zone": "Mars"}]}, "no such time zone"),
        ({"freshness": {"maximum_age": 5}}, "did you mean 'maximum_age_seconds'"),
    ],
)
def test_a_wrong_request_is_named(changes: dict[str, Any], text: str) -> None:
    """The section's mistakes are told with what is allowed."""
    with pytest.raises(ConfigurationError, match=text):
        RequestSpec.parse({"fields": {"shop": "string", "opened": "timestamp"}} | changes, "request")


def test_moments_without_zone_are_utc() -> None:
    """As the problem's dates are."""
    assert parse_moment("2013-06-01", "as_of") == parse_moment("2013-06-01T02:00:00+02:00", "as_of")
