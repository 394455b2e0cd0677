"""s3:// addresses as sources, against the real MinIO."""

import io
from pathlib import Path

import pytest
from minio_server import MinioServer, use

from fairlead.datasets import read_manifest, read_table
from fairlead.errors import ConfigurationError, FairleadError, SourceError
from fairlead.ingestion.ingest_dataset.task import ingest

pytest_plugins = ("minio_fixtures",)

OBJECTS = {
    "flights/2013/a.csv": b"n\n1\n",
    "flights/2013/b.csv": b"n\n2\n",
    "flights/2014/c.csv": b"n\n3\n",
    "flights/_SUCCESS": b"",
    "flights/.hidden/d.csv": b"n\n9\n",
    "one file.csv": b"n\n7\n8\n",
}


@pytest.fixture(scope="module")
def lake(minio: MinioServer) -> None:
    """The objects."""
    client = minio.client()
    client.make_bucket("lake")
    for key, content in OBJECTS.items():
        client.put_object("lake", key, io.BytesIO(content), len(content))


@pytest.fixture(autouse=True)
def credentials(lake: None, minio: MinioServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the test the endpoint and good credentials, and nothing of the developer's."""
    use(minio, monkeypatch)


@pytest.mark.parametrize(
    ("source", "numbers"),
    [
        ("s3://lake/one file.csv", [7, 8]),
        ("s3://lake/flights/2013/", [1, 2]),
        ("s3://lake/flights/", [1, 2, 3]),
        ("minio://lake/flights/2014/", [3]),
        ("s3://lake/flights/2013/[ab].csv", [1, 2]),
        ("s3://lake", [1, 2, 3, 7, 8]),
        ("s3://lake/flights/*/a.csv", [1]),
        ("s3://lake/flights/**/*.csv", [1, 2, 3]),
        ("s3://lake/*.csv", [7, 8]),
    ],
)
def test_objects_are_read(tmp_path: Path, source: str, numbers: list[int]) -> None:
    """One object, those below a prefix, and those that match a pattern; downloads do not stay behind."""
    ingest(tmp_path / "out", "t", source, {})
    assert read_table(tmp_path / "out")["n"].to_pylist() == numbers
    assert read_manifest(tmp_path / "out").source == source
    assert [path.name for path in tmp_path.iterdir() if path.name != ".fairlead"] == ["out"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("s3://lake/flights/2013/aa.csv", "does not exist; nearest in s3://lake/flights/2013/: flights/2013/a.csv"),
        ("s3://lake/none/", "holds no readable file"),
        ("s3://", "write s3://BUCKET/KEY"),
    ],
)
def test_missing_objects(tmp_path: Path, source: str, message: str) -> None:
    """What is not there is named, with what is near it."""
    with pytest.raises(SourceError, match=message):
        ingest(tmp_path / "out", "t", source, {})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("AWS_ACCESS_KEY_ID", "nobody", "check AWS_ACCESS_KEY_ID"),
        ("AWS_SECRET_ACCESS_KEY", "wrong", "the secret is wrong; check AWS_SECRET_ACCESS_KEY"),
        ("FAIRLEAD_S3_ENDPOINT", "http://127.0.0.1:1", "gives no answer"),
    ],
)
def test_wrong_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    """The message names the variable to check; no secret is in it."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(FairleadError, match=message) as caught:
        ingest(tmp_path / "out", "t", "s3://lake/one file.csv", {})
    assert "tester-secret" not in str(caught.value)


def test_a_missing_bucket(tmp_path: Path) -> None:
    """A bucket that is not there is told from an object that is not there."""
    with pytest.raises(ConfigurationError, match=r"s3://lakes/x.csv: there is no such bucket"):
        ingest(tmp_path / "out", "t", "s3://lakes/x.csv", {})


def test_an_endpoint_must_say_its_scheme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether TLS is used is never guessed."""
    monkeypatch.setenv("FAIRLEAD_S3_ENDPOINT", "127.0.0.1:9000")
    with pytest.raises(ConfigurationError, match=r"setting s3_endpoint .FAIRLEAD_S3_ENDPOINT or fairlead.toml"):
        ingest(tmp_path / "out", "t", "s3://lake/one file.csv", {})
