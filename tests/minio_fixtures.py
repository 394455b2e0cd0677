"""Fixtures over the real MinIO: `pytest_plugins = ("minio_fixtures",)` in a test module brings them."""

from collections.abc import Iterator

import pytest
from minio_server import MinioServer, run_minio, use


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    """A server for all tests of this process; each makes buckets of its own."""
    with run_minio(tmp_path_factory.mktemp("minio")) as server:
        yield server


@pytest.fixture
def bucket(minio: MinioServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket of the test's own, on the server to which the environment leads."""
    use(minio, monkeypatch)
    return minio.make_bucket()
