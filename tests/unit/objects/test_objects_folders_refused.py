"""Folders that are refused, against the real MinIO: links, names, markers that lie."""

import json
import os
from pathlib import Path

import pytest
from object_files import make, read

from fairlead.errors import SourceError
from fairlead.objects import Objects

pytest_plugins = ("minio_fixtures",)


def test_links(objects: Objects, bucket: str, tmp_path: Path) -> None:
    """A link to a file counts as the file; one to a folder, or to nothing, would be lost silently and is refused."""
    source = make(tmp_path / "source", {"a": b"1"})
    (source / "b").symlink_to(source / "a")
    objects.upload_folder(source, f"s3://{bucket}/folder")
    objects.download_folder(f"s3://{bucket}/folder", tmp_path / "target")
    assert read(tmp_path / "target") == {"a": b"1", "b": b"1"}
    for target in (tmp_path, tmp_path / "none"):
        (source / "c").unlink(missing_ok=True)
        (source / "c").symlink_to(target)
        with pytest.raises(SourceError, match="is a link to a folder, or leads nowhere"):
            objects.upload_folder(source, f"s3://{bucket}/folder")


def test_names_that_are_no_text(objects: Objects, bucket: str, tmp_path: Path) -> None:
    """A file name that is not UTF-8 has no key."""
    source = make(tmp_path / "source", {"a": b"1"})
    (Path(os.fsdecode(bytes(source) + b"/\xff"))).write_bytes(b"")
    with pytest.raises(SourceError, match="its name is not UTF-8"):
        objects.upload_folder(source, f"s3://{bucket}/folder")


@pytest.mark.parametrize("name", ["../outside", "a/../../outside", "/outside"])
def test_a_marker_that_leads_out(objects: Objects, bucket: str, tmp_path: Path, name: str) -> None:
    """What was downloaded cannot write outside its folder."""
    files = {name: {"size": 1, "sha256": ""}}
    objects.write_bytes(f"s3://{bucket}/.whole/folder", json.dumps({"format": 1, "files": files}).encode())
    with pytest.raises(SourceError, match="leads out of it"):
        objects.download_folder(f"s3://{bucket}/folder", tmp_path / "target")


@pytest.mark.parametrize("content", [b"", b"[]", b'{"format": 1, "files": {"a": 3}}', b'{"format": 9}', b"\xff"])
def test_a_marker_that_is_damaged(objects: Objects, bucket: str, tmp_path: Path, content: bytes) -> None:
    """A marker that cannot be read is told, and an upload mends it once it is removed."""
    objects.write_bytes(f"s3://{bucket}/.whole/folder", content)
    with pytest.raises(SourceError, match=r"is damaged|is of format 9"):
        objects.download_folder(f"s3://{bucket}/folder", tmp_path / "target")


@pytest.mark.parametrize("uri", ["s3://bucket", "s3://bucket/"])
def test_a_bucket_is_no_folder(objects: Objects, tmp_path: Path, uri: str) -> None:
    """A whole bucket is never made the same as a folder."""
    with pytest.raises(SourceError, match="names a bucket"):
        objects.upload_folder(tmp_path, uri)
    with pytest.raises(SourceError, match="names a bucket"):
        objects.remove_folder(uri)


def test_what_is_no_folder_here(objects: Objects, bucket: str, tmp_path: Path) -> None:
    """A missing folder does not become an empty one there."""
    with pytest.raises(SourceError, match="is no folder"):
        objects.upload_folder(tmp_path / "none", f"s3://{bucket}/folder")
