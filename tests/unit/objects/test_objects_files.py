"""Single objects against the real MinIO: bytes, streams, integrity, cuts, memory, conditions."""

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from minio_server import CuttingProxy, MinioServer
from object_files import write

from fairlead.errors import PlatformError, SourceError
from fairlead.objects import ObjectConflictError, Objects, Version

pytest_plugins = ("minio_fixtures",)

NAMES = ["plain.bin", "with space.txt", "größe/日本語.txt", ".hidden/.file", "a+b&c=d?e#f%20g", "quote'\"s", "~tilde"]


@pytest.mark.parametrize("scheme", ["s3", "minio"])
@pytest.mark.parametrize("size", [0, 1, 5_000_000, 16 << 20, (16 << 20) + 1, 40_000_000])
def test_what_is_uploaded_is_downloaded(
    objects: Objects, bucket: str, tmp_path: Path, minio: MinioServer, size: int, scheme: str
) -> None:
    """Empty, small and large files come back byte for byte; large ones go in parts."""
    source = write(tmp_path / "source", size)
    assert objects.upload_file(source, f"{scheme}://{bucket}/deep/er/key") is True
    objects.download_file(f"{scheme}://{bucket}/deep/er/key", tmp_path / "new" / "target")
    assert (tmp_path / "new" / "target").read_bytes() == source.read_bytes()
    etag = minio.client().stat_object(bucket, "deep/er/key").etag
    assert ("-" in etag) == (size > 16 << 20)


@pytest.mark.parametrize("name", NAMES)
def test_names_may_hold_anything(objects: Objects, bucket: str, name: str) -> None:
    """Spaces, other alphabets, leading dots and what URLs give a meaning to: written, listed, read, removed."""
    uri = f"s3://{bucket}/x/{name}"
    objects.write_bytes(uri, name.encode())
    assert objects.read_bytes(uri) == name.encode()
    assert [found.uri for found in objects.list(f"s3://{bucket}/x")] == [uri]
    assert objects.exists(uri)
    objects.remove(uri)
    assert not objects.exists(uri)
    objects.remove(uri)


def test_the_same_file_is_not_sent_again(objects: Objects, bucket: str, tmp_path: Path, minio: MinioServer) -> None:
    """Equal content is recognized by size and SHA-256, also of a multipart upload whose ETag is no digest."""
    source, uri = write(tmp_path / "source", 20_000_000), f"s3://{bucket}/key"
    assert objects.upload_file(source, uri)
    first = minio.client().stat_object(bucket, "key").last_modified
    assert objects.upload_file(source, uri) is False
    assert minio.client().stat_object(bucket, "key").last_modified == first
    write(source, 20_000_000, seed=2)
    assert objects.upload_file(source, uri) is True


def test_an_object_of_others_is_sent_again_and_read_without_a_digest(
    objects: Objects, bucket: str, tmp_path: Path, minio: MinioServer
) -> None:
    """Objects without our SHA-256, such as KFP's launcher writes, are read; nothing is assumed of them."""
    source = write(tmp_path / "source", 1000)
    minio.client().fput_object(bucket, "key", str(source))
    objects.download_file(f"s3://{bucket}/key", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == source.read_bytes()
    assert objects.upload_file(source, f"s3://{bucket}/key") is True


def test_a_damaged_object_is_refused(objects: Objects, bucket: str, tmp_path: Path, minio: MinioServer) -> None:
    """Content that is not what its SHA-256 says does not become a file; what stood there still stands."""
    metadata, content = {"sha256": hashlib.sha256(b"right").hexdigest()}, tmp_path / "content"
    content.write_bytes(b"wrong")
    minio.client().fput_object(bucket, "key", str(content), metadata=metadata)
    (tmp_path / "target").write_text("before")
    with pytest.raises(SourceError, match="is damaged"):
        objects.download_file(f"s3://{bucket}/key", tmp_path / "target")
    assert (tmp_path / "target").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".fairlead")) == [
        "content", "target"
    ]  # fmt: skip


def test_a_file_that_changes_while_it_is_uploaded(objects: Objects, bucket: str, tmp_path: Path) -> None:
    """The object is taken away again: its SHA-256 would be another content's."""
    source, uri = write(tmp_path / "source", 20_000_000), f"s3://{bucket}/key"

    def change(amount: int) -> None:
        if amount:
            with source.open("ab") as file:
                file.write(b"more")

    with pytest.raises(SourceError, match="changed while it was uploaded"):
        objects.send(source, uri, change)
    assert not objects.exists(uri)


@pytest.mark.parametrize("cuts", [1, 3])
def test_an_upload_goes_on_after_its_connection_was_cut(
    bucket: str, tmp_path: Path, minio: MinioServer, monkeypatch: pytest.MonkeyPatch, cuts: int
) -> None:
    """A part whose connection is cut in the middle is sent again; nothing is missing."""
    proxy = CuttingProxy(minio.port, cuts=cuts, after=3_000_000, upstream=True)
    monkeypatch.setenv("FAIRLEAD_S3_ENDPOINT", proxy.endpoint)
    source = write(tmp_path / "source", 40_000_000)
    Objects.connect().upload_file(source, f"s3://{bucket}/key")
    proxy.close()
    assert proxy.cut == cuts
    assert minio.client().get_object(bucket, "key").read() == source.read_bytes()


def test_a_download_goes_on_after_its_connection_was_cut(
    objects: Objects, bucket: str, tmp_path: Path, minio: MinioServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is asked for, of the same version; what came is not asked for again."""
    source = write(tmp_path / "source", 30_000_000)
    objects.upload_file(source, f"s3://{bucket}/key")
    proxy = CuttingProxy(minio.port, cuts=3, after=5_000_000, upstream=False)
    monkeypatch.setenv("FAIRLEAD_S3_ENDPOINT", proxy.endpoint)
    Objects.connect().download_file(f"s3://{bucket}/key", tmp_path / "target")
    proxy.close()
    assert proxy.cut == 3
    assert (tmp_path / "target").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("upstream", [True, False])
def test_a_connection_that_is_always_cut(
    objects: Objects, bucket: str, tmp_path: Path, minio: MinioServer, monkeypatch: pytest.MonkeyPatch, upstream: bool
) -> None:
    """After a few attempts it is told; nothing half is left on either side."""
    source = write(tmp_path / "source", 20_000_000)
    objects.upload_file(source, f"s3://{bucket}/there")
    proxy = CuttingProxy(minio.port, cuts=1000, after=2_000_000, upstream=upstream)
    monkeypatch.setenv("FAIRLEAD_S3_ENDPOINT", proxy.endpoint)
    cut, there, target = Objects.connect(), f"s3://{bucket}/there", tmp_path / "target"
    with pytest.raises(PlatformError, match="gives no answer"):
        cut.upload_file(source, f"s3://{bucket}/key") if upstream else cut.download_file(there, target)
    proxy.close()
    assert not objects.exists(f"s3://{bucket}/key")
    assert not (tmp_path / "target").exists()


def test_an_object_that_is_replaced_while_it_is_read(
    objects: Objects, bucket: str, tmp_path: Path, minio: MinioServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a cut the rest of another version is not appended to the first part."""
    uri = f"s3://{bucket}/key"
    objects.upload_file(write(tmp_path / "source", 30_000_000), uri)
    other = write(tmp_path / "other", 30_000_000, seed=2)
    proxy = CuttingProxy(
        minio.port, cuts=1, after=25_000_000, upstream=False, on_cut=lambda: objects.upload_file(other, uri)
    )
    monkeypatch.setenv("FAIRLEAD_S3_ENDPOINT", proxy.endpoint)
    cut = Objects.connect()
    with pytest.raises(SourceError, match="replaced while it was read"):
        cut.download_file(uri, tmp_path / "target")
    proxy.close()
    assert not (tmp_path / "target").exists()


MEASURE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from fairlead.objects import Objects

def most():  # of this program alone: getrusage counts the process from which it was started too
    return next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line)

objects = Objects.connect()
objects.exists(sys.argv[2])
before = most()
objects.upload_file(sys.argv[1], sys.argv[2])
sent = most()
objects.download_file(sys.argv[2], sys.argv[3])
print(before, sent, most())
"""


@pytest.mark.parametrize("megabytes", [200, pytest.param(1000, marks=pytest.mark.slow)])
def test_large_objects_in_bounded_memory(bucket: str, tmp_path: Path, megabytes: int) -> None:
    """Both ways: 150 MB more than the process has anyway at most, whatever the object's size."""
    source = write(tmp_path / "source", megabytes << 20)
    arguments = [str(source), f"s3://{bucket}/large", str(tmp_path / "target")]
    done = subprocess.run([sys.executable, "-c", MEASURE, *arguments], capture_output=True, text=True, check=True)
    before, sent, received = (int(number) / 1024 for number in done.stdout.split())
    print(f"{megabytes} MB: {before:.0f} MB before, {sent:.0f} after upload, {received:.0f} after download")  # noqa: T201
    assert received - before < 150
    with source.open("rb") as one, (tmp_path / "target").open("rb") as other:
        assert hashlib.file_digest(one, "sha256").digest() == hashlib.file_digest(other, "sha256").digest()


def test_of_several_first_writers_one_does(objects: Objects, bucket: str) -> None:
    """Writers that all saw nothing: one writes, the others are told; the same with a version that all saw."""
    uri = f"s3://{bucket}/state.json"
    assert objects.find_version(uri) is None
    before: Version | None = None
    for _ in range(3):
        with ThreadPoolExecutor(8) as pool:
            written = list(pool.map(lambda number, seen=before: replaced(objects, uri, number, seen), range(8)))
        before = objects.find_version(uri)
        assert before is not None
        assert sorted(written) == [*[""] * 7, before.content.decode()]


def replaced(objects: Objects, uri: str, number: int, before: Version | None) -> str:
    """What one writer wrote; nothing if another was first."""
    content = f"{number}, {before.etag if before else 'the first'}"
    try:
        return objects.replace_bytes(uri, content.encode(), before).content.decode()
    except ObjectConflictError:
        return ""


def test_a_version_that_is_gone_is_not_written_anew(objects: Objects, bucket: str) -> None:
    """A document that was removed meanwhile is a conflict too."""
    uri = f"s3://{bucket}/state.json"
    version = objects.replace_bytes(uri, b"1", None)
    assert objects.find_version(uri) == version
    objects.remove(uri)
    with pytest.raises(ObjectConflictError):
        objects.replace_bytes(uri, b"2", version)
    assert not objects.exists(uri)


def test_a_write_whose_answer_was_lost_is_recognized(
    bucket: str, minio: MinioServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server wrote, its answer was cut off, the client asked again and was refused: the write counts."""
    proxy = CuttingProxy(minio.port, cuts=1, after=0, upstream=False)
    monkeypatch.setenv("FAIRLEAD_S3_ENDPOINT", proxy.endpoint)
    monkeypatch.setenv("AWS_REGION", "us-east-1")  # so that the first answer is that to the write
    cut = Objects.connect()
    version = cut.replace_bytes(f"s3://{bucket}/state.json", b"mine", None)
    proxy.close()
    assert proxy.cut == 1
    assert cut.find_version(f"s3://{bucket}/state.json") == version


def test_conditions_reach_no_other_write(objects: Objects, bucket: str) -> None:
    """After a conditional write, plain writes are plain again, also after one that failed."""
    objects.write_bytes(f"s3://{bucket}/a", b"1")
    with pytest.raises(ObjectConflictError):
        objects.replace_bytes(f"s3://{bucket}/a", b"2", None)
    objects.write_bytes(f"s3://{bucket}/a", b"3")
    assert objects.read_bytes(f"s3://{bucket}/a") == b"3"
