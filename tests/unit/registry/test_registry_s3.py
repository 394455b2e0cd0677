"""Packages in S3, whichever registry keeps the facts: against the real MinIO."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from minio_server import MinioServer
from models import tiny_package
from others import keep

from fairlead.errors import ConfigurationError, PackageError
from fairlead.objects import Objects
from fairlead.registry import store
from fairlead.registry.choose import open_registry
from fairlead.registry.fetch_model.task import fetch_model
from fairlead.registry.garbage import SETTLED_SECONDS, collect_garbage
from fairlead.registry.packages_s3 import S3Packages
from fairlead.registry.records import Registered
from fairlead.settings import settings
from fairlead_serving.package import package_digest

pytest_plugins = ("minio_fixtures",)


@pytest.fixture
def home(bucket: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The object store in the settings."""
    monkeypatch.setenv("FAIRLEAD_OBJECT_STORE", f"s3://{bucket}/lead/")
    return f"s3://{bucket}/lead/packages"


@pytest.fixture
def backed(home: str, backend: str) -> str:
    """Each registry, with packages in S3."""
    if backend == "memory":
        pytest.skip("it is no registry that the settings could name")
    return home


def below(uri: str) -> dict[str, bytes]:
    """What whoever lists by the bare prefix finds, as KServe's storage initializer does: path to content."""
    objects, (parent, _, name) = Objects.connect(), uri.rpartition("/")
    found = objects.list(parent, beginning=name)
    return {one.uri.removeprefix(f"{uri}/"): objects.read_bytes(one.uri) for one in found}


def test_a_registered_package_lies_in_s3(package: Path, model: str, backed: str, tmp_path: Path) -> None:
    """Its address is what KServe takes; what lies below has the package's digest; it is fetched again anywhere."""
    done = store.register(package, model, run="r")
    digest = package_digest(package)
    assert (done.uri, done.digest) == (f"{backed}/{model}/{digest.removeprefix('sha256:')}", digest)
    for name, content in below(done.uri).items():
        (tmp_path / "pod" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pod" / name).write_bytes(content)
    assert package_digest(tmp_path / "pod") == digest
    assert store.find(model, "challenger") == done
    assert store.register(package, model) == done
    shutil.rmtree(settings().registry_home / "packages", ignore_errors=True)
    fetched = fetch_model(tmp_path / "fetched", model, "challenger")
    assert (fetched.found, package_digest(tmp_path / "fetched")) == (True, digest)
    assert not (settings().registry_home / "packages").exists()


@pytest.mark.parametrize("how", ["changed", "same length", "removed", "added"])
def test_tampering_is_refused(package: Path, model: str, backed: str, tmp_path: Path, how: str) -> None:
    """What is not what was registered is never given out as it; a file put beside is not brought; it can be mended."""
    done = store.register(package, model)
    objects, file = Objects.connect(), f"{done.uri}/model.onnx"
    content = objects.read_bytes(file)
    if how == "removed":
        objects.remove(file)
    elif how == "added":
        objects.write_bytes(f"{done.uri}/evil.py", b"import os")
    else:
        objects.write_bytes(file, b"x" * len(content) if how == "same length" else b"changed")
    if how == "added":
        fetch_model(tmp_path / "fetched", model, "challenger")
        assert package_digest(tmp_path / "fetched") == done.digest
    else:
        with pytest.raises(PackageError, match="register the same package again to restore it"):
            fetch_model(tmp_path / "fetched", model, "challenger")
    assert store.register(package, model) == done
    assert below(done.uri).keys() == {p.relative_to(package).as_posix() for p in package.rglob("*") if p.is_file()}
    fetch_model(tmp_path / "again", model, "challenger")
    assert package_digest(tmp_path / "again") == done.digest


def test_marker_and_file_changed_together(package: Path, model: str, home: str, tmp_path: Path) -> None:
    """Whoever changes a package and its marker alike still does not have its digest."""
    done = store.register(package, model)
    shutil.copytree(package, tmp_path / "evil")
    (tmp_path / "evil" / "model.onnx").write_bytes(b"evil")
    Objects.connect().upload_folder(tmp_path / "evil", done.uri)
    with pytest.raises(PackageError, match="is not what was registered"):
        fetch_model(tmp_path / "fetched", model, "challenger")


def test_a_package_that_changes_while_it_is_kept(package: Path, home: str, bucket: str) -> None:
    """What was uploaded has the digest that was judged, or is taken away again."""
    digest = package_digest(package)
    (package / "model.onnx").write_bytes(b"changed since")
    with pytest.raises(PackageError, match="changed while it was uploaded"):
        S3Packages(home).keep(package, "flights", digest)
    assert list(Objects.connect().list(f"s3://{bucket}")) == []


def test_an_empty_file_is_refused(package: Path, model: str, home: str) -> None:
    """KServe's storage initializer leaves empty files out: the pod would have another package."""
    (package / "fairlead" / "notes.txt").touch()
    with pytest.raises(PackageError, match=r"notes.txt is empty: KServe's storage initializer leaves empty files out"):
        store.register(package, model)
    assert store.versions(model) == []


def test_a_package_that_was_registered_before(
    package: Path, model: str, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What lies in a folder, from before there was an object store, is still fetched."""
    done = store.register(package, model)
    monkeypatch.setenv("FAIRLEAD_OBJECT_STORE", f"s3://{bucket}/lead")
    fetch_model(tmp_path / "fetched", model, "challenger")
    assert package_digest(tmp_path / "fetched") == done.digest


def test_garbage_is_collected(model: str, backed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old versions go, with their packages; what is served, pointed at, or younger than a registration takes, stays."""
    packages = [tiny_package(tmp_path / str(number), bias=number / 10) for number in range(3)]
    done = [store.register(package, model) for package in packages]
    assert {(one.name, one.digest) for one in open_registry(settings())[1].kept()} == {(model, o.digest) for o in done}
    served = lambda: {done[0].digest: "somebody serves it"}  # noqa: E731
    found = collect_garbage(1, dry_run=True, name=model, served=served)
    assert [one.digest for one in found] == [done[1].digest]
    assert found[0].size == sum(path.stat().st_size for path in packages[1].rglob("*") if path.is_file())
    collect_garbage(1, dry_run=False, name=model, served=served)
    assert below(done[1].uri) == {}
    assert Objects.connect().find_folder(done[1].uri) is None
    for one in (done[0], done[2]):
        assert Objects.connect().find_folder(one.uri) is not None
    Objects.connect().write_bytes(f"{backed}/{model}/{'0' * 64}/model.onnx", b"of an upload that was killed")
    assert collect_garbage(1, dry_run=True, name=model, served=served) == []
    monkeypatch.setattr("fairlead.registry.garbage.SETTLED_SECONDS", SETTLED_SECONDS - 1e6)
    (lost,) = collect_garbage(1, dry_run=False, name=model, served=served)
    assert lost.digest == f"sha256:{'0' * 64}"
    assert below(f"{backed}/{model}/{'0' * 64}") == {}


def test_keepers_at_once(package: Path, home: str, tmp_path: Path) -> None:
    """Several processes that keep the same package leave it whole."""
    context, digest = multiprocessing.get_context("spawn"), package_digest(package)
    keepers = [context.Process(target=keep, args=(str(package), home, digest)) for _ in range(3)]
    for keeper in keepers:
        keeper.start()
    for keeper in keepers:
        keeper.join()
    assert [keeper.exitcode for keeper in keepers] == [0, 0, 0]
    S3Packages(home).copy(Registered("flights", "1", digest, "elsewhere"), tmp_path / "copy")
    assert package_digest(tmp_path / "copy") == digest


REGISTER = """
import sys
from fairlead.registry import store
store.register(sys.argv[1], sys.argv[2])
"""


@pytest.mark.slow
def test_a_killed_registration_is_no_version(package: Path, model: str, home: str, tmp_path: Path) -> None:
    """SIGKILL while the package is uploaded: there is no version of half a package; the next run goes on."""
    (package / "big.bin").write_bytes(os.urandom(60_000_000))
    process = subprocess.Popen([sys.executable, "-c", REGISTER, str(package), model])
    objects = Objects.connect()
    while not any(objects.list(home)) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert store.versions(model) == []
    with pytest.raises(OSError, match="no whole folder"):
        S3Packages(home).copy(Registered(model, "1", package_digest(package), ""), tmp_path / "copy")
    done = store.register(package, model)
    fetch_model(tmp_path / "fetched", model, "challenger")
    assert package_digest(tmp_path / "fetched") == done.digest


def test_writers_of_several_machines_take_turns(home: str, backed: str) -> None:
    """Registries whose folders are apart, as in two pods, still keep each other out: the lock is in S3."""
    inside, most, lock = 0, 0, threading.Lock()

    def write(number: int) -> None:
        nonlocal inside, most
        place = settings().model_copy(update={"home": settings().home / f"pod{number}"})
        registry, _ = open_registry(place)
        with registry.exclusive():
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.05)
            with lock:
                inside -= 1

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_pods_folder_is_no_registry(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    """On the cluster neither facts nor packages may live in a pod."""
    monkeypatch.setenv("FAIRLEAD_PLATFORM", "kubeflow")
    with pytest.raises(ConfigurationError, match="is a file in this pod, and gone with it; set FAIRLEAD_REGISTRY_URI"):
        open_registry(settings())
    monkeypatch.setenv("FAIRLEAD_REGISTRY_URI", "model-registry+http://127.0.0.1:1")
    open_registry(settings())
    monkeypatch.setenv("FAIRLEAD_OBJECT_STORE", "")
    with pytest.raises(ConfigurationError, match="set FAIRLEAD_OBJECT_STORE to s3://BUCKET/PREFIX"):
        open_registry(settings())


def test_an_object_store_that_is_not_there(
    package: Path, model: str, home: str, minio: MinioServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be kept is not registered."""
    monkeypatch.setenv("FAIRLEAD_OBJECT_STORE", "s3://no-such-bucket/lead")
    with pytest.raises(ConfigurationError, match="there is no such bucket"):
        store.register(package, model)
    assert store.versions(model) == []
