"""Fixtures over the small world of tests/shops.py, and over the stores that several share."""

from collections.abc import Iterator

import pytest
from redis_server import RedisServer, running_redis
from shared_stores import client
from shops import LABEL, REQUEST, WINDOW, World, make_world

from fairlead.features.build_training_set.task import build_training_set


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The small world, computed and joined once."""
    folder = tmp_path_factory.mktemp("shops")
    made = make_world(folder)
    made.built = build_training_set(
        made.features, made.rows, made.training_set, folder / "training_set.html", str(made.repository), "shops", LABEL,
        REQUEST, WINDOW, rows_at_once=200,
    )  # fmt: skip
    return made


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis with a password."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def shared(redis: RedisServer, bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The store of a cluster; gives the registry's address."""
    client(redis).flushall()
    monkeypatch.setenv("FAIRLEAD_REDIS", redis.connection)
    monkeypatch.setenv("FAIRLEAD_FEATURE_REGISTRY", f"s3://{bucket}/features/registry.db")
    return f"s3://{bucket}/features/registry.db"
