"""s3:// addresses, against a small server of ours and, where the program `minio` is installed, against MinIO itself."""

import io
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from s3_server import s3_server

from fairlead.datasets import read_manifest, read_table
from fairlead.errors import ConfigurationError, SourceError
from fairlead.ingestion.ingest_dataset.task import ingest

OBJECTS = {
    "lake": {
        "flights/2013/a.csv": b"n\n1\n",
        "flights/2013/b.csv": b"n\n2\n",
        "flights/2014/c.csv": b"n\n3\n",
        "flights/_SUCCESS": b"",
        "one file.csv": b"n\n7\n8\n",
    }
}


@contextmanager
def minio_server(folder: Path, program: str) -> Iterator[str]:
    """Run the real MinIO with OBJECTS in it; give its endpoint."""
    from minio import Minio

    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    address, console = (f"127.0.0.1:{port}" for port in ports)
    environment = {**os.environ, "MINIO_ROOT_USER": "tester", "MINIO_ROOT_PASSWORD": "tester-secret"}
    command = [program, "server", "--quiet", "--address", address, "--console-address", console, str(folder)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait(f"http://{address}/minio/health/ready")
            client = Minio(address, "tester", "tester-secret", secure=False)
            for bucket, objects in OBJECTS.items():
                client.make_bucket(bucket)
                for key, content in objects.items():
                    client.put_object(bucket, key, io.BytesIO(content), len(content))
            yield f"http://{address}"
        finally:
            process.terminate()


def _wait(address: str) -> None:
    for _ in range(200):
        try:
            with urlopen(address, timeout=1):  # noqa: S310 (loopback)
                return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(address)


@pytest.fixture(scope="module", params=["ours", "minio"])
def endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same objects behind our server and behind MinIO."""
    program = shutil.which("minio")
    if request.param == "ours":
        with s3_server(OBJECTS) as address:
            yield address
    elif program is None:
        pytest.skip("the program `minio` is not installed")
    else:
        with minio_server(tmp_path_factory.mktemp("minio"), program) as address:
            yield address


@pytest.fixture(autouse=True)
def credentials(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the test the endpoint and good credentials, and nothing of the developer's."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FAIRLEAD_S3_ENDPOINT", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tester")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tester-secret")


@pytest.mark.parametrize(
    ("source", "numbers"),
    [
        ("s3://lake/one file.csv", [7, 8]),
        ("s3://lake/flights/2013/", [1, 2]),
        ("s3://lake/flights/", [1, 2, 3]),
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
        ("s3://lakes/x.csv", "no such bucket"),
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
    with pytest.raises(SourceError, match=message) as caught:
        ingest(tmp_path / "out", "t", "s3://lake/one file.csv", {})
    assert "tester-secret" not in str(caught.value)


def test_an_endpoint_must_say_its_scheme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether TLS is used is never guessed."""
    monkeypatch.setenv("FAIRLEAD_S3_ENDPOINT", "127.0.0.1:9000")
    with pytest.raises(ConfigurationError, match="write http://HOST:PORT or https://HOST:PORT"):
        ingest(tmp_path / "out", "t", "s3://lake/one file.csv", {})
