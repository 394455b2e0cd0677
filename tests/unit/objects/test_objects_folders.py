"""Folders of objects against the real MinIO: whole or not there, sent once, and nothing else in them."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from minio_server import CuttingProxy, MinioServer
from object_files import FILES, make, read

from fairlead.errors import PlatformError, SourceError
from fairlead.objects import Objects, folders

pytest_plugins = ("minio_fixtures",)


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_folder_comes_back(objects: Objects, bucket: str, tmp_path: Path, slash: str) -> None:
    """Every file, byte for byte, whatever its name; what stood at the target is replaced."""
    uri = f"s3://{bucket}/packages/flights/abc{slash}"
    sent = objects.upload_folder(make(tmp_path / "source"), uri)
    assert sorted(sent.sent) == sorted(FILES)
    assert sent.size == sum(len(content) for content in FILES.values())
    make(tmp_path / "target", {"old": b"1"})
    got = objects.download_folder(uri, tmp_path / "target")
    assert read(tmp_path / "target") == FILES
    assert got.files == sent.files


def test_below_the_address_lie_the_files_and_nothing_else(objects: Objects, bucket: str, tmp_path: Path) -> None:
    """Whoever lists the address, with a `/` at its end or without, finds what was uploaded: KServe downloads all."""
    uri = f"s3://{bucket}/packages/flights/abc"
    objects.upload_folder(make(tmp_path / "source"), uri)
    assert sorted(one.uri.removeprefix(f"{uri}/") for one in objects.list(uri)) == sorted(FILES)
    by_prefix = [one.uri for one in objects.list(f"s3://{bucket}/packages/flights", beginning="abc")]
    assert len(by_prefix) == len(FILES)
    assert objects.exists(f"s3://{bucket}/packages/flights/.whole/abc")


def test_nothing_is_sent_twice(objects: Objects, bucket: str, tmp_path: Path) -> None:
    """What is there already stays; what changed is sent; what is gone here goes there."""
    uri, source = f"s3://{bucket}/folder", make(tmp_path / "source")
    objects.upload_folder(source, uri)
    assert objects.upload_folder(source, uri).sent == ()
    (source / "MLmodel").write_bytes(b"other")
    (source / "empty").unlink()
    assert objects.upload_folder(source, uri).sent == ("MLmodel",)
    objects.download_folder(uri, tmp_path / "target")
    assert read(tmp_path / "target") == read(source)
    assert sorted(one.uri for one in objects.list(uri)) == sorted(f"{uri}/{name}" for name in read(source))


def test_a_lost_file_is_sent_again(objects: Objects, bucket: str, tmp_path: Path) -> None:
    """An upload looks at what is really there and not at what an earlier one said."""
    uri, source = f"s3://{bucket}/folder", make(tmp_path / "source")
    objects.upload_folder(source, uri)
    objects.remove(f"{uri}/MLmodel")
    with pytest.raises(SourceError, match="MLmodel does not exist"):
        objects.download_folder(uri, tmp_path / "target")
    assert not (tmp_path / "target").exists()
    assert objects.upload_folder(source, uri).sent == ("MLmodel",)


@pytest.mark.parametrize("content", [b"tampered wi", b"{} and more"])
def test_a_file_that_was_tampered_with(objects: Objects, bucket: str, tmp_path: Path, content: bytes) -> None:
    """Content that is not what the marker says is refused, of another length or not, even with a SHA-256 of its own."""
    uri = f"s3://{bucket}/folder"
    objects.upload_folder(make(tmp_path / "source", {"a": b"original ok", "b": b"b"}), uri)
    objects.write_bytes(f"{uri}/a", content)
    with pytest.raises(SourceError, match="/a is damaged"):
        objects.download_folder(uri, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_another_file_put_there_is_not_brought(objects: Objects, bucket: str, tmp_path: Path) -> None:
    """What the marker does not name does not come along."""
    uri = f"s3://{bucket}/folder"
    objects.upload_folder(make(tmp_path / "source"), uri)
    objects.write_bytes(f"{uri}/evil", b"x")
    objects.download_folder(uri, tmp_path / "target")
    assert read(tmp_path / "target") == FILES


def test_a_folder_of_others(objects: Objects, bucket: str, tmp_path: Path) -> None:
    """What has no marker, as KFP's launcher uploads, is brought when it is asked for so; markers do not come along."""
    for name, content in FILES.items():
        objects.write_bytes(f"s3://{bucket}/v2/artifacts/{name}", content)
    objects.upload_folder(make(tmp_path / "source", {"x": b"1"}), f"s3://{bucket}/v2/artifacts/part")
    with pytest.raises(SourceError, match="no whole folder there; upload it again"):
        objects.download_folder(f"s3://{bucket}/v2/artifacts", tmp_path / "target")
    objects.download_folder(f"minio://{bucket}/v2/artifacts", tmp_path / "target", marked=False)
    assert read(tmp_path / "target") == {**FILES, "part/x": b"1"}
    with pytest.raises(SourceError, match="nothing there; check the address"):
        objects.download_folder(f"s3://{bucket}/v3", tmp_path / "target", marked=False)


def test_an_empty_folder(objects: Objects, bucket: str, tmp_path: Path) -> None:
    """A folder without files is whole too."""
    (tmp_path / "source").mkdir()
    objects.upload_folder(tmp_path / "source", f"s3://{bucket}/folder")
    objects.download_folder(f"s3://{bucket}/folder", tmp_path / "target")
    assert list((tmp_path / "target").iterdir()) == []


def test_removal(objects: Objects, bucket: str, tmp_path: Path) -> None:
    """Nothing is left of a removed folder, and nothing else is gone."""
    for name in ("abc", "abcd"):
        objects.upload_folder(make(tmp_path / "source"), f"s3://{bucket}/{name}")
    objects.remove_folder(f"s3://{bucket}/abc")
    assert objects.find_folder(f"s3://{bucket}/abc") is None
    assert {one.uri.split("/")[3] for one in objects.list(f"s3://{bucket}")} == {".whole", "abcd"}
    objects.remove_folder(f"s3://{bucket}/abc")


UPLOAD = """
import sys
from fairlead.objects import Objects
Objects.connect().upload_folder(sys.argv[1], sys.argv[2])
"""


@pytest.mark.parametrize("replaces", [False, True])
def test_a_killed_upload_never_looks_whole(
    objects: Objects, bucket: str, minio: MinioServer, tmp_path: Path, replaces: bool
) -> None:
    """SIGKILL at many moments: there is no folder, or the old one, or the new one whole; the next upload ends it."""
    uri = f"s3://{bucket}/folder"
    source = make(tmp_path / "source", {f"{number:03d}": os.urandom(50_000) for number in range(60)})
    old = make(tmp_path / "old", {f"{number:03d}": b"old" for number in range(20)})
    seen = set()
    for pause in (0.0, 0.1, 0.3):
        objects.remove_folder(uri)
        if replaces:
            objects.upload_folder(old, uri)
        process = subprocess.Popen([sys.executable, "-c", UPLOAD, str(source), uri])
        _wait_for_first(objects, uri, process)
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
        found = objects.find_folder(uri)
        seen.add(found is None)
        if found is not None:
            objects.download_folder(uri, tmp_path / "target")
            assert read(tmp_path / "target") in (read(source), read(old) if replaces else None)
        else:
            with pytest.raises(SourceError, match="no whole folder"):
                objects.download_folder(uri, tmp_path / "target")
        objects.upload_folder(source, uri)
        objects.download_folder(uri, tmp_path / "target")
        assert read(tmp_path / "target") == read(source)
    assert True in seen


def _wait_for_first(objects: Objects, uri: str, process: "subprocess.Popen[bytes]") -> None:
    """Until the first of the new files is there."""
    while process.poll() is None:
        if any(one.size == 50_000 for one in objects.list(uri)):
            return
        time.sleep(0.01)


def test_a_cut_in_the_middle_of_a_folder(
    bucket: str, tmp_path: Path, minio: MinioServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connections that are cut are taken up again; where all are cut, nothing is marked whole."""
    source = make(tmp_path / "source", {str(number): os.urandom(3_000_000) for number in range(4)})
    proxy = CuttingProxy(minio.port, cuts=3, after=1_000_000, upstream=True)
    monkeypatch.setenv("FAIRLEAD_S3_ENDPOINT", proxy.endpoint)
    Objects.connect().upload_folder(source, f"s3://{bucket}/one")
    proxy.close()
    proxy = CuttingProxy(minio.port, cuts=10_000, after=1_000_000, upstream=True)
    monkeypatch.setenv("FAIRLEAD_S3_ENDPOINT", proxy.endpoint)
    with pytest.raises(PlatformError, match="gives no answer"):
        Objects.connect().upload_folder(source, f"s3://{bucket}/two")
    proxy.close()
    monkeypatch.setenv("FAIRLEAD_S3_ENDPOINT", minio.endpoint)
    objects = Objects.connect()
    objects.download_folder(f"s3://{bucket}/one", tmp_path / "target")
    assert read(tmp_path / "target") == read(source)
    assert objects.find_folder(f"s3://{bucket}/two") is None


def test_uploads_at_once_are_bounded(tmp_path: Path) -> None:
    """Of many files a few are under way at once, and after a failure no further one is begun."""
    running, most, begun, lock = 0, 0, 0, threading.Lock()

    def work(name: str) -> str:
        nonlocal running, most, begun
        with lock:
            running, begun = running + 1, begun + 1
            most = max(most, running)
        time.sleep(0.005)
        with lock:
            running -= 1
        if name == "20":
            raise ValueError(name)
        return name

    names = [str(number) for number in range(20)]
    assert folders.in_parallel(work, names) == names
    assert most == folders.PARALLEL_FILES
    begun = 0
    with pytest.raises(ValueError, match="20"):
        folders.in_parallel(work, [str(number) for number in range(200)])
    assert begun < 60


def test_two_uploaders_of_the_same(objects: Objects, bucket: str, tmp_path: Path) -> None:
    """Several that upload the same at once do not disturb each other."""
    source, uri = make(tmp_path / "source"), f"s3://{bucket}/folder"
    threads = [threading.Thread(target=objects.upload_folder, args=(source, uri)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    objects.download_folder(uri, tmp_path / "target")
    assert read(tmp_path / "target") == FILES


def test_two_uploaders_of_different_folders(objects: Objects, bucket: str, tmp_path: Path) -> None:
    """Whatever they leave, nobody is given a mixture: it is one, the other, or damaged."""
    uri = f"s3://{bucket}/folder"
    sources = [make(tmp_path / str(who), {str(n): f"{who}.{n}".encode() for n in range(30)}) for who in range(2)]
    threads = [threading.Thread(target=objects.upload_folder, args=(source, uri)) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    try:
        objects.download_folder(uri, tmp_path / "target")
    except SourceError:
        return
    assert read(tmp_path / "target") in [read(source) for source in sources]
