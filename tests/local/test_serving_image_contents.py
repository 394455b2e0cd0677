"""A real server without what the serving image leaves out: whatever it still needs, it has not to ask for."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from absent_modules import write_absent
from models import tiny_package
from serving_process import REQUEST, ROOT, ServerProcess, serving

NUMERIC = {"hour": 0.1, "rate": 1.0, "delay": 0.2}


def left_out(repository: Path) -> set[str]:
    """The packages that the image's build leaves out, as they are imported."""
    found: set[str] = set()
    for file in ("unneeded.txt", "serving/unneeded.txt"):
        for line in (repository / "images" / file).read_text(encoding="utf-8").splitlines():
            if name := line.partition("#")[0].strip():
                found |= set(imported(name))
    return found


def imported(distribution: str) -> Iterator[str]:
    """The packages of a distribution; none where it is not installed."""
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        return
    for file in files:
        parts = file.parts[:2] if file.parts[0] == "google" else file.parts[:1]  # a namespace of several distributions
        if file.suffix in {".py", ".so"} and parts[0] != "..":
            yield ".".join(parts).partition(".py")[0].partition(".cpython")[0].removesuffix(".abi3.so")


def test_names_are_those_that_are_imported(repository: Path) -> None:
    """A list that named nothing would prove nothing."""
    names = left_out(repository)
    assert {"sqlalchemy", "kubernetes", "kfp", "aiohttp", "cryptography", "google.auth", "websockets"} <= names
    assert not names & {"google", "feast", "kserve", "numpy", "pyarrow", "fairlead_serving"}


def test_a_server_with_features_needs_nothing_of_it(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP, gRPC and a Feast store on SQLite, in a process that can import nothing of what the image lacks."""
    store = tmp_path / "store"
    maker = [sys.executable, "-W", "ignore", str(ROOT / "tests" / "serving_store.py"), str(store)]
    subprocess.run(maker, check=True, timeout=180, capture_output=True)
    start = tmp_path / "start"
    write_absent(start, left_out(repository))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(start), os.environ.get("PYTHONPATH", "")])))
    package = tiny_package(tmp_path / "package", numeric=NUMERIC, request=REQUEST)
    with serving(package, tmp_path, "tiny", "--features", str(store), grpc=True) as server:
        row = {"carrier": "AA", "origin": "JFK", "flight": 1, "leaves": "2013-07-01T08:00:00-04:00"}
        answer = server.predict(row, headers={"x-request-id": "one"})
        assert answer.status_code == 200, answer.text
        assert server.wait_line("predictions", "one")["features"]["rate"] == 0.25


def test_a_registry_that_a_server_cannot_read_is_refused(tmp_path: Path) -> None:
    """An SQL database: told by the server's own words, with what to write instead."""
    (tmp_path / "feature_store.yaml").write_text(
        "project: tiny\nprovider: local\nonline_store: {type: sqlite, path: online.db}\n"
        "registry: {registry_type: sql, path: 'sqlite:///registry.db'}\nentity_key_serialization_version: 3\n"
    )
    package = tiny_package(tmp_path / "package", numeric=NUMERIC, request=REQUEST)
    server = ServerProcess(package, tmp_path, "tiny", "--features", str(tmp_path))
    assert server.process.wait(60) != 0
    assert "no registry_type" in server.stderr
    assert "Traceback" not in server.stderr
