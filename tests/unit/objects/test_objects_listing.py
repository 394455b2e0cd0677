"""Lists, progress, and what is no object, against the real MinIO."""

import io
import json
from pathlib import Path

import pytest
from minio.commonconfig import SnowballObject
from minio_server import MinioServer
from object_files import write

from fairlead.errors import SourceError
from fairlead.objects import Objects

pytest_plugins = ("minio_fixtures",)


def test_thousands_of_objects_are_listed_and_removed(objects: Objects, bucket: str, minio: MinioServer) -> None:
    """Listing goes on over the server's pages of a thousand; removal too."""
    folder = minio.folder / bucket
    client = minio.client()

    client.upload_snowball_objects(
        bucket, [SnowballObject(f"many/{number:05d}", data=io.BytesIO(b"x"), length=1) for number in range(2500)]
    )
    assert folder.exists()
    listed = [found.uri for found in objects.list(f"s3://{bucket}/many")]
    assert listed == [f"s3://{bucket}/many/{number:05d}" for number in range(2500)]
    assert len(list(objects.list(f"s3://{bucket}/many", beginning="000"))) == 100
    assert list(objects.list(f"s3://{bucket}/man")) == []
    objects.remove_all(listed)
    assert list(objects.list(f"s3://{bucket}")) == []


def test_progress_is_shown(objects: Objects, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways tell how many bytes of how many were moved."""
    monkeypatch.setenv("FAIRLEAD_EVENTS", str(tmp_path / "events"))
    objects.upload_file(write(tmp_path / "source", 20_000_000), f"s3://{bucket}/key")
    objects.download_file(f"s3://{bucket}/key", tmp_path / "target")
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    last = {event["step"]: (event["done"], event["total"]) for event in events}
    assert last == {
        f"uploading s3://{bucket}/key": (20_000_000, 20_000_000),
        f"downloading s3://{bucket}/key": (20_000_000, 20_000_000),
    }


@pytest.mark.parametrize("uri", ["file:///x", "s3://", "s3:///key", "https://host/bucket/key", "bucket/key"])
def test_other_addresses_are_refused(objects: Objects, uri: str) -> None:
    """Only s3:// and minio:// with a bucket are addresses."""
    with pytest.raises(SourceError, match=r"write s3://BUCKET/KEY"):
        objects.read_bytes(uri)


@pytest.mark.parametrize("uri", ["s3://bucket", "s3://bucket/", "s3://bucket/folder/"])
def test_a_bucket_is_no_object(objects: Objects, uri: str) -> None:
    """An object has a name."""
    with pytest.raises(SourceError, match="names no object"):
        objects.write_bytes(uri, b"")


def test_a_missing_object_names_its_neighbours(objects: Objects, bucket: str, tmp_path: Path) -> None:
    """A name that was mistyped is met with what is there."""
    objects.write_bytes(f"s3://{bucket}/flights/2013.csv", b"n")
    with pytest.raises(SourceError, match=r"does not exist; nearest in s3://.*/flights/: flights/2013.csv"):
        objects.download_file(f"s3://{bucket}/flights/2031.csv", tmp_path / "target")
    with pytest.raises(SourceError, match=r"does not exist; s3://.*/none/ holds nothing"):
        objects.read_bytes(f"s3://{bucket}/none/2031.csv")


def test_a_missing_file_is_told(objects: Objects, bucket: str, tmp_path: Path) -> None:
    """What cannot be read here is named."""
    with pytest.raises(SourceError, match="cannot be uploaded: No such file"):
        objects.upload_file(tmp_path / "none", f"s3://{bucket}/key")
