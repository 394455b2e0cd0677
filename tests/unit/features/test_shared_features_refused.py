"""Shared feature stores that are named wrongly, out of reach, or damaged."""

from typing import Any

import pytest
from redis_server import RedisServer
from shared_stores import materialize

from fairlead.errors import ConfigurationError, PlatformError, StateError
from fairlead.features.bundle import read_bundle
from fairlead.objects import Objects
from fairlead.settings import settings

pytest_plugins = ("minio_fixtures",)


def test_what_the_settings_must_name(
    world: Any, shared: str, monkeypatch: pytest.MonkeyPatch, redis: RedisServer
) -> None:
    """A registry for all beside a store for one, a pod's folder, and a connection that is none, are refused."""
    monkeypatch.setenv("FAIRLEAD_REDIS", "")
    with pytest.raises(ConfigurationError, match="redis is unset"):
        materialize(world, "2024-03-08")
    monkeypatch.setenv("FAIRLEAD_FEATURE_REGISTRY", "")
    monkeypatch.setenv("FAIRLEAD_PLATFORM", "kubeflow")
    with pytest.raises(ConfigurationError, match="a folder of this pod, and be gone with it; set FAIRLEAD_FEATURE_REG"):
        materialize(world, "2024-03-08")
    monkeypatch.setenv("FAIRLEAD_FEATURE_REGISTRY", shared)
    for wrong in ("redis", "redis:port", "redis:1,password=a'b"):
        monkeypatch.setenv("FAIRLEAD_REDIS", wrong)
        with pytest.raises(ConfigurationError, match=r"setting redis .*write HOST:PORT") as caught:
            materialize(world, "2024-03-08")
        assert "a'b" not in str(caught.value)


def test_a_redis_that_refuses_or_is_not_there(
    world: Any, shared: str, monkeypatch: pytest.MonkeyPatch, redis: RedisServer
) -> None:
    """Each is told, without the password."""
    for connection, kind, text in (
        (f"127.0.0.1:{redis.port},password=wrong-one", ConfigurationError, "refuses the password"),
        ("127.0.0.1:1,password=wrong-one", PlatformError, "gives no answer"),
    ):
        monkeypatch.setenv("FAIRLEAD_REDIS", connection)
        with pytest.raises(kind, match=text) as caught:
            materialize(world, "2024-03-08")
        assert "wrong-one" not in str(caught.value)
    monkeypatch.setenv("FAIRLEAD_REDIS", redis.connection)
    assert materialize(world, "2024-03-08").mode == "rebuilt"


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("registry.db", b"\xff\xfe garbage", r"registry s3://.*/registry.db is corrupt .*remove s3://"),
        ("shops/state.json", b"{", r"shops/state.json cannot be read .*remove s3://"),
        ("shops/state.json", b'{"format": 99}', r"shops/state.json is of format 99"),
    ],
)
def test_what_is_damaged(world: Any, shared: str, name: str, content: bytes, text: str) -> None:
    """Each says what is wrong and what to do, and touches nothing."""
    materialize(world, "2024-03-08")
    uri = f"{shared.rpartition('/')[0]}/{name}"
    Objects.connect().write_bytes(uri, content)
    with pytest.raises(StateError, match=text):
        materialize(world, "2024-03-09")
    assert Objects.connect().read_bytes(uri) == content


def test_there_is_nothing_to_serve_yet(shared: str) -> None:
    """A bundle of nothing is told."""
    with pytest.raises(StateError, match="run a pipeline with materialize_features first"):
        read_bundle(settings(), "shops")
