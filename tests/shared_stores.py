"""Feature stores that several share: a client of their Redis, and the component over one."""

from typing import Any

from redis import Redis
from redis_server import PASSWORD, RedisServer

from fairlead.features.materialize_features.task import Materialized, materialize_features


def client(redis: RedisServer) -> Redis:
    """A client of it."""
    return Redis(port=redis.port, password=PASSWORD)


def materialize(world: Any, as_of: str, problem: str = "shops") -> Materialized:
    """Bring the store that the settings name to a moment."""
    return materialize_features(world.features, problem, str(world.repository), as_of)
